"""DDN, the decoupled direction and norm attack (Rony et al. 2019), on any encoding of labels."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Unpack

from torch import Tensor

from jma_core.attacks.surrogates import Surrogate
from jma_core.attacks.trail import Attack, Common, Ending, Trail, annealed, begin, unit
from jma_core.encodings import Encoding, Target
from jma_core.network import Classifier
from jma_core.records import Phase, Step


def ddn(
    f: Classifier,
    x: Tensor,
    encoding: Encoding,
    target: Target,
    *,
    steps: int = 100,
    gamma: float = 0.05,
    init_norm: float = 1.0,
    surrogate: Surrogate | str = Surrogate.LOGISTIC,
    **common: Unpack[Common],
) -> Attack:
    """Attack one image: yields a Step for every gradient and returns an AttackResult.

    steps      K, gradients in all
    gamma      the norm shrinks by this fraction after a hit and grows by it after a miss
    init_norm  epsilon_0, L2 norm of the first perturbation in pixel units
    surrogate  the loss whose normalised gradient moves the perturbation; cross-entropy in the publication

    f, x, target and common as in ``jma``. Raises ValueError for what is out of range. Departs from the publication in
    that images are not rounded to 8 bits.
    """
    if not (steps >= 1 and 0 < gamma < 1 and 0 < init_norm < math.inf):
        expected = "steps >= 1, gamma between 0 and 1 and a finite init_norm > 0"
        raise ValueError(f"expected {expected}, got {steps}, {gamma:g} and {init_norm:g}")
    trail = begin(f, x, encoding, target, **common)
    return trail.follow(_ddn(trail, steps, gamma, init_norm, Surrogate(surrogate)))


def _ddn(trail: Trail, steps: int, gamma: float, norm: float, loss: Surrogate) -> Generator[Step, None, Ending]:
    x0, x, largest = trail.x0, trail.x0, trail.largest_norm()
    for k in range(steps):
        z, gradient = trail.descend(x, loss)
        yield from trail.emit(k + 1, Phase.WALK, x, z)
        alpha = annealed(k, steps, 1.0, 0.01)
        norm = min(norm * (1 - gamma if trail.hit(z) else 1 + gamma), largest)
        x = trail.clamp(x0 + norm * unit(x - x0 - alpha * unit(gradient)))
    return trail.ending(steps)
