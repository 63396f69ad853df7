"""ALMA, the augmented Lagrangian attack (Rony et al. 2021), for the L2 norm, on any encoding of labels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import torch
from torch import Tensor

from jma_core.attacks.registry import Gradients, Group, Setting, attack
from jma_core.attacks.surrogates import lead
from jma_core.attacks.trail import Trail, Walk, length, unit
from jma_core.records import Phase

TAU, GROWTH, MOMENTUM, CHECK = 0.95, 1.2, 0.9, 10
"""tau, gamma, alpha and M of the publication."""


class Held(StrEnum):
    """Which constraints have a multiplier."""

    WORST = "worst"
    """Only the worst, as published. For one class."""
    EACH = "each"
    """Every constraint."""


@attack("ALMA: augmented Lagrangian", group=Group.MINIMUM_NORM, source="Rony et al. 2021")
def alma(
    trail: Trail,
    *,
    steps: Gradients = 1000,
    first: Annotated[
        float,
        Setting(
            "First step ε",
            "The learning rate is such that a plain step along the first gradient has this L2 norm.",
            above=0,
            pixels=True,
        ),
    ] = 1.0,
    decay: Annotated[
        float,
        Setting(
            "Decay", "The learning rate falls to this part of its first value after the first hit.", above=0, at_most=1
        ),
    ] = 0.01,
    held: Annotated[Held, Setting("Multipliers", "Which constraints have one. Of several classes, each.")] = Held.WORST,
) -> Walk:
    """The norm and a penalty of the constraints, whose multipliers grow while they are violated, descended together."""
    x0, x = trail.x0, trail.x0
    squares, momentum = torch.ones_like(x), torch.zeros_like(x)
    several = trail.encoding.name == "top-K"  # whose worst constraint may not be about the best logit
    lagrangian, rate, hit_at = _Lagrangian(Held.EACH if several else held), 0.0, steps
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

    The worst constraint is scaled by how far the best logit is above the third and fourth, as published for classes;
    where each has a multiplier, they are scaled by their mean at the original.

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
        known = y.clone().requires_grad_()
        (slope,) = torch.autograd.grad(_penalty(known, rho, self.mu).sum(), known)
        mu = (MOMENTUM * self.mu + (1 - MOMENTUM) * slope).clamp(1e-6, 1e12)
        return _Multipliers(self.count + 1, mu, rho, earlier, self.scale)


def _worst(values: Tensor) -> Tensor:
    """(1,) minus the target's logit over the best other one, over that of the best logit over the third and fourth."""
    return ((1e-4 - values.min()) / lead(values))[None]


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
