"""The refined level: the smallest distortion that a given number of gradients buys, on any encoding of labels.

JMA's linear model is honest over a tiny radius only, so that a path which follows it greedily overshoots. This attack
spends one gradient a step instead, in two phases:

* ``reach``: normalised gradients with momentum (Dong et al. 2018), nowhere held back, until the decoder reads the
  target. They are those of a sharp sum over the constraints: satisfied ones soon count for nothing, so that they do
  not hold back the others, on which summed logistic losses get stuck when several labels are flipped.
* ``shrink``: a walk on spheres around the original. The radius shrinks by a fraction c after a hit and grows by 0.6 c
  after a miss, as in DDN (Rony et al. 2019). The direction turns by an angle of tangent a towards the part of the
  gradient that is tangent to the sphere; the rest of it would only change the norm, which is the radius's business.
  Both a and c fall by a cosine over the gradients that are left.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from functools import partial
from typing import Unpack

import torch
from torch import Tensor
from torch.nn import functional

from jma_core.attacks.trail import Attack, Common, Ending, Trail, begin, cosine, length, unit
from jma_core.encodings import Encoding, Target
from jma_core.network import Classifier
from jma_core.records import Phase, Step

MOMENTUM = 0.9
PATIENCE = 20
"""Steps after which the rate of the first phase has fallen by the square root of two."""
TURN = 0.3, 0.01
SHRINK = 0.15, 0.001
"""a and c, at the first step of the second phase and at the last."""
GROWTH = 0.6
"""How much the radius grows after a miss, over how much it shrinks after a hit."""
URGENCY, LEAST = 0.1, 0.02
"""The weight of a violated constraint grows by this, in e-foldings a step; none falls below so much of their mean."""
TEMPERATURE = 0.25
"""Logit units over which the losses are smooth."""


def refined(
    f: Classifier,
    x: Tensor,
    encoding: Encoding,
    target: Target,
    *,
    steps: int = 300,
    rate: float = 0.2,
    **common: Unpack[Common],
) -> Attack:
    """Attack one image: yields a Step for every gradient and returns an AttackResult.

    steps  gradients in all: one forward and one backward pass each
    rate   L2 length of the first step, in pixel units; with momentum, later ones are up to ten times as long

    f, x, target and common as in ``jma``. Raises ValueError for what is out of range.
    """
    if not (steps >= 1 and 0 < rate < math.inf):
        raise ValueError(f"expected steps >= 1 and a finite rate > 0, got {steps} and {rate:g}")
    trail = begin(f, x, encoding, target, **common)
    return trail.follow(_refined(trail, steps, rate))


def _refined(trail: Trail, steps: int, rate: float) -> Generator[Step, None, Ending]:
    done, x = yield from _reach(trail, steps, rate)
    yield from _shrink(trail, x, done, steps)
    return trail.ending(steps)


def _reach(trail: Trail, steps: int, rate: float) -> Generator[Step, None, tuple[int, Tensor]]:
    """Descend until there is a hit. Returns the number of gradients spent, and the image that they lead to."""
    x, velocity = trail.x0, torch.zeros_like(trail.x0)
    weights = x.new_ones(len(trail.goal.labels))
    for k in range(steps):
        z, gradient = trail.descend(x, partial(_summed, weights=weights))
        weights = weights * torch.exp(URGENCY * (trail.goal.values(z) < 0))
        weights = (weights / weights.mean()).clamp(min=LEAST)
        yield from trail.emit(k + 1, Phase.WALK, x, z)
        if trail.hit(z):
            return k + 1, turned(trail, x, gradient, TURN[0], length(x - trail.x0) * (1 - SHRINK[0]))
        velocity = MOMENTUM * velocity - unit(gradient)
        x = trail.clamp(x + rate / math.sqrt(1 + k / PATIENCE) * velocity)
    return steps, x


def _shrink(trail: Trail, x: Tensor, done: int, steps: int) -> Generator[Step]:
    """Walk on spheres from ``x``, which is just within the nearest hit, with the gradients that are left."""
    radius = length(x - trail.x0)
    for k in range(done, steps):
        z, gradient = trail.descend(x, worst)
        yield from trail.emit(k + 1, Phase.SHRINK, x, z)
        annealed = cosine(k - done, steps - done)
        a, c = (last + (first - last) * annealed for first, last in (TURN, SHRINK))
        radius = length(x - trail.x0) * (1 - c) if trail.hit(z) else radius * (1 + GROWTH * c)
        x = turned(trail, x, gradient, a, radius)


def turned(trail: Trail, x: Tensor, gradient: Tensor, tangent: float, radius: float) -> Tensor:
    """The perturbation of ``x`` turned downhill by the angle of this tangent, at this radius."""
    u = unit(x - trail.x0)
    downhill = unit((gradient * u).sum() * u - gradient)
    return trail.clamp(trail.x0 + radius * unit(u + tangent * downhill))


def _summed(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of the violations, smoothed: a satisfied constraint hardly counts."""
    return weights @ functional.softplus(-values / TEMPERATURE)


def worst(values: Tensor) -> Tensor:
    """The worst violation, smoothed: constraints that are about as bad share its gradient."""
    return torch.logsumexp(-values / TEMPERATURE, 0)
