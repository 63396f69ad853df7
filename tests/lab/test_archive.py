"""What is packed comes out again."""

import io
import json
import math
from collections.abc import Callable
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jma_core import AttackResult, OneHot, ddn, run
from jma_core.metrics import Distortion
from jma_core.records import Step
from lab.archive import (
    COARSE,
    FORMAT,
    LEVELS,
    OtherVersion,
    pack,
    pack_comparison,
    pack_space,
    unpack,
    unpack_comparison,
    unpack_space,
)
from lab.comparison import Contender, Saved, first_attacks
from lab.request import Canvas, Measured, Request, Settings
from models.encodings import Prediction
from models.registry import ASSETS, DEFAULT, MODELS

CASES = Path(__file__).parents[1] / "cases"


def test_a_result_survives_the_archive_bit_for_bit_but_for_the_frames(
    finished: AttackResult, request_for: Callable[..., Request]
) -> None:
    request, stored = unpack(pack(request_for(), finished))
    assert request == request_for()
    for field in fields(AttackResult):
        before, after = getattr(finished, field.name), getattr(stored, field.name)
        if isinstance(before, np.ndarray):
            np.testing.assert_array_equal(after, before)
        elif field.name == "trace":
            np.testing.assert_equal(asdict(after), asdict(before))
        elif field.name != "steps":
            assert after == before
    assert len(stored.steps) == len(finished.steps) > 0
    for before, after in zip(finished.steps, stored.steps, strict=True):
        for field in fields(Step):
            kept, value = getattr(after, field.name), getattr(before, field.name)
            if field.name == "image":  # float16 keeps eleven bits of a perturbation; float32 rounds the sum
                bound = np.abs(value - finished.original) * 2**-11 + 2**-23
                assert (np.abs(kept - value) <= bound).all()
            else:
                np.testing.assert_equal(kept, value)


def test_a_multi_label_target_and_an_attack_without_steps_survive(
    finished: AttackResult, request_for: Callable[..., Request]
) -> None:
    for canvas in (Canvas(True, (0.0, 0.25, 1.0, 0.75), period=8.0), Canvas(painted="2080.8.2008")):
        asked = request_for(target=(True, False, -1), canvas=canvas)
        request, stored = unpack(pack(asked, replace(finished, target=np.array([1, 0, -1], np.int8), steps=())))
        assert request == asked
        assert stored.steps == ()


@pytest.mark.parametrize("target", [(3, 1, 4), frozenset({1, 3, 4})])
def test_several_classes_in_order_or_not_survive(request_for: Callable[..., Request], target: Any) -> None:
    torch.manual_seed(1)  # some others, as that of 0, read the three classes anyway
    asked, net = request_for(target=target), torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 5)).eval()
    result = run(ddn(net, torch.full((3, 2, 2), 0.5), OneHot(5), target, steps=20))
    request, stored = unpack(pack(asked, result))
    assert request == asked
    for name in ("target", "decoded_before", "decoded"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(result, name))
    np.testing.assert_array_equal(stored.steps[-1].decoded, result.steps[-1].decoded)
    with pytest.raises(OtherVersion, match="arrays do not fit together"):
        unpack(pack(replace(asked, target=(1, 3)), result))


@pytest.mark.parametrize(
    ("name", "numbers", "best", "updates"),
    [
        ("lazy-ecoc", list(range(1, 18)), 17, 17),
        ("refined-onehot", [*range(1, 58, 4), 58, 60], 58, 60),
    ],
)
def test_runs_stored_by_the_first_version_open_with_the_numbers_that_they_had(
    name: str, numbers: list[int], best: int, updates: int
) -> None:
    """The attacks had 17 and 60 updates; of the second, 17 were kept. Its nearest hit was the 58th."""
    request, result = unpack((CASES / "runs" / f"{name}.npz").read_bytes())
    assert [step.number for step in result.steps] == numbers
    assert (result.update, result.best.number) == (best, best)
    np.testing.assert_array_equal(result.best.logits, result.logits)
    assert result.trace.number.tolist() == numbers
    spec = MODELS[request.model]
    expected = [spec.encoding.margins(step.logits, request.target).min() for step in result.steps]
    np.testing.assert_array_equal(result.trace.margin, expected)
    assert [margin > 0 for margin in expected] == [step.success for step in result.steps]


