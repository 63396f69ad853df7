"""DeepFool (Moosavi-Dezfooli, Fawzi and Frossard 2016), towards a target of any encoding.

The publication leaves a class by the nearest of the linearised boundaries with others. Towards a class there is one
boundary at a time, with the class that wins; towards several labels, that of the worst constraint. On a linear network
this is Kaczmarz's method, which ends in the target, but seldom at its nearest point: JMA, which projects on all
constraints at once, is what becomes of DeepFool with a target.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from jma_core.attacks.registry import Gradients, Group, Setting, attack
from jma_core.attacks.surrogates import Surrogate
from jma_core.attacks.trail import Trail, Walk, length, unit
from jma_core.records import Phase

BEYOND = 1e-4
"""L2 length by which each projection is longer in the authors' code; without it several constraints take for ever."""


@attack("DeepFool, with a target", group=Group.HISTORY, source="Moosavi-Dezfooli et al. 2016", exhaustive=False)
def deepfool(
    trail: Trail,
    *,
    steps: Gradients = 50,
    overshoot: Annotated[float, Setting("Overshoot η", "The perturbation is longer by this part.", at_least=0)] = 0.02,
) -> Walk:
    """Projections onto the linearised boundary of the worst constraint, one after the other, until all hold."""
    x, total, goal, margin = trail.x0, torch.zeros_like(trail.x0), trail.goal, trail.kappa

    def gap(z: Tensor) -> Tensor:
        return Surrogate.WORST(goal.values(z))

    for k in range(steps):
        z, gradient = trail.slope(x, gap)
        yield from trail.emit(k + 1, Phase.WALK, x, z)
        if trail.hit(z):
            break
        missing = float(gap(z))
        if missing <= 0:
            margin, goal = trail.demand_more(margin, z)
            continue
        total = total - (missing / max(length(gradient), 1e-12) + BEYOND) * unit(gradient)
        x = trail.clamp(trail.x0 + (1 + overshoot) * total)
    return trail.ending(steps)
