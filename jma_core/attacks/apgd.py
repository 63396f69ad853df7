"""APGD, the automatic projected gradient descent of Croce and Hein (2020), on any encoding of labels.

The step is first twice the ball's radius, and is halved at checkpoints where the loss no longer falls as it should.

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

import torch
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


class Walker:
    """The walk within a ball, whose steps are halved at checkpoints, to go on from where the loss was least.

    They are halved where the loss fell in too few of the steps since the last checkpoint, or if it has no new least
    value although they were not halved there.
    """

    def __init__(self, ball: Ball, x: Tensor, step: float, gradients: int) -> None:
        """A walk of so many gradients from an image in the ball, the first ``step`` long in the ball's norm."""
        self.x = self.best = self._before = x
        self._ball, self._step, self._moves = ball, step, gradients - 1
        self._k, self._value, self._least, self._direction = 0, math.inf, math.inf, torch.zeros_like(x)
        self._gap = self._check = self._part(FIRST)
        self._falls, self._least_then, self._halved = 0, math.inf, False  # since and at the last checkpoint

    def on(self, value: float, direction: Tensor) -> None:
        """Move on from ``x``, where the loss has this value, along a direction of norm 1 at most."""
        self._falls += self._k > 0 and value < self._value
        self._value = value
        if value < self._least:
            self._least, self.best, self._direction = value, self.x, direction
        if self._k == 0:
            self._least_then = value
        elif self._k == self._check and self._halves():
            self.x, direction = self.best, self._direction
        there = self._ball.project(self.x + self._step * direction)
        part = MOMENTUM if self._k else 1.0
        moved = self.x + part * (there - self.x) + (1 - part) * (self.x - self._before)
        self.x, self._before = self._ball.project(moved), self.x
        self._k += 1

    def _halves(self) -> bool:
        self._halved = self._falls < RHO * self._gap or (not self._halved and self._least == self._least_then)
        if self._halved:
            self._step /= 2
        self._gap = max(self._gap - self._part(SHORTER), self._part(LEAST))
        self._check += self._gap
        self._falls, self._least_then = 0, self._least
        return self._halved

    def _part(self, share: float) -> int:
        return max(int(share * self._moves), 1)


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
    trail, walk = ball.trail, Walker(ball, ball.project(x), 2 * ball.eps, len(numbers))
    norm = math.inf
    for number in numbers:
        z, gradient = trail.descend(walk.x, loss)
        yield from trail.emit(number, Phase.WALK, walk.x, z)
        if trail.hit(z):
            norm = min(norm, ball.norm(walk.x))
        walk.on(float(loss(trail.goal.values(z))), -ball.steepest(gradient))
    return walk.best, norm
