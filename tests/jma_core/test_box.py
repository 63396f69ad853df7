"""Projections onto polytopes within a box, against DAQP, which takes bounds of its own."""

from __future__ import annotations

import daqp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from jma_core.box import solve_boxed
from jma_core.dual import InfeasibleError, solve_dual

Floats = NDArray[np.float64]


def problem(
    seed: int, centred: bool, tight: float, binary: bool = False
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Rows, r, bounds and centre; pixels often start on a bound, and rows are sometimes parallel."""
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, 9))
    m = int(rng.integers(k, 40))
    rows = rng.normal(size=(k, m))
    if k > 1 and seed % 3 == 0:
        rows[-1] = rows[0] * rng.uniform(0.5, 2)
    x = rng.choice([0.0, 1.0] if binary else [0.0, 1.0, rng.uniform()], size=m)
    r = rows @ np.clip(0.5 * rng.normal(size=m), -x, 1 - x) + tight * rng.uniform(-1, 1, size=k)
    return rows, r, -x, 1 - x, 0.2 * rng.normal(size=m) if centred else np.zeros(m)


def by_daqp(rows: Floats, r: Floats, lower: Floats, upper: Floats, centre: Floats) -> Floats | None:
    k, m = rows.shape
    above = np.concatenate([upper, np.full(k, 1e30)])
    below = np.concatenate([lower, r])
    answer = daqp.solve(np.eye(m), -centre, rows, above, below, np.zeros(m + k, dtype=np.int32), primal_tol=1e-11)
    return np.asarray(answer[0]) if answer[2] == 1 else None


@settings(max_examples=1000)
@given(st.integers(0, 2**32), st.booleans(), st.sampled_from([0.0, 0.3, 2.0]), st.booleans())
def test_the_projection_is_that_of_daqp(seed: int, centred: bool, tight: float, binary: bool) -> None:
    rows, r, lower, upper, centre = problem(seed, centred, tight, binary)
    expected = by_daqp(rows, r, lower, upper, centre)
    if expected is None:
        with pytest.raises(InfeasibleError):
            solve_boxed(rows, r, lower, upper, centre)
        return
    multipliers, delta = solve_boxed(rows, r, lower, upper, centre)
    np.testing.assert_allclose(delta, expected, atol=1e-7)
    assert (multipliers >= 0).all()
    np.testing.assert_allclose(delta, np.clip(centre + multipliers @ rows, lower, upper), atol=1e-12)


@pytest.mark.parametrize(
    ("seed", "centred", "tight", "binary"),
    [(16594, True, 2.0, False), (17340, True, 2.0, False), (91411, False, 0.0, True)],
    ids=["infeasible", "infeasible too", "degenerate"],
)
def test_problems_on_which_newton_alone_goes_in_circles(seed: int, centred: bool, tight: float, binary: bool) -> None:
    rows, r, lower, upper, centre = problem(seed, centred, tight, binary)
    expected = by_daqp(rows, r, lower, upper, centre)
    if expected is None:
        with pytest.raises(InfeasibleError, match="cannot all be met"):
            solve_boxed(rows, r, lower, upper, centre)
    else:
        np.testing.assert_allclose(solve_boxed(rows, r, lower, upper, centre)[1], expected, atol=1e-7)


@given(seed=st.integers(0, 2**32), margin=st.sampled_from([1.0, 1e-2, 1e-4, 1e-6]), centred=st.booleans())
def test_constraints_that_a_sum_of_them_contradicts_are_infeasible(seed: int, margin: float, centred: bool) -> None:
    """By construction: with weights w >= 0 no delta in the box has w' B delta >= w' r, if only by this margin."""
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 25))
    rows, lower, upper, centre = (problem(seed, centred, 0.0)[i] for i in (0, 2, 3, 4))
    rows = rng.normal(size=(k, rows.shape[1]))
    weights = rng.uniform(size=k) * (rng.uniform(size=k) < 0.5)
    weights[0] = 1.0
    summed = weights @ rows
    farthest = np.where(summed > 0, upper, lower)  # of all deltas, that with the largest w' B delta
    r = rows @ farthest + margin * rng.uniform(0.1, 1, size=k)
    with pytest.raises(InfeasibleError):
        solve_boxed(rows, r, lower, upper, centre)


@pytest.mark.slow
def test_forty_thousand_problems_end_as_daqp_says() -> None:
    rng = np.random.default_rng(0)
    for seed in range(40_000):
        rows, r, lower, upper, centre = problem(
            seed, bool(rng.integers(2)), float(rng.choice([0.0, 0.3, 2.0])), bool(rng.integers(2))
        )
        expected = by_daqp(rows, r, lower, upper, centre)
        try:
            delta = solve_boxed(rows, r, lower, upper, centre)[1]
        except InfeasibleError:
            assert expected is None, seed
        else:
            assert expected is not None, seed
            np.testing.assert_allclose(delta, expected, atol=1e-7, err_msg=str(seed))


@given(seed=st.integers(0, 2**32))
def test_in_a_wide_box_it_is_the_problem_without_one(seed: int) -> None:
    rows, r, *_ = problem(seed, centred=False, tight=0.3)
    far = np.full(rows.shape[1], 1e3)
    _, delta = solve_boxed(rows, r, -far, far)
    np.testing.assert_allclose(delta, rows.T @ solve_dual(rows @ rows.T, r), atol=1e-7)


def test_where_clipping_would_fall_short_the_other_pixels_make_up_for_it() -> None:
    """Two pixels, the first of which cannot go up: the second has to go all the way."""
    _, delta = solve_boxed(np.array([[1.0, 1.0]]), np.array([0.5]), np.array([-1.0, -0.5]), np.array([0.0, 0.5]))
    np.testing.assert_allclose(delta, [0.0, 0.5], atol=1e-9)


def test_constraints_that_hold_already_cost_nothing() -> None:
    multipliers, delta = solve_boxed(np.array([[1.0, 2.0]]), np.array([-1.0]), -np.ones(2), np.ones(2))
    assert not multipliers.any()
    assert not delta.any()


@pytest.mark.parametrize(
    ("rows", "r"),
    [([[1.0, 1.0]], [2.1]), ([[1.0, 0.0], [-1.0, 0.0]], [0.5, 0.5]), ([[0.0, 0.0]], [0.1])],
    ids=["out of range", "contradiction", "no gradient"],
)
def test_what_the_box_does_not_allow_is_infeasible(rows: list[list[float]], r: list[float]) -> None:
    with pytest.raises(InfeasibleError):
        solve_boxed(np.array(rows), np.array(r), -np.ones(2), np.ones(2))
