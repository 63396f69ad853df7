"""The first step on a linear network, against the same quadratic program solved in pixel space by other means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from jma_core import ECOC, Linearisation, MultiLabel, Network, OneHot, Solution, TopK, hadamard_codebook
from jma_core.encodings import Constraints
from jma_core.records import Halt, StopReason

Floats = NDArray[np.float64]

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")  # numpy's word for a nan in the making

SHAPE = (3, 4, 5)
PIXELS = 60
LEVELS = ["full", "lazy"]

each_level = pytest.mark.parametrize("level", LEVELS)
each_encoding = pytest.mark.parametrize("name", ["one-hot", "order", "set", "ecoc", "multi-label"])


def solve(local: Linearisation, level: str) -> Solution:
    return local.solve_full() if level == "full" else local.solve_lazy()


class Problem:
    """A linear network, an image, a target that some other image has, and B and r written out by hand."""

    def __init__(self, written_out: Callable[..., Any], linear_network: Callable[..., Any], name: str, **made: Any):
        n, seed, rows = made["n"], made["seed"], made.get("rows", "independent")
        rng = np.random.default_rng(seed)
        bits = 2 ** int(np.ceil(np.log2(max(n, 2))))
        logits = bits if name == "ecoc" else n
        w, b = rng.standard_normal((logits, PIXELS)), rng.standard_normal(logits)
        if rows == "duplicate":
            w = w[rng.integers(0, logits, logits)]
        if rows == "low rank":
            rank = rng.integers(1, logits + 1)
            w = rng.standard_normal((logits, rank)) @ rng.standard_normal((rank, PIXELS)) / rank**0.5
        x, elsewhere = rng.random(PIXELS), rng.random(PIXELS)
        z, wanted = w @ x + b, w @ elsewhere + b
        self.target: Any
        if name == "multi-label":
            tau = rng.standard_normal(n).astype(np.float32)
            self.encoding: Any = MultiLabel(tau.tolist())
            self.target = [bool(present) for present in wanted > tau]
            if rows == "some zero":  # labels that no pixel moves, and that are right already
                stuck = rng.random(n) < 0.5
                w[stuck] = 0
                b[stuck] = np.where(self.target, tau + 0.5, tau - 0.5)[stuck]
                z = w @ x + b
        elif name in ("order", "set"):
            ranked = np.argsort(-wanted)[: (n + 1) // 2].tolist()
            self.encoding = TopK(n, len(ranked), ordered=name == "order")
            self.target = ranked if name == "order" else set(ranked)
        else:
            codes = hadamard_codebook(max(n, 2), bits) if name == "ecoc" else np.eye(n)
            self.encoding = ECOC(codes) if name == "ecoc" else OneHot(n)
            self.target = int(np.argmax(codes @ wanted))
        self.network = Network(linear_network(w, b))
        self.image = torch.tensor(x.reshape(SHAPE))
        self.goal: Constraints = self.encoding.constraints(self.target)
        a, h = written_out(self.encoding, self.target)
        self.w, self.bias, self.z, self.b, self.r = w, b, z, a @ w, h - a @ z

    def solve(self, level: str) -> Solution:
        return solve(Linearisation(self.network, self.image, self.goal), level)


@pytest.fixture(scope="module")
def problem(written_out: Callable[..., Any], linear_network: Callable[..., Any]) -> Callable[..., Problem]:
    return lambda name, **made: Problem(written_out, linear_network, name, **made)


def assert_close(delta: Tensor, expected: Floats, relative: float = 1e-6) -> None:
    assert delta.shape == SHAPE
    atol = relative * np.linalg.norm(expected)
    np.testing.assert_allclose(delta.numpy().ravel(), expected, rtol=0, atol=max(atol, 1e-300))


@each_level
@each_encoding
@pytest.mark.parametrize("rows", ["independent", "duplicate", "low rank", "some zero"])
@settings(max_examples=25)
@given(n=st.integers(2, 24), seed=st.integers(0, 2**32))
def test_the_first_step_is_the_optimum_in_pixel_space(
    problem: Callable[..., Problem],
    shortest_by_quadratic_program: Callable[..., Floats],
    rows: str,
    name: str,
    level: str,
    n: int,
    seed: int,
) -> None:
    case = problem(name, n=n, seed=seed, rows=rows)
    solution = case.solve(level)
    assert_close(solution.delta, shortest_by_quadratic_program(case.b, case.r))
    assert solution.certificate.holds(1e-8)


@each_level
@each_encoding
@settings(max_examples=25)
@given(n=st.integers(2, 4), seed=st.integers(0, 2**32))
def test_the_first_step_is_the_best_of_all_active_sets(
    problem: Callable[..., Problem],
    shortest_by_enumeration: Callable[..., Floats],
    name: str,
    level: str,
    n: int,
    seed: int,
) -> None:
    case = problem(name, n=n, seed=seed)
    assert_close(case.solve(level).delta, shortest_by_enumeration(case.b, case.r), relative=1e-10)


@each_level
@each_encoding
@pytest.mark.parametrize("seed", range(3))
def test_the_first_step_is_what_a_general_optimiser_finds(
    problem: Callable[..., Problem], name: str, level: str, seed: int
) -> None:
    case = problem(name, n=8, seed=seed)
    found = minimize(
        lambda d: 0.5 * d @ d,
        np.zeros(PIXELS),
        jac=lambda d: d,
        constraints={"type": "ineq", "fun": lambda d: case.b @ d - case.r, "jac": lambda d: case.b},
        method="SLSQP",
        options={"ftol": 1e-16, "maxiter": 500},
    )
    assert_close(case.solve(level).delta, found.x)


@each_level
@given(seed=st.integers(0, 2**32))
def test_one_violated_constraint_has_the_closed_form_step(
    linear_network: Callable[..., Any], level: str, seed: int
) -> None:
    """r_i b_i / ||b_i||^2, from two classes: b = w_1 - w_0, r = z_0 - z_1."""
    rng = np.random.default_rng(seed)
    w, x = rng.standard_normal((2, PIXELS)), rng.random(PIXELS)
    t = int(np.argmin(w @ x))
    row, r = w[t] - w[1 - t], w[1 - t] @ x - w[t] @ x
    image = torch.tensor(x.reshape(SHAPE))
    local = Linearisation(Network(linear_network(w, [0.0, 0.0])), image, OneHot(2).constraints(t))
    solution = solve(local, level)
    assert_close(solution.delta, r * row / (row @ row), relative=1e-12)
    np.testing.assert_allclose(solution.multipliers, [r / (row @ row)], rtol=1e-12)
    np.testing.assert_allclose(solution.length, r / np.linalg.norm(row), rtol=1e-12)


@each_level
def test_an_image_of_many_pixels_has_the_closed_form_step(linear_network: Callable[..., Any], level: str) -> None:
    """40,000 pixels, more than J J' is made from at once. The labels look at different pixels: delta_i = r_i b_i."""
    w = np.zeros((2, 40_000))
    w[0, [0, 39_999]] = 0.6, 0.8
    w[1, 20_000] = 1.0
    image = torch.zeros(1, 200, 200, dtype=torch.float64)
    local = Linearisation(Network(linear_network(w, [-2.0, -3.0])), image, MultiLabel(2).constraints([1, 1]))
    np.testing.assert_allclose(solve(local, level).delta.numpy().ravel(), 2 * w[0] + 3 * w[1], rtol=1e-12)


