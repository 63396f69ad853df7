"""The first attack (Szegedy et al. 2014): a quasi-Newton method in the box, on any encoding of labels.

Departs from the publication in the method, a projected L-BFGS instead of L-BFGS-B: bounds that hold a pixel back are
left out of the quasi-Newton step (Bertsekas 1982) rather than solved for, and the line search only shortens. It runs in
float64 on the CPU; the network is asked in the image's own type.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator
from typing import Annotated

from torch import Tensor

from jma_core.attacks.registry import Group, Setting, attack
from jma_core.attacks.surrogates import Surrogate
from jma_core.attacks.trail import Trail, Walk, length
from jma_core.records import Phase, Step

PAIRS = 10
"""Steps that the inverse Hessian is made of."""
FLAT, LEVEL = 1e-5, 2e-9
"""A search ends where no value that is free has a larger slope, or the relative decrease is smaller."""
ENOUGH, SHORTENINGS = 1e-4, 20
"""The part of the linear decrease that a step must have (Armijo 1966), and how often it is halved for that."""


@attack("L-BFGS: the first attack", group=Group.HISTORY, source="Szegedy et al. 2014", exhaustive=False)
def lbfgs(
    trail: Trail,
    *,
    searches: Annotated[int, Setting("Searches", "Values of c that are tried.", at_least=1, budget=True)] = 9,
    steps: Annotated[
        int, Setting("Gradients a search", "For each value of c, at most.", at_least=1, budget=True)
    ] = 100,
    c: Annotated[float, Setting("First c", "The weight of the loss.", above=0)] = 0.01,
    surrogate: Annotated[
        Surrogate, Setting("Loss", "What is added to the squared norm.", paper="cross-entropy")
    ] = Surrogate.CROSS_ENTROPY,
) -> Walk:
    """L-BFGS on the squared norm plus c times the loss, for a search of the smallest c that succeeds.

    The publication has the weight on the norm; c is ten times as large while no search ends in the target, then halfway
    between the smallest that did and the largest that did not.
    """
    low, high = 0.0, math.inf
    for search in range(searches):
        reached = yield from _search(trail, range(search * steps + 1, (search + 1) * steps + 1), c, surrogate)
        low, high = (low, c) if reached else (c, high)
        c = (low + high) / 2 if high < math.inf else 10 * c
    return trail.ending(searches * steps)


def _search(trail: Trail, numbers: range, c: float, surrogate: Surrogate) -> Generator[Step, None, bool]:
    """Minimise from the original, a gradient for each of these numbers at most; whether it ends in the target."""
    x0 = trail.x0.cpu().double()
    points = minimise(x0)
    x = next(points)
    for number in numbers:
        image = trail.clamp(x.to(trail.x0))
        z, gradient = trail.descend(image, surrogate)
        yield from trail.emit(number, Phase.WALK, image, z)
        loss = float(surrogate(trail.goal.values(z.cpu().double())))
        slope = 2 * (x - x0) + c * gradient.cpu().double()
        try:
            x = points.send((float((x - x0).square().sum()) + c * loss, slope))
        except StopIteration:
            break
    return trail.hit(z)


def minimise(x: Tensor) -> Generator[Tensor, tuple[float, Tensor]]:
    """Minimise a function of ``x`` in [0, 1] from there: yields points, and wants to be sent its value and gradient.

    Ends at a minimum, or where rounding hides it. The last point is not always the lowest.
    """
    pairs: deque[tuple[Tensor, Tensor]] = deque(maxlen=PAIRS)
    value, gradient = yield x
    while True:
        free = ~((x <= 0) & (gradient > 0) | (x >= 1) & (gradient < 0))
        steepest = free * gradient
        if steepest.abs().max() <= FLAT:
            return
        direction = -_newton(steepest, [(free * s, free * y) for s, y in pairs])
        if not pairs:
            direction = direction / max(1.0, length(direction))
        for _ in range(SHORTENINGS):
            there = (x + direction).clamp(0, 1)
            lower, slope = yield there
            if lower <= value + ENOUGH * float((gradient * (there - x)).sum()):
                break
            direction = direction / 2
        else:
            return
        if value - lower <= LEVEL * max(abs(value), abs(lower), 1):
            return
        pairs.append((there - x, slope - gradient))
        x, value, gradient = there, lower, slope


def _newton(gradient: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The inverse Hessian of these moves and changes of the gradient, times the gradient (Nocedal 1980).

    Pairs along which the gradient does not grow take no part, so that it is positive.
    """
    curved = [(s, y, float((s * y).sum())) for s, y in pairs]
    curved = [(s, y, sy) for s, y, sy in curved if sy > 1e-10 * length(s) * length(y)]
    parts = []
    for s, y, sy in reversed(curved):
        parts.append(float((s * gradient).sum()) / sy)
        gradient = gradient - parts[-1] * y
    if curved:
        _, y, sy = curved[-1]
        gradient = sy / float(y.square().sum()) * gradient
    for (s, y, sy), part in zip(curved, reversed(parts), strict=True):
        gradient = gradient + (part - float((y * gradient).sum()) / sy) * s
    return gradient
