"""ALMA, the augmented Lagrangian attack (Rony et al. 2021), for the L2 norm, on any encoding of labels."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import Unpack

import torch
from torch import Tensor
from torch.nn import functional

from jma_core.attacks.trail import Attack, Common, Ending, Trail, begin, length, unit
from jma_core.encodings import Encoding, Target
from jma_core.network import Classifier
from jma_core.records import Phase, Step

TAU, GROWTH, MOMENTUM, CHECK = 0.95, 1.2, 0.9, 10
"""tau, gamma, alpha and M of the publication."""


class Held(StrEnum):
    """Which constraints have a multiplier."""

    WORST = "worst"
    """Only the worst, as published: scaled by how far the best logit is above the third and fourth. For classes."""
    EACH = "each"
    """Every constraint, scaled by their mean at the original."""


def alma(
    f: Classifier,
    x: Tensor,
    encoding: Encoding,
    target: Target,
    *,
    steps: int = 1000,
    first: float = 1.0,
    decay: float = 0.01,
    held: Held | str = Held.WORST,
    **common: Unpack[Common],
) -> Attack:
    """Attack one image: yields a Step for every gradient and returns an AttackResult.

    steps  gradients in all
    first  epsilon: the learning rate is such that a plain step along the first gradient has this L2 norm
    decay  the learning rate falls to this fraction of its first value after the first hit
    held   which constraints are held by multipliers

    f, x, target and common as in ``jma``. Raises ValueError for what is out of range.
    """
    if not (steps >= 1 and 0 < first < math.inf and 0 < decay <= 1):
        expected = "steps >= 1, a finite first > 0 and decay in (0, 1]"
        raise ValueError(f"expected {expected}, got {steps}, {first:g} and {decay:g}")
    trail = begin(f, x, encoding, target, **common)
    return trail.follow(_alma(trail, steps, first, decay, Held(held)))


def _alma(trail: Trail, steps: int, first: float, decay: float, held: Held) -> Generator[Step, None, Ending]:
    x0, x = trail.x0, trail.x0
    squares, momentum = torch.ones_like(x), torch.zeros_like(x)
    lagrangian, rate, hit_at = _Lagrangian(held), 0.0, steps
    for k in range(steps):
        z, gradient = trail.descend(x, lagrangian)
        yield from trail.emit(k + 1, Phase.WALK, x, z)
        if k == 0:
            rate = _rate(x0, gradient, first)
        else:
            gradient = gradient + unit(x - x0)  # the norm's own
        lagrangian.commit()
        if trail.hit(z):
            hit_at, lagrangian.hit = min(hit_at, k), True
        squares = MOMENTUM * squares + (1 - MOMENTUM) * gradient**2
        momentum = MOMENTUM * momentum + gradient / (squares.sqrt() + 1e-8)
        annealed = decay ** (max(k - hit_at, 0) / max(steps - hit_at, 1))
        x = trail.clamp(x - rate * annealed * momentum)
    return trail.ending(steps)


class _Lagrangian:
    """The penalty-Lagrangian term of the constraints' values, with its multipliers; ``hit`` once there was a hit.

    Calls change nothing until ``commit``, for a pass that runs out of memory is tried again.
    """

    def __init__(self, held: Held) -> None:
        self.hit = False
        self._held = held
        self._state: _Multipliers | None = None

    def __call__(self, values: Tensor) -> Tensor:
        state = self._state
        scale = state.scale if state else values.detach().abs().mean()
        y = _worst(values) if self._held == Held.WORST else 1e-4 - values / scale  # satisfied where y < 0
        known = y.detach()
        one = torch.ones_like(known)
        self._next = state.updated(known, self.hit) if state else _Multipliers(1, one, one, known, scale)
        return _penalty(y, self._next.rho, self._next.mu).sum()

    def commit(self) -> None:
        """Go on with the multipliers of the last call."""
        self._state = self._next


@dataclass(frozen=True)
class _Multipliers:
    """Those after ``count`` steps, with y as it was at the last check."""

    count: int
    mu: Tensor
    rho: Tensor
    earlier: Tensor
    scale: Tensor

    def updated(self, y: Tensor, hit: bool) -> _Multipliers:
        rho, earlier = self.rho, self.earlier
        if (self.count + 1) % CHECK == 0:
            stuck = (y >= TAU * earlier) & (y >= 0) & (not hit)
            rho, earlier = torch.where(stuck, GROWTH * rho, rho), y
        slope = torch.func.grad(lambda y: _penalty(y, rho, self.mu).sum())(y)
        mu = (MOMENTUM * self.mu + (1 - MOMENTUM) * slope).clamp(1e-6, 1e12)
        return _Multipliers(self.count + 1, mu, rho, earlier, self.scale)


def _worst(values: Tensor) -> Tensor:
    """(1,) minus the target's logit over the best other one, over that of the best logit over the third and fourth."""
    ranked = -functional.pad(values, (1, 0)).sort().values  # logits less the target's: zero is its own
    third = ranked[2:4].mean() if len(ranked) > 3 else ranked[-1]
    return ((1e-4 - values.min()) / (ranked[0] - third + 1e-8))[None]


def _penalty(y: Tensor, rho: Tensor, mu: Tensor) -> Tensor:
    """P2 of Birgin et al. 2005: convex, with slope mu at y = 0."""
    outside = mu * y + mu * rho * y**2 + rho**2 * y**3 / 6
    return torch.where(y >= 0, outside, mu * y / (1 - rho * y.clamp(max=0)))


def _rate(x0: Tensor, gradient: Tensor, first: float) -> float:
    """The learning rate with which the first step has L2 norm ``first``, by bisection, since the box shortens it."""
    low, high = 0.0, 1.0
    while length((x0 - high * gradient).clamp(0, 1) - x0) < first and high < 1e12:
        high *= 2
    for _ in range(30):
        middle = (low + high) / 2
        short = length((x0 - middle * gradient).clamp(0, 1) - x0) < first
        low, high = (middle, high) if short else (low, middle)
    return high
