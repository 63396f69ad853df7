"""What the browser is sent for the gallery: changes that come back to what they were, in the order of their cost."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
from PIL import Image

from jma_core.records import AttackResult
from lab.comparison import Contender
from lab.request import Request, Settings
from models.encodings import OneHot
from ui.gallery.gallery import FILM_BYTES, LEVELS, frame, frames, gallery

NAMES = OneHot(("one", "two", "three", "four", "five"))


def picture(url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))).astype(float)


def asked(**settings: int) -> Request:
    return Request("m", "p", 1, Settings.of("lazy", **settings))


def test_a_change_comes_back_to_half_a_level() -> None:
    rng = np.random.default_rng(0)
    original = rng.random((3, 8, 9))
    image = original + 0.01 * rng.standard_normal(original.shape)
    told = frame(original, image, LEVELS)
    back = np.moveaxis((picture(told["url"]) - 128) / told["levels"] * told["scale"], 2, 0)
    np.testing.assert_allclose(back, image - original, atol=told["scale"] / LEVELS / 2 * 1.0001)
    still = frame(original, original, LEVELS)
    assert still["scale"] == 0
    assert (picture(still["url"]) == 128).all()


def test_the_result_is_last_and_room_is_kept(finished: AttackResult) -> None:
    told = frames(asked(), NAMES, finished, FILM_BYTES)
    spent = [each["spent"] for each in told]
    assert spent == sorted(spent)
    assert (spent[-1], told[-1]["title"]) == (finished.backward, "result")
    assert told[-1]["l2"] == f"{finished.distortion.l2:.3f}"
    assert len(told) > 2
    assert told[-1]["reads"] == NAMES.labels[int(finished.decoded)]
    assert len(frames(asked(), NAMES, finished, 1)) == 2, "the first update and the result are always there"


def test_one_original_and_one_gain_for_all(finished: AttackResult) -> None:
    missed = replace(finished, image=finished.original, update=0, backward=3, steps=())
    told = gallery(NAMES, ["A", "B"], [Contender(asked(), finished), Contender(asked(max_iter=3), missed)])
    assert [each["name"] for each in told["attacks"]] == ["A", "B"]
    assert told["most"] == finished.backward
    np.testing.assert_array_equal(
        picture(told["original"]["url"]), np.round(255 * np.moveaxis(finished.original, 0, 2))
    )
    strongest = np.abs(finished.image - finished.original).max()
    np.testing.assert_allclose(told["gain"], max(1, 2 / strongest))
    assert gallery(NAMES, ["A"], [Contender(asked(), missed)])["gain"] == 1
