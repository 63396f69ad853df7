"""JSMA, the attack by saliency maps (Papernot et al. 2016): two values at a time, on any encoding of labels.

The publication adds theta to the pair of values that raises the target's output most, where both together raise it and
lower the sum of the others: of all pairs with alpha > 0 > beta the one with the largest alpha |beta|, alpha and beta
being the derivatives of these two. Here outputs are logits, values move up or down, each only one way, and there are
two readings of what is to be raised and lowered: see ``Aim``. Where no pair does both, the one with the largest alpha
is taken.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import torch
from torch import Tensor

from jma_core.attacks.registry import Group, Norm, Setting, attack
from jma_core.attacks.trail import Trail, Walk
from jma_core.encodings import Constraints
from jma_core.records import ZERO_GRADIENT, Halt, Phase, StopReason

CANDIDATES = 500
"""Of more moves the pairs of those are looked through that alone do most for alpha - beta."""


class Aim(StrEnum):
    """Of what alpha and beta are derivatives."""

    CONSTRAINTS = "constraints"
    """The sum of those constraints that are violated, and minus the sum of the others."""
    LOGITS = "logits"
    """The logits that the target wants high, and those that it wants low: as published, for classes."""


@attack(
    "JSMA: two values at a time",
    group=Group.SPARSE,
    source="Papernot et al. 2016",
    norm=Norm.L0,
    encodings=("one-hot", "ECOC", "multi-label"),  # it did not reach near orders of three of six classes
    exhaustive=False,
)
def jsma(
    trail: Trail,
    *,
    steps: Annotated[
        int,
        Setting(
            "Most pairs",
            "Each takes two gradients.",
            at_least=1,
            budget=True,
            paper="as many as 14.5 % of the values make",
        ),
    ] = 500,
    theta: Annotated[float, Setting("Change θ", "Of both values of a pair, each time.", above=0, at_most=1)] = 1.0,
    aim: Annotated[Aim, Setting("Aim", "Violated constraints, or logits.", paper="logits")] = Aim.CONSTRAINTS,
) -> Walk:
    """Moves the two values that together do most for the target and least harm to the rest, pair after pair."""
    x, goal, margin = trail.x0, trail.goal, trail.kappa
    moved = torch.zeros_like(x)  # 1 up, -1 down
    for k in range(steps):
        trail.network.check_stop()
        z, rows = trail.network.differentiate(x)
        trail.start(z)
        if trail.hit(z):
            yield from trail.emit(k + 1, Phase.WALK, x, z)
            break
        while bool((goal.values(z) >= 0).all()):
            margin, goal = trail.demand_more(margin, z)
        slopes = trail.space.project(rows(_aims(goal, z, aim)).to(x).reshape(-1, *x.shape)).flatten(1)
        if not slopes.any():
            raise Halt(StopReason.ZERO_GRADIENT, ZERO_GRADIENT)
        yield from trail.emit(k + 1, Phase.WALK, x, z)
        up, down = (x < 1) & (moved >= 0) & trail.mask, (x > 0) & (moved <= 0) & trail.mask
        step = _pair(slopes, torch.cat([up.flatten(), down.flatten()])).reshape(x.shape)
        x, moved = trail.clamp(x + theta * step), moved + step
    return trail.ending(steps)


def _aims(goal: Constraints, z: Tensor, aim: Aim) -> Tensor:
    """(2, n): what of the logits is to be raised, and what is to be lowered."""
    values = goal.values(z)
    a = goal.rows(torch.arange(len(values), device="cpu")).to(z)
    if aim == Aim.LOGITS:
        wanted = a.sum(0)
        return torch.stack([wanted.relu(), (-wanted).relu()])
    violated = (values < 0).to(z)
    return torch.stack([violated @ a, (violated - 1) @ a])


def _pair(slopes: Tensor, allowed: Tensor) -> Tensor:
    """(m,) 1 or -1 where the best pair moves, from alpha and beta (2, m) and which values may go up, then down (2 m,).

    Raises Halt when no pair helps.
    """
    count = slopes.shape[1]
    alpha, beta = torch.cat([slopes, -slopes], 1)
    alone = torch.where(allowed, alpha - beta, -torch.inf)
    best = alone.topk(min(CANDIDATES, int(allowed.sum()))).indices
    alpha, beta, places = alpha[best], beta[best], best % count
    raised, lowered, apart = alpha[:, None] + alpha, beta[:, None] + beta, places[:, None] != places
    gain = torch.where(apart & (raised > 0) & (lowered < 0), -raised * lowered, 0)
    if not gain.any():
        gain = torch.where(apart, raised.relu(), 0)
    if not gain.any():
        raise Halt(StopReason.STALLED, "No pair of values that may still change brings the target nearer.")
    pair = best[torch.tensor(divmod(int(gain.argmax()), len(best)), device=best.device)]
    step = torch.zeros_like(slopes[0])
    step[pair % count] = torch.where(pair < count, 1, -1).to(step)
    return step
