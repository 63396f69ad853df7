"""FAB, the fast adaptive boundary attack (Croce and Hein 2020), for the L2 norm, with a target of any encoding.

The publication moves to the nearest of the linearised boundaries with other classes, or with one class it is told. A
target of several labels has several boundaries, so that here both projections are onto all constraints at once; an
image within the target is its own projection, and is drawn to the original's.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Unpack

from torch import Tensor

from jma_core.attacks.trail import Attack, Common, Ending, Trail, begin
from jma_core.encodings import Encoding, Target
from jma_core.network import Classifier
from jma_core.records import Phase, Step


def fab(
    f: Classifier,
    x: Tensor,
    encoding: Encoding,
    target: Target,
    *,
    steps: int = 100,
    alpha: float = 0.1,
    beta: float = 0.9,
    eta: float = 1.05,
    **common: Unpack[Common],
) -> Attack:
    """Attack one image: yields a Step for every linearisation and returns an AttackResult.

    steps  linearisations; each costs a backward pass for every constraint that matters
    alpha  largest weight of the original's projection against the current image's
    beta   fraction of the perturbation that is kept after a hit
    eta    overshoot beyond each projection

    f, x, target and common as in ``jma``. Raises ValueError for what is out of range.
    """
    if not (steps >= 1 and 0 <= alpha <= 1 and 0 < beta < 1 and 1 <= eta < math.inf):
        expected = "steps >= 1, alpha in [0, 1], beta in (0, 1) and a finite eta >= 1"
        raise ValueError(f"expected {expected}, got {steps}, {alpha:g}, {beta:g} and {eta:g}")
    trail = begin(f, x, encoding, target, **common)
    return trail.follow(_fab(trail, steps, alpha, beta, eta))


def _fab(trail: Trail, steps: int, alpha: float, beta: float, eta: float) -> Generator[Step, None, Ending]:
    network, x0, x, goal, margin = trail.network, trail.x0, trail.x0, trail.goal, trail.kappa
    for k in range(steps):
        network.check_stop()
        local = trail.linearise(x, goal)
        trail.start(local.z)
        near = local.solve_boxed()
        if near.length == 0 and not trail.hit(local.z):
            margin, goal = trail.demand_more(margin, local.z)
        back = local.solve_boxed(near.index, origin=x0)
        weight = min(alpha, near.length / (near.length + back.length)) if near.length else alpha
        from_x, from_x0 = x + eta * near.delta, x0 + eta * (x + back.delta - x0)
        x = trail.clamp((1 - weight) * from_x + weight * from_x0)
        z = network.logits(x)
        yield from trail.emit(k + 1, Phase.WALK, x, z, near)
        if trail.hit(z):
            x = x0 + beta * (x - x0)
    return trail.ending(steps)
