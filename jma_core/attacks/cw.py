"""The L2 attack of Carlini and Wagner (2017), and ML-C&W, its form for several labels (Song et al. 2018)."""

from __future__ import annotations

import math
from collections.abc import Generator
from enum import StrEnum
from typing import Unpack

import torch
from torch import Tensor

from jma_core.attacks.trail import Attack, Common, Ending, Trail, begin
from jma_core.encodings import Encoding, Target
from jma_core.network import Classifier
from jma_core.records import Phase, Step


class Hinge(StrEnum):
    """What is added to the squared norm."""

    WORST = "worst"
    """The worst constraint's violation: Carlini and Wagner."""
    SUM = "sum"
    """The sum of all violations: ML-C&W."""


def cw(
    f: Classifier,
    x: Tensor,
    encoding: Encoding,
    target: Target,
    *,
    hinge: Hinge | str = Hinge.WORST,
    searches: int = 9,
    steps: int = 1000,
    rate: float = 0.01,
    c: float = 0.001,
    **common: Unpack[Common],
) -> Attack:
    """Attack one image: yields a Step for every gradient and returns an AttackResult.

    Minimises ||delta||^2 + c hinge by Adam, with x + delta = (tanh w + 1) / 2, for several c: halfway between the
    smallest that succeeded and the largest that failed, or ten times as large while none succeeds.

    searches  values of c that are tried
    steps     gradients for each of them
    rate      Adam's learning rate
    c         the first value

    f, x, target and common as in ``jma``. Raises ValueError for what is out of range. Departs from the publication in
    that a search which makes no progress is not cut short.
    """
    if not (searches >= 1 and steps >= 1 and 0 < rate < math.inf and 0 < c < math.inf):
        expected = "searches >= 1, steps >= 1, a finite rate > 0 and a finite c > 0"
        raise ValueError(f"expected {expected}, got {searches}, {steps}, {rate:g} and {c:g}")
    trail = begin(f, x, encoding, target, **common)
    return trail.follow(_cw(trail, Hinge(hinge), searches, steps, rate, c))


def _cw(trail: Trail, hinge: Hinge, searches: int, steps: int, rate: float, c: float) -> Generator[Step, None, Ending]:
    x0, low, high = trail.x0, 0.0, math.inf

    def violation(values: Tensor) -> Tensor:
        missing = (-values).relu()
        return missing.max() if hinge == Hinge.WORST else missing.sum()

    for search in range(searches):
        w = torch.atanh((2 * x0 - 1) * (1 - 1e-6))
        adam = _Adam(w)
        reached = False
        for k in range(steps):
            x = trail.clamp((torch.tanh(w) + 1) / 2) if k else x0
            z, gradient = trail.descend(x, violation)
            yield from trail.emit(search * steps + k + 1, Phase.WALK, x, z)
            reached = reached or trail.hit(z)
            slope = (2 * (x - x0) + c * gradient) * 2 * x * (1 - x)  # dx/dw = 2 x (1 - x)
            w = w - rate * adam.direction(slope)
        if reached:
            high = min(high, c)
        else:
            low = max(low, c)
        c = (low + high) / 2 if high < math.inf else 10 * c
    return trail.ending(searches * steps)


class _Adam:
    """Adam's two moments (Kingma and Ba 2015)."""

    def __init__(self, like: Tensor) -> None:
        self._first, self._second, self._count = torch.zeros_like(like), torch.zeros_like(like), 0

    def direction(self, gradient: Tensor) -> Tensor:
        self._count += 1
        self._first = 0.9 * self._first + 0.1 * gradient
        self._second = 0.999 * self._second + 0.001 * gradient**2
        spread = (self._second / (1 - 0.999**self._count)).sqrt() + 1e-8
        return self._first / (1 - 0.9**self._count) / spread
