"""Statistics against hand-made cases, scipy and what must hold of all data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from lab.sweep.statistics import (
    bootstrap,
    budget_curve,
    optimality,
    paired,
    share_interval,
    signed_rank,
    success_curve,
    within,
)

INF, NAN = np.inf, np.nan
distances = arrays(
    np.float64, st.tuples(st.integers(1, 4), st.integers(1, 8)), elements=st.floats(0.1, 10) | st.just(INF)
)


def test_optimality_is_the_share_of_the_best_area() -> None:
    # The best is 1, 2, 3, so that the area ends at 3: 2 + 1 + 0. The second has 3 - 2 = 1 of it in the first case.
    assert optimality([[1, 2, 3], [2, 4, 3]]) == pytest.approx([1, 1 / 3])
    assert optimality([[1, INF, INF, 4], [3, INF, 2, INF]]) == pytest.approx([3 / 5, 3 / 5])


def test_optimality_says_nothing_where_there_is_no_area() -> None:
    assert np.isnan(optimality([[INF, INF], [INF, INF]])).all()
    assert np.isnan(optimality([[1.0, 1.0], [2.0, 1.0]])).all()
    assert np.isnan(optimality(np.empty((2, 0)))).all()


@given(distances)
def test_optimality_is_the_area_above_the_curve(d: np.ndarray) -> None:
    best = d.min(axis=0)
    kept = np.isfinite(best)
    end = best[kept].max(initial=0)
    grid = np.linspace(0, end, 20_001)
    areas = [np.trapezoid((row[kept][:, None] <= grid).mean(axis=0), grid) if kept.any() else 0 for row in (best, *d)]
    found = optimality(d)
    if areas[0] > 0.01:
        assert found == pytest.approx(np.array(areas[1:]) / areas[0], abs=0.02)
        assert (found <= 1 + 1e-12).all()
        assert optimality(np.vstack([d, best]))[-1] == pytest.approx(1)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_of_a_share_is_the_published_one(hits: int, n: int, low: float, high: float) -> None:
    # Newcombe 1998, Statistics in Medicine 17, Table I: the score method without continuity correction.
    assert share_interval(hits, n) == pytest.approx((low, high), abs=5e-5)
    assert share_interval(n - hits, n) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_of_nothing_no_share_is_known() -> None:
    assert np.isnan(share_interval(0, 0)).all()


def test_the_success_curve_steps_where_a_case_is_reached() -> None:
    assert success_curve([2, 1, INF, 2]).tolist() == [[1, 0.25], [2, 0.75]]
    assert success_curve([INF]).shape == (0, 2)


@given(distances)
def test_the_success_curve_is_scipys_distribution(d: np.ndarray) -> None:
    finite = d[0][np.isfinite(d[0])]
    curve = success_curve(d[0])
    if len(finite):
        expected = stats.ecdf(finite).cdf
        assert curve[:, 0] == pytest.approx(expected.quantiles)
        assert curve[:, 1] == pytest.approx(expected.probabilities * len(finite) / d.shape[1])


def test_distance_within_a_budget_is_that_of_the_nearest_hit_until_then() -> None:
    spent, l2 = [[10, 20], [15], []], [[3.0, 1.0], [2.0], []]
    assert within(spent, l2, [5, 10, 15, 30]).tolist() == [[INF, 3, 3, 1], [INF, INF, 2, 2], [INF] * 4]
    assert budget_curve(spent, l2, [5, 10, 15, 30]).tolist() == [INF, INF, 3, 2]
    assert within([], [], [1, 2]).shape == (0, 2)


def test_pairs_count_wins_ties_losses_and_failures() -> None:
    found = paired([1, 2, INF, INF, 3, 1], [2, 1, 1, INF, 3.0001, INF])
    assert (found.wins, found.ties, found.losses) == (2, 2, 2)
    assert found.ratio == pytest.approx((0.5 * 2 * 3 / 3.0001) ** (1 / 3))
    assert found.low <= found.ratio <= found.high


def test_pairs_need_the_same_cases() -> None:
    with pytest.raises(ValueError, match="the same cases"):
        paired([1], [1, 2])


def test_pairs_without_a_common_success_have_no_ratio() -> None:
    found = paired([INF, 1], [1, INF])
    assert np.isnan([found.ratio, found.low, found.high]).all()
    assert np.isnan(paired([], []).p)
    assert paired([], []).wins == 0


@settings(max_examples=25)  # of each three intervals of thousands of samples
@given(distances)
def test_an_attack_against_itself_ties_and_swapping_turns_all_round(d: np.ndarray) -> None:
    same, one, other = paired(d[0], d[0]), paired(d[0], d[-1]), paired(d[-1], d[0])
    assert (same.wins, same.ties, same.losses) == (0, d.shape[1], 0)
    assert (one.wins, one.ties, one.losses) == (other.losses, other.ties, other.wins)
    assert np.isnan(one.ratio * other.ratio) or one.ratio * other.ratio == pytest.approx(1)
    assert one.p == pytest.approx(other.p, nan_ok=True)


def test_the_interval_is_scipys() -> None:
    values = np.random.default_rng(1).normal(0.2, 1, 60)
    expected = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=1).confidence_interval
    width = expected.high - expected.low
    assert bootstrap(values) == pytest.approx((expected.low, expected.high), abs=0.05 * width)
    assert np.isnan(bootstrap(values[:1])).all()


def test_the_test_is_scipys_and_failures_are_the_largest_differences() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.lognormal(size=40), rng.lognormal(0.3, size=40)
    assert paired(a, b).p == pytest.approx(stats.wilcoxon(np.log(a), np.log(b)).pvalue)
    a[:3], b[3:5] = INF, INF
    ranked = np.where(np.isinf(a), 50, np.where(np.isinf(b), -50, np.log(a) - np.log(b)))
    assert paired(a, b).p == pytest.approx(stats.wilcoxon(ranked).pvalue)
    assert np.isnan(signed_rank(np.zeros(5)))
