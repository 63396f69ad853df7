"""Pictures keep their pixels; the perturbation map is zero-centred and tells its gain."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.photos import Preprocessing
from ui import images
from ui.images import BLUE, MIDDLE, ORANGE, perturbation_map, show, spotlit, to_picture
from ui.uploads import Photo


def test_eight_bit_pictures_round_trip() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(to_picture(picture.transpose(2, 0, 1) / np.float32(255)), picture)


def test_the_map_is_blue_where_darker_orange_where_brighter_and_neutral_where_unchanged() -> None:
    original = np.full((3, 10, 10), 0.5, dtype=np.float32)
    attacked = original.copy()
    attacked[:, :5] -= 0.01
    attacked[:, 5:8] += 0.01
    signed, gain = perturbation_map(original, attacked)
    np.testing.assert_array_equal(signed[0, 0], BLUE)
    np.testing.assert_array_equal(signed[6, 0], ORANGE)
    np.testing.assert_array_equal(signed[9, 0], MIDDLE)
    np.testing.assert_allclose(gain, 100, rtol=1e-4)


def test_no_change_is_neutral_with_gain_one() -> None:
    original = np.random.default_rng(0).random((3, 6, 6))
    signed, gain = perturbation_map(original, original)
    assert gain == 1
    assert (signed == MIDDLE).all()


@pytest.mark.parametrize(("size", "factor"), [(28, 9), (32, 8), (128, 2), (129, 1), (224, 1), (256, 1), (600, 1)])
def test_a_small_picture_is_enlarged_by_a_whole_factor_without_a_new_colour(
    size: int, factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(images.st, "image", lambda picture, **options: sent.append((picture, options)))
    picture = np.random.default_rng(0).integers(0, 256, (size, size - 7, 3), dtype=np.uint8)
    show(picture, "a caption")
    ((shown, options),) = sent
    np.testing.assert_array_equal(shown, np.kron(picture, np.ones((factor, factor, 1), dtype=np.uint8)))
    assert shown.dtype == np.uint8
    assert (options["caption"], options["output_format"]) == ("a caption", "PNG")


def test_a_spotlit_picture_is_itself_inside_and_pale_outside() -> None:
    picture = np.arange(4 * 8 * 3, dtype=np.uint8).reshape(4, 8, 3)
    lit = spotlit(picture, (0.25, 0.5, 0.75, 1.0))
    np.testing.assert_array_equal(lit[2:, 2:6], picture[2:, 2:6])
    assert lit[:2].min() >= 160
    assert lit[:, :2].min() >= 160


def test_a_small_square_is_encoded_once_for_each_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[bytes] = []
    cut: list[int] = []

    def preprocessing(side: int, **options: Any) -> Preprocessing:
        cut.append(side)
        return Preprocessing(side, **options)

    monkeypatch.setattr(images.st, "image", lambda data, **_: shown.append(data))
    monkeypatch.setattr(images, "Preprocessing", preprocessing)
    grey = [Image.fromarray(np.full((30, 40, 3), level, np.uint8)) for level in (9, 90)]
    photos = [Photo("grey.png", image, "", f"digest {number}") for number, image in enumerate(grey)]
    for photo in (*photos, *photos):
        images.show_small(photo, 20)
    assert cut == [40, 40]
    for data, level in zip(shown, (9, 90, 9, 90), strict=True):
        picture = Image.open(io.BytesIO(data))
        assert (picture.format, picture.size) == ("PNG", (40, 40))
        assert (np.asarray(picture) == level).all()
