"""A comparison from a file is what it was, or is refused in a sentence."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lab.archive import OtherVersion, is_to_go, pack, pack_comparison, pack_to_go, unpack_comparison
from lab.comparison import Contender
from lab.intake import Refused, take_in, take_in_run
from lab.photos.uploads import read_photo
from lab.pictures import as_png
from lab.request import Canvas, Settings
from models.registry import ASSETS, DEFAULT, MODELS

SHIPPED = (ASSETS / "comparison.npz").read_bytes()
SPEC = MODELS[DEFAULT]


@pytest.fixture(scope="module")
def two() -> list[Contender]:
    """Attacks of the comparison that ships, without the pictures on the way."""
    contenders, _ = unpack_comparison(SHIPPED)
    return [replace(each, result=replace(each.result, steps=())) for each in contenders[2:4]]


def test_what_was_downloaded_is_taken_in(two: list[Contender]) -> None:
    spec, taken = take_in(pack_comparison(two, SPEC.sha256), MODELS)
    assert spec is SPEC
    assert [each.request for each in taken] == [each.request for each in two]
    assert [each.saved for each in taken] == [each.saved for each in two]
    for before, after in zip(two, taken, strict=True):
        np.testing.assert_array_equal(after.result.image, before.result.image)


def test_the_comparison_that_ships_is_taken_in_though_it_names_no_weights() -> None:
    assert len(take_in(SHIPPED, MODELS)[1]) == 7


def arrays(**given: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **given)
    return file.getvalue()


STRANGE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is damaged, or is not"),
    "text": (b"<script>alert(1)</script>", "is damaged, or is not"),
    "half": (SHIPPED[: len(SHIPPED) // 2], "is damaged, or is not"),
    "pickle": (arrays(original=np.array([{}], dtype=object)), "is damaged, or is not"),
    "empty": (arrays(original=np.zeros((3, 4, 4))), "is damaged, or is not"),
    "other": (arrays(a=np.zeros(3)), "its parts are not of the form"),
    "attack": ((ASSETS / "example.npz").read_bytes(), "its parts are not of the form"),
}


@pytest.mark.parametrize("file", STRANGE)
def test_a_damaged_or_a_foreign_file_is_refused(file: str) -> None:
    data, said = STRANGE[file]
    with pytest.raises((Refused, OtherVersion), match=said):
        take_in(data, MODELS)


def test_what_says_that_it_unpacks_to_more_than_there_is_room_for_is_not_unpacked(
    monkeypatch: pytest.MonkeyPatch, two: list[Contender]
) -> None:
    monkeypatch.setattr("lab.archive.LARGEST", 2**20)
    with pytest.raises(Refused, match="is damaged, or is not"):
        take_in(pack_comparison(two), MODELS)


def asked(**changes: Any) -> Callable[[Contender], Contender]:
    return lambda each: replace(each, request=replace(each.request, **changes))


def given(**changes: Any) -> Callable[[Contender], Contender]:
    return lambda each: replace(each, result=replace(each.result, **changes))


ODD: dict[str, Callable[[Contender], Contender]] = {
    "alike": asked(settings=Settings.of("ddn")),
    "margin": lambda each: asked(settings=replace(each.request.settings, kappa=99.0))(each),
    "place": asked(canvas=Canvas(region=(0.5, 0.0, 0.2, 1.0))),
    "period": asked(canvas=Canvas(period=7.0)),
    "encoding": asked(target=2),
    "brightness": lambda each: given(image=each.result.image + 2)(each),
    "labels": given(logits=np.zeros(3), logits_before=np.zeros(3)),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_the_model_could_not_have_given_is_refused(kind: str, two: list[Contender]) -> None:
    with pytest.raises((Refused, OtherVersion), match=r"could have given here|do not fit together"):
        take_in(pack_comparison([ODD[kind](each) for each in two]), MODELS)


def test_attacks_that_do_not_belong_together_are_refused(two: list[Contender]) -> None:
    with pytest.raises(Refused, match="could have given here"):
        take_in(pack_comparison([two[0], asked(photo="another")(two[1])]), MODELS)


def test_a_model_that_is_not_here_or_is_another_is_named(two: list[Contender]) -> None:
    with pytest.raises(Refused, match="nowhere, is not on offer here"):
        take_in(pack_comparison([asked(model="nowhere")(each) for each in two]), MODELS)
    with pytest.raises(Refused, match="has other weights here"):
        take_in(pack_comparison(two, "f" * 64), MODELS)


def test_a_run_to_go_is_what_it_was_with_its_photo_or_without(two: list[Contender]) -> None:
    request, result = two[0].request, two[0].result
    bare = pack_to_go(request, result, SPEC.sha256)
    assert is_to_go(bare)
    assert not any(map(is_to_go, (SHIPPED, pack(request, result), b"", b"text")))
    spec, asked, taken, photo = take_in_run(bare, MODELS)
    assert (spec, asked, photo) == (SPEC, request, None)
    np.testing.assert_array_equal(taken.image, result.image)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8))
    _, asked, _, photo = take_in_run(pack_to_go(request, result, SPEC.sha256, as_png(picture)), MODELS)
    assert photo is not None
    np.testing.assert_array_equal(np.asarray(photo.image), np.asarray(picture))
    assert asked == replace(request, photo=photo.digest) != request
    assert photo.digest == read_photo(as_png(picture), "photo.png").digest


def test_a_run_to_go_that_is_none_is_refused(two: list[Contender]) -> None:
    request, result = two[0].request, two[0].result
    whole = pack_to_go(request, result, SPEC.sha256)
    for data, said in (
        (whole[: len(whole) // 2], "is damaged, or is not a run"),
        (pack_to_go(request, result, "other"), "has other weights here"),
        (pack_to_go(replace(request, model="nobody's"), result, ""), "is not on offer here"),
        (pack_to_go(replace(request, model="gtsrb-onehot"), result, ""), "could have given here"),
        (pack_to_go(request, result, SPEC.sha256, b"no photo"), "The photo in this file cannot be used"),
    ):
        with pytest.raises((Refused, OtherVersion), match=said):
            take_in_run(data, MODELS)
