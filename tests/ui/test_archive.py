"""What is packed comes out again."""

import io
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest

from jma_core import AttackResult
from jma_core.records import Step
from ui.archive import pack, unpack
from ui.request import Request


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
    asked = request_for(target=(True, False, True))
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
