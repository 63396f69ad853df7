"""Two linear networks that read all pictures alike, one of which leans on one pixel: distances are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import robust
from bench.robust import cases
from lab.sweep.plan import Pictures
from models import data, recipes
from models.data import ImageSet, Split
from models.encodings import OneHot
from models.loaders import LoadedModel, encoding_of
from models.photos import Preprocessing
from models.registry import MODELS

SIDE, LEAN, FIRST = 8, 15.0, 0.4
WEIGHTS = torch.randn(2, 3 * SIDE**2, generator=torch.Generator().manual_seed(0))
WEIGHTS[:, 0] = 0
FAITHFUL = 0.8
"""Share of the pictures that are labelled as they are read."""


def pictures(count: int, seed: int) -> Split:
    """Noise around grey, all with one first pixel; the last of them are labelled wrongly."""
    shown = np.random.default_rng(seed).integers(100, 156, (count, SIDE, SIDE, 3), dtype=np.uint8)
    shown[:, 0, 0, 0] = 255 * FIRST
    images = torch.from_numpy(shown).permute(0, 3, 1, 2).flatten(1) / 255
    wrong = np.arange(count) >= FAITHFUL * count
    return Split(data.Pictures(shown), ((images @ WEIGHTS.T).argmax(1).numpy() + wrong) % 2)


def network(lean: float) -> LoadedModel:
    """It, under the name of a model that is compared: the second class has the weight ``lean`` on the first pixel."""
    layer = nn.Linear(3 * SIDE**2, 2)
    layer.weight.data = WEIGHTS.clone()
    layer.weight.data[:, 0] = lean * torch.arange(2)
    layer.bias.data = -FIRST * layer.weight.data[:, 0]
    spec = MODELS["gtsrb-onehot" if lean else "gtsrb-onehot-robust"]
    spec = replace(spec, encoding=OneHot(("a", "b")), preprocessing=Preprocessing(size=SIDE, crop=1.0))
    still = nn.Sequential(nn.Flatten(), layer).eval().requires_grad_(False)
    return LoadedModel(spec, still, encoding_of(spec), torch.device("cpu"))


def ways(model: LoadedModel, images: Tensor, truths: list[int], targets: list[int]) -> np.ndarray:
    """(N,) L2 to the border between two classes."""
    layer, z = model.network[1], model.network(images)
    lead = z[range(len(z)), truths] - z[range(len(z)), targets]
    return (lead / (layer.weight[truths] - layer.weight[targets]).norm(dim=1)).numpy()


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> list[LoadedModel]:
    """The two, and the pictures in the place of their data."""
    sets = ImageSet(pictures(5, 0), pictures(10, 1), {"toy": pictures(20, 2)})
    for name in ("gtsrb-onehot", "gtsrb-onehot-robust"):
        toy = replace(robust.LEARNED[name], data=lambda folder: sets)
        monkeypatch.setitem(robust.LEARNED, name, toy)
        monkeypatch.setitem(recipes.TASKS, name, toy)
    return [network(LEAN), network(0.0)]


def test_pictures_that_all_read_rightly_are_attacked_and_accuracy_is_of_all(
    models: list[LoadedModel], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaning, upright = robust.tested(models, tmp_path, 6)
    chosen = Pictures(data="gtsrb-onehot", folder=str(tmp_path), part="test")
    images, truths, targets = cases(models[0].spec, chosen, 6, models)
    assert [int(model.argmax()) for model in models[1].network(images)] == truths
    assert targets == [1 - truth for truth in truths]
    expected = [ways(model, images, truths, targets) for model in models]
    for figures, far in zip((leaning, upright), expected, strict=True):
        assert figures["l2"] == pytest.approx(far, rel=1e-3)
        assert figures["accuracy"] == FAITHFUL
    ratio = np.exp(np.log(expected[1] / expected[0]).mean())
    assert ratio > 1.05
    row = capsys.readouterr().out.strip().splitlines()[-1]
    assert "| gtsrb-onehot-robust | 0.25   | 1+3 " in row
    assert f"| {FAITHFUL:.4f}   | {np.median(expected[1]):.3f}     | 0 " in row
    assert f"| {ratio:.3f} (" in row


def test_of_validation_pictures_misread_ones_withstand_nothing(
    models: list[LoadedModel], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    images, truths, targets = cases(models[0].spec, Pictures(data="gtsrb-onehot", folder="x", split="validation"), 10)
    expected = [ways(model, images, truths, targets) for model in models]
    right = models[1].network(images).argmax(1).numpy() == truths
    assert right.mean() == FAITHFUL
    within = float(np.median(expected[1][right]))
    monkeypatch.setattr(robust, "WITHIN", within * 1.001)
    found = robust.validated(models, tmp_path, 10)
    for figures, far in zip(found, expected, strict=True):
        assert figures["l2"] == pytest.approx(np.where(right, far, 0), rel=1e-3)
    held = [(far[right] > within * 1.001).sum() / 10 for far in expected]
    assert held[0] < held[1] == 0.4
    rows = capsys.readouterr().out.strip().splitlines()[-2:]
    for row, share in zip(rows, held, strict=True):
        assert f"| {FAITHFUL:.4f}       | {share:.4f} (" in row