@pytest.mark.parametrize(
    ("name", "settings", "update", "kept"),
    [
        ("boxed", Settings.of("boxed", step=0.1, max_iter=50, kappa=0.5, max_seconds=60.0), 40, 22),
        ("paper", Settings.of("paper", step=0.5, max_iter=30), 15, 16),
        ("refined", Settings.of("refined", steps=40, max_seconds=120.0), 38, 22),
    ],
)
def test_runs_stored_when_all_attacks_had_the_same_settings_open_as_they_were(
    name: str, settings: Settings, update: int, kept: int
) -> None:
    request, result = unpack((CASES / "runs" / f"second-{name}.npz").read_bytes())
    assert request.settings == settings
    assert (result.update, len(result.steps), result.success) == (update, kept, True)
    assert len(result.trace) == result.trace.number[-1] >= kept


@pytest.mark.parametrize("file", sorted((CASES / "runs").iterdir()), ids=lambda file: file.stem)
def test_of_runs_stored_before_changed_values_were_counted_they_are_counted_in_the_images(file: Path) -> None:
    _, result = unpack(file.read_bytes())
    assert result.distortion.l0 == (result.image != result.original).sum() > 0


def test_pickles_and_strangers_are_refused() -> None:
    for arrays, said in (
        ({"a": np.array([{"code": 1}], dtype=object)}, "pickle"),
        ({"a": np.zeros(3)}, "not of the form"),
    ):
        file = io.BytesIO()
        np.savez(file, **arrays)
        with pytest.raises(ValueError, match=said):
            unpack(file.getvalue())


OLD = (CASES / "runs" / "lazy-ecoc.npz").read_bytes()
"""An attack as the first version stored it."""


