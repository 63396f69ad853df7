"""From a photo to what a network sees. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True)
class Preprocessing:
    """How a network wants its photos: a square picture, cut from the centre or squeezed from the whole.

    Pixel for pixel what torchvision's Resize and CenterCrop (or Resize alone, for ``squash``) give.
    """

    size: int = 224
    """Side of the picture in pixels."""
    crop: float = 0.875
    """Side of the centre crop over the shorter side of the resized photo, 0.1 to 1."""
    interpolation: str = "bicubic"
    """One of Pillow's: nearest, box, bilinear, hamming, bicubic, lanczos."""
    squash: bool = False
    """Whether the whole photo is squeezed into the square, whatever its shape; nothing is cropped then."""

    def __post_init__(self) -> None:
        if not (isinstance(self.size, int) and 8 <= self.size <= 2048):
            raise ValueError(f"expected a size of 8 to 2048 pixels, got {self.size!r}")
        if not (isinstance(self.crop, int | float) and 0.1 <= self.crop <= 1):
            raise ValueError(f"expected a crop of 0.1 to 1, got {self.crop!r}")
        if not isinstance(self.squash, bool):
            raise TypeError(f"expected squash to be true or false, got {self.squash!r}")
        if str(self.interpolation).upper() not in Image.Resampling.__members__:
            known = ", ".join(name.lower() for name in Image.Resampling.__members__)
            raise ValueError(f"expected an interpolation of {known}, got {self.interpolation!r}")

    def __call__(self, photo: Image.Image) -> NDArray[np.uint8]:
        """The (size, size, 3) picture of a photo of any mode and size."""
        photo, method = photo.convert("RGB"), Image.Resampling[self.interpolation.upper()]
        if self.squash:
            return np.asarray(photo.resize((self.size, self.size), method))
        # The scale is exact, so that the sides round as torchvision's do.
        scale = Fraction(round(self.size / self.crop), min(photo.size))
        width, height = (int(side * scale) for side in photo.size)
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        resized = photo.resize((width, height), method)
        return np.asarray(resized.crop((left, top, left + self.size, top + self.size)))
