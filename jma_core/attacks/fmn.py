"""FMN, the fast minimum-norm attack (Pintor et al. 2021), for the L2 norm, on any encoding of labels."""

from __future__ import annotations

import math
from typing import Annotated

from jma_core.attacks.registry import Gradients, Group, Setting, attack
from jma_core.attacks.surrogates import Surrogate
from jma_core.attacks.trail import Trail, Walk, annealed, length, unit
from jma_core.records import Phase


@attack("FMN: fast minimum norm", group=Group.MINIMUM_NORM, source="Pintor et al. 2021")
def fmn(
    trail: Trail,
    *,
    steps: Gradients = 100,
    rate: Annotated[
        float, Setting("First step α", "Its length; a cosine takes it to a hundredth.", above=0, pixels=True)
    ] = 1.0,
    gamma: Annotated[
        float,
        Setting(
            "First change of the norm γ",
            "Shrinks by this part after a hit, grows by it after a miss.",
            above=0,
            below=1,
        ),
    ] = 0.05,
    last_gamma: Annotated[
        float, Setting("Last change of the norm", "The same after the last gradient.", above=0, below=1)
    ] = 0.001,
    surrogate: Annotated[Surrogate, Setting("Loss", "Whose gradient moves the perturbation.")] = Surrogate.WORST,
) -> Walk:
    """Steps along normalised gradients, cut to a norm that follows the boundary: linearly at first, then by hits."""
    x0, x, largest = trail.x0, trail.x0, trail.largest_norm()
    norm, nearest = math.inf, math.inf  # epsilon, and the norm of the nearest hit
    for k in range(steps):
        z, gradient = trail.descend(x, surrogate)
        yield from trail.emit(k + 1, Phase.WALK, x, z)
        factor = annealed(k, steps, gamma, last_gamma)
        now = length(x - x0)
        if trail.hit(z):
            nearest = min(nearest, now)
            norm = min(norm * (1 - factor), nearest)
        elif nearest < math.inf:
            norm *= 1 + factor
        else:  # as far as the linearised loss says that its boundary is
            norm = now + abs(float(surrogate(trail.goal.values(z)))) / max(length(gradient), 1e-12)
        norm = min(norm, largest)
        delta = x - x0 - annealed(k, steps, rate, rate / 100) * unit(gradient)
        x = trail.clamp(x0 + min(1.0, norm / max(length(delta), 1e-12)) * delta)
    return trail.ending(steps)
