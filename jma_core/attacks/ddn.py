"""DDN, the decoupled direction and norm attack (Rony et al. 2019), on any encoding of labels."""

from __future__ import annotations

from typing import Annotated

from jma_core.attacks.registry import Gradients, Group, Setting, attack
from jma_core.attacks.surrogates import Surrogate
from jma_core.attacks.trail import Trail, Walk, annealed, unit
from jma_core.records import Phase


@attack("DDN: direction and norm apart", group=Group.MINIMUM_NORM, source="Rony et al. 2019")
def ddn(
    trail: Trail,
    *,
    steps: Gradients = 100,
    gamma: Annotated[
        float,
        Setting(
            "Change of the norm γ",
            "Shrinks by this part after a hit, grows by it after a miss.",
            above=0,
            below=1,
        ),
    ] = 0.05,
    init_norm: Annotated[
        float, Setting("First norm ε", "L2 norm of the first perturbation.", above=0, pixels=True)
    ] = 1.0,
    surrogate: Annotated[
        Surrogate, Setting("Loss", "Whose gradient moves the perturbation.", paper="cross-entropy")
    ] = Surrogate.LOGISTIC,
) -> Walk:
    """Normalised gradients turn the perturbation, whose norm shrinks after each hit and grows after each miss.

    Departs from the publication in that images are not rounded to 8 bits.
    """
    x0, x, norm, largest = trail.x0, trail.x0, init_norm, trail.largest_norm()
    for k in range(steps):
        z, gradient = trail.descend(x, surrogate)
        yield from trail.emit(k + 1, Phase.WALK, x, z)
        alpha = annealed(k, steps, 1.0, 0.01)
        norm = min(norm * (1 - gamma if trail.hit(z) else 1 + gamma), largest)
        x = trail.clamp(x0 + norm * unit(x - x0 - alpha * unit(gradient)))
    return trail.ending(steps)
