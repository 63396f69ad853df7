"""The least largest change, against HiGHS with one unknown a pixel."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from jma_core.chebyshev import lower_bound, solve_linf
from jma_core.dual import InfeasibleError

Floats = NDArray[np.float64]


def problem(seed: int, boxed: bool, tight: float, binary: bool) -> tuple[Floats, Floats, Floats, Floats]:
    """Rows, r and bounds; pixels often start on a bound, and rows are sometimes parallel."""
    rng = np.random.default_rng(seed)
    k, m = int(rng.integers(1, 9)), int(rng.integers(1, 40))
    rows = rng.normal(size=(k, m))
    if k > 1 and seed % 3 == 0:
        rows[-1] = rows[0] * rng.uniform(0.5, 2)
    x = rng.choice([0.0, 1.0] if binary else [0.0, 1.0, rng.uniform()], size=m)
    r = rows @ np.clip(0.5 * rng.normal(size=m), -x, 1 - x) + tight * rng.uniform(-1, 1, size=k)
    far = np.full(m, np.inf)
    return (rows, r, -x, 1 - x) if boxed else (rows, r, -far, far)


def by_highs(rows: Floats, r: Floats, lower: Floats, upper: Floats) -> float | None:
    k, m = rows.shape
    eye, one = np.eye(m), np.ones((m, 1))
    a = np.block([[-rows, np.zeros((k, 1))], [eye, -one], [-eye, -one]])
    bounds = [*zip(lower, upper, strict=True), (0, None)]
    found = scipy.optimize.linprog(np.append(np.zeros(m), 1), a, np.append(-r, np.zeros(2 * m)), bounds=bounds)
    return None if found.status == 2 else float(found.fun)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.booleans(), st.sampled_from([0.0, 0.3, 2.0]), st.booleans())
def test_the_largest_change_is_the_optimum_of_the_linear_program(
    seed: int, boxed: bool, tight: float, binary: bool
) -> None:
    given_problem = rows, r, lower, upper = problem(seed, boxed, tight, binary)
    expected = by_highs(*given_problem)
    if expected is None:
        with pytest.raises(InfeasibleError):
            solve_linf(*given_problem)
        return
    multipliers, delta = solve_linf(*given_problem)
    assert (multipliers >= 0).all()
    assert (rows @ delta >= r - 1e-6).all()
    assert (delta >= lower).all()
    assert (delta <= upper).all()
    assert np.abs(delta).max() == pytest.approx(expected, rel=1e-6, abs=1e-7)
    assert lower_bound(*given_problem, multipliers) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_without_a_box_it_is_what_the_multipliers_ask_for() -> None:
    rng = np.random.default_rng(0)
    rows, r, far = rng.normal(size=(5, 3000)), rng.uniform(1, 2, size=5), np.full(3000, np.inf)
    multipliers, delta = solve_linf(rows, r, -far, far)
    assert np.abs(delta).max() == pytest.approx(multipliers @ r, rel=1e-6)


@pytest.mark.parametrize(
    ("rows", "r"),
    [([[1.0, 1.0]], [2.1]), ([[1.0, 0.0], [-1.0, 0.0]], [0.5, 0.5]), ([[0.0, 0.0]], [0.1])],
    ids=["out of range", "contradiction", "no gradient"],
)
def test_what_the_box_does_not_allow_is_infeasible(rows: list[list[float]], r: list[float]) -> None:
    with pytest.raises(InfeasibleError):
        solve_linf(np.array(rows), np.array(r), -np.ones(2), np.ones(2))
