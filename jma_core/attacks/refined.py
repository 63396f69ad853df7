"""The refined level: the smallest distortion that a given number of gradients buys, on any encoding of labels.

JMA's linear model is honest over a tiny radius only, so that a path which follows it greedily overshoots. This attack
spends one gradient a step instead, in two phases:

* ``reach``: normalised gradients with momentum (Dong et al. 2018), nowhere held back, until the decoder reads the
  target. They are those of a sharp sum over the constraints: satisfied ones soon count for nothing, so that they do
  not hold back the others, on which summed logistic losses get stuck when several labels are flipped. A constraint
  that stays violated gains weight, as in the method of multiplicative weights (Arora, Hazan and Kale 2012).
* ``shrink``: of the ways back from a hit there are two. How many constraints bind is told by the effective number (Kish
  1965) of those that share the gradient, a mean over some five steps, and decides between them step by step.

  Where it is one, or little more, a walk on spheres around the original. The radius shrinks by a fraction c after a hit
  and grows by 0.6 c after a miss, as in DDN (Rony et al. 2019). The direction turns by an angle of tangent a towards
  the part of the gradient that is tangent to the sphere; the rest of it would only change the norm, which is the
  radius's business.

  Where there are several, a turn for one breaks another. Then the gradient is that of the worst constraint alone, and
  those of the others are remembered from where each was the worst: planes, as in bundle methods (Lemarechal 1975).
  After a hit the perturbation is drawn in by a fraction, and projected onto all planes at once, within the pixels'
  range; after a miss it is only projected. It aims beyond the planes by a margin, which falls as the others do.

  Gradients are of what a hit is judged by: of codewords the decoder's own margins, tanh and all. All fractions fall by
  a cosine over the gradients that are left, times a boldness in (0, 1] that hits raise and misses lower, as evolution
  strategies adapt their steps (Rechenberg 1973). After six misses in a row the walk goes back to the nearest hit.

From 600 gradients on, half of them go to a second walk from the original, in longer steps at first: by then the first
one has settled, and what is left to gain are other basins; or it has not reached the target at all. Only a target that
was reached, but late, gets all of them in one walk: it needs the rest for the way back.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from functools import partial
from typing import Annotated

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from jma_core.attacks.registry import Group, Setting, attack
from jma_core.attacks.trail import Trail, Walk, annealed, length, unit
from jma_core.box import solve_boxed
from jma_core.dual import Array, InfeasibleError
from jma_core.records import Phase, Step

RATE = 0.05
"""L2 length of the first step, in pixel units of the picture that the network sees."""
MOMENTUM = 0.9
PATIENCE = 20
"""Steps after which the rate of the first phase has fallen by the square root of two."""
TURN = 0.7, 0.01
SHRINK = 0.3, 0.001
"""a and c at full boldness, for the first step of the second phase and after the last."""
GROWTH = 0.6
"""How much the radius grows after a miss, over how much it shrinks after a hit."""
INWARDS = 0.2, 0.02
"""Likewise, by which part of its length the perturbation is drawn in after a hit, before it is projected."""
MARGIN = 0.3, 0.002
"""Logit units, or of a codeword's margins units of its scores, by which projections aim beyond the constraints."""
BOLDER, TIMID, TIMIDER = 2.0, 0.85, 0.7
"""Factors of the boldness after a hit, after a miss on a sphere, and after a miss of a projection."""
BINDING, SEVERAL = 2.5, 2.0
"""How many constraints are thought to bind at first, and from where on there are several."""
REMEMBERED = 0.8
"""What a step keeps of the mean of earlier steps' numbers of constraints."""
RECENT = 60
"""Iterations after which a constraint's gradient is forgotten."""
LOST = 6
"""Misses in a row after which the walk goes back to the nearest hit."""
TWO_WALKS = 600
"""From so many gradients on there may be two walks."""
SOON = 1 / 30
"""A first hit is late that took a larger share of them."""
FASTER = 4.0
"""The second walk's rate over the first one's."""
URGENCY, LEAST = 0.1, 0.02
"""The weight of a violated constraint grows by this, in e-foldings a step; none falls below so much of their mean."""
TEMPERATURE = 0.25
"""Logit units, or of a codeword's margins units of its scores, over which the losses are smooth."""


@attack("Refined, ends closest to the original", group=Group.JMA, source="This project")
def refined(
    trail: Trail,
    *,
    steps: Annotated[
        int,
        Setting(
            "Gradients",
            "As many as this, one an iteration. From 600 on it may walk twice, with half of them each.",
            at_least=1,
            budget=True,
        ),
    ] = 300,
    rate: Annotated[
        float,
        Setting(
            "First step", "Its L2 length; with momentum, later ones are up to ten times as long.", above=0, pixels=True
        ),
    ] = RATE,
) -> Walk:
    """One gradient an iteration: first to the target, then ever closer to the original until all are used up."""
    end = steps // 2 if steps >= TWO_WALKS else steps  # of the first walk
    x, gradient, left = yield from _reach(trail, range(1, end + 1), rate)
    if 0 < len(left) < end - SOON * steps:  # late
        end, left = steps, range(left.start, steps + 1)
    yield from _shrink(trail, x, gradient, left)
    if end < steps:
        x, gradient, left = yield from _reach(trail, range(end + 1, steps + 1), FASTER * rate)
        yield from _shrink(trail, x, gradient, left)
    return trail.ending(steps)


