"""The picture that a network sees is the one its training took: torchvision's resize and centre crop are the oracle."""

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

from models.photos import centre_crop


@pytest.mark.parametrize("size", [(451, 300), (300, 451), (640, 427), (256, 256), (97, 61)])
def test_centre_crop_is_torchvisions(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    photo = Image.fromarray(pixels)
    expected = CenterCrop(224)(Resize(256, InterpolationMode.BICUBIC)(photo))
    np.testing.assert_array_equal(centre_crop(photo, 224), np.asarray(expected))
