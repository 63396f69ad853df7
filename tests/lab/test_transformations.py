"""Each transformation against what is known of it from elsewhere."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from jma_core.metrics import distortion
from lab.photos.samples import samples
from lab.transformations import TRANSFORMATIONS, blurred, compressed, cropped, encoded, noisy, resized, unchanged

LUMINANCE = [
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
]  # fmt: skip
"""Table K.1 of the JPEG standard (ITU-T T.81), which quality 50 has as it is."""


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    cat = next(each.image for each in samples("photos").values() if each.name.startswith("cat"))
    return cat.resize((121, 90))


def values(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture, dtype=np.float32).transpose(2, 0, 1) / 255


def psnr(one: Image.Image, other: Image.Image) -> float:
    return distortion(values(one), values(other)).psnr


def test_all_give_pictures_of_the_same_kind_and_only_crops_are_smaller(photo: Image.Image) -> None:
    for title, transform in TRANSFORMATIONS.items():
        made = transform(photo)
        assert made.mode == "RGB"
        assert (made.size == photo.size) == (not title.startswith("Crop")), title
        assert made.tobytes() == transform(photo).tobytes(), f"{title} differs from time to time"


def test_what_is_left_as_it_is_stays_bit_for_bit(photo: Image.Image) -> None:
    assert unchanged(photo).tobytes() == photo.tobytes()
    for same in (resized(photo, factor=1), blurred(photo, sigma=0), noisy(photo, sigma=0), cropped(photo, share=0)):
        assert same.tobytes() == photo.tobytes()


@pytest.mark.parametrize("quality", [50, 70, 90, 95])
def test_a_jpeg_has_the_standards_table_scaled_by_its_quality(photo: Image.Image, quality: int) -> None:
    scale = 200 - 2 * quality  # libjpeg's, from quality 50 on
    with Image.open(io.BytesIO(encoded(photo, "JPEG", quality))) as file:
        table = np.array(file.quantization[0]).reshape(8, 8)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(table, np.clip((np.array(LUMINANCE) * scale + 50) // 100, 1, 255))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_less_quality_is_farther_from_the_picture(photo: Image.Image, kind: str) -> None:
    found = [psnr(photo, compressed(photo, kind=kind, quality=quality)) for quality in (95, 80, 60, 40)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 30


def test_a_crop_is_the_middle(photo: Image.Image) -> None:
    made = cropped(photo, share=0.1)
    np.testing.assert_array_equal(np.asarray(made), np.asarray(photo)[9:-9, 12:-12])


def test_noise_has_its_deviation_where_nothing_is_clipped() -> None:
    grey = Image.new("RGB", (200, 200), (128, 128, 128))
    made = np.asarray(noisy(grey, sigma=8), dtype=float) - 128
    assert made.mean() == pytest.approx(0, abs=0.1)
    assert made.std() == pytest.approx(8, rel=0.02)


def test_a_blur_spreads_a_point_by_its_deviation() -> None:
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    made = np.asarray(blurred(Image.fromarray(point), sigma=2), dtype=float)[..., 0]
    down = made.sum(1)
    assert (down @ np.arange(41)) / down.sum() == pytest.approx(20, abs=0.01)
    assert (down @ (np.arange(41) - 20.0) ** 2) / down.sum() == pytest.approx(4, rel=0.2)
