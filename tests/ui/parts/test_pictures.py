"""What is shown on a page keeps its pixels."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lab.photos.uploads import Photo
from models.photos import Preprocessing
from ui.parts import pictures


@pytest.mark.parametrize(("size", "factor"), [(28, 9), (32, 8), (128, 2), (129, 1), (224, 1), (256, 1), (600, 1)])
def test_a_small_picture_is_enlarged_by_a_whole_factor_without_a_new_colour(
    size: int, factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(pictures.st, "image", lambda picture, **options: sent.append((picture, options)))
    picture = np.random.default_rng(0).integers(0, 256, (size, size - 7, 3), dtype=np.uint8)
    pictures.show(picture, "a caption")
    ((shown, options),) = sent
    np.testing.assert_array_equal(shown, np.kron(picture, np.ones((factor, factor, 1), dtype=np.uint8)))
    assert shown.dtype == np.uint8
    assert (options["caption"], options["output_format"]) == ("a caption", "PNG")


def test_a_small_square_is_encoded_once_for_each_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[bytes] = []
    cut: list[int] = []

    def preprocessing(side: int, **options: Any) -> Preprocessing:
        cut.append(side)
        return Preprocessing(side, **options)

    monkeypatch.setattr(pictures.st, "image", lambda data, **_: shown.append(data))
    monkeypatch.setattr(pictures, "Preprocessing", preprocessing)
    grey = [Image.fromarray(np.full((30, 40, 3), level, np.uint8)) for level in (9, 90)]
    photos = [Photo("grey.png", image, "", f"digest {number}") for number, image in enumerate(grey)]
    for photo in (*photos, *photos):
        pictures.show_small(photo, 20)
    assert cut == [40, 40]
    for data, level in zip(shown, (9, 90, 9, 90), strict=True):
        picture = Image.open(io.BytesIO(data))
        assert (picture.format, picture.size) == ("PNG", (40, 40))
        assert (np.asarray(picture) == level).all()
