"""From a photo to what a network sees. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.options import brief, is_number, is_whole

NATIVE_PIXELS = 500_000
"""Pixels of the largest photo that is attacked at its own size."""

LARGEST_RESIZED = 4096
"""Pixels of the shorter side of a photo before it is cropped."""


@dataclass(frozen=True)
class Preprocessing:
    """How a network wants its photos: a square picture, cut from the centre, squeezed from the whole, or with white
    beside it.

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
    pad: bool = False
    """Whether the photo is put in the middle of a white square first, on which all else is done."""

    def __post_init__(self) -> None:
        if not (is_whole(self.size) and 8 <= self.size <= 2048):
            raise ValueError(f"expected a size of 8 to 2048 pixels, got {brief(self.size)}")
        if not (is_number(self.crop) and 0.1 <= self.crop <= 1):
            raise ValueError(f"expected a crop of 0.1 to 1, got {brief(self.crop)}")
        if self.size / self.crop > LARGEST_RESIZED:
            raise ValueError(f"expected size / crop of at most {LARGEST_RESIZED}, got {self.size} / {self.crop}")
        for name, value in (("squash", self.squash), ("pad", self.pad)):
            if not isinstance(value, bool):
                raise TypeError(f"expected {name} to be true or false, got {brief(value)}")
        if str(self.interpolation).upper() not in Image.Resampling.__members__:
            known = ", ".join(name.lower() for name in Image.Resampling.__members__)
            raise ValueError(f"expected an interpolation of {known}, got {brief(self.interpolation)}")

    @property
    def method(self) -> Image.Resampling:
        """Pillow's name of the interpolation."""
        return Image.Resampling[self.interpolation.upper()]

    def frame(self, size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """For a photo of this width and height, (width, height) of what is resized and (left, top) of the photo in it.

        Both are the photo's own unless it is padded.
        """
        if not self.pad:
            return size, (0, 0)
        side = max(size)
        return (side, side), ((side - size[0]) // 2, (side - size[1]) // 2)

    def layout(self, size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """For a photo of this width and height, (width, height) once resized and (left, top) of the crop in that."""
        size, _ = self.frame(size)
        if self.squash:
            return (self.size, self.size), (0, 0)
        # The scale is exact, so that the sides round as torchvision's do.
        scale = Fraction(round(self.size / self.crop), min(size))
        width, height = (int(side * scale) for side in size)
        return (width, height), (round((width - self.size) / 2), round((height - self.size) / 2))

    def zoom(self, size: tuple[int, int]) -> float:
        """Pixels of a photo of this width and height on a side of one pixel of the picture: the mean over both sides.

        A change of L2 norm l in the picture takes one of about zoom l in the photo, zoom^2 pixels of it for each of
        the picture: lengths of an attack's steps are to be multiplied by it.
        """
        (wide, high), (width, height) = self.frame(size)[0], self.layout(size)[0]
        return math.sqrt(wide * high / (width * height))

    def __call__(self, photo: Image.Image) -> NDArray[np.uint8]:
        """The (size, size, 3) picture of a photo of any mode and size."""
        left, top = self.layout(photo.size)[1]
        whole = self._resized(photo)
        return np.asarray(whole.crop((left, top, left + self.size, top + self.size)))

    def around(self, picture: NDArray[np.uint8], photo: Image.Image | None = None) -> Image.Image:
        """A photo whose picture is this one (size, size, 3), bit for bit.

        It is ``photo`` as it is before the crop, with the picture in place of what the crop leaves; without a photo the
        picture's edges go on around it. A photo that was resized is left as it is when it is resized again.
        """
        (width, height), (left, top) = self.layout(photo.size if photo else (1, 1))
        if photo is None:
            beyond = [(top, height - top - self.size), (left, width - left - self.size), (0, 0)]
            return Image.fromarray(np.pad(picture, beyond, mode="edge"))
        whole = self._resized(photo)
        whole.paste(Image.fromarray(picture), (left, top))
        return whole

    def _resized(self, photo: Image.Image) -> Image.Image:
        """What is cropped, in RGB."""
        size, place = self.frame(photo.size)
        whole = photo.convert("RGB")
        if size != photo.size:
            whole = Image.new("RGB", size, "white")
            whole.paste(photo.convert("RGB"), place)
        return whole.resize(self.layout(photo.size)[0], self.method)


def shrunk(photo: Image.Image, pixels: int = NATIVE_PIXELS) -> tuple[Image.Image, str]:
    """An RGB photo with at most so many pixels, in its proportions, and one sentence on it, "" if nothing was done."""
    if photo.width * photo.height <= pixels:
        return photo, ""
    scale = math.sqrt(pixels / (photo.width * photo.height))
    width, height = (int(side * scale) for side in photo.size)
    said = f"Shrunk from {photo.width} x {photo.height} to {width} x {height} pixels, as large as can be attacked."
    return photo.resize((width, height), Image.Resampling.LANCZOS), said
