"""What the player, the store, the report and the arrays say of a result is what the decoder says of its image.

Every attack, on every encoding, with any number of steps kept.
"""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from functools import cache
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from jma_core import AttackResult, Encoding, run
from jma_core.codes import hadamard_codebook
from jma_core.records import reads
from lab import exports
from lab.curves import curves
from lab.pictures import as_png
from lab.report.report import Files, report
from lab.request import Request, Settings
from lab.runs.attack_run import AttackRun
from lab.store import Store
from models.cards import ModelSpec
from models.encodings import ECOC, MultiLabel, OneHot, Prediction
from models.loaders import encoding_of
from tests.attacks import brief, takes
from ui.player.moments import best_update, moments_of
from ui.player.player import Film

LABELS = tuple("abcdef")
SPECS = {
    "classes": ModelSpec("classes", "Classes", OneHot(LABELS), "vgg"),
    "codewords": ModelSpec("codewords", "Code", ECOC(LABELS, hadamard_codebook(6, 8)), "vgg"),
    "labels": ModelSpec("labels", "Labels", MultiLabel(LABELS, (0.1,) * 6), "vgg"),
}
PATHS = {name: {"step": 0.05} for name in ("lazy", "boxed", "paper")}
POOL = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(9))
ATTACKS = brief(
    40, **PATHS, refined={"steps": 60}, alma={"steps": 60}, cw={"searches": 3, "steps": 20}, fab={"steps": 10},
    lots={"pool": POOL},
)  # fmt: skip


@cache
def network(outputs: int, seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(6 * 36, outputs))
    return made.eval().requires_grad_(False)


def attacked(kind: str, attack: str, seed: int, kept: int, kappa: float) -> tuple[Request, AttackResult, Tensor]:
    """A request, what came of it, and the network's logits for the result's image, asked anew."""
    spec, encoding = SPECS[kind], encoding_of(SPECS[kind])
    f, x = network(spec.encoding.n, seed), torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(seed))
    target = other(encoding, f(x[None])[0])
    result = run(ATTACKS[attack](f, x, encoding, target, kept=kept, kappa=kappa))
    return Request(kind, "p", target, Settings(kappa=kappa)), result, f(torch.from_numpy(result.image)[None])[0]


def other(encoding: Encoding, z: Tensor) -> Any:
    """The next class, or the labels with two flipped."""
    decoded = encoding.decode(z)
    if not decoded.ndim:
        return (int(decoded) + 1) % len(LABELS)
    return tuple(bool(has) != (i < 2) for i, has in enumerate(decoded))


@pytest.mark.parametrize("attack", ATTACKS)
@settings(max_examples=3, deadline=None)
@given(
    draw=st.data(), seed=st.integers(0, 5), kept=st.sampled_from([2, 3, 7, 256]), kappa=st.sampled_from([0.0, 0.0, 0.2])
)
def test_all_that_is_said_of_a_result_is_what_the_decoder_reads_in_its_image(
    draw: st.DataObject, attack: str, seed: int, kept: int, kappa: float
) -> None:
    kind = draw.draw(st.sampled_from([each for each in SPECS if takes(ATTACKS[attack], SPECS[each].encoding.name)]))
    request, result, z = attacked(kind, attack, seed, kept, kappa)
    spec, encoding = SPECS[kind], encoding_of(SPECS[kind])
    truth = encoding.decode(z).numpy()
    np.testing.assert_array_equal(result.decoded, truth)
    assert result.success == reads(truth, result.target)
    np.testing.assert_allclose(result.logits, z.numpy(), atol=1e-5)

    with TemporaryDirectory() as folder:
        store = Store(Path(folder) / "runs.sqlite3")
        store.add(spec, request, result)
        (row,) = store.rows()
        stored_request, stored = store.get(row.id)
    assert stored_request == request
    assert (row.after, row.success) == (spec.encoding.names(truth), result.success)

    for told in (result, stored):
        says_in_the_player(spec, request, told, truth)
        says_in_curves(spec, request, told)
        says_in_the_arrays(spec, request, told, truth)
        if told.steps:
            says_in_the_report(spec, request, told, truth)
    assert stored.update == result.update
    for name, values in vars(result.trace).items():
        np.testing.assert_array_equal(getattr(stored.trace, name), values)
    assert result.trace.number.tolist() == list(range(1, len(result.trace) + 1))


def says_in_the_player(spec: ModelSpec, request: Request, result: AttackResult, truth: Any) -> None:
    attack = AttackRun.finished(request, result)
    moments = moments_of(attack, result.original, Prediction(result.logits_before, result.decoded_before))
    best = best_update(attack, moments)
    data, parcels = Film().data(spec.encoding, request.target, moments, best, live=False, ended=True)
    (shown,) = (each for each in data["film"] if each["title"].endswith(" (result)"))
    assert shown["update"] == data["shown"] == result.update
    parcel = parcels[shown["parcel"]]
    assert parcel["reads"] == spec.encoding.names(truth)
    assert parcel["l2"] == f"{result.distortion.l2:.3f}"
    assert parcel["now"] == (np.flatnonzero(truth).tolist() if truth.ndim else [int(truth)])
    moment = next(each for each in moments if each.update == result.update)
    np.testing.assert_allclose(moment.image, result.image, atol=1e-3 if moment.step else 0)
    np.testing.assert_array_equal(moment.seen.logits, result.logits)


def says_in_curves(spec: ModelSpec, request: Request, result: AttackResult) -> None:
    """They begin at the original. Where the decoder's worst margin is above 0 it reads the target, and nowhere below.

    At 0 a label that is to be absent is so, and one that is to be present is not.
    """
    drawn = curves(spec.encoding, request.target, result.logits_before, result.trace, result.steps)
    before = spec.encoding.margins(result.logits_before, request.target).min()
    np.testing.assert_allclose(drawn.worst[0], [0, before])
    np.testing.assert_array_equal(drawn.distance[0], [0, 0])
    margins = drawn.worst[1:, 1]
    np.testing.assert_array_equal((margins > 0)[margins != 0], result.trace.success[margins != 0])
    at = dict(drawn.worst)
    assert at[result.update] == pytest.approx(spec.encoding.margins(result.logits, request.target).min(), abs=1e-5)
    assert dict(drawn.distance)[result.update] == pytest.approx(result.distortion.l2, rel=1e-4)


def says_in_the_arrays(spec: ModelSpec, request: Request, result: AttackResult, truth: Any) -> None:
    with np.load(io.BytesIO(exports.npz(spec, request, result, saved=result)), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["decoded"], truth)
        np.testing.assert_array_equal(arrays["image"], result.image)
        np.testing.assert_array_equal(arrays["logits"], result.logits)
        told = json.loads(str(arrays["header"]))
    assert (told["success"], told["n_it"], told["detail"]) == (result.success, result.n_it, result.detail)
    assert told["distortion"]["l2"] == pytest.approx(result.distortion.l2)


def says_in_the_report(spec: ModelSpec, request: Request, result: AttackResult, truth: Any) -> None:
    facts = exports.facts(spec, request, result)
    assert (facts["names"], facts["success"]) == (spec.encoding.names(truth), result.success)
    files = Files(result, as_png(Image.new("RGB", (8, 8))), "", {})
    page = report(spec, request, result, files, "a photo", facts, datetime(2026, 1, 2, tzinfo=UTC))
    assert f"Reads as <strong>{spec.encoding.names(truth)}</strong> now" in page
    assert f"{result.distortion.l2:.4f}" in page
    assert result.besides in unescape(page)
