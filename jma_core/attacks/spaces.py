"""Logits and scores: the two spaces in which attacks of the literature want labels on their side of a threshold.

Scores are what the network's last function makes of logits: sigmoids of labels, softmax of classes; of codewords the
correlations with tanh, and of one bit (1 + tanh) / 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from jma_core.attacks.trail import Trail
from jma_core.encodings import ECOC, Constraints, MultiLabel


class Space(StrEnum):
    """What a loss or a linear model is of."""

    LOGIT = "logit"
    SCORE = "score"


@dataclass(frozen=True)
class Sides:
    """The labels that a target says anything of, or the bits of its codeword, each with its threshold."""

    goal: Constraints
    """s_j (z_j - tau_j) >= kappa."""
    sign: Tensor
    """(k,) s_j: 1 where it is wanted present, or a bit of 1, else -1."""
    edge: Tensor
    """(k,) logit at which the constraint holds just so: tau_j + s_j kappa."""
    gain: float
    """A score is the sigmoid of so many times the logit."""

    @classmethod
    def of(cls, trail: Trail) -> Sides:
        """Those of a multi-label target, or of a class whose codeword is wanted bit by bit."""
        bits = isinstance(trail.encoding, ECOC)
        goal = trail.encoding.bitwise(trail.target, trail.kappa) if isinstance(trail.encoding, ECOC) else trail.goal
        sign = goal.rows(torch.arange(len(goal.labels), device="cpu")).sum(1)  # each row has one entry
        at_zero = goal.values(torch.zeros(trail.encoding.n, device="cpu", dtype=torch.float64))
        return cls(goal, sign, -sign * at_zero, 2.0 if bits else 1.0)

    def right(self, z: Tensor) -> Tensor:
        """(k,) how far each score of logits (n,) is on the side where it is wanted: from 0 to 1."""
        return torch.sigmoid(self.gain * self.sign.to(z) * z[self.goal.labels.to(z.device)])

    def enough(self) -> Tensor:
        """(k,) the same at the thresholds."""
        return torch.sigmoid(self.gain * self.sign * self.edge)


def values(trail: Trail, space: Space) -> Callable[[Tensor], Tensor]:
    """From logits (n,) to the constraints' values in this space (p,), >= 0 where they are satisfied."""
    if space == Space.LOGIT:
        return trail.goal.values
    if isinstance(trail.encoding, MultiLabel):
        sides = Sides.of(trail)
        return lambda z: sides.right(z) - sides.enough().to(z)
    if isinstance(trail.encoding, ECOC):
        return lambda z: trail.encoding.margins(z, trail.target) - trail.kappa
    return lambda z: trail.goal.values(torch.softmax(z, 0))
