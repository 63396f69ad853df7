"""From a photo to what a network sees. Needs no torch."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CROP = 0.875
"""Side of the centre crop over the shorter side of the resized photo, as the ImageNet networks were trained."""


def centre_crop(photo: Image.Image, size: int) -> NDArray[np.uint8]:
    """The (size, size, 3) centre of an RGB photo whose shorter side is scaled, bicubic, to size / 0.875 pixels.

    Pixel for pixel what torchvision's Resize and CenterCrop give.
    """
    scale = Fraction(round(size / CROP), min(photo.size))  # exact, so that the sides round as torchvision's do
    width, height = (int(side * scale) for side in photo.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = photo.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized.crop((left, top, left + size, top + size)))
