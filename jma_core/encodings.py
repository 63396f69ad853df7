"""Output encodings: how logits become labels, and what an attack on those labels must satisfy.

An encoding owns both halves of that, so that "what the attack aims at" (linear constraints on the logits) and "what
counts as success" (the decoder) cannot drift apart. Logits are z in R^n; a target gives p constraints ``A z >= h``.

| encoding    | decoder                        | constraints for target t       | p     |
| ----------- | ------------------------------ | ------------------------------ | ----- |
| one-hot     | argmax z                       | (e_t - e_i) . z >= kappa       | n - 1 |
| ECOC        | argmax_k c_k . tanh(z)         | (c_t - c_i) . z >= kappa       | l - 1 |
| multi-label | z_j > tau_j                    | s_j (z_j - tau_j) >= kappa     | n     |

Labels of a multi-label target may be left free (-1): they have no constraint, and p is the number of the others.
Sources: section III of the JMA paper (Tondi et al.) for the decoders, eqs. (9) and (27) for the constraints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from jma_core.records import FREE

Target = int | Sequence[bool] | Sequence[int] | Tensor


class Constraints(Protocol):
    """The p linear constraints ``A z >= h`` of one target. A is never stored: its rows are made when asked for."""

    @property
    def labels(self) -> Tensor:
        """(p,) int64: the class or label that each constraint is about (the rival class, or the label itself)."""
        ...

    def values(self, z: Tensor) -> Tensor:
        """``A z - h`` for logits (..., n): shape (..., p), in logit units, >= 0 where the constraint is satisfied."""
        ...

    def rows(self, index: Tensor) -> Tensor:
        """Rows ``index`` (k,) int64 of A: shape (k, n). They are the cotangents of k gradient rows of B = A J."""
        ...


class Encoding(Protocol):
    """What the outputs of a network mean: one-hot, ECOC or multi-label."""

    @property
    def n(self) -> int:
        """Number of logits."""
        ...

    def check_target(self, target: Target) -> Tensor:
        """The target in the form that ``decode`` gives; ValueError if this encoding has no such labels."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """Labels of logits (..., n): class indices (...) int64, or label vectors (..., n) bool."""
        ...

    def constraints(self, target: Target, kappa: float = 0.0) -> Constraints:
        """The constraints that put logits into the target's region with margin ``kappa`` >= 0 (logit units)."""
        ...

    def fraction_right(self, z: Tensor, target: Target) -> float:
        """Fraction in [0, 1] of labels (bits for ECOC) of logits (n,) that agree with the target: the paper's bASR.

        Free labels do not count.
        """
        ...


def _as_tensor(target: Target) -> Tensor:
    """The target as a tensor, or an empty one if it cannot be one, which every check refuses."""
    try:
        return torch.as_tensor(target)
    except (TypeError, ValueError, RuntimeError):
        return torch.empty(0)


def _check_class(target: Target, classes: int) -> Tensor:
    t = _as_tensor(target)
    if t.numel() != 1 or t.is_floating_point() or t.dtype == torch.bool or not 0 <= int(t) < classes:
        raise ValueError(f"expected a target class from 0 to {classes - 1}, got {target!r}")
    return t.reshape(()).long().cpu()


def _rivals(t: int, classes: int) -> Tensor:
    return torch.cat([torch.arange(t), torch.arange(t + 1, classes)])


@dataclass(frozen=True)
class OneHot:
    """One logit a class; the largest wins. ``n`` is the number of classes, at least 2."""

    n: int

    def __post_init__(self) -> None:
        if self.n < 2:
            raise ValueError(f"expected at least 2 classes, got {self.n}")

    def check_target(self, target: Target) -> Tensor:
        return _check_class(target, self.n)

    def decode(self, z: Tensor) -> Tensor:
        return z.argmax(-1)

    def constraints(self, target: Target, kappa: float = 0.0) -> Constraints:
        t = int(self.check_target(target))
        return _OneHotConstraints(t, _rivals(t, self.n), self.n, kappa)

    def fraction_right(self, z: Tensor, target: Target) -> float:
        return float(self.decode(z).cpu() == self.check_target(target))


@dataclass(frozen=True)
class _OneHotConstraints:
    t: int
    labels: Tensor
    n: int
    kappa: float

    def values(self, z: Tensor) -> Tensor:
        return z[..., self.t, None] - z[..., self.labels.to(z.device)] - self.kappa

    def rows(self, index: Tensor) -> Tensor:
        rows = -functional.one_hot(self.labels[index], self.n).float()
        rows[:, self.t] = 1.0
        return rows


