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
