"""SuperDeepFool (Abdollahpoor et al. 2024), for several boundaries at once, so with a target of any encoding.

DeepFool goes to the boundary by full steps of the linearised problem; where it gets there, at x, the way x - x0 is
projected onto the boundary's normal w, and the walk goes on from x0 + w w'(x - x0), until that image is a hit. At the
nearest point of a boundary the way is the normal itself.

Here a step leads onto all constraints of the target at once, as in JMA, and at the point where several of them meet the
nearest point's way is a sum of their normals with weights that are not negative: x - x0 is projected onto that cone. Of
one constraint this is the publication's step.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jma_core.attacks.jma import Halvings, bisect
from jma_core.attacks.registry import Group, Setting, attack
from jma_core.attacks.trail import Trail, Walk, length
from jma_core.dual import solve_dual
from jma_core.encodings import Constraints
from jma_core.linearise import solving
from jma_core.records import Phase

SHORTER = 0.001
"""By less than this part the way does not get shorter."""


@attack(
    "SuperDeepFool: the way turned to the normals",
    group=Group.MINIMUM_NORM,
    source="Abdollahpoor et al. 2024",
    exhaustive=False,
)
def super_deepfool(
    trail: Trail,
    *,
    steps: Annotated[int, Setting("Most linearisations", "DeepFool's steps in all.", at_least=1, budget=True)] = 100,
    overshoot: Annotated[float, Setting("Overshoot", "Beyond each step, as a part of it.", at_least=0)] = 0.02,
    halvings: Halvings = 10,
) -> Walk:
    """DeepFool to the boundary, then the way there projected onto the boundary's normals, again and again.

    It ends when the projected image is a hit, and, which departs from the publication, when ways to the boundary no
    longer get shorter, as with several boundaries they may; the last hit is then drawn to the original by halvings.
    """
    network, x0, goal, margin = trail.network, trail.x0, trail.goal, trail.kappa
    x, hit, crossed = x0, None, np.empty(0, dtype=np.int64)
    for k in range(1, steps + 1):
        network.check_stop()
        local = trail.linearise(x, goal)
        trail.start(local.z)
        solution = local.solve_lazy(crossed)
        if float(local.required.max()) <= local.noise:  # crossed ones are solved even so, by steps that move nothing
            margin, goal = trail.demand_more(margin, local.z)
            continue
        crossed = np.union1d(crossed, solution.index)
        x = trail.clamp(x + (1 + overshoot) * solution.delta)
        z = network.logits(x)
        yield from trail.emit(k, Phase.WALK, x, z, solution)
        if not trail.hit(z):
            continue
        if hit is not None and length(x - x0) > (1 - SHORTER) * length(hit - x0):
            break
        hit, x = x, trail.clamp(x0 + _onto_cone(trail, goal, x, crossed))
        crossed = crossed[:0]
        z = network.logits(x)
        yield from trail.emit(k, Phase.WALK, x, z)
        if trail.hit(z):
            hit = x
            break
    if hit is None:
        return trail.ending(steps)
    return (yield from bisect(trail, partial(trail.emit, k), hit, x0, halvings))


def _onto_cone(trail: Trail, goal: Constraints, x: Tensor, index: NDArray[np.int64]) -> Tensor:
    """The point nearest to x - x0 of the cone of the gradients, at x, of these constraints."""
    _, rows_of = trail.network.differentiate(x)
    gradients = rows_of(goal.rows(torch.from_numpy(index))).reshape(-1, *x.shape)
    rows = trail.space.project(gradients).flatten(1).double().numpy()
    way = (x - trail.x0).flatten().cpu().double().numpy()
    with solving():
        multipliers = solve_dual(rows @ rows.T, rows @ way)
    return torch.from_numpy(rows.T @ multipliers).to(x).reshape(x.shape)
