"""Output encodings: how logits become labels, and what an attack on those labels must satisfy.

An encoding owns both halves of that, so that "what the attack aims at" (linear constraints on the logits) and "what
counts as success" (the decoder) cannot drift apart. Logits are z in R^n; a target gives p constraints ``A z >= h``.

| encoding    | decoder                        | constraints for target t       | p         |
| ----------- | ------------------------------ | ------------------------------ | --------- |
| one-hot     | argmax z                       | (e_t - e_i) . z >= kappa       | n - 1     |
| ECOC        | argmax_k c_k . tanh(z)         | (c_t - c_i) . z >= kappa       | l - 1     |
| multi-label | z_j > tau_j                    | s_j (z_j - tau_j) >= kappa     | n         |
| top-K       | the K largest, in order        | each above the next by kappa,  | n - 1     |
|             |                                | the last above all others      |           |
|             | the K largest, as a set        | each above all others by kappa | K (n - K) |

A one-hot network may be asked for K classes: ``OneHot(n)`` with a tuple of classes or a set of them as the target is
taken for ``TopK``. Labels of a multi-label target may be left free (-1): they have no constraint, and p is the number
of the others.
Sources: section III of the JMA paper (Tondi et al.) for the decoders, eqs. (9) and (27) for the constraints.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from jma_core.records import FREE, reads

Target = int | Sequence[bool] | Sequence[int] | Set[int] | Tensor


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
    """What the outputs of a network mean: one-hot, top-K, ECOC or multi-label."""

    @property
    def name(self) -> str:
        """One of those, in these words."""
        ...

    @property
    def n(self) -> int:
        """Number of logits."""
        ...

    def check_target(self, target: Target) -> Tensor:
        """The target in the form that ``decode`` gives; ValueError if this encoding has no such labels."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """Labels of logits (..., n): class indices (...) or (..., K) int64, or label vectors (..., n) bool."""
        ...

    def meets(self, z: Tensor, target: Target) -> bool:
        """Whether the decoder, the only judge of success, reads the target in logits (n,), free labels aside."""
        ...

    def constraints(self, target: Target, kappa: float = 0.0) -> Constraints:
        """The constraints that put logits into the target's region with margin ``kappa`` >= 0 (logit units)."""
        ...

    def margins(self, z: Tensor, target: Target) -> Tensor:
        """The decoder's own margins (..., p) of logits (..., n): all above 0 where it reads the target, ties aside.

        Where the decoder is linear they are the constraints' values without ``kappa``; for ECOC, differences of scores.
        """
        ...

    def fraction_right(self, z: Tensor, target: Target) -> float:
        """Fraction in [0, 1] of labels (bits for ECOC) of logits (n,) that agree with the target: the paper's bASR.

        Free labels do not count. Of an order it is the fraction of its places, of a set that of its classes.
        """
        ...


def asked(encoding: Encoding, target: Target) -> Encoding:
    """The encoding whose decoder answers in the form of this target: TopK where a one-hot network is asked for several.

    Attacks call it themselves; it is for who makes constraints, or asks a decoder, besides.
    """
    if not isinstance(encoding, OneHot) or isinstance(target, str):
        return encoding
    if isinstance(target, Set):
        return TopK(encoding.n, len(target), ordered=False)
    k = _as_tensor(target).numel()
    return TopK(encoding.n, k) if k > 1 else encoding


def _as_tensor(target: Target) -> Tensor:
    """The target as a tensor, or an empty one if it cannot be one, which every check refuses."""
    try:
        return torch.as_tensor(target, device="cpu")
    except (TypeError, ValueError, RuntimeError):
        return torch.empty(0, device="cpu")


def _check_class(target: Target, classes: int) -> Tensor:
    t = _as_tensor(target)
    if t.numel() != 1 or t.is_floating_point() or t.dtype == torch.bool or not 0 <= int(t) < classes:
        raise ValueError(f"expected a target class from 0 to {classes - 1}, got {target!r}")
    return t.reshape(()).long().cpu()


def _others(t: Tensor, classes: int) -> Tensor:
    """All classes but one, or but these (k,)."""
    every = torch.arange(classes, device="cpu")
    return every[~torch.isin(every, t)]


