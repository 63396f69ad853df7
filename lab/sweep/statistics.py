"""What a reviewer asks of a comparison (DESIGN: same cases for all, failures at an infinite distance). Needs no torch.

Distances are (attacks, cases) or (cases,), of the nearest picture that reads as wanted; inf where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
RESAMPLES = 2000
TIE = 1e-3
"""Distances that are as near to each other as this, over the larger one, are a tie."""


def optimality(distances: ArrayLike) -> Floats:
    """(attacks,) AttackBench's optimality: how near each comes to the best of all, 1 for who is that everywhere.

    Of the curve of the share not yet at the target against distance it is the area above, up to where the curve of the
    best ends, over the same area of the best. Cases that no attack reaches are left out; nan where none is left, or
    where all best distances are equal, so that there is no area. Source: Cinà et al. 2025, AttackBench.
    """
    d = np.asarray(distances, np.float64)
    best = d.min(axis=0)
    reached = np.isfinite(best)
    d, best = d[:, reached], best[reached]
    end = best.max(initial=0.0)
    area = (end - best).sum()
    if area <= 0:
        return np.full(len(d), np.nan)
    return np.asarray(np.maximum(end - d, 0).sum(axis=1) / area)


def share_interval(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of which ``hits`` of ``n`` are known; nan where n is 0. Source: Wilson 1927."""
    if not n:
        return np.nan, np.nan
    interval = stats.binomtest(hits, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def success_curve(distances: ArrayLike) -> Floats:
    """(k, 2) a distance, and the share of cases that are reached within it: a step at every distance that occurs."""
    d = np.sort(np.asarray(distances, np.float64))
    places, counts = np.unique(d[np.isfinite(d)], return_counts=True)
    return np.column_stack([places, counts.cumsum() / max(1, len(d))])


def within(spent: Sequence[ArrayLike], l2: Sequence[ArrayLike], budgets: ArrayLike) -> Floats:
    """(cases, budgets) the distance of the nearest hit for so many passes: of each case the hits, by passes and L2."""
    asked = np.asarray(budgets)
    rows = [
        np.min(np.where(np.asarray(s)[:, None] <= asked, np.asarray(d, np.float64)[:, None], np.inf), 0, initial=np.inf)
        for s, d in zip(spent, l2, strict=True)
    ]
    return np.array(rows).reshape(len(rows), asked.size)


def budget_curve(spent: Sequence[ArrayLike], l2: Sequence[ArrayLike], budgets: ArrayLike) -> Floats:
    """(budgets,) the median of these distances over the cases: inf while half of them are not reached."""
    return np.asarray(np.median(within(spent, l2, budgets), axis=0))


@dataclass(frozen=True)
class Paired:
    """One attack against another, on the same cases."""

    wins: int
    """Cases where the first is nearer."""
    ties: int
    """Cases where both are as near, or both fail."""
    losses: int
    ratio: float
    """Geometric mean of the first's distance over the second's, where both reach the target; nan if nowhere."""
    low: float
    high: float
    """Its 95 % interval, by the bootstrap over these cases."""
    p: float
    """Of Wilcoxon's signed-rank test on the logarithms, failures being farther than all else; nan without a pair."""


def paired(first: ArrayLike, second: ArrayLike, *, seed: int = 0) -> Paired:
    """Compare (cases,) distances above 0. Raises ValueError unless there are as many of both."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"expected distances of the same cases, got {a.shape} and {b.shape}")
    with np.errstate(invalid="ignore"):
        tie = (a == b) | (np.abs(a - b) <= TIE * np.maximum(a, b)) & np.isfinite(a) & np.isfinite(b)
        logs = np.where(a == b, 0.0, np.log(a) - np.log(b))
    both = np.log(a[np.isfinite(a) & np.isfinite(b)]) - np.log(b[np.isfinite(a) & np.isfinite(b)])
    low, high = bootstrap(both, seed=seed)
    wins = int((~tie & (a < b)).sum())
    return Paired(
        wins=wins,
        ties=int(tie.sum()),
        losses=len(a) - wins - int(tie.sum()),
        ratio=float(np.exp(both.mean())) if len(both) else np.nan,
        low=float(np.exp(low)),
        high=float(np.exp(high)),
        p=signed_rank(logs),
    )


def bootstrap(values: Floats, *, seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of the mean; nan where there are fewer than two values."""
    if len(values) < 2:
        return np.nan, np.nan
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def signed_rank(differences: Floats) -> float:
    """Wilcoxon's p, two-sided; infinite differences rank as the largest. nan where all are zero."""
    if not np.any(differences):
        return np.nan
    finite = np.abs(differences[np.isfinite(differences)]).max(initial=0.0)
    ranked = np.clip(differences, -finite - 1, finite + 1)
    return float(stats.wilcoxon(ranked).pvalue)
