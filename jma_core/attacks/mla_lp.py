"""MLA-LP (Zhou et al. 2020): linear programs on the labels' losses, for the L-infinity norm."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch

from jma_core.attacks.registry import Group, Norm, Setting, attack
from jma_core.attacks.spaces import Sides
from jma_core.attacks.trail import SUCCESS, Trail, Walk
from jma_core.chebyshev import solve_linf
from jma_core.linearise import check_gradient, solving
from jma_core.records import Halt, Phase, StopReason

EASED, MOST, CLOSE = 0.1, 0.8, 0.8
"""A threshold moves on by this part of what is beyond it, up to this part, once a score has come so close to it."""


@attack(
    "MLA-LP",
    group=Group.LABELS,
    source="Zhou et al. 2020",
    norm=Norm.LINF,
    encodings=("ECOC", "multi-label"),
    exhaustive=False,
)
def mla_lp(
    trail: Trail,
    *,
    max_iter: Annotated[
        int,
        Setting(
            "Most iterations", "Each takes the gradients of all labels.", at_least=1, budget=True, paper="10 to 3000"
        ),
    ] = 100,
) -> Walk:
    """Steps of least largest change after which, to first order, each label's loss is as low as at its threshold.

    Losses are binary cross-entropies, which are convex, so that steps towards a threshold fall short of it. Therefore
    it is moved on, as published for the one label that is to vanish, and here for each one that is wrong. The original
    publication's return to the original after an iteration that is worse than the best has been left out.
    """
    network, x, sides = trail.network, trail.x0, Sides.of(trail)
    local = trail.linearise(x, sides.goal)
    trail.start(local.z)
    eased = torch.zeros(len(sides.goal.labels), dtype=torch.float64, device="cpu")
    right = sides.right(local.z.cpu().double())
    for iteration in range(1, max_iter + 1):
        network.check_stop()
        slope = sides.gain * sides.sign * (1 - right)  # of -loss by the logit
        rows = slope.double().numpy()[:, None] * local.jacobian(sides.goal.labels.numpy()).double().numpy()
        enough = sides.enough() + eased * (1 - sides.enough())
        missing = (enough.log() - right.log()).numpy()
        check_gradient(rows, missing)
        with solving():
            _, delta = solve_linf(rows, missing, -np.ones(x.numel()), np.ones(x.numel()))
        before, x = x, trail.clamp(x + torch.from_numpy(delta).to(x).reshape(x.shape))
        if torch.equal(x, before):
            raise Halt(StopReason.STALLED, "The image cannot move on: the pixels that matter are at their limits.")
        local = trail.linearise(x, sides.goal)
        yield from trail.emit(iteration, Phase.WALK, x, local.z)
        if trail.hit(local.z):
            return SUCCESS
        earlier, right = right, sides.right(local.z.cpu().double())
        stuck = (right <= sides.enough()) & ((right <= earlier) | (right > CLOSE * sides.enough()))
        eased = torch.where(stuck, eased + EASED, eased).clamp(max=MOST)
    return trail.ending(max_iter)
