"""What may happen to a picture on its way from one program to another: a picture of 8 bits goes in, one comes out."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image, ImageFilter

Transformation = Callable[[Image.Image], Image.Image]
"""Of an RGB picture of any size."""


def unchanged(picture: Image.Image) -> Image.Image:
    """Itself."""
    return picture


def encoded(picture: Image.Image, kind: str, quality: int) -> bytes:
    """A "JPEG" or "WEBP" file, as Pillow writes it: colours at half the resolution, below quality 100 lossy."""
    file = io.BytesIO()
    picture.save(file, kind, quality=quality)
    return file.getvalue()


def compressed(picture: Image.Image, *, kind: str, quality: int) -> Image.Image:
    """What is read from that file."""
    return Image.open(io.BytesIO(encoded(picture, kind, quality))).convert("RGB")


def resized(picture: Image.Image, *, factor: float) -> Image.Image:
    """To so many times its sides, and back to its own size: bicubic, both ways."""
    width, height = (max(1, round(side * factor)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC).resize(picture.size, Image.Resampling.BICUBIC)


def blurred(picture: Image.Image, *, sigma: float) -> Image.Image:
    """By a Gaussian of this standard deviation in pixels, which Pillow approximates by boxes."""
    return picture.filter(ImageFilter.GaussianBlur(sigma))


def noisy(picture: Image.Image, *, sigma: float) -> Image.Image:
    """With Gaussian noise of this standard deviation in levels of 255, the same one each time."""
    pixels = np.asarray(picture, dtype=np.float64)
    noise = np.random.default_rng(0).normal(0, sigma, pixels.shape)
    return Image.fromarray(np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8))


def cropped(picture: Image.Image, *, share: float) -> Image.Image:
    """Without this share of its length at each of the four sides."""
    across, down = (round(side * share) for side in picture.size)
    return picture.crop((across, down, picture.width - across, picture.height - down))


TRANSFORMATIONS: dict[str, Transformation] = {
    "As saved": unchanged,
    **{f"JPEG, quality {q}": partial(compressed, kind="JPEG", quality=q) for q in (95, 90, 80, 70, 60, 50)},
    **{f"WebP, quality {q}": partial(compressed, kind="WEBP", quality=q) for q in (90, 70)},
    "To twice the size and back": partial(resized, factor=2),
    "To half the size and back": partial(resized, factor=0.5),
    **{f"Blur, σ {sigma:g} pixels": partial(blurred, sigma=sigma) for sigma in (0.5, 1)},
    **{f"Noise, σ {sigma} levels": partial(noisy, sigma=sigma) for sigma in (2, 4, 8)},
    **{f"Crop, {100 * share:g} % of each side": partial(cropped, share=share) for share in (0.02, 0.1)},
}
"""By what they are called, each with its parameter."""
