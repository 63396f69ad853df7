"""What logits say, in names and numbers. Needs no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jma_core.records import FREE
from models.cards import Kind, ModelSpec
from ui.request import Target

Floats = NDArray[np.floating]


def confidences(spec: ModelSpec, logits: Floats) -> Floats:
    """How sure the model is of each class or label, in [0, 1].

    One-hot: softmax, eq. (1) of the paper. ECOC: positive correlations with the codewords over their sum, eq. (2).
    Multi-label: logistic function of the distance to the threshold; above one half means present.
    """
    match spec.encoding:
        case Kind.ONE_HOT:
            weights = np.exp(logits - logits.max())
            return weights / weights.sum()
        case Kind.ECOC:
            weights = np.maximum(np.tanh(logits) @ spec.codebook.T, 0)
            return weights / max(weights.sum(), np.finfo(np.float64).tiny)
        case Kind.MULTI_LABEL:
            return 1 / (1 + np.exp(spec.thresholds - logits))


def present(decoded: NDArray[Any]) -> list[int]:
    """Indices of the classes or labels that a decoder's answer names."""
    return np.flatnonzero(decoded == 1).tolist() if decoded.ndim else [int(decoded)]


def listed(texts: list[str], most: int = 12) -> str:
    """The first of some names, and how many more there are."""
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")


def names(spec: ModelSpec, decoded: NDArray[Any]) -> str:
    """A decoder's answer in words."""
    return ", ".join(spec.labels[i] for i in present(decoded)) or "none of its labels"


def wishes(spec: ModelSpec, target: Target) -> NDArray[np.int64]:
    """For each class or label whether it is wanted: 1 present, 0 absent, -1 either."""
    if isinstance(target, tuple):
        return np.array(target, dtype=np.int64)
    return np.eye(len(spec.labels), dtype=np.int64)[target]


def wish(spec: ModelSpec, target: Target) -> str:
    """A target in words."""
    asked = np.array(target)
    if not (asked == FREE).any():
        return names(spec, asked)
    parts = [names(spec, asked)] if present(asked) else []
    if unwanted := present(asked == 0):
        parts.append("not " + ", not ".join(spec.labels[i] for i in unwanted))
    return ", ".join(parts) + " (other labels float)"


def as_target(decoded: NDArray[Any]) -> Target:
    """A decoder's answer in the form of a target."""
    return tuple(decoded.tolist()) if decoded.ndim else int(decoded)


def preset_target(spec: ModelSpec, logits: Floats, decoded: NDArray[Any]) -> Target:
    """A target to begin with: for one class, the next best; for labels, the strongest swapped for the next best."""
    sure = confidences(spec, logits)
    if spec.encoding is not Kind.MULTI_LABEL:
        return next(i for i in np.argsort(-sure, kind="stable").tolist() if i != int(decoded))
    wanted = decoded.copy()
    wanted[np.where(decoded, -1, sure).argmax()] = True
    if decoded.any():
        wanted[np.where(decoded, sure, -1).argmax()] = False
    return tuple(wanted.tolist())


def logit_names(spec: ModelSpec) -> list[str]:
    """What each of the n logits is about: a class or a label, or a bit of the codeword."""
    return [f"bit {i}" for i in range(1, spec.outputs + 1)] if spec.encoding is Kind.ECOC else list(spec.labels)


def constraint_names(spec: ModelSpec, target: Target) -> list[str]:
    """What each of the p constraints of a target is about: a label, or the class that the target must beat."""
    if spec.encoding is Kind.MULTI_LABEL:
        assert isinstance(target, tuple)
        return [name for name, wanted in zip(spec.labels, target, strict=True) if wanted != FREE]
    return [f"against {name}" for i, name in enumerate(spec.labels) if i != target]


def margins(spec: ModelSpec, target: Target, logits: Floats) -> Floats:
    """(p,) A z - h of a target's constraints without a margin, in logits: >= 0 where logits (n,) satisfy them."""
    asked = np.array(target)
    if spec.encoding is Kind.MULTI_LABEL:
        wanted = asked[asked != FREE] * 2 - 1
        return wanted * (logits - spec.thresholds)[asked != FREE]
    scores = logits if spec.codebook is None else spec.codebook @ logits
    return np.delete(scores[asked] - scores, asked)