@dataclass(frozen=True)
class OneHot:
    """One logit a class; the largest wins. ``n`` is the number of classes, at least 2."""

    n: int
    name: ClassVar[str] = "one-hot"

    def __post_init__(self) -> None:
        if self.n < 2:
            raise ValueError(f"expected at least 2 classes, got {self.n}")

    def check_target(self, target: Target) -> Tensor:
        return _check_class(target, self.n)

    def decode(self, z: Tensor) -> Tensor:
        return z.argmax(-1)

    def meets(self, z: Tensor, target: Target) -> bool:
        return reads(self.decode(z).cpu(), self.check_target(target))

    def constraints(self, target: Target, kappa: float = 0.0) -> Constraints:
        t = self.check_target(target)
        return _OrderConstraints(t[None], _others(t, self.n), self.n, kappa)

    def margins(self, z: Tensor, target: Target) -> Tensor:
        return self.constraints(target).values(z)

    def fraction_right(self, z: Tensor, target: Target) -> float:
        return float(self.decode(z).cpu() == self.check_target(target))


@dataclass(frozen=True)
class TopK:
    """One logit a class, and the ``k`` largest matter: in their order, or as a set if not ``ordered``.

    An order is a sequence of classes (k,), the largest logit's first. A set is given as such, and read as a mask (n,).
    Of equal logits the one of the smaller index counts as the larger, as for argmax.
    """

    n: int
    k: int
    ordered: bool = True
    name: ClassVar[str] = "top-K"

    def __post_init__(self) -> None:
        most = self.n if self.ordered else self.n - 1  # all of them are a set that always is there
        if not 1 <= self.k <= most:
            raise ValueError(f"expected 1 to {most} of {self.n} classes, got {self.k}")

    def check_target(self, target: Target) -> Tensor:
        t = _as_tensor(sorted(target) if isinstance(target, Set) and not self.ordered else target)
        if not self.ordered and t.dtype == torch.bool and t.shape == (self.n,):
            t = torch.nonzero(t)[:, 0]
        whole = not (t.is_floating_point() or t.dtype == torch.bool) and t.shape == (self.k,)
        if not whole or len(set(t.tolist())) < self.k or t.min() < 0 or t.max() >= self.n:
            form = "in order" if self.ordered else "as a set"
            raise ValueError(f"expected {self.k} distinct target classes from 0 to {self.n - 1} {form}, got {target!r}")
        return t.long().cpu() if self.ordered else self._mask(t.long().cpu())

    def decode(self, z: Tensor) -> Tensor:
        largest = z.argsort(dim=-1, descending=True, stable=True)[..., : self.k]
        return largest if self.ordered else self._mask(largest)

    def _mask(self, classes: Tensor) -> Tensor:
        """(..., n) of classes (..., k)."""
        nothing = torch.zeros(*classes.shape[:-1], self.n, dtype=torch.bool, device=classes.device)
        return nothing.scatter(-1, classes, value=True)

    def meets(self, z: Tensor, target: Target) -> bool:
        return reads(self.decode(z).cpu(), self.check_target(target))

    def constraints(self, target: Target, kappa: float = 0.0) -> Constraints:
        t = self.check_target(target)
        if self.ordered:
            return _OrderConstraints(t, _others(t, self.n), self.n, kappa)
        return _SetConstraints(torch.nonzero(t)[:, 0], torch.nonzero(~t)[:, 0], self.n, kappa)

    def margins(self, z: Tensor, target: Target) -> Tensor:
        return self.constraints(target).values(z)

    def fraction_right(self, z: Tensor, target: Target) -> float:
        decoded, wanted = self.decode(z).cpu(), self.check_target(target)
        return float(((decoded == wanted) if self.ordered else decoded[wanted]).float().mean())


@dataclass(frozen=True)
class _OrderConstraints:
    """Each class of an order (k,) above the next, and the last above the ``others`` (n - k,)."""

    order: Tensor
    others: Tensor
    n: int
    kappa: float

    @property
    def labels(self) -> Tensor:
        return torch.cat([self.order[1:], self.others])

    def values(self, z: Tensor) -> Tensor:
        ordered = z[..., self.order.to(z.device)]
        above_others = ordered[..., -1:] - z[..., self.others.to(z.device)]
        return torch.cat([ordered[..., :-1] - ordered[..., 1:], above_others], dim=-1) - self.kappa

    def rows(self, index: Tensor) -> Tensor:
        larger = self.order[index.clamp(max=len(self.order) - 1)]
        return _differences(larger, self.labels[index], self.n)


