"""C&W (Carlini and Wagner 2017), and its forms for labels (Song et al. 2018) and for codewords (Zhang et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import torch
from torch import Tensor

from jma_core.attacks.adam import Adam
from jma_core.attacks.registry import Group, Setting, attack
from jma_core.attacks.spaces import Sides, Space, values
from jma_core.attacks.trail import Trail, Walk
from jma_core.records import Phase


class Hinge(StrEnum):
    """What is added to the squared norm."""

    WORST = "worst"
    """The worst constraint's violation: Carlini and Wagner."""
    SUM = "sum"
    """The sum of all violations: ML-C&W."""

    def __call__(self, values: Tensor) -> Tensor:
        missing = (-values).relu()
        return missing.max() if self == Hinge.WORST else missing.sum()


Searches = Annotated[int, Setting("Searches", "Values of c that are tried.", at_least=1, budget=True)]
Steps = Annotated[int, Setting("Gradients a search", "For each value of c.", at_least=1, budget=True)]
Rate = Annotated[float, Setting("Learning rate", "Adam's.", above=0)]
Weight = Annotated[float, Setting("First c", "The weight of the violation.", above=0)]


@attack("C&W: Carlini and Wagner", group=Group.MINIMUM_NORM, source="Carlini and Wagner 2017; Song et al. 2018")
def cw(
    trail: Trail,
    *,
    hinge: Annotated[
        Hinge, Setting("Violation", "The worst constraint's, or the sum of all for several labels.")
    ] = Hinge.WORST,
    space: Annotated[
        Space, Setting("Constraints", "On logits, or on scores: softmax, sigmoid, or correlations with codewords.")
    ] = Space.LOGIT,
    searches: Searches = 9,
    steps: Steps = 1000,
    rate: Rate = 0.01,
    c: Weight = 0.001,
) -> Walk:
    """Adam on the squared norm plus c times the violation of the target, for a search of values of c.

    With x + delta = (tanh w + 1) / 2, minimises ||delta||^2 + c hinge for several c: halfway between the smallest that
    succeeded and the largest that failed, or ten times as large while none succeeds. Departs from the publication in
    that a search which makes no progress is not cut short.
    """
    constraints = values(trail, space)
    return _search(trail, lambda z: hinge(constraints(z)), searches, steps, rate, c)


@attack("ML-C&W", group=Group.LABELS, source="Song et al. 2018", encodings=("multi-label",), exhaustive=False)
def ml_cw(
    trail: Trail,
    *,
    space: Annotated[
        Space, Setting("Violation", "Of scores, or of logits, which a first c of 0.01 suits.")
    ] = Space.SCORE,
    searches: Searches = 10,
    steps: Steps = 1000,
    rate: Rate = 0.01,
    c: Annotated[float, Setting("First c", "The weight of the violation.", above=0, paper="0.01 for logits")] = 1e5,
) -> Walk:
    """C&W with the sum of what all labels miss of their thresholds, and with searches cut short.

    A search ends when the loss has not fallen by 0.01 % in a tenth of its steps. Departs from what was published in
    that the last search is not a repetition of the best.
    """
    constraints = values(trail, space)
    return _search(trail, lambda z: Hinge.SUM(constraints(z)), searches, steps, rate, c, patient=False)


@attack("ECOC attack", group=Group.LABELS, source="Zhang et al. 2020", encodings=("ECOC",), exhaustive=False)
def ecoc(trail: Trail, *, searches: Searches = 10, steps: Steps = 1000, rate: Rate = 0.005, c: Weight = 0.01) -> Walk:
    """C&W that wants every bit of the codeword: its violation is that of the worst bit.

    Searches are cut short as in ML-C&W. Departs from the released code in that success is the decoder's, which corrects
    errors of bits, and in that each search has an Adam of its own.
    """
    bits = Sides.of(trail).goal
    return _search(trail, lambda z: Hinge.WORST(bits.values(z)), searches, steps, rate, c, patient=False)


@attack("CW^K, for an order", group=Group.ORDER, source="Zhang and Wu 2020", encodings=("one-hot", "top-K"))
def cw_k(trail: Trail, *, searches: Searches = 9, steps: Steps = 1000, rate: Rate = 0.01, c: Weight = 0.001) -> Walk:
    """C&W whose violation is the mean over an order's places: by how much a class behind a place is ahead.

    Of a set there is one place, its last. Departs from the publication as C&W does here.
    """
    wanted = torch.nonzero(trail.target)[:, 0] if trail.target.dtype == torch.bool else trail.target.reshape(-1)
    places = [len(wanted)] if trail.target.dtype == torch.bool else range(1, len(wanted) + 1)

    def disorder(z: Tensor) -> Tensor:
        missing = []
        for place in places:
            first, behind = wanted[:place].to(z.device), torch.ones_like(z, dtype=torch.bool)
            behind[first] = False
            if place < len(z):
                missing.append((z[behind].max() - z[first].min() + trail.kappa).relu())
        return torch.stack(missing).mean()

    return _search(trail, disorder, searches, steps, rate, c)


def _search(
    trail: Trail,
    violation: Callable[[Tensor], Tensor],
    searches: int,
    steps: int,
    rate: float,
    c: float,
    *,
    patient: bool = True,
) -> Walk:
    """The search for c. ``violation`` is of logits (n,); a search that is not ``patient`` ends without progress."""
    x0, low, high = trail.x0, 0.0, math.inf
    number = 0
    for _ in range(searches):
        w = torch.atanh((2 * x0 - 1) * (1 - 1e-6))
        adam = Adam(w)
        reached, earlier = False, math.inf
        for k in range(steps):
            x = trail.clamp((torch.tanh(w) + 1) / 2) if k else x0
            z, gradient = trail.slope(x, violation)
            number += 1
            yield from trail.emit(number, Phase.WALK, x, z)
            reached = reached or trail.hit(z)
            if not patient and k % max(1, steps // 10) == 0:
                loss = float((x - x0).square().sum() + c * violation(z))
                if loss > 0.9999 * earlier:
                    break
                earlier = loss
            slope = (2 * (x - x0) + c * gradient) * 2 * x * (1 - x)  # dx/dw = 2 x (1 - x)
            w = w - rate * adam.direction(slope)
        if reached:
            high = min(high, c)
        else:
            low = max(low, c)
        c = (low + high) / 2 if high < math.inf else 10 * c
    return trail.ending(number)
