"""SemA, the semantic attack on several labels (Mahmood and Elhamifar 2024): some labels flip, all others stay.

Gamma is the set of labels that the original does not read as the target wants them. Two gradients are taken of each
iterate: one that flips Gamma, one that keeps the others. Where they oppose each other, what the first one's sign would
undo of the second is taken out of it; else they are added. Steps follow the schedule of APGD (Croce and Hein 2020).

The publication's Gamma is closed under a tree of labels: for that the target comes from ``LabelTree.flipped``. Free
labels of a target belong to neither set.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from jma_core.attacks.apgd import Walker
from jma_core.attacks.balls import Ball
from jma_core.attacks.registry import Group, Norm, Setting, attack
from jma_core.attacks.trail import Trail, Walk, unit
from jma_core.records import ZERO_GRADIENT, Halt, Phase, StopReason

FIRST = 0.012
"""The first step in the largest norm, whatever the budget."""


class Until(StrEnum):
    """What ends the attack."""

    TARGET = "target"
    """The decoder reads the target."""
    FLIPPED = "flipped"
    """The labels that are to flip have flipped, whatever became of the others: as released."""


@attack(
    "SemA: some labels flip, the others stay",
    group=Group.LABELS,
    source="Mahmood and Elhamifar 2024",
    norm=Norm.LINF,
    encodings=("multi-label",),
    exhaustive=False,
)
def sema(
    trail: Trail,
    *,
    steps: Annotated[int, Setting("Most steps", "Each takes two gradients.", at_least=1, budget=True)] = 300,
    eps: Annotated[
        float, Setting("Budget ε", "The most by which a value changes, for pixels from 0 to 1.", above=0, at_most=1)
    ] = 0.01,
    tau: Annotated[
        float,
        Setting("Opposition τ", "Gradients whose cosine is not above it oppose each other.", at_least=-1, at_most=1),
    ] = -0.85,
    until: Annotated[
        Until, Setting("Until", "The target is read, or its labels have flipped.", paper="flipped")
    ] = Until.TARGET,
) -> Walk:
    """Flips labels along one gradient while a second one keeps all others, within a largest change of each value.

    Departs from the publication in that the decoder says when it ends, unless ``until`` is "flipped"; the image is in
    either case the nearest hit, or else what came closest.
    """
    walk, flips = Walker(Ball(trail, eps), trail.x0, FIRST, steps), None
    for k in range(steps):
        z, values, flips, (towards, kept) = _gradients(trail, walk.x, flips)
        yield from trail.emit(k + 1, Phase.WALK, walk.x, z)
        if trail.hit(z) or (until == Until.FLIPPED and bool((values[flips] >= 0).all())):
            break
        walk.on(float(functional.softplus(-values).sum()), _combined(towards, kept, tau))
    return trail.ending(steps)


def _gradients(trail: Trail, x: Tensor, flips: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits, constraints' values (p,), Gamma (p,), and unit directions (2, C, H, W) to flip Gamma and keep the rest.

    They are down the binary cross-entropies of the labels. Gamma is what is not satisfied at the first image.
    """
    trail.network.check_stop()
    z, rows = trail.network.differentiate(x)
    trail.start(z)
    values = trail.goal.values(z)
    flips = values <= 0 if flips is None else flips
    a = trail.goal.rows(torch.arange(len(values), device="cpu")).to(z)
    weights = torch.sigmoid(-values)
    slopes = rows(torch.stack([(weights * flips) @ a, (weights * ~flips) @ a])).to(x).reshape(2, *x.shape)
    down = trail.space.project(slopes)
    if not down.any():
        raise Halt(StopReason.ZERO_GRADIENT, ZERO_GRADIENT)
    return z, values, flips, torch.stack([unit(each) for each in down])


def _combined(towards: Tensor, kept: Tensor, tau: float) -> Tensor:
    """The direction of a step, of largest norm 1, from two unit directions."""
    if float((towards * kept).sum()) > tau:
        return (towards + kept).sign()
    sign = towards.sign()
    left = sign - (sign * kept).sum() * kept
    return left / left.abs().max().clamp_min(torch.finfo(left.dtype).tiny)
