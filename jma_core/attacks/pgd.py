"""Projected gradient descent: BIM (Kurakin et al. 2017) and PGD (Madry et al. 2018), on any encoding of labels."""

from __future__ import annotations

from typing import Annotated

from jma_core.attacks.balls import Ball, Change, Radius, Seed
from jma_core.attacks.registry import Gradients, Group, Norm, Setting, attack
from jma_core.attacks.surrogates import Surrogate
from jma_core.attacks.trail import Trail, Walk
from jma_core.records import Phase

Path = Annotated[float, Setting("Length of the path", "Of all steps together, over ε.", above=0)]
Loss = Annotated[Surrogate, Setting("Loss", "Which is descended.", paper="cross-entropy")]


@attack("BIM: basic iterative method", group=Group.BUDGET, source="Kurakin et al. 2017", norm=Norm.LINF)
def bim(
    trail: Trail,
    *,
    eps: Change = 0.03,
    steps: Gradients = 10,
    path: Path = 1.25,
    surrogate: Loss = Surrogate.CROSS_ENTROPY,
) -> Walk:
    """Every value moves by as much along the sign of its gradient, again and again, but never further than ε.

    The published steps of 1/255, and of them 1.25 times 255 eps, are the default path.
    """
    return _walk(trail, eps, steps, path, surrogate)


@attack("PGD: projected gradients", group=Group.BUDGET, source="Madry et al. 2018")
def pgd(
    trail: Trail,
    *,
    eps: Radius = 2.0,
    steps: Gradients = 40,
    path: Path = 2.5,
    surrogate: Loss = Surrogate.CROSS_ENTROPY,
    seed: Seed = 0,
) -> Walk:
    """Normalised gradient steps from a random start, cut back to a ball around the original."""
    return _walk(trail, eps, steps, path, surrogate, seed)


@attack("PGD: projected gradients, Linf", group=Group.BUDGET, source="Madry et al. 2018", norm=Norm.LINF)
def pgd_linf(
    trail: Trail,
    *,
    eps: Change = 0.03,
    steps: Gradients = 40,
    path: Path = 2.5,
    surrogate: Loss = Surrogate.CROSS_ENTROPY,
    seed: Seed = 0,
) -> Walk:
    """BIM from a random start."""
    return _walk(trail, eps, steps, path, surrogate, seed)


def _walk(trail: Trail, eps: float, steps: int, path: float, surrogate: Surrogate, seed: int | None = None) -> Walk:
    ball, step = Ball(trail, eps), path * eps / steps
    x = trail.x0 if seed is None else ball.start(seed)
    for k in range(steps):
        z, gradient = trail.descend(x, surrogate)
        yield from trail.emit(k + 1, Phase.WALK, x, z)
        x = ball.project(x - step * ball.steepest(gradient))
    return trail.ending(steps)
