"""Preprocessing as a differentiable function, so that a photo can be attacked at its own size."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from models.photos import Preprocessing

HALF = 0.5 / 255
"""Half a level of 8 bits."""


class Resize(nn.Module):
    """Photos (N, C, height, width) in [0, 1] to the pictures (N, C, side, side) that a network sees of them.

    ``nn.Sequential(Resize(preprocessing, photo.size), network).eval()`` is the network as a function of the photo;
    ``size`` is the photo's (width, height). The same as ``preprocessing`` but for Pillow's rounding to 8 bits after
    each of its two passes, which leaves at most 1.5 levels between them. Resampling is linear, so that each pass is a
    product with a matrix, of which only what the crop keeps is held. Raises ValueError for photos of another size.
    """

    columns: Tensor
    rows: Tensor

    def __init__(self, preprocessing: Preprocessing, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        (width, height), (before, above) = preprocessing.frame(size)
        self.white = (before, width - size[0] - before, above, height - size[1] - above)
        resized, (left, top) = preprocessing.layout(size)
        side, method = preprocessing.size, preprocessing.method
        self.height_first = _height_first((width, height), resized, method)
        self.register_buffer("columns", _matrix(width, resized[0], method)[:, left : left + side], persistent=False)
        self.register_buffer("rows", _matrix(height, resized[1], method)[:, top : top + side].T, persistent=False)

    def forward(self, photos: Tensor) -> Tensor:
        if photos.shape[:-3:-1] != self.size:
            came = " x ".join(map(str, photos.shape[:-3:-1]))
            raise ValueError(f"expected photos of {self.size[0]} x {self.size[1]} pixels, got {came}")
        photos = functional.pad(photos, self.white, value=1.0)
        if self.height_first:
            return _clipped(_clipped(self.rows @ photos) @ self.columns)
        return _clipped(self.rows @ _clipped(photos @ self.columns))


def _matrix(before: int, after: int, method: Image.Resampling) -> Tensor:
    """(before, after): what Pillow's resampling of a line makes of each of its pixels, here the rows of an identity."""
    lines = Image.fromarray(np.eye(before, dtype=np.float32))
    return torch.from_numpy(np.array(lines.resize((after, before), method)))


def _height_first(size: tuple[int, int], resized: tuple[int, int], method: Image.Resampling) -> bool:
    """Which of its passes Pillow makes first, as its versions decide in different ways: asked by an example."""
    noise = Image.fromarray(255 * np.random.default_rng(0).integers(0, 2, size[::-1], dtype=np.uint8))
    return noise.resize((size[0], resized[1]), method).resize(resized, method) == noise.resize(resized, method)


def _clipped(values: Tensor) -> Tensor:
    """Overshoot is lost, as Pillow loses it; what rounds to black or white is not, and so keeps its gradient."""
    return values.clamp(-HALF, 1 + HALF)


class Saved(nn.Module):
    """A network as a function of photos (N, 3, height, width) that are saved with 8 bits and prepared by Pillow.

    Its values are those of the files, rounding and all; its gradient is that of ``Resize``, straight through the
    rounding (Bengio, Leonard and Courville 2013).
    """

    def __init__(self, preprocessing: Preprocessing, size: tuple[int, int], network: nn.Module) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.resize = Resize(preprocessing, size)
        self.network = network

    def forward(self, photos: Tensor) -> Tensor:
        smooth = self.resize(photos)
        levels = (photos.detach() * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        seen = np.stack([self.preprocessing(Image.fromarray(photo)) for photo in levels])
        rounded = torch.from_numpy(seen).to(smooth).permute(0, 3, 1, 2) / 255
        logits: Tensor = self.network(smooth + (rounded - smooth).detach())
        return logits
