"""sigma-zero (Cina et al. 2025): few changed values, with a target of any encoding.

The number of values that differ, their L0 norm, has no gradient: it is smoothed to sum d^2 / (d^2 + sigma). Beside it
stands the worst constraint's violation. Changes below a threshold tau are undone after each step; tau grows after a hit
and falls after a miss.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from jma_core.attacks.adam import Adam
from jma_core.attacks.registry import Gradients, Group, Norm, Setting, attack
from jma_core.attacks.trail import Trail, Walk, annealed
from jma_core.records import Phase


@attack("sigma-zero: smoothed count", group=Group.SPARSE, source="Cinà et al. 2025", norm=Norm.L0)
def sigma_zero(
    trail: Trail,
    *,
    steps: Gradients = 1000,
    rate: Annotated[float, Setting("First step η", "Adam's rate; a cosine takes it to a tenth.", above=0)] = 1.0,
    sigma: Annotated[
        float, Setting("Smoothing σ", "Changes whose square is well above it count as one.", above=0)
    ] = 0.001,
    tau: Annotated[
        float, Setting("First threshold τ", "Smaller changes are undone after each step.", at_least=0, at_most=1)
    ] = 0.3,
    growth: Annotated[
        float, Setting("Change of the threshold", "After each step, times η.", at_least=0, at_most=1)
    ] = 0.01,
) -> Walk:
    """Adam on the worst violation plus a smooth count of changed values, with small changes undone after each step."""
    x0, x, adam = trail.x0, trail.x0, Adam(trail.x0)
    values = int(trail.mask.sum()) * len(x0)
    for k in range(steps):
        z, gradient = trail.descend(x, _violation)
        yield from trail.emit(k + 1, Phase.WALK, x, z)
        delta = x - x0
        gradient = gradient + 2 * sigma * delta / (delta**2 + sigma) ** 2 / values  # of the count over all values
        eta = annealed(k, steps, rate, rate / 10)
        x = trail.clamp(x - eta * adam.direction(gradient / gradient.abs().max().clamp_min(1e-12)))
        tau = min(max(tau + (growth if trail.hit(z) else -growth) * eta, 0.0), 1.0)
        x = torch.where((x - x0).abs() < tau, x0, x)
    return trail.ending(steps)


def _violation(values: Tensor) -> Tensor:
    return (-values.min()).relu()