def taken_apart(data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the arrays of a stored attack."""
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        arrays = dict(stored)
    return json.loads(str(arrays.pop("header"))), arrays


def put_together(header: Any, arrays: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, header=np.array(json.dumps(header)), **arrays)
    return file.getvalue()


def test_the_header_is_json_even_where_numbers_are_not_finite(
    finished: AttackResult, request_for: Callable[..., Request]
) -> None:
    unchanged = Distortion(mse=0.0, l2=0.0, linf=0.0, l0=0, psnr=math.inf, ssim=math.nan)
    asked = request_for(settings=replace(request_for().settings, max_seconds=math.inf))
    data = pack(asked, replace(finished, distortion=unchanged))
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        json.loads(str(stored["header"]), parse_constant=pytest.fail)
    request, result = unpack(data)
    assert request == asked
    np.testing.assert_equal(asdict(result.distortion), asdict(unchanged))


NEWS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "setting": (lambda header, _: header["request"]["settings"].update(momentum=0.9), "its “momentum” is not known"),
    "attack": (lambda header, _: header["request"]["settings"].update(level="jump"), "its attack “jump” is not known"),
    "canvas": (lambda header, _: header["request"]["canvas"].update(frame=2), "its “frame” is not known"),
    "reason": (lambda header, _: header.update(reason="bored"), "its reason “bored” is not known"),
    "field": (lambda header, _: header.update(queries=12), "its “queries” is not known"),
    "measure": (lambda header, _: header["distortion"].update(lpips=0.1), "its “lpips” is not known"),
    "residual": (lambda header, _: header["step_certificate"][0].update(slack=0), "its “slack” is not known"),
    "format": (lambda header, _: header.update(format=FORMAT + 1), f"its format is “{FORMAT + 1}”"),
    "phase": (lambda _, arrays: arrays["step_phase"].put(3, "jump"), "its phase “jump” is not known"),
    "array": (lambda _, arrays: arrays.update(step_angle=np.zeros(17)), "its “step_angle” is not known"),
    "less": (lambda header, _: header.pop("n_it"), "its parts are not of the form"),
    "kappa": (lambda header, _: header["request"]["settings"].pop("kappa"), "its “kappa” is missing"),
    "longer": (lambda _, arrays: arrays.update(step_l2=np.zeros(18)), "its arrays do not fit together"),
    "wider": (lambda _, arrays: arrays.update(image=np.zeros((3, 1, 28), np.float32)), "its arrays do not fit"),
    "labels": (lambda header, _: header["request"].update(target=[1, 0]), "its arrays do not fit together"),
}


@pytest.mark.parametrize("news", NEWS)
def test_what_this_version_does_not_know_is_said_by_its_name(news: str) -> None:
    header, arrays = taken_apart(OLD)
    change, said = NEWS[news]
    change(header, arrays)
    with pytest.raises(OtherVersion, match="made by another version of JMA Lab") as refused:
        unpack(put_together(header, arrays))
    assert said in str(refused.value)


def places(told: Any) -> list[tuple[Any, Any]]:
    """Every dictionary or list within, with each of its keys."""
    inside = list(told.items()) if isinstance(told, dict) else list(enumerate(told)) if isinstance(told, list) else []
    return [(told, key) for key, _ in inside] + [place for _, value in inside for place in places(value)]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(place=st.floats(0, 1, exclude_max=True), change=st.sampled_from(["other", "more", "less"]), now=VALUES)
@pytest.mark.parametrize("version", [1, 2])
def test_no_intact_file_is_called_damaged_or_gives_a_wrong_result(
    version: int, place: float, change: str, now: Any
) -> None:
    """What the header says is of another type than it was, or more, or less: all of that is another version's."""
    header, arrays = taken_apart(OLD if version == 1 else pack(*unpack(OLD)))
    found = places(header)
    holder, key = found[int(place * len(found))]
    was, harmless = holder[key], change == "less" and key == "format"
    if change == "other":
        holder[key] = now
        may_lack = key == "region" or holder is header["step_certificate"]
        as_float = type(was) is float and (type(now) is int or now in ("inf", "-inf", "nan"))
        harmless = type(now) is type(was) or as_float or (may_lack and now is None)
    elif change == "more" and isinstance(holder, dict):
        holder[f"{key}!"] = now
    else:
        del holder[key]
    try:
        unpack(put_together(header, arrays))
    except OtherVersion:
        return
    assert harmless, f"{key} was {was!r}"


def test_the_stored_example_is_what_the_app_would_compute_by_default(example: tuple[Request, AttackResult]) -> None:

    from lab.photos.samples import samples
    from models.registry import DEFAULT, MODELS

    request, result = example
    spec = MODELS[DEFAULT]
    assert request.model == DEFAULT
    assert request.settings == Settings()
    assert request.photo == next(iter(samples(spec.samples)))
    assert request.target == spec.encoding.proposed(Prediction(result.logits_before, result.decoded_before))
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


def test_a_comparison_comes_back_with_its_changes_rounded(
    finished: AttackResult, request_for: Callable[..., Request]
) -> None:
    picture = np.round(255 * finished.original) / 255
    first = replace(finished, original=picture.astype(np.float32), steps=finished.steps[1:2])
    missed = replace(finished, original=first.original, image=first.original, steps=())
    asked = request_for(), request_for(photo="other")
    given = [Contender(asked[0], first, Saved(1.5, True)), Contender(asked[1], missed)]
    (one, other), weights = unpack_comparison(pack_comparison(given, "abc", small=True))
    assert weights == "abc"
    assert (one.request, other.request) == asked
    assert (one.saved, other.saved) == (Saved(1.5, True), None)
    np.testing.assert_array_equal(one.result.original, first.original)
    largest = np.abs(first.image - first.original).max()
    np.testing.assert_allclose(one.result.image, first.image, atol=largest / LEVELS / 2 * 1.01)
    np.testing.assert_array_equal(other.result.image, other.result.original)
    (step,) = one.result.steps
    moved = np.abs(first.steps[0].image - first.original).max()
    np.testing.assert_allclose(step.image, first.steps[0].image, atol=moved / COARSE / 2 * 1.02)
    assert one.result.distortion == first.distortion
    np.testing.assert_array_equal(one.result.trace.l2, first.trace.l2)


def test_a_comparison_that_is_stored_keeps_its_results_bit_for_bit(
    finished: AttackResult, request_for: Callable[..., Request]
) -> None:
    shifted = replace(finished, original=finished.original + np.float32(1e-4))
    given = [Contender(request_for(settings=Settings(kappa=kappa)), shifted) for kappa in (0.0, 1.0)]
    every, _ = unpack_comparison(pack_comparison(given))
    for each in every:
        for name in ("original", "image", "logits", "curve"):
            np.testing.assert_array_equal(getattr(each.result, name), getattr(shifted, name))
        assert len(each.result.steps) == len(shifted.steps) > 0
        for stored, step in zip(each.result.steps, shifted.steps, strict=True):
            change = step.image - shifted.original
            bound = np.abs(change).max() * (0.5 / LEVELS + 2**-10)
            np.testing.assert_allclose(stored.image, step.image, atol=float(bound) + 1e-7)
            np.testing.assert_array_equal(stored.logits, step.logits)


def test_the_comparison_that_ships_is_the_one_that_the_page_proposes_and_is_small() -> None:
    data = (ASSETS / "comparison.npz").read_bytes()
    assert len(data) < 1.4 * 2**20
    (shipped, _), spec = unpack_comparison(data), MODELS[DEFAULT]
    assert [each.request.settings for each in shipped] == first_attacks(spec.encoding.name)
    example, _ = unpack((ASSETS / "example.npz").read_bytes())
    assert {(each.request.model, each.request.photo, each.request.target) for each in shipped} == {
        (example.model, example.photo, example.target)
    }
    for each in shipped:
        assert each.result.success
        assert each.saved
        away = np.linalg.norm(each.result.image.astype(float) - each.result.original)
        np.testing.assert_allclose(away, each.result.distortion.l2, rtol=0.01)
