"""What is packed comes out again."""

import io
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

from jma_core import AttackResult
from jma_core.records import Step
from ui.archive import pack, pack_space, unpack, unpack_space
from ui.request import Canvas, Measured, Request
from ui.state import ASSETS


def test_a_result_survives_the_archive_bit_for_bit_but_for_the_frames(
    finished: AttackResult, request_for: Callable[..., Request]
) -> None:
    request, stored = unpack(pack(request_for(), finished))
    assert request == request_for()
    for field in fields(AttackResult):
        before, after = getattr(finished, field.name), getattr(stored, field.name)
        if isinstance(before, np.ndarray):
            np.testing.assert_array_equal(after, before)
        elif field.name != "steps":
            assert after == before
    assert len(stored.steps) == len(finished.steps) > 0
    for before, after in zip(finished.steps, stored.steps, strict=True):
        for field in fields(Step):
            kept, value = getattr(after, field.name), getattr(before, field.name)
            if field.name == "image":  # perturbations of 0.05 in float16
                np.testing.assert_allclose(kept, value, atol=0.05 * 2**-11)
            else:
                np.testing.assert_equal(kept, value)


def test_a_multi_label_target_and_an_attack_without_steps_survive(
    finished: AttackResult, request_for: Callable[..., Request]
) -> None:
    asked = request_for(target=(True, False, -1), canvas=Canvas(True, (0.0, 0.25, 1.0, 0.75)))
    request, stored = unpack(pack(asked, replace(finished, steps=())))
    assert request == asked
    assert stored.steps == ()


def test_pickles_and_strangers_are_refused() -> None:
    for arrays in ({"a": np.array([{"code": 1}], dtype=object)}, {"a": np.zeros(3)}):
        file = io.BytesIO()
        np.savez(file, **arrays)
        with pytest.raises(ValueError, match=r"pickle|expected an NPZ file of an attack"):
            unpack(file.getvalue())


def test_the_stored_example_is_what_the_app_would_compute_by_default(example: tuple[Request, AttackResult]) -> None:
    from models.registry import DEFAULT, MODELS
    from ui.readout import preset_target
    from ui.request import Settings
    from ui.state import samples

    request, result = example
    spec = MODELS[DEFAULT]
    assert request.model == DEFAULT
    assert request.settings == Settings()
    assert request.photo == next(iter(samples(spec.samples)))
    assert request.target == preset_target(spec, result.logits_before, result.decoded_before)
    assert result.success
    assert tuple(result.decoded.tolist()) == request.target
    picture = spec.preprocessing(samples(spec.samples)[request.photo].image)
    np.testing.assert_array_equal(result.original, picture.transpose(2, 0, 1).astype(np.float32) / 255)
    np.testing.assert_allclose(result.distortion.l2, np.linalg.norm(result.image - result.original), rtol=1e-6)


def test_a_logit_space_survives_but_for_the_last_digits_of_its_perturbations(measured: Measured) -> None:
    stored = unpack_space(pack_space(measured))

    def compare(before: Any, after: Any) -> None:
        assert type(after) is type(before)
        for field in fields(before):
            value, kept = getattr(before, field.name), getattr(after, field.name)
            if is_dataclass(value):
                compare(value, kept)
            elif field.name == "delta":
                np.testing.assert_allclose(kept, value, rtol=2**-10, atol=1e-7)
            else:
                np.testing.assert_equal(kept, value)
                assert np.asarray(kept).dtype == np.asarray(value).dtype

    compare(measured, stored)


def test_the_stored_example_and_the_stored_space_belong_together(example: tuple[Request, AttackResult]) -> None:
    _, result = example
    space = unpack_space((ASSETS / "example-space.npz").read_bytes()).space
    np.testing.assert_allclose(space.z, result.logits_before, rtol=1e-6)
    assert space.cheapest.length == pytest.approx(result.steps[0].full_length, rel=1e-4)
    np.testing.assert_allclose(space.cheapest.logits - space.z, result.steps[0].predicted, atol=0.01)
    assert np.linalg.norm(space.nearest.delta) == pytest.approx(space.nearest.length, rel=1e-3)