@each_level
def test_a_margin_is_added_to_what_is_required(linear_network: Callable[..., Any], level: str) -> None:
    network = Network(linear_network(2 * np.eye(2, PIXELS), [0.0, 0.0]))
    image = torch.full(SHAPE, 0.25, dtype=torch.float64)  # z = (0.5, 0.5)
    solution = solve(Linearisation(network, image, MultiLabel(2).constraints([1, 0], kappa=3.0)), level)
    # label 0 must rise from 0.5 to 3, label 1 fall from 0.5 to -3, at two logits a unit of their own pixel
    np.testing.assert_allclose(solution.delta.numpy().ravel()[:3], [1.25, -1.75, 0.0], rtol=1e-12)


@each_level
@each_encoding
@pytest.mark.parametrize("seed", range(5))
def test_a_solution_says_what_it_is(problem: Callable[..., Problem], name: str, level: str, seed: int) -> None:
    case = problem(name, n=10, seed=seed)
    solution = case.solve(level)
    delta = solution.delta.numpy().ravel()
    np.testing.assert_allclose(case.b[solution.index].T @ solution.multipliers, delta, atol=1e-12)  # B' lambda
    np.testing.assert_allclose(case.w @ delta, solution.displacement, atol=1e-12)  # J delta
    np.testing.assert_allclose(np.linalg.norm(delta), solution.length, rtol=1e-12)
    np.testing.assert_allclose((case.b @ delta)[solution.index], case.r[solution.index], atol=1e-12)  # active
    assert (case.b @ delta >= case.r - 1e-12).all()
    assert (solution.multipliers > 0).all()
    assert (solution.certificate.covered, solution.certificate.total) == (len(case.r), len(case.r))


