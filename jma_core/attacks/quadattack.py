"""QuadAttacK (Paniagua, Grainger and Wu 2023), for an order of classes, and on any encoding.

Each iteration solves a quadratic program for the nearest features that satisfy the target, and takes a step of AdamW on

    ||delta||^2 + weight ||features - nearest||^2

The features f are what the last linear layer makes logits of, z = W f + b. So the program is that of JMA with W W' in
place of J J': its multipliers give A' lambda*, and the second term has the gradient -2 weight J' A' lambda*, for which
neither the features nor b are needed.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated

import numpy as np

from jma_core.attacks.adam import Adam
from jma_core.attacks.registry import Group, Setting, attack
from jma_core.attacks.trail import Trail, Walk, length
from jma_core.dual import Array
from jma_core.records import ZERO_GRADIENT, Halt, Phase, StopReason

DECAY = 0.01
"""AdamW's decay of the perturbation, as a part of the rate."""
WARM_UP = 5
"""Steps after which Adam begins anew."""
RELIEF = 0.75
"""The weight is multiplied by this after each hit that is nearer than all before."""
AT_ONCE = 16
"""Constraints that are added to the program at a time."""


class Metric(StrEnum):
    """What is to change as little as possible in the quadratic program."""

    FEATURES = "features"
    """What the last linear layer is given; the logits, where the network shows none that makes them."""
    LOGITS = "logits"
    """The logits."""


@attack("QuadAttacK: nearest features first", group=Group.ORDER, source="Paniagua et al. 2023")
def quadattack(
    trail: Trail,
    *,
    searches: Annotated[int, Setting("Searches", "Weights that are tried.", at_least=1, budget=True)] = 9,
    steps: Annotated[
        int, Setting("Steps a search", "For each weight.", at_least=1, budget=True, paper="30 or 60")
    ] = 30,
    rate: Annotated[float, Setting("Learning rate", "AdamW's.", above=0)] = 0.0022,
    weight: Annotated[float, Setting("First weight", "Of the way to the nearest features.", above=0)] = 10.0,
    margin: Annotated[
        float, Setting("Margin", "In logits, which the nearest features keep. Not less than κ.", at_least=0)
    ] = 0.2,
    metric: Annotated[Metric, Setting("Near in", "What the quadratic program changes least.")] = Metric.FEATURES,
) -> Walk:
    """Solves for the nearest features that have the target, and descends towards them.

    The weight falls with every nearer hit of a search. The next search tries the weight halfway between the largest
    that missed and the smallest that hit. Departs from the publication in that it is ten times as large while none
    hits, not 20 at most; starts at the image, not at noise around it; and solves the programs exactly.
    """
    x0, low, high = trail.x0, 0.0, math.inf
    goal = trail.encoding.constraints(trail.target, max(trail.kappa, margin))
    products = _products(trail, metric)
    for search in range(searches):
        x, pull, nearest, adam = x0, weight, math.inf, Adam(x0)
        for k in range(steps):
            trail.network.check_stop()
            local = trail.linearise(x, goal)
            trail.start(local.z)
            _, cotangent = local.solve_in_logits(products, AT_ONCE)
            towards = local.gradient(cotangent)
            if search == k == 0 and not towards.any():
                raise Halt(StopReason.ZERO_GRADIENT, ZERO_GRADIENT)
            yield from trail.emit(search * steps + k + 1, Phase.WALK, x, local.z)
            distance = length(x - x0)
            if trail.hit(local.z) and distance < nearest:
                pull, nearest = RELIEF * pull, distance
            if k == WARM_UP:
                adam = Adam(x0)
            step = rate * adam.direction(2 * (x - x0) - 2 * pull * towards)
            x = trail.clamp(x0 + (1 - rate * DECAY) * (x - x0) - step)
        low, high = (low, weight) if nearest < math.inf else (weight, high)
        weight = (low + high) / 2 if high < math.inf else 10 * weight
    return trail.ending(searches * steps)


def _products(trail: Trail, metric: Metric) -> Array:
    """(n, n) W W' of the layer that makes the n logits, or the identity."""
    n, layer = trail.encoding.n, trail.network.last_layer()
    if metric == Metric.LOGITS or layer is None or layer.out_features != n:
        return np.eye(n)
    w = layer.weight.detach().cpu().double().numpy()
    products: Array = w @ w.T
    return products
