"""What the browser is sent of pictures: changes that come back to what they were, and the means of large pictures."""

from __future__ import annotations

import base64
import io
from math import isqrt

import numpy as np
import pytest
from PIL import Image

from ui.pixels.pixels import PIXELS, change, pictured, reduced

SIDE = isqrt(PIXELS)


def picture(url: str) -> np.ndarray:
    """Its values, as floats (H, W, 3)."""
    head, _, body = url.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body)))).astype(float)


def test_a_change_comes_back_to_half_a_level() -> None:
    rng = np.random.default_rng(0)
    original = rng.random((3, 8, 9))
    image = original + 0.01 * rng.standard_normal(original.shape)
    told = change(original, image, 127)
    back = np.moveaxis((picture(told["url"]) - 128) / told["levels"] * told["scale"], 2, 0)
    np.testing.assert_allclose(back, image - original, atol=told["scale"] / 127 / 2 * 1.0001)
    still = change(original, original, 127)
    assert still["scale"] == 0
    assert (picture(still["url"]) == 128).all()


def test_an_original_is_sent_pixel_by_pixel() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (6, 7, 3))
    told = pictured(levels.transpose(2, 0, 1).astype(np.float32) / 255)
    np.testing.assert_array_equal(picture(told["url"]), levels)
    assert told["size"] == (7, 6)


def test_a_large_picture_is_sent_as_the_means_of_its_parts() -> None:
    original, image = np.random.default_rng(0).random((2, 3, 2 * SIDE, 2 * SIDE)).astype(np.float32)
    before, after = (each.reshape(3, SIDE, 2, SIDE, 2).mean((2, 4)) for each in (original, image))
    assert np.abs(picture(pictured(reduced(original))["url"]) - before.transpose(1, 2, 0) * 255).max() <= 0.5 + 1e-3
    told = change(reduced(original), reduced(image), 127)
    assert told["scale"] == pytest.approx(np.abs(after - before).max(), rel=1e-5)
    assert picture(told["url"]).shape == (SIDE, SIDE, 3)


@pytest.mark.parametrize(("size", "shown"), [((32, 32), (32, 32)), ((341, 256), (341, 256)), ((600, 800), (277, 370))])
def test_only_large_pictures_are_reduced_and_keep_their_shape(size: tuple[int, int], shown: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random((3, *size)).astype(np.float32)
    assert reduced(image).shape == (3, *shown)
    if size == shown:
        assert reduced(image) is image