@dataclass(frozen=True)
class _SetConstraints:
    """Each class of a set (k,) above each of the ``others`` (n - k,): constraint i (n - k) + j is about i and j."""

    chosen: Tensor
    others: Tensor
    n: int
    kappa: float

    @property
    def labels(self) -> Tensor:
        return self.others.repeat(len(self.chosen))

    def values(self, z: Tensor) -> Tensor:
        chosen, others = z[..., self.chosen.to(z.device)], z[..., self.others.to(z.device)]
        return (chosen[..., :, None] - others[..., None, :]).flatten(-2) - self.kappa

    def rows(self, index: Tensor) -> Tensor:
        count = len(self.others)
        return _differences(self.chosen[index // count], self.others[index % count], self.n)


def _differences(larger: Tensor, smaller: Tensor, n: int) -> Tensor:
    """(k, n) rows e_a - e_b of pairs of classes (k,)."""
    return (functional.one_hot(larger, n) - functional.one_hot(smaller, n)).float()


class ECOC:
    """Error-correcting output code: bit logits z, squashed by tanh, decoded to the codeword that correlates best.

    ``codebook`` is (l, n) in {-1, 1}, one distinct codeword for each of l >= 2 classes. The constraints are linear in
    the logits while the decoder sees tanh of them, so logits can satisfy every constraint and still decode otherwise,
    or violate some and be read as wanted: success is the decoder's word, never the constraints'.
    """

    name = "ECOC"

    def __init__(self, codebook: Tensor | NDArray[np.int8]) -> None:
        codebook = torch.as_tensor(codebook, device="cpu")
        if codebook.ndim != 2 or len(codebook) < 2 or not bool((codebook.abs() == 1).all()):
            raise ValueError(f"expected a codebook (classes >= 2, bits) of -1 and 1, got shape {tuple(codebook.shape)}")
        if len(torch.unique(codebook, dim=0)) < len(codebook):
            raise ValueError("expected a codebook of distinct codewords, got two equal ones")
        self.codebook = codebook.to(torch.int8)
        self.classes, self.n = codebook.shape

    def check_target(self, target: Target) -> Tensor:
        return _check_class(target, self.classes)

    def scores(self, z: Tensor) -> Tensor:
        """Correlation c_k . tanh(z) of logits (..., n) with every codeword: (..., l), in [-n, n]. Eq. (2)."""
        return torch.tanh(z) @ self.codebook.to(z).T

    def decode(self, z: Tensor) -> Tensor:
        return self.scores(z).argmax(-1)

    def meets(self, z: Tensor, target: Target) -> bool:
        return reads(self.decode(z).cpu(), self.check_target(target))

    def constraints(self, target: Target, kappa: float = 0.0) -> Constraints:
        t = self.check_target(target)
        rivals = _others(t, self.classes)
        return _CodewordConstraints((self.codebook[t] - self.codebook[rivals]).float(), rivals, kappa)

    def bitwise(self, target: Target, kappa: float = 0.0) -> Constraints:
        """The constraints that put every bit on its side: s_i z_i >= kappa, s being the target's codeword.

        They ask for more than the decoder, which corrects errors; attacks that know no codewords aim with them.
        """
        word, bits = self.codebook[self.check_target(target)], torch.arange(self.n, device="cpu")
        return _ThresholdConstraints(word.float(), torch.zeros(self.n, device="cpu"), bits, self.n, kappa)

    def margins(self, z: Tensor, target: Target) -> Tensor:
        t, scores = self.check_target(target), self.scores(z)
        return scores[..., int(t), None] - scores[..., _others(t, self.classes).to(z.device)]

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

    name = "multi-label"

    def __init__(self, thresholds: Sequence[float] | Tensor | int) -> None:
        """``thresholds``: (n,) in logit units, or just the number n of labels for thresholds of zero."""
        tau = torch.as_tensor([0.0] * thresholds if isinstance(thresholds, int) else thresholds, device="cpu")
        if tau.ndim != 1 or len(tau) == 0 or not bool(tau.isfinite().all()):
            raise ValueError(f"expected n >= 1 finite thresholds, got {thresholds!r}")
        self.thresholds = tau.float()
        self.n = len(tau)

    def check_target(self, target: Target) -> Tensor:
        t = _as_tensor(target)
        if t.shape != (self.n,) or not bool(((t == 0) | (t == 1) | (t == FREE)).all()) or bool((t == FREE).all()):
            expected = f"{self.n} target labels, each present (1), absent (0) or free (-1), and not all of them free"
            raise ValueError(f"expected {expected}, got {target!r}")
        return t.to(torch.int8).cpu()

    def decode(self, z: Tensor) -> Tensor:
        return z > self.thresholds.to(z)

    def meets(self, z: Tensor, target: Target) -> bool:
        return reads(self.decode(z).cpu(), self.check_target(target))

    def constraints(self, target: Target, kappa: float = 0.0) -> Constraints:
        wanted = self.check_target(target)
        labels = torch.nonzero(wanted != FREE)[:, 0]
        return _ThresholdConstraints(wanted[labels] * 2.0 - 1, self.thresholds[labels], labels, self.n, kappa)

    def margins(self, z: Tensor, target: Target) -> Tensor:
        return self.constraints(target).values(z)

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
