"""PDGD and PDPGD, the primal-dual attacks of Matyasko and Chau (2021), on any encoding of labels.

A game of two players: one descends the norm and the constraints' violations, each times its multiplier; the other
raises the multiplier of a constraint while it is violated, and lowers it while it holds. The multipliers are positive
and add up to one. PDPGD leaves the norm out of the gradient and takes its proximal operator after each step, in the
metric of Adam (Melchior, Joseph and Moolekamp 2019), which the norm's kinks do not disturb.

The publication has one constraint, the worst. Here each may have a multiplier, that follows its own sign.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from jma_core.attacks.adam import Adam
from jma_core.attacks.alma import Held
from jma_core.attacks.registry import Gradients, Group, Norm, Setting, attack
from jma_core.attacks.trail import Trail, Walk, length, unit
from jma_core.records import Phase

SOURCE = "Matyasko and Chau 2021"
MOST = math.log(1e6)
"""Of the logarithm of a constraint's multiplier over the norm's, and of its opposite."""
SLOW = 0.9
"""What is left of the multipliers that count after each step."""
PRIMAL, DUAL = 0.01, 0.1
"""To which part the learning rates fall."""
INNER, SETTLED = 5, 0.01
"""Most steps of a proximal operator, and the relative change that ends them."""

Primal = Annotated[float, Setting("Learning rate", "Adam's; it falls to a hundredth.", above=0)]
Dual = Annotated[float, Setting("Rate of the multipliers", "In e-foldings a step; it falls to a tenth.", above=0)]
Ratio = Annotated[
    float,
    Setting("First ratio", "The norm's multiplier over that of a constraint.", at_least=1e-6, at_most=1e6),
]
Multipliers = Annotated[Held, Setting("Multipliers", "Which constraints have one.")]


@attack("PDGD: primal and dual gradients", group=Group.MINIMUM_NORM, source=SOURCE)
def pdgd(
    trail: Trail,
    *,
    steps: Gradients = 500,
    rate: Primal = 0.1,
    dual_rate: Dual = 0.1,
    ratio: Ratio = 0.01,
    held: Multipliers = Held.WORST,
) -> Walk:
    """Adam on the norm and the violations, against multipliers that grow where a constraint is violated."""
    x0, x, adam, duals = trail.x0, trail.x0, Adam(trail.x0), _Duals(trail, held, ratio, dual_rate)
    for k in range(steps):
        z, gradient = trail.descend(x, duals.penalty)
        yield from trail.emit(k + 1, Phase.WALK, x, z)
        slope = duals.of_norm * unit(x - x0) + (1 - duals.of_norm) * gradient
        x = trail.clamp(x - rate * PRIMAL ** (k / steps) * adam.direction(slope))
        duals.update(z, k / max(steps - 1, 1))
    return trail.ending(steps)


@attack("PDPGD: primal and dual proximal gradients", group=Group.MINIMUM_NORM, source=SOURCE)
def pdpgd(
    trail: Trail,
    *,
    steps: Gradients = 500,
    rate: Primal = 0.1,
    dual_rate: Dual = 0.1,
    ratio: Ratio = 0.01,
    held: Multipliers = Held.WORST,
) -> Walk:
    """The same, but Adam descends the violations alone; after each of its steps the perturbation is shortened."""
    return _proximal(trail, steps, rate, dual_rate, ratio, held)


@attack("PDPGD: primal and dual proximal gradients, Linf", group=Group.MINIMUM_NORM, source=SOURCE, norm=Norm.LINF)
def pdpgd_linf(
    trail: Trail,
    *,
    steps: Gradients = 500,
    rate: Primal = 0.1,
    dual_rate: Dual = 0.1,
    ratio: Ratio = 0.01,
    held: Multipliers = Held.WORST,
) -> Walk:
    """The same for the largest change of any value: after each step the largest changes are cut."""
    return _proximal(trail, steps, rate, dual_rate, ratio, held)


def _proximal(trail: Trail, steps: int, rate: float, dual_rate: float, ratio: float, held: Held) -> Walk:
    x0, x, adam, duals = trail.x0, trail.x0, Adam(trail.x0), _Duals(trail, held, ratio, dual_rate)
    shortened = _shorter_in_largest if trail.norm == Norm.LINF else _shorter
    for k in range(steps):
        z, gradient = trail.descend(x, duals.penalty)
        yield from trail.emit(k + 1, Phase.WALK, x, z)
        now = rate * PRIMAL ** (k / steps)
        there = x = trail.clamp(x - now * adam.direction(gradient))
        metric, stiffest = adam.spread / adam.spread.max(), float(adam.spread.max())
        by = duals.of_norm / (1 - duals.of_norm) * now / stiffest
        for _ in range(INNER):
            before, x = x, trail.clamp(x0 + shortened(x - metric * (x - there) - x0, by))
            if length(x - before) < SETTLED * length(x - x0):
                break
        duals.update(z, k / max(steps - 1, 1))
    return trail.ending(steps)


class _Duals:
    """The multipliers of the norm and of the constraints that have one: positive, and one in all."""

    def __init__(self, trail: Trail, held: Held, ratio: float, rate: float) -> None:
        count = 1 if held == Held.WORST else len(trail.goal.labels)
        self._trail, self._held, self._rate = trail, held, rate
        self._logs = functional.pad(trail.x0.new_full((count,), -math.log(ratio)), (1, 0))
        self._weights = self._logs.softmax(0)

    @property
    def of_norm(self) -> float:
        return float(self._weights[0])

    def penalty(self, values: Tensor) -> Tensor:
        """The smoothed violations of the constraints' values (p,), in the mean by the multipliers."""
        return self._weights[1:] / self._weights[1:].sum() @ functional.softplus(self._violated(values))

    def update(self, z: Tensor, part: float) -> None:
        """A step up at logits ``z``, when this part of all steps is done."""
        rate = self._rate * (1 - (1 - DUAL) * part)
        signs = self._violated(self._trail.goal.values(z)).sign()
        self._logs = (self._logs + rate * functional.pad(signs, (1, 0))).clamp(-MOST, MOST)
        self._weights = SLOW * self._weights + (1 - SLOW) * self._logs.softmax(0)

    def _violated(self, values: Tensor) -> Tensor:
        return -values if self._held == Held.EACH else -values.min()[None]


def _shorter(delta: Tensor, by: float) -> Tensor:
    """The proximal operator of the L2 norm."""
    return max(0.0, 1 - by / max(length(delta), 1e-12)) * delta


def _shorter_in_largest(delta: Tensor, by: float) -> Tensor:
    """The proximal operator of the Linf norm: the values are cut at the height that takes ``by`` off their sum."""
    ranked = delta.abs().flatten().sort(descending=True).values
    counts = torch.arange(1, len(ranked) + 1, device=delta.device)
    height = float(((ranked.cumsum(0) - by) / counts).max().clamp(min=0))
    return delta.clamp(-height, height)
