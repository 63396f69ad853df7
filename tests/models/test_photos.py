"""The picture that a network sees is the one its training took: torchvision's transforms are the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize
from torchvision.transforms.functional import pad

from models.photos import Preprocessing, shrunk

SIZES = [(451, 300), (300, 451), (640, 427), (256, 256), (97, 61)]


def noise(size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.mark.parametrize("size", SIZES)
def test_the_default_is_torchvisions_resize_to_256_and_centre_crop_of_224(size: tuple[int, int]) -> None:
    photo = noise(size)
    expected = CenterCrop(224)(Resize(256, InterpolationMode.BICUBIC)(photo))
    np.testing.assert_array_equal(Preprocessing()(photo), np.asarray(expected))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("side", "crop", "resized"), [(224, 1.0, 224), (299, 0.875, 342), (32, 1.0, 32), (28, 0.9, 31)]
)
def test_any_size_and_crop_is_torchvisions(size: tuple[int, int], side: int, crop: float, resized: int) -> None:
    photo = noise(size)
    expected = CenterCrop(side)(Resize(resized, InterpolationMode.BICUBIC)(photo))
    np.testing.assert_array_equal(Preprocessing(size=side, crop=crop)(photo), np.asarray(expected))


@pytest.mark.parametrize("squash", [False, True])
@pytest.mark.parametrize("name", ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos", "BILINEAR"])
def test_every_interpolation_is_torchvisions_of_that_name(name: str, squash: bool) -> None:
    photo = noise((97, 61))
    resize = Resize((64, 64) if squash else 64, InterpolationMode(name.lower()))
    seen = Preprocessing(size=64, crop=1.0, interpolation=name, squash=squash)(photo)
    np.testing.assert_array_equal(seen, np.asarray(CenterCrop(64)(resize(photo))))


@pytest.mark.parametrize("size", SIZES)
def test_squash_is_torchvisions_resize_to_a_square_and_crops_nothing(size: tuple[int, int]) -> None:
    photo = noise(size)
    expected = np.asarray(Resize((96, 96), InterpolationMode.BICUBIC)(photo))
    for crop in (1.0, 0.5):
        np.testing.assert_array_equal(Preprocessing(size=96, crop=crop, squash=True)(photo), expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("crop", [1.0, 0.875])
def test_a_padded_photo_lies_in_the_middle_of_torchvisions_white_square(size: tuple[int, int], crop: float) -> None:
    photo, side = noise(size), max(size)
    left, top = ((side - each) // 2 for each in size)
    square = pad(photo, [left, top, side - size[0] - left, side - size[1] - top], fill=255)
    expected = CenterCrop(84)(Resize(round(84 / crop), InterpolationMode.BICUBIC)(square))
    padded = Preprocessing(size=84, crop=crop, pad=True)
    np.testing.assert_array_equal(padded(photo), np.asarray(expected))
    assert padded.zoom(size) == pytest.approx(side / round(84 / crop))
    again = padded.around(padded(photo), photo)
    np.testing.assert_array_equal(padded(again), padded(photo))


def test_padding_is_a_switch() -> None:
    with pytest.raises(TypeError, match="expected pad to be true or false, got 1"):
        Preprocessing(pad=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("squash", [False, True])
def test_a_picture_of_the_right_size_is_left_as_it_is(squash: bool) -> None:
    photo = noise((32, 32))
    seen = Preprocessing(size=32, crop=1.0, squash=squash)(photo)
    np.testing.assert_array_equal(seen, np.asarray(photo))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
@pytest.mark.parametrize("squash", [False, True])
def test_a_photo_of_any_mode_becomes_an_rgb_picture(mode: str, squash: bool) -> None:
    photo = noise((97, 61)).convert(mode)
    seen = Preprocessing(size=48, squash=squash)(photo)
    assert (seen.shape, seen.dtype) == ((48, 48, 3), np.uint8)
    np.testing.assert_array_equal(seen, Preprocessing(size=48, squash=squash)(photo.convert("RGB")))


@pytest.mark.parametrize("size", [7, 2049, 0, -224, 224.0, "224", None])
def test_a_wrong_size_is_refused_with_what_was_expected_and_what_came(size: Any) -> None:
    with pytest.raises(ValueError, match=rf"expected a size of 8 to 2048 pixels, got {size!r}"):
        Preprocessing(size=size)


@pytest.mark.parametrize("crop", [0, 1.01, -0.5, float("nan"), float("inf"), "0.875", None])
def test_a_wrong_crop_is_refused_with_what_was_expected_and_what_came(crop: Any) -> None:
    with pytest.raises(ValueError, match=rf"expected a crop of 0.1 to 1, got {crop!r}"):
        Preprocessing(crop=crop)


@pytest.mark.parametrize("name", ["cubic", "", "bicubic "])
def test_an_unknown_interpolation_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(ValueError, match=rf"nearest, .*bilinear, .*bicubic, .*got {name!r}"):
        Preprocessing(interpolation=name)


@pytest.mark.parametrize("side", [8, 2048])
def test_the_smallest_and_the_largest_size_are_allowed(side: int) -> None:
    assert Preprocessing(size=side, crop=1.0)(noise((20, 10))).shape == (side, side, 3)


@pytest.mark.parametrize(
    ("size", "squash", "zoom"),
    [((512, 512), False, 2.0), ((1024, 256), True, 512 / 256), ((256, 300), False, 1.0), ((128, 128), False, 0.5)],
)
def test_the_zoom_is_how_many_photo_pixels_lie_along_one_of_the_picture(
    size: tuple[int, int], squash: bool, zoom: float
) -> None:
    assert Preprocessing(size=256 if squash else 224, squash=squash).zoom(size) == pytest.approx(zoom)


def test_a_photo_that_is_too_large_is_shrunk_in_its_proportions_and_it_is_said() -> None:
    photo, said = shrunk(noise((600, 400)), pixels=60_000)
    assert photo.size == (300, 200)
    assert said == "Shrunk from 600 x 400 to 300 x 200 pixels, as large as can be attacked."
    before, after = np.asarray(noise((600, 400))), np.asarray(photo)
    np.testing.assert_allclose(after.mean((0, 1)), before.mean((0, 1)), atol=0.5)


def test_a_photo_that_is_small_enough_is_left_alone() -> None:
    photo = noise((300, 200))
    assert shrunk(photo, pixels=60_000) == (photo, "")


@pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize(("side", "crop"), [(224, 0.875), (225, 0.95), (32, 0.9), (33, 0.875), (28, 1.0), (48, 0.1)])
@pytest.mark.parametrize("squash", [False, True])
def test_around_a_picture_is_the_photo_as_it_is_before_the_crop(
    squash: bool, side: int, crop: float, name: str
) -> None:
    preprocessing = Preprocessing(side, crop, name, squash)
    attacked = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
    for size in [*SIZES, (61, 1220)]:
        photo = noise(size)
        resized, _ = preprocessing.layout(size)
        whole = photo.resize(resized, preprocessing.method)
        np.testing.assert_array_equal(preprocessing.around(preprocessing(photo), photo), np.asarray(whole))
        around = preprocessing.around(attacked, photo)
        assert around.size == resized
        np.testing.assert_array_equal(preprocessing(around), attacked)
        changed = (np.asarray(around) != np.asarray(whole)).any(-1)
        assert side**2 * 0.99 < changed.sum() <= side**2


@pytest.mark.parametrize(("side", "crop"), [(224, 0.875), (225, 0.95), (33, 0.875), (28, 1.0)])
@pytest.mark.parametrize("squash", [False, True])
def test_without_a_photo_its_edges_go_on_around_a_picture(squash: bool, side: int, crop: float) -> None:
    preprocessing, picture = Preprocessing(side, crop, squash=squash), np.asarray(noise((side, side)))
    around = preprocessing.around(picture)
    np.testing.assert_array_equal(preprocessing(around), picture)
    assert around.size == (side if squash else round(side / crop),) * 2
    np.testing.assert_array_equal(np.asarray(around)[0, 0], picture[0, 0])
    np.testing.assert_array_equal(np.asarray(around)[-1, -1], picture[-1, -1])