def test_the_jacobian_of_a_linear_network_is_its_matrix(problem: Callable[..., Problem]) -> None:
    case = problem("one-hot", n=7, seed=0)
    jacobian = Linearisation(case.network, case.image, case.goal).jacobian()
    np.testing.assert_array_equal(jacobian.numpy(), case.w)


@each_encoding
def test_what_is_required_is_h_minus_a_z(problem: Callable[..., Problem], name: str) -> None:
    case = problem(name, n=9, seed=0)
    np.testing.assert_allclose(Linearisation(case.network, case.image, case.goal).required, case.r, atol=1e-13)


@each_level
def test_an_image_inside_the_target_needs_no_step(problem: Callable[..., Problem], level: str) -> None:
    case = problem("one-hot", n=5, seed=0)
    case.goal = OneHot(5).constraints(int(case.z.argmax()))
    solution = case.solve(level)
    assert solution.length == 0
    assert len(solution.index) == 0
    assert not solution.delta.any()


# Rows that pull against each other: z = (s, -s), both labels wanted above 0.5.


@each_level
@pytest.mark.parametrize("tau", [0.5, 0.1, 1.0, 3.0])
def test_a_contradiction_is_infeasible(linear_network: Callable[..., Any], level: str, tau: float) -> None:
    row = np.linspace(-1, 1, PIXELS)
    network = Network(linear_network(np.array([row, -row]), np.zeros(2)))
    image = torch.full(SHAPE, 0.5, dtype=torch.float64)
    local = Linearisation(network, image, MultiLabel([tau, tau]).constraints([1, 1]))
    with pytest.raises(Halt) as halt:
        solve(local, level)
    assert halt.value.reason == StopReason.INFEASIBLE


@each_level
def test_opposite_rows_that_leave_a_gap_are_feasible(linear_network: Callable[..., Any], level: str) -> None:
    """z = (s, -s) with both labels wanted above -0.5: any s in [-0.5, 0.5]; s = 2 must fall to 0.5."""
    row = np.zeros(PIXELS)
    row[0] = 4.0
    network = Network(linear_network(np.array([row, -row]), np.zeros(2)))
    image = torch.full(SHAPE, 0.5, dtype=torch.float64)
    local = Linearisation(network, image, MultiLabel([-0.5, -0.5]).constraints([1, 1]))
    assert_close(solve(local, level).delta, np.eye(1, PIXELS).ravel() * -1.5 / 4, relative=1e-12)


@each_level
def test_a_zero_jacobian_has_a_zero_gradient(linear_network: Callable[..., Any], level: str) -> None:
    network = Network(linear_network(np.zeros((2, PIXELS)), [1.0, 0.0]))
    local = Linearisation(network, torch.full(SHAPE, 0.5, dtype=torch.float64), OneHot(2).constraints(1))
    with pytest.raises(Halt) as halt:
        solve(local, level)
    assert halt.value.reason == StopReason.ZERO_GRADIENT


@each_level
def test_one_dead_label_that_must_change_cannot_be_reached(linear_network: Callable[..., Any], level: str) -> None:
    w = np.zeros((2, PIXELS))
    w[0] = 1.0
    network = Network(linear_network(w, [-50.0, -1.0]))
    local = Linearisation(network, torch.full(SHAPE, 0.5, dtype=torch.float64), MultiLabel(2).constraints([1, 1]))
    with pytest.raises(Halt) as halt:
        solve(local, level)
    assert halt.value.reason in {StopReason.INFEASIBLE, StopReason.ZERO_GRADIENT}


# The lazy level


def test_1000_classes_need_a_tenth_of_the_gradients(
    problem: Callable[..., Problem], shortest_by_quadratic_program: Callable[..., Floats]
) -> None:
    case = problem("one-hot", n=1000, seed=0)
    full = case.solve("full")
    backward_full = case.network.backward
    lazy = case.solve("lazy")
    assert backward_full == 1000
    assert case.network.backward - backward_full <= 100
    assert_close(lazy.delta, full.delta.numpy().ravel(), relative=1e-9)
    assert_close(lazy.delta, shortest_by_quadratic_program(case.b, case.r), relative=1e-6)
    assert lazy.certificate.covered == 999
    assert lazy.certificate.holds(1e-8)


