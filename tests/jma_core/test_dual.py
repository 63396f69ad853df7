from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from jma_core.dual import InfeasibleError, Solver, certify, coordinatewise, daqp, nnls, solve_dual

Floats = NDArray[np.float64]
System = tuple[Floats, Floats]

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")  # numpy's word for a nan in the making

SOLVERS = [coordinatewise, nnls, daqp]
KINDS = ["random", "duplicate rows", "low rank", "zero rows", "badly scaled", "ill-conditioned", "degenerate vertex"]

each_solver = pytest.mark.parametrize("solver", SOLVERS)
each_kind = pytest.mark.parametrize("kind", KINDS)
seeds = st.integers(0, 2**32)


def feasible_system(kind: str, p: int, m: int, seed: int) -> System:
    """B and r such that a ball of perturbations around some delta_0 satisfies B delta >= r: well posed."""
    rng = np.random.default_rng(seed)
    b = rng.standard_normal((p, m))
    if kind == "low rank":
        rank = rng.integers(1, min(p, m) + 1)
        b = rng.standard_normal((p, rank)) @ rng.standard_normal((rank, m))
    if kind == "zero rows":
        b[rng.random(p) < 0.5] = 0
    if kind == "badly scaled":
        b *= 10 ** rng.uniform(-6, 6, (p, 1))
    if kind == "ill-conditioned":
        u, _, v = np.linalg.svd(b, full_matrices=False)
        b = u * np.geomspace(1, 1e-3, len(v)) @ v
    delta_0 = rng.standard_normal(m) * 10 ** rng.uniform(-3, 3)
    delta_0 *= np.sign((b @ delta_0)[np.abs(b @ delta_0).argmax()])
    room = 0.02 + 0.3 * rng.exponential(1, p) * (rng.random(p) < 0.5)
    r = b @ delta_0 - np.linalg.norm(b, axis=1) * np.linalg.norm(delta_0) * room - (kind == "zero rows") * 0.5
    if kind == "duplicate rows":
        twice = rng.integers(0, p, p)
        b, r = np.vstack([b, b[twice]]), np.concatenate([r, r[twice]])
    if kind == "degenerate vertex":  # more constraints meet at a vertex than it takes to pin it
        b, r = np.vstack([b, b.sum(0), b[0] + b[-1]]), np.concatenate([r, [r.sum(), r[0] + r[-1]]])
    return b, r


def infeasible_system(p: int, m: int, seed: int) -> System:
    """B and r with a proof y >= 0, B' y = 0, y' r > 0 that nothing satisfies B delta >= r (Farkas)."""
    rng = np.random.default_rng(seed)
    b, r, y = rng.standard_normal((p, m)), rng.standard_normal(p), rng.uniform(0.1, 1, p)
    size = np.linalg.norm(y @ b)
    return np.vstack([b, -y @ b / size]), np.append(r, (rng.uniform(0.1, 2) - y @ r) / size)


@each_kind
@settings(max_examples=50)
@given(p=st.integers(1, 4), m=st.integers(1, 7), seed=seeds)
def test_every_solver_finds_the_shortest_perturbation(
    shortest_by_enumeration: Callable[..., Floats], kind: str, p: int, m: int, seed: int
) -> None:
    """Condition numbers up to 1e3, squared by the Gram matrix, cost 1e6 eps = 2e-10; 1e-8 leaves room for chance."""
    b, r = feasible_system(kind, p, m, seed)
    expected = shortest_by_enumeration(b, r)
    for solver in SOLVERS:
        delta = b.T @ solve_dual(b @ b.T, r, solver)
        np.testing.assert_allclose(delta, expected, rtol=0, atol=1e-8 * np.linalg.norm(expected), err_msg=str(solver))


@each_kind
@settings(max_examples=50)
@given(p=st.integers(2, 20), m=st.integers(1, 30), seed=seeds)
def test_the_solvers_agree_with_each_other(kind: str, p: int, m: int, seed: int) -> None:
    b, r = feasible_system(kind, p, m, seed)
    gram = b @ b.T
    answers = [solve_dual(gram, r, solver) for solver in SOLVERS]
    objectives = [0.5 * x @ gram @ x - r @ x for x in answers]
    length = np.linalg.norm(b.T @ answers[0])
    for multipliers, objective in zip(answers[1:], objectives[1:], strict=True):
        np.testing.assert_allclose(b.T @ (multipliers - answers[0]), 0, rtol=0, atol=1e-8 * length)
        np.testing.assert_allclose(objective, objectives[0], rtol=1e-8)


