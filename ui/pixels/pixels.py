"""Pictures in the browser that are zoomed, moved and read together, down to single pixels.

The original is sent as a picture, and of an attacked one how it differs, finer than 8 bits. The browser makes of these
what it shows: the attacked picture, its perturbation in any way and at any gain, and the values of a pixel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lab.pictures import BLUE, MIDDLE, ORANGE, data_url, to_picture

Floats = NDArray[np.floating]
PIXELS = 320 * 320
"""Pictures with more are reduced to so many for the browser."""
FAST = 2
"""Compression of PNGs: dozens are made before the first page is shown."""
COLOURS = [colour.tolist() for colour in (BLUE, MIDDLE, ORANGE)]
"""Of darker, none and brighter."""
PICTURES = Path(__file__)
"""Of a component with such pictures; <!-- pixels.html --> stands in its own for gain, way and zoom."""


def reduced(image: Floats) -> Floats:
    """An image (3, H, W) as it is, or of more than PIXELS the means of its parts, about PIXELS of them."""
    height, width = image.shape[1:]
    if height * width <= PIXELS:
        return image
    scale = (PIXELS / (height * width)) ** 0.5
    size = max(1, round(width * scale)), max(1, round(height * scale))
    channels = [Image.fromarray(channel.astype(np.float32)) for channel in image]
    return np.stack([np.asarray(channel.resize(size, Image.Resampling.BOX)) for channel in channels])


def reduction(image: Floats) -> str:
    """What is said of it; nothing of an image that is shown as it is."""
    if reduced(image) is image:
        return ""
    (_, height, width), (_, h, w) = image.shape, reduced(image).shape
    return f"Shown here at {w} × {h} pixels, each the mean of those below it; the attack works on {width} × {height}."


def pictured(original: Floats) -> dict[str, Any]:
    """An original, which is of 8 bits, as a picture: its ``url`` and its ``size``, width and height."""
    picture = to_picture(original)
    return {"url": data_url(Image.fromarray(picture), FAST), "size": picture.shape[1::-1]}


def change(original: Floats, image: Floats, levels: int) -> dict[str, Any]:
    """The change of each value, as a picture in which 128 - levels to 128 + levels stand for -scale to scale."""
    difference = image.astype(np.float64) - original
    scale = float(np.abs(difference).max())
    picture = np.round(difference / (scale or 1.0) * levels).astype(np.int64) + 128
    return {
        "url": data_url(Image.fromarray(np.moveaxis(picture, 0, 2).astype(np.uint8)), FAST),
        "scale": scale,
        "levels": levels,
    }
