"""Adam (Kingma and Ba 2015), for the attacks that descend by it."""

from __future__ import annotations

import torch
from torch import Tensor


class Adam:
    """The moments of the gradients (C, H, W) so far, with the usual 0.9 and 0.999."""

    def __init__(self, like: Tensor) -> None:
        self._first, self._second, self._count = torch.zeros_like(like), torch.zeros_like(like), 0

    def direction(self, gradient: Tensor) -> Tensor:
        """Where to go against, after one more gradient: about 1 in every value that keeps its sign."""
        self._count += 1
        self._first = 0.9 * self._first + 0.1 * gradient
        self._second = 0.999 * self._second + 0.001 * gradient**2
        return self._first / (1 - 0.9**self._count) / self.spread

    @property
    def spread(self) -> Tensor:
        """What each value of the mean gradient is divided by."""
        return (self._second / (1 - 0.999**self._count)).sqrt() + 1e-8
