"""APGD, the automatic projected gradient descent of Croce and Hein (2020), on any encoding of labels.

The step is first twice the ball's radius. At checkpoints it is halved, and the walk goes back to where the loss was
least, if the loss fell in too few of the steps since the last one, or if it has no new least value although the step
was not halved there.

A radius that is given is what the publication attacks with. ``apgd_min`` looks for the smallest that can be reached, as
Rony and colleagues do in their library: it doubles until there is a hit, and then is halfway between the norm of
the nearest hit and the largest radius without one. Departs from them in that each search begins at the end of the
last one, not at random.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from enum import StrEnum
from typing import Annotated

from torch import Tensor

from jma_core.attacks.balls import Ball, Change, Radius, Seed
from jma_core.attacks.registry import Gradients, Group, Norm, Setting, attack
from jma_core.attacks.surrogates import Surrogate, lead
from jma_core.attacks.trail import Trail, Walk
from jma_core.encodings import OneHot
from jma_core.records import Phase, Step

SOURCE = "Croce and Hein 2020"
RHO = 0.75
"""The part of the steps between two checkpoints in which the loss must fall."""
MOMENTUM = 0.75
"""1 minus this part of the last move is added to each."""
FIRST, SHORTER, LEAST = 0.22, 0.03, 0.06
"""The way to the first checkpoint, by how much each is shorter than the one before, and the shortest: of all steps."""


class Loss(StrEnum):
    """What is descended."""

    CROSS_ENTROPY = "cross-entropy"
    LOGISTIC = "logistic"
    DLR = "dlr"
    """The worst constraint: of classes, over how far the best logit is above the third and fourth, which changes from
    image to image; elsewhere over a constant, the constraints' mean at the original say, which no step here heeds."""


Descended = Annotated[Loss, Setting("Loss", "Which is descended. DLR is the worst constraint, scaled for classes.")]
Searches = Annotated[int, Setting("Searches", "Radii that are tried.", at_least=1, budget=True)]
Each = Annotated[int, Setting("Gradients a search", "For each radius.", at_least=1, budget=True)]
FirstRadius = Annotated[
    float, Setting("First radius ε", "Doubles until there is a hit, then comes down.", above=0, pixels=True)
]
FirstChange = Annotated[
    float, Setting("First change ε", "Doubles until there is a hit, then comes down.", above=0, at_most=1)
]


@attack("APGD: automatic steps", group=Group.BUDGET, source=SOURCE)
def apgd(
    trail: Trail,
    *,
    eps: Radius = 2.0,
    steps: Gradients = 100,
    loss: Descended = Loss.CROSS_ENTROPY,
    seed: Seed = 0,
) -> Walk:
    """Projected gradients with momentum, whose steps are halved whenever the loss no longer falls."""
    return _within(trail, eps, steps, loss, seed)


@attack("APGD: automatic steps, Linf", group=Group.BUDGET, source=SOURCE, norm=Norm.LINF)
def apgd_linf(
    trail: Trail,
    *,
    eps: Change = 0.03,
    steps: Gradients = 100,
    loss: Descended = Loss.CROSS_ENTROPY,
    seed: Seed = 0,
) -> Walk:
    """The same along the gradients' signs, where no value may change by more than ε."""
    return _within(trail, eps, steps, loss, seed)


@attack("APGD, smallest radius", group=Group.BUDGET, source=SOURCE)
def apgd_min(
    trail: Trail,
    *,
    searches: Searches = 10,
    steps: Each = 100,
    eps: FirstRadius = 1.0,
    loss: Descended = Loss.DLR,
    seed: Seed = 0,
) -> Walk:
    """APGD within one radius after the other, for the smallest that still reaches the target.

    With several constraints, the cross-entropy is not least where all of them hold, so that the smallest radii are
    missed; along the gradients' signs, DLR takes turns between them for longer than it gains.
    """
    return _smallest(trail, searches, steps, eps, loss, seed)


@attack("APGD, smallest radius, Linf", group=Group.BUDGET, source=SOURCE, norm=Norm.LINF)
def apgd_min_linf(
    trail: Trail,
    *,
    searches: Searches = 10,
    steps: Each = 100,
    eps: FirstChange = 0.03,
    loss: Descended = Loss.CROSS_ENTROPY,
    seed: Seed = 0,
) -> Walk:
    """The same for the largest change of any value."""
    return _smallest(trail, searches, steps, eps, loss, seed)


def _within(trail: Trail, eps: float, steps: int, loss: Loss, seed: int) -> Walk:
    ball = Ball(trail, eps)
    yield from _search(ball, ball.start(seed), range(1, steps + 1), _of_values(trail, loss))
    return trail.ending(steps)


def _smallest(trail: Trail, searches: int, steps: int, eps: float, loss: Loss, seed: int) -> Walk:
    x, low, high = Ball(trail, eps).start(seed), 0.0, math.inf
    for search in range(searches):
        numbers = range(search * steps + 1, (search + 1) * steps + 1)
        x, norm = yield from _search(Ball(trail, eps), x, numbers, _of_values(trail, loss))
        low, high = (low, min(high, norm)) if norm < math.inf else (eps, high)
        low = low if low < high else 0.0  # what was missed there is there after all
        eps = (low + high) / 2 if high < math.inf else 2 * eps
    return trail.ending(searches * steps)


def _of_values(trail: Trail, loss: Loss) -> Callable[[Tensor], Tensor]:
    if loss != Loss.DLR:
        return Surrogate(loss)
    return _dlr if isinstance(trail.encoding, OneHot) else Surrogate.WORST


def _dlr(values: Tensor) -> Tensor:
    return -values.min() / lead(values)


def _search(
    ball: Ball, x: Tensor, numbers: range, loss: Callable[[Tensor], Tensor]
) -> Generator[Step, None, tuple[Tensor, float]]:
    """A walk within the ball, an iteration for each of these numbers.

    Returns where the loss was least, and the norm of the nearest hit.
    """
    trail, moves = ball.trail, len(numbers) - 1
    x, step, norm = ball.project(x), 2 * ball.eps, math.inf
    before, value, least = x, math.inf, math.inf
    falls, check, gap = 0, max(int(FIRST * moves), 1), max(int(FIRST * moves), 1)
    least_then, halved = math.inf, False  # at the last checkpoint
    for k, number in enumerate(numbers):
        z, gradient = trail.descend(x, loss)
        yield from trail.emit(number, Phase.WALK, x, z)
        if trail.hit(z):
            norm = min(norm, ball.norm(x))
        last, value = value, float(loss(trail.goal.values(z)))
        falls += k > 0 and value < last
        if value < least:
            least, best = value, (x, gradient)
        if k == 0:
            least_then = least
        elif k == check:
            halved = falls < RHO * gap or (not halved and least == least_then)
            if halved:
                step, (x, gradient) = step / 2, best
            gap = max(gap - max(int(SHORTER * moves), 1), max(int(LEAST * moves), 1))
            falls, check, least_then = 0, check + gap, least
        there = ball.project(x - step * ball.steepest(gradient))
        part = MOMENTUM if k else 1.0
        x, before = ball.project(x + part * (there - x) + (1 - part) * (x - before)), x
    return best[0], norm
