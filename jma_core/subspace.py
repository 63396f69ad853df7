"""What of an image may change: a linear subspace of perturbations, and the projection onto it.

Among the perturbations delta in a subspace with the orthogonal projection P, J delta = (J P) delta. So an attack stays
in it, and JMA's steps stay the shortest ones, if each gradient row is projected: nothing else of it changes. Pixels
that may change are such a subspace, and waves that are long enough are one within them.
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor


class Subspace:
    """The perturbations (C, H, W) of pixels where ``mask`` (1, H, W) is true, made of waves of at least a ``period``.

    The waves are the cosines of the DCT-II of the mask's rectangle, whose periods are in pixels and count in the
    direction in which they run; 0 allows all. Source: low frequencies as in Guo, Frank and Weinberger 2019.

    A perturbation is in the subspace before it is clipped: where a pixel would leave [0, 1] and is held at the end of
    the range, what is missing there is no sum of such waves.
    """

    def __init__(self, mask: Tensor, period: float = 0.0) -> None:
        """Raises ValueError for a period below 0, and with a period for a mask that is no rectangle."""
        if not 0 <= period < math.inf:
            raise ValueError(f"expected a period of at least 0 pixels, got {period}")
        self.mask = mask
        self.period = period
        if period and not self._rectangle.all():
            raise ValueError("expected a mask that is a rectangle, for waves of a period; got one of another shape")

    def project(self, rows: Tensor) -> Tensor:
        """The nearest perturbations in the subspace, of any (..., C, H, W). May be ``rows`` itself."""
        if not self.period:
            return rows if self._everything else rows.masked_fill(~self.mask.to(rows.device), 0)
        inside = (..., *self._sides)
        down, across, kept = (each.to(rows.dtype).to(rows.device) for each in self._waves)
        projected = torch.zeros_like(rows)
        projected[inside] = down.T @ ((down @ rows[inside] @ across.T) * kept) @ across
        return projected

    def nearest(self, x: Tensor, x0: Tensor) -> Tensor:
        """The image whose difference from ``x0`` is in the subspace, nearest to ``x``; outside the mask bit for bit."""
        return torch.where(self.mask, x0 + self.project(x - x0) if self.period else x, x0)

    @cached_property
    def _everything(self) -> bool:
        return bool(self.mask.all())

    @cached_property
    def _sides(self) -> tuple[slice, slice]:
        """Of the smallest rectangle around the mask."""
        rows, columns = (self.mask[0].any(side).nonzero() for side in (1, 0))
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

    @property
    def _rectangle(self) -> Tensor:
        return self.mask[0][self._sides]

    @cached_property
    def _waves(self) -> tuple[Tensor, Tensor, Tensor]:
        """The cosines down (h, H) and across (w, W) that are long enough, and whether their products (h, w) are."""
        (down, high), (across, wide) = (_cosines(side, self.period) for side in self._rectangle.shape)
        return down, across, (torch.hypot(high[:, None], wide) * self.period <= 1).double()


def _cosines(side: int, period: float) -> tuple[Tensor, Tensor]:
    """Rows (k, side) of the orthonormal DCT-II whose periods are long enough, and their frequencies (k,) a pixel."""
    number = torch.arange(side, dtype=torch.float64, device="cpu")
    frequency = number / (2 * side)
    frequency = frequency[frequency * period <= 1]
    waves = torch.cos(2 * math.pi * frequency[:, None] * (number + 0.5)) * math.sqrt(2 / side)
    waves[0] /= math.sqrt(2)
    return waves, frequency
