"""FMN, the fast minimum-norm attack (Pintor et al. 2021), for the L2 norm, on any encoding of labels."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Unpack

from torch import Tensor

from jma_core.attacks.surrogates import Surrogate
from jma_core.attacks.trail import Attack, Common, Ending, Trail, annealed, begin, length, unit
from jma_core.encodings import Encoding, Target
from jma_core.network import Classifier
from jma_core.records import Phase, Step


def fmn(
    f: Classifier,
    x: Tensor,
    encoding: Encoding,
    target: Target,
    *,
    steps: int = 100,
    rate: float = 1.0,
    gamma: tuple[float, float] = (0.05, 0.001),
    surrogate: Surrogate | str = Surrogate.WORST,
    **common: Unpack[Common],
) -> Attack:
    """Attack one image: yields a Step for every gradient and returns an AttackResult.

    steps      K, gradients in all
    rate       alpha_0, length of the first step in pixel units; a cosine takes it to a hundredth
    gamma      fraction by which the largest norm shrinks after a hit and grows after a miss, at first and at last
    surrogate  the loss whose normalised gradient moves the perturbation; the publication's is the worst constraint

    f, x, target and common as in ``jma``. Raises ValueError for what is out of range.
    """
    if not (steps >= 1 and 0 < rate < math.inf and 1 > gamma[0] >= gamma[1] > 0):
        expected = "steps >= 1, a finite rate > 0 and 1 > gamma_0 >= gamma_K > 0"
        raise ValueError(f"expected {expected}, got {steps}, {rate:g} and {gamma}")
    trail = begin(f, x, encoding, target, **common)
    return trail.follow(_fmn(trail, steps, rate, gamma, Surrogate(surrogate)))


def _fmn(
    trail: Trail, steps: int, rate: float, gamma: tuple[float, float], loss: Surrogate
) -> Generator[Step, None, Ending]:
    x0, x, largest = trail.x0, trail.x0, trail.largest_norm()
    norm, nearest = math.inf, math.inf  # epsilon, and the norm of the nearest hit
    for k in range(steps):
        z, gradient = trail.descend(x, loss)
        yield from trail.emit(k + 1, Phase.WALK, x, z)
        factor = annealed(k, steps, *gamma)
        now = length(x - x0)
        if trail.hit(z):
            nearest = min(nearest, now)
            norm = min(norm * (1 - factor), nearest)
        elif nearest < math.inf:
            norm *= 1 + factor
        else:  # as far as the linearised loss says that its boundary is
            norm = now + abs(float(loss(trail.goal.values(z)))) / max(length(gradient), 1e-12)
        norm = min(norm, largest)
        delta = x - x0 - annealed(k, steps, rate, rate / 100) * unit(gradient)
        x = trail.clamp(x0 + min(1.0, norm / max(length(delta), 1e-12)) * delta)
    return trail.ending(steps)