@each_solver
@each_kind
@settings(max_examples=30)
@given(p=st.integers(1, 15), m=st.integers(1, 20), seed=seeds)
def test_multipliers_are_never_negative_and_their_certificate_holds(
    solver: Solver, kind: str, p: int, m: int, seed: int
) -> None:
    b, r = feasible_system(kind, p, m, seed)
    multipliers = solve_dual(b @ b.T, r, solver)
    delta = b.T @ multipliers
    norms = np.linalg.norm(b, axis=1)
    norms[norms == 0] = 1  # unit rows, since rows of 1e6 and of 1e-6 have no common scale to be judged by
    assert (multipliers >= 0).all()
    assert certify((b @ delta - r) / norms, r / norms, multipliers * norms, delta @ delta).holds(1e-7)


@each_solver
@given(p=st.integers(1, 12), m=st.integers(1, 20), seed=seeds)
def test_every_solver_recognises_an_infeasible_system(solver: Solver, p: int, m: int, seed: int) -> None:
    b, r = infeasible_system(p, m, seed)
    with pytest.raises(InfeasibleError):
        solve_dual(b @ b.T, r, solver)


@each_solver
@pytest.mark.parametrize(
    ("rows", "r"),
    [
        ([[1], [-1]], [1, -0.5]),  # delta >= 1 and delta <= 0.5
        ([[1], [-2]], [1, -1.5]),  # delta >= 1 and delta <= 0.75
        ([[1, 0], [-1, 0]], [1, 1]),
        ([[1, 0], [0, 1], [-1, -1]], [1, 1, -1]),  # x >= 1, y >= 1, x + y <= 1
        ([[1, 0], [-1, 0], [0, 1]], [1, 1, 100]),
        ([[0, 0], [1, 1]], [1, 1]),  # a zero row that must change
    ],
    ids=str,
)
def test_every_solver_recognises_a_plain_contradiction(solver: Solver, rows: list[Any], r: list[float]) -> None:
    b = np.array(rows, dtype=float)
    with pytest.raises(InfeasibleError):
        solve_dual(b @ b.T, np.array(r, dtype=float), solver)


@each_solver
@given(row=st.lists(st.floats(0.1, 10), min_size=1, max_size=5), r=st.floats(0.001, 1000))
def test_one_constraint_has_the_closed_form_solution(solver: Solver, row: list[float], r: float) -> None:
    b = np.array(row)
    multiplier = solve_dual(np.array([[b @ b]]), np.array([r]), solver)
    np.testing.assert_allclose(multiplier, r / (b @ b), rtol=1e-14)


@each_solver
def test_a_small_requirement_is_met_beside_a_large_one(solver: Solver) -> None:
    np.testing.assert_allclose(solve_dual(np.eye(3), np.array([1.0, 1e-6, 1e-9]), solver), [1, 1e-6, 1e-9], rtol=1e-9)


@each_solver
def test_nothing_required_means_no_multipliers(solver: Solver) -> None:
    np.testing.assert_array_equal(solve_dual(np.eye(3), np.array([-1.0, 0.0, -2.0]), solver), 0)


@each_solver
def test_no_constraints_mean_no_multipliers(solver: Solver) -> None:
    assert solve_dual(np.empty((0, 0)), np.empty(0), solver).shape == (0,)


@each_solver
def test_a_zero_row_that_is_satisfied_is_left_alone(solver: Solver) -> None:
    multipliers = solve_dual(np.diag([4.0, 0.0]), np.array([2.0, -1.0]), solver)
    np.testing.assert_allclose(multipliers, [0.5, 0])


@each_solver
def test_a_zero_row_that_rounding_has_made_negative_is_left_alone(solver: Solver) -> None:
    """||w_t||^2 - 2 w_t . w_i + ||w_i||^2 of two equal rows, as the full Jacobian makes it."""
    np.testing.assert_allclose(solve_dual(np.diag([4.0, -1e-16]), np.array([2.0, -1.0]), solver), [0.5, 0])


@pytest.mark.parametrize("solver", [coordinatewise, nnls, None], ids=["coordinatewise", "nnls", "the default, daqp"])
def test_999_constraints_are_solved(
    shortest_by_quadratic_program: Callable[..., Floats], solver: Solver | None
) -> None:
    """One-hot on 1000 classes: the rows share the target's gradient."""
    rng = np.random.default_rng(0)
    jacobian = rng.standard_normal((1000, 12))
    b = jacobian[:1] - jacobian[1:]
    r = b @ rng.standard_normal(12) - 0.5
    expected = shortest_by_quadratic_program(b, r)
    delta = b.T @ solve_dual(b @ b.T, r, solver)
    np.testing.assert_allclose(delta, expected, rtol=0, atol=1e-8 * np.linalg.norm(expected))