class ECOC:
    """Error-correcting output code: bit logits z, squashed by tanh, decoded to the codeword that correlates best.

    ``codebook`` is (l, n) in {-1, 1}, one distinct codeword for each of l >= 2 classes. The constraints are linear in
    the logits while the decoder sees tanh of them, so logits can satisfy every constraint and still decode otherwise:
    success is the decoder's word, never the constraints'.
    """

    def __init__(self, codebook: Tensor | NDArray[np.int8]) -> None:
        codebook = torch.as_tensor(codebook)
        if codebook.ndim != 2 or len(codebook) < 2 or not bool((codebook.abs() == 1).all()):
            raise ValueError(f"expected a codebook (classes >= 2, bits) of -1 and 1, got shape {tuple(codebook.shape)}")
        if len(torch.unique(codebook, dim=0)) < len(codebook):
            raise ValueError("expected a codebook of distinct codewords, got two equal ones")
        self.codebook = codebook.to(torch.int8).cpu()
        self.classes, self.n = codebook.shape

    def check_target(self, target: Target) -> Tensor:
        return _check_class(target, self.classes)

    def scores(self, z: Tensor) -> Tensor:
        """Correlation c_k . tanh(z) of logits (..., n) with every codeword: (..., l), in [-n, n]. Eq. (2)."""
        return torch.tanh(z) @ self.codebook.to(z).T

    def decode(self, z: Tensor) -> Tensor:
        return self.scores(z).argmax(-1)

    def constraints(self, target: Target, kappa: float = 0.0) -> Constraints:
        t = int(self.check_target(target))
        rivals = _rivals(t, self.classes)
        return _CodewordConstraints((self.codebook[t] - self.codebook[rivals]).float(), rivals, kappa)

    def fraction_right(self, z: Tensor, target: Target) -> float:
        wanted = self.codebook[self.check_target(target)] > 0
        return float(((z.cpu() > 0) == wanted).float().mean())


@dataclass(frozen=True)
class _CodewordConstraints:
    a: Tensor
    """(l - 1, n): c_t - c_i. Small: l and n are tens, not thousands."""
    labels: Tensor
    kappa: float

    def values(self, z: Tensor) -> Tensor:
        return z @ self.a.to(z).T - self.kappa

    def rows(self, index: Tensor) -> Tensor:
        return self.a[index]


class MultiLabel:
    """n independent labels; label j is present where its logit exceeds its threshold tau_j (zero unless given).

    A target says of each label whether it is wanted present (1), absent (0), or may be either (-1).
    """

    def __init__(self, thresholds: Sequence[float] | Tensor | int) -> None:
        """``thresholds``: (n,) in logit units, or just the number n of labels for thresholds of zero."""
        tau = torch.zeros(max(thresholds, 0)) if isinstance(thresholds, int) else torch.as_tensor(thresholds)
        if tau.ndim != 1 or len(tau) == 0 or not bool(tau.isfinite().all()):
            raise ValueError(f"expected n >= 1 finite thresholds, got {thresholds!r}")
        self.thresholds = tau.float().cpu()
        self.n = len(tau)

    def check_target(self, target: Target) -> Tensor:
        t = _as_tensor(target)
        if t.shape != (self.n,) or not bool(((t == 0) | (t == 1) | (t == FREE)).all()) or bool((t == FREE).all()):
            expected = f"{self.n} target labels, each present (1), absent (0) or free (-1), and not all of them free"
            raise ValueError(f"expected {expected}, got {target!r}")
        return t.to(torch.int8).cpu()

    def decode(self, z: Tensor) -> Tensor:
        return z > self.thresholds.to(z)

    def constraints(self, target: Target, kappa: float = 0.0) -> Constraints:
        wanted = self.check_target(target)
        labels = torch.nonzero(wanted != FREE)[:, 0]
        return _ThresholdConstraints(wanted[labels] * 2.0 - 1, self.thresholds[labels], labels, self.n, kappa)

    def fraction_right(self, z: Tensor, target: Target) -> float:
        wanted = self.check_target(target)
        return float((self.decode(z).cpu() == wanted)[wanted != FREE].float().mean())


@dataclass(frozen=True)
class _ThresholdConstraints:
    sign: Tensor
    thresholds: Tensor
    labels: Tensor
    n: int
    kappa: float

    def values(self, z: Tensor) -> Tensor:
        return self.sign.to(z) * (z[..., self.labels.to(z.device)] - self.thresholds.to(z)) - self.kappa

    def rows(self, index: Tensor) -> Tensor:
        return self.sign[index, None] * functional.one_hot(self.labels[index], self.n)
