"""The films of an attack show its updates in order, at the pace that was asked for."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from PIL import Image

from jma_core import AttackResult
from lab.film import PACE, REST, SIDE, frames, gif, mp4, webp
from lab.pictures import to_picture
from lab.request import Request, Settings
from models.cards import ModelSpec
from models.encodings import OneHot

LOSS = 2
"""Levels of 255 by which squares of 8 x 8 pixels are off on average: a GIF mixes its colours of neighbours."""
Film = tuple[list[Image.Image], list[int]]


@pytest.fixture(scope="module")
def film(finished: AttackResult) -> Film:
    labels = ("a", "b", "c", "d", "a label that is much too long for a line " * 3)
    spec = ModelSpec("m", "A model", OneHot(labels), "vgg")
    target = int(finished.target)
    return frames(spec, Request("m", "p", target, Settings()), finished)


def seen(picture: Image.Image) -> np.ndarray:
    """From some way off."""
    return np.asarray(picture.reduce(8), dtype=float)


def test_a_film_begins_with_the_original_and_ends_with_the_result(film: Film, finished: AttackResult) -> None:
    pictures, durations = film
    before = [step for step in finished.steps if step.number < finished.update]
    assert durations == [REST, *[PACE] * len(before), REST]
    assert len({picture.size for picture in pictures}) == 1
    for place, image in ((0, finished.original), (-1, finished.image)):
        large = Image.fromarray(to_picture(image)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
        shown = pictures[place].crop((2 * 16 + SIDE, 56, 2 * 16 + 2 * SIDE, 56 + SIDE))
        np.testing.assert_array_equal(np.asarray(shown), np.asarray(large))


def test_gif_and_webp_hold_every_frame_as_long_as_asked(film: Film) -> None:
    pictures, durations = film
    for make in (gif, webp):
        with Image.open(io.BytesIO(make(pictures, durations))) as opened:
            told, moving = [], []
            for number in range(getattr(opened, "n_frames", 1)):
                opened.seek(number)
                moving.append(opened.convert("RGB"))
                told.append(opened.info["duration"])
        assert sum(told) == sum(durations)
        for made, picture in ((moving[0], pictures[0]), (moving[-1], pictures[-1])):
            assert np.abs(seen(made) - seen(picture)).mean() < LOSS


def test_the_mp4_lasts_as_long_and_shows_the_same(film: Film) -> None:
    pictures, durations = film
    with av.open(io.BytesIO(mp4(pictures, durations))) as opened:
        (stream,) = opened.streams.video
        shown = [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in opened.decode(stream)]
        assert stream.codec_context.name == "h264"
    assert len(shown) == sum(durations) // PACE
    for made, picture in ((shown[0], pictures[0]), (shown[-1], pictures[-1])):
        assert np.abs(seen(made) - seen(picture)).mean() < LOSS
