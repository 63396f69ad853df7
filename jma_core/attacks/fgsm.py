"""FGSM, the fast gradient sign method (Goodfellow, Shlens and Szegedy 2015), on any encoding of labels."""

from __future__ import annotations

from typing import Annotated

from jma_core.attacks.balls import Ball, Change
from jma_core.attacks.registry import Group, Norm, Setting, attack
from jma_core.attacks.surrogates import Surrogate
from jma_core.attacks.trail import Trail, Walk
from jma_core.records import Phase


@attack(
    "FGSM: fast gradient sign",
    group=Group.BUDGET,
    source="Goodfellow et al. 2015",
    norm=Norm.LINF,
    exhaustive=False,
)
def fgsm(
    trail: Trail,
    *,
    eps: Change = 0.25,
    steps: Annotated[
        int,
        Setting(
            "Lengths", "So many up to ε are tried, a forward pass each.", at_least=1, budget=True, paper="1: ε itself"
        ),
    ] = 100,
    surrogate: Annotated[Surrogate, Setting("Loss", "Whose gradient's signs are taken.")] = Surrogate.CROSS_ENTROPY,
) -> Walk:
    """One gradient: every value moves by as much along its sign, and the least move that hits counts.

    A move that hits says nothing of shorter ones, so that they are tried in order, ``eps / steps`` apart, instead of
    halved; the published attack is ``steps`` of 1.
    """
    _, gradient = trail.descend(trail.x0, surrogate)
    ball = Ball(trail, eps)
    for k in range(1, steps + 1):
        trail.network.check_stop()
        x = trail.clamp(trail.x0 - k / steps * eps * ball.steepest(gradient))
        z = trail.network.logits(x)
        yield from trail.emit(k, Phase.WALK, x, z)
        if trail.hit(z):
            break
    return trail.ending(steps)