@given(seed=st.integers(0, 2**32), start=st.lists(st.integers(0, 18), max_size=10), grow=st.integers(1, 19))
def test_the_lazy_optimum_does_not_depend_on_where_it_starts(
    problem: Callable[..., Problem], seed: int, start: list[int], grow: int
) -> None:
    case = problem("one-hot", n=20, seed=seed)
    expected = case.solve("full").delta.numpy().ravel()
    lazy = Linearisation(case.network, case.image, case.goal).solve_lazy(start, grow)
    assert_close(lazy.delta, expected, relative=1e-9)


def test_starting_from_the_right_constraints_costs_their_rows_only(problem: Callable[..., Problem]) -> None:
    case = problem("one-hot", n=40, seed=1)
    found = case.solve("lazy").index
    before = case.network.backward
    again = Linearisation(case.network, case.image, case.goal).solve_lazy(found)
    worst_three = set(np.argsort(-case.r)[:3])
    assert case.network.backward - before == len(worst_three | set(found.tolist()))
    np.testing.assert_array_equal(again.index, found)


@each_encoding
@settings(max_examples=25)
@given(n=st.integers(2, 30), seed=st.integers(0, 2**32))
def test_float32_gives_the_same_optimum_to_its_own_precision(
    problem: Callable[..., Problem],
    linear_network: Callable[..., Any],
    shortest_by_quadratic_program: Callable[..., Floats],
    name: str,
    n: int,
    seed: int,
) -> None:
    """Logits that are sums of 60 terms of order one carry errors near 60 eps32 = 7e-6, and so do the constraints.

    Random rows, at most half as many as pixels, have a condition number below 20, which bounds what that does to the
    length of the step.
    """
    case = problem(name, n=n, seed=seed)
    expected = shortest_by_quadratic_program(case.b, case.r)
    network = Network(linear_network(torch.tensor(case.w).float(), torch.tensor(case.bias).float()))
    for level in LEVELS:
        solution = solve(Linearisation(network, case.image.float(), case.goal), level)
        assert solution.delta.dtype == torch.float32
        delta = solution.delta.double().numpy().ravel()
        assert (case.b @ delta - case.r).min() >= -1e-5 * max(1.0, np.abs(case.r).max())
        assert abs(solution.length - np.linalg.norm(expected)) <= 20 * 1e-5


# Devices that have no float64


class Float32Only(torch.Tensor):
    """A tensor that, like one on MPS, cannot become float64 before it has come to the CPU."""

    def double(self) -> Tensor:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")

    def cpu(self) -> Tensor:
        return self.as_subclass(torch.Tensor)


class NetworkWithoutFloat64:
    def differentiate(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        return torch.tensor([1.0, 0.0]).as_subclass(Float32Only), lambda cotangents: cotangents.float()

    def push(self, x: Tensor, delta: Tensor) -> Tensor:
        return delta.flatten().as_subclass(Float32Only)


@each_level
def test_nothing_becomes_float64_on_the_device(level: str) -> None:
    """f(x) = x on images of two pixels: z = (1, 0) must meet at 1/2."""
    local = Linearisation(NetworkWithoutFloat64(), torch.tensor([[[1.0, 0.0]]]), OneHot(2).constraints(1))  # type: ignore
    np.testing.assert_allclose(solve(local, level).delta.numpy().ravel(), [-0.5, 0.5], rtol=1e-6)


@pytest.mark.parametrize("error", [ArithmeticError("DAQP gave up"), RuntimeError("Maximum number of iterations")])
@each_level
def test_a_solver_that_gives_up_ends_the_attack_with_that_reason(
    monkeypatch: pytest.MonkeyPatch, problem: Callable[..., Problem], level: str, error: Exception
) -> None:
    def give_up(*_: Any) -> Any:
        raise error

    monkeypatch.setattr("jma_core.linearise.solve_dual", give_up)
    with pytest.raises(Halt) as halt:
        problem("one-hot", n=5, seed=0).solve(level)
    assert halt.value.reason == StopReason.UNSOLVED
    assert str(error) in halt.value.detail