def _reach(trail: Trail, numbers: range, rate: float) -> Generator[Step, None, tuple[Tensor, Tensor, range]]:
    """Descend from the original, an iteration for each of these numbers, until there is a hit.

    Returns the last image, the gradient there, and the numbers that are left.
    """
    x, velocity = trail.x0, torch.zeros_like(trail.x0)
    weights = x.new_ones(len(trail.goal.labels))
    for k, number in enumerate(numbers):
        z, gradient = trail.descend(x, partial(_summed, weights=weights))
        yield from trail.emit(number, Phase.WALK, x, z)
        if trail.hit(z):
            return x, gradient, numbers[k + 1 :]
        weights = weights * torch.exp(URGENCY * (trail.goal.values(z) < 0).to(weights))
        weights = (weights / weights.mean()).clamp(min=LEAST)
        velocity = MOMENTUM * velocity - unit(gradient)
        x = trail.clamp(x + rate / math.sqrt(1 + k / PATIENCE) * velocity)
    return x, gradient, range(0)


def _shrink(trail: Trail, x: Tensor, gradient: Tensor, numbers: range) -> Generator[Step]:
    """Draw a hit in with the gradients that are left: by projections where several constraints bind, or on spheres."""
    nearest, radius = (x, gradient), length(x - trail.x0)
    boldness, misses, binding = 1.0, 0, BINDING
    planes = _Planes(trail)
    for k, number in enumerate(numbers):
        now = partial(annealed, k, len(numbers))
        several = binding > SEVERAL
        if several:
            x = planes.projected(x, 0.0 if misses else boldness * now(*INWARDS), now(*MARGIN))
            radius = length(x - trail.x0)
        else:
            c = boldness * now(*SHRINK)
            radius = radius * (1 + GROWTH * c) if misses else length(x - trail.x0) * (1 - c)
            x = turned(trail, x, gradient, boldness * now(*TURN), radius)
        z, gradient = trail.slope(x, lambda z: (_lowest if several else worst)(trail.judged(z)))  # noqa: B023
        yield from trail.emit(number, Phase.PROJECT if several else Phase.SHRINK, x, z)
        values = trail.judged(z)
        binding = REMEMBERED * binding + (1 - REMEMBERED) * sharing(values)
        if several:
            planes.note(number, values, gradient)
        if trail.hit(z):
            boldness, misses = min(1.0, BOLDER * boldness), 0
            nearest = min(nearest, (x, gradient), key=lambda hit: length(hit[0] - trail.x0))
        else:
            boldness, misses = boldness * (TIMIDER if several else TIMID), misses + 1
            if misses == LOST:
                (x, gradient), misses = nearest, 0
                planes.forget()


class _Planes:
    """The constraints as far as they are known: the gradient of each from where it was last the least satisfied."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self._x0 = _flat(trail.x0)
        self._rows: dict[int, tuple[int, Array]] = {}
        self._values: Array

    def forget(self) -> None:
        self._rows.clear()

    def note(self, number: int, values: Tensor, gradient: Tensor) -> None:
        """Of an iteration the constraints' values (p,), and the gradient (C, H, W) of ``_lowest`` there."""
        self._values = _flat(values)
        self._rows[int(values.argmin())] = number, -_flat(gradient)
        self._rows = {i: each for i, each in self._rows.items() if number - each[0] < RECENT}

    def projected(self, x: Tensor, inwards: float, margin: float) -> Tensor:
        """Of the images on which all that is known has this margin the nearest to x, drawn in by so large a part.

        With nothing known it is x. Where there is none, what is known is forgotten, and x is only drawn in.
        """
        if not self._rows:
            return x
        there = _flat(x)
        delta = centre = -inwards * (there - self._x0)
        rows = np.array([row for _, row in self._rows.values()])
        try:
            _, delta = solve_boxed(rows, margin - self._values[[*self._rows]], -there, 1 - there, centre)
        except (InfeasibleError, ArithmeticError):
            self.forget()
        return self._trail.clamp(x + torch.from_numpy(delta).to(x.dtype).to(x.device).reshape(x.shape))


def _flat(tensor: Tensor) -> Array:
    return tensor.cpu().double().numpy().ravel()


def _lowest(values: Tensor) -> Tensor:
    """The worst violation: of the constraint that is the least satisfied."""
    return -values.min()


def turned(trail: Trail, x: Tensor, gradient: Tensor, tangent: float, radius: float) -> Tensor:
    """The perturbation of ``x`` turned downhill by the angle of this tangent, at this radius."""
    u = unit(x - trail.x0)
    downhill = unit((gradient * u).sum() * u - gradient)
    return trail.clamp(trail.x0 + radius * unit(u + tangent * downhill))


def _summed(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of the violations, smoothed: a satisfied constraint hardly counts."""
    return weights.to(values) @ functional.softplus(-values / TEMPERATURE)


def worst(values: Tensor) -> Tensor:
    """The worst violation, smoothed: constraints that are about as bad share its gradient."""
    return torch.logsumexp(-values / TEMPERATURE, 0)


def sharing(values: Tensor) -> float:
    """How many constraints share the gradient of ``worst``: their effective number, 1 of one, m of m that are level."""
    return 1 / float(torch.softmax(-values / TEMPERATURE, 0).square().sum())