@pytest.mark.parametrize(
    ("gram", "r"),
    [
        (np.eye(2), np.ones(3)),
        (np.ones((2, 3)), np.ones(2)),
        (np.full((2, 2), np.nan), np.ones(2)),
        (np.eye(2), np.array([1, np.inf])),
    ],
)
def test_a_malformed_dual_is_refused(gram: Floats, r: Floats) -> None:
    with pytest.raises(ValueError, match="expected finite gram"):
        solve_dual(gram, r)


# Certificates. Two orthogonal active constraints, one inactive: delta* = (1, 2), lambda* = (1, 2, 0).

B = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
R = np.array([1.0, 2.0, -5.0])
RIGHT = np.array([1.0, 2.0, 0.0])


def holds(multipliers: Floats, b: Floats = B, r: Floats = R) -> bool:
    delta = b.T @ multipliers
    return certify(b @ delta - r, r, multipliers, float(delta @ delta)).holds()


def test_the_certificate_of_the_right_answer_holds() -> None:
    delta = B.T @ RIGHT
    certificate = certify(B @ delta - R, R, RIGHT, delta @ delta)
    assert certificate.holds(0.0)
    assert (certificate.covered, certificate.total) == (3, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        [1.1, 2, 0],
        [1, 1.9, 0],
        [1, 2, 0.1],
        [1, 2, -0.1],  # a negative multiplier
        [1.01, 2.02, 0],  # 1 % too long
        [0.99, 1.98, 0],
        [0, 2, 0],  # an active constraint dropped
        [1, 0, 0],
        [0, 0, 0],
    ],
    ids=str,
)
def test_the_certificate_of_a_wrong_answer_does_not_hold(wrong: list[float]) -> None:
    assert not holds(np.array(wrong))


def test_each_residual_measures_what_it_says() -> None:
    slack, multipliers = np.array([0.5, -3.0]), np.array([4.0, -1.0])
    certificate = certify(slack, np.array([6.0, 2.0]), multipliers, 44.0)
    assert certificate.primal == 3 / 6
    assert certificate.dual == 1 / 4
    assert certificate.gap == (44 - 22) / 44
    assert certificate.complementarity == 3 / 44


@given(p=st.integers(1, 12), extra=st.integers(0, 20), seed=seeds, data=st.data())
def test_certificates_tell_right_multipliers_from_wrong_ones(
    p: int, extra: int, seed: int, data: st.DataObject
) -> None:
    """Linearly independent rows, all active with multipliers of order one, so the multipliers are unique."""
    rng = np.random.default_rng(seed)
    b, right = rng.standard_normal((p, p + extra)), rng.uniform(0.5, 2, p)
    r = b @ b.T @ right
    k = data.draw(st.integers(0, p - 1))
    for wrong in [right * 1.01, right * 0.99, np.where(np.arange(p) == k, 0, right)]:
        assert not holds(wrong, b, r)
    negative = right.copy()
    negative[k] = -0.01
    assert not holds(negative, b, r)
    assert holds(right, b, r)


def test_constraints_that_were_not_measured_are_not_covered() -> None:
    certificate = certify(np.array([0.0, np.nan, 4.0]), R, RIGHT, 5.0)
    assert (certificate.covered, certificate.total) == (2, 3)
    assert not certificate.holds()
    assert max(certificate.primal, certificate.dual, certificate.gap, certificate.complementarity) == 0


@pytest.mark.parametrize("no_number", [np.nan, np.inf])
def test_multipliers_that_are_no_numbers_have_no_certificate(no_number: float) -> None:
    delta = B.T @ RIGHT
    multipliers = np.array([no_number, 2.0, 0.0])
    with np.errstate(invalid="ignore"):
        assert not certify(B @ delta - R, R, multipliers, delta @ delta).holds()
    assert not certify(B @ delta - R, R, RIGHT, no_number).holds()


def test_standing_still_has_no_certificate_while_something_must_move() -> None:
    """Near the target r is 0.001 for one constraint and -50 for another; the large one must not hide the violation."""
    r = np.array([1e-3, -50.0])
    assert not certify(-r, r, np.zeros(2), 0.0).holds()


def test_the_tolerance_of_a_certificate_is_its_own() -> None:
    certificate = certify(np.array([-1e-5, 0.0, 8.0]), R, RIGHT, 5.0)
    assert certificate.holds(1e-4)
    assert not certificate.holds(1e-7)
