"""What the first-order attacks descend on: a smooth or a worst-case loss of the constraints, for any encoding.

Each takes the values A z - h (p,) of the constraints, >= 0 where satisfied, and gives a scalar.
"""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import Tensor
from torch.nn import functional


class Surrogate(StrEnum):
    """Which loss of the constraints an attack descends on."""

    CROSS_ENTROPY = "cross-entropy"
    """log(1 + sum exp(-value)): on a one-hot model, the cross-entropy of the target class."""
    LOGISTIC = "logistic"
    """sum log(1 + exp(-value)): for several labels, the sum of their binary cross-entropies."""
    WORST = "worst"
    """-min value: the difference of logits, as Carlini and Wagner have it."""

    def __call__(self, values: Tensor) -> Tensor:
        match self:
            case Surrogate.CROSS_ENTROPY:
                return torch.logsumexp(functional.pad(-values, (0, 1)), 0)
            case Surrogate.LOGISTIC:
                return functional.softplus(-values).sum()
            case Surrogate.WORST:
                return -values.min()


def lead(values: Tensor) -> Tensor:
    """How far the best logit is above the mean of the third and fourth, from the constraints' values of one class.

    Of less than four logits, above the last. It is what the losses of Croce and Hein (2020) are divided by.
    """
    ranked = -functional.pad(values, (1, 0)).sort().values  # logits less the target's: zero is its own
    third = ranked[2:4].mean() if len(ranked) > 3 else ranked[-1]
    return ranked[0] - third + 1e-8
