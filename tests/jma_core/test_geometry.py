"""The nearest and the cheapest point of the target region, on linear networks, by other means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from jma_core import ECOC, MultiLabel, Network, OneHot, TopK, hadamard_codebook
from jma_core.geometry import (
    EVERY,
    FEW,
    Geometry,
    Section,
    effort,
    geometry,
    land,
    section_of_logits,
    section_through_points,
    telling_logits,
)
from jma_core.records import Halt, StopReason

Floats = NDArray[np.float64]

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

SHAPE = (3, 2, 4)
PIXELS = 24
SEEDS = range(4)

each_case = pytest.mark.parametrize("name", ["one-hot", "order", "set", "ecoc", "multi-label"])
each_seed = pytest.mark.parametrize("seed", SEEDS)


class Case:
    """A linear network x -> W x + b whose gradients are long and correlated, and a target that it does not read."""

    def __init__(self, linear: Callable[..., Any], written_out: Callable[..., Any], name: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n = 8 if name == "ecoc" else 5
        self.w = rng.standard_normal((n, n)) @ np.diag(2.0 ** rng.uniform(-2, 2, n)) @ rng.standard_normal((n, PIXELS))
        self.x, b = rng.random(PIXELS), rng.standard_normal(n)
        self.z = self.w @ self.x + b
        self.target: Any
        if name == "multi-label":
            self.encoding: Any = MultiLabel(rng.standard_normal(n).astype(np.float32).tolist())
            self.target = [bool(t) for t in (self.z > self.encoding.thresholds.numpy()) ^ (np.arange(n) < 2)]
        elif name in ("order", "set"):
            last = np.argsort(self.z)[:2].tolist()
            self.encoding = TopK(n, 2, ordered=name == "order")
            self.target = last if name == "order" else set(last)
        else:
            codes = hadamard_codebook(6, n) if name == "ecoc" else np.eye(n)
            self.encoding = ECOC(codes) if name == "ecoc" else OneHot(n)
            self.target = int(np.argsort(codes @ self.z)[0])
        self.a, self.h = written_out(self.encoding, self.target)
        self.network = Network(linear(self.w, b))
        self.image = torch.tensor(self.x.reshape(SHAPE))
        self.space = geometry(self.network, self.image, self.encoding.constraints(self.target))


@pytest.fixture(scope="module")
def case(linear_network: Callable[..., Any], written_out: Callable[..., Any]) -> Callable[[str, int], Case]:
    return lambda name, seed: Case(linear_network, written_out, name, seed)


def closest(a: Floats, h: Floats, shape: Floats, centre: Floats) -> Floats:
    """The y with a y >= h that minimises (y - centre)' shape^-1 (y - centre), by scipy's SLSQP in whitened units."""
    root = np.linalg.cholesky(shape)
    about = a.any(1)
    assert (h[~about] <= 1e-9).all()
    scale = np.linalg.norm(a[about] @ root, axis=1)
    rows, need = a[about] @ root / scale[:, None], (h - a @ centre)[about] / scale
    size = need.max()
    need = need / size
    found = minimize(
        lambda u: u @ u / 2,
        np.zeros(len(centre)),
        jac=lambda u: u,
        constraints={"type": "ineq", "fun": lambda u: rows @ u - need, "jac": lambda u: rows},
        options={"ftol": 1e-13, "maxiter": 1000},
        method="SLSQP",
    )
    assert found.success
    return np.asarray(centre + size * root @ found.x)


@each_case
@each_seed
def test_the_nearest_point_is_scipys_projection(name: str, seed: int, case: Callable[..., Case]) -> None:
    made = case(name, seed)
    expected = closest(made.a, made.h, np.eye(len(made.z)), made.z)
    np.testing.assert_allclose(made.space.nearest.logits, expected, atol=1e-6 * np.linalg.norm(expected - made.z))


@each_case
@each_seed
def test_the_cheapest_point_is_where_the_shortest_perturbation_leads(
    name: str, seed: int, case: Callable[..., Case], shortest_by_quadratic_program: Callable[..., Floats]
) -> None:
    made = case(name, seed)
    delta = shortest_by_quadratic_program(made.a @ made.w, made.h - made.a @ made.z)
    cheapest = made.space.cheapest
    np.testing.assert_allclose(cheapest.logits, made.z + made.w @ delta, atol=1e-8 * np.linalg.norm(made.w @ delta))
    np.testing.assert_allclose(cheapest.delta.ravel(), delta, atol=1e-8 * np.linalg.norm(delta))
    assert cheapest.length == pytest.approx(np.linalg.norm(delta), rel=1e-8)
    slack = made.a @ cheapest.logits - made.h
    assert (slack[cheapest.binding] < 1e-7).all()
    assert cheapest.binding.any()


@each_case
@each_seed
def test_the_nearest_point_costs_what_the_pseudoinverse_says(name: str, seed: int, case: Callable[..., Case]) -> None:
    made = case(name, seed)
    nearest = made.space.nearest
    delta = np.linalg.pinv(made.w) @ (nearest.logits - made.z)
    np.testing.assert_allclose(nearest.delta.ravel(), delta, atol=1e-7 * np.linalg.norm(delta))
    assert nearest.length == pytest.approx(np.linalg.norm(delta), rel=1e-7)
    assert made.space.price >= 1
    assert np.linalg.norm(nearest.logits - made.z) <= np.linalg.norm(made.space.cheapest.logits - made.z) * (1 + 1e-9)


@each_case
@each_seed
def test_the_record_holds_the_constraints_and_the_gradients(name: str, seed: int, case: Callable[..., Case]) -> None:
    made = case(name, seed)
    space = made.space
    assert space.n == len(made.z)
    np.testing.assert_array_equal(space.index, np.arange(space.n))
    np.testing.assert_allclose(space.z, made.z)
    np.testing.assert_allclose(space.gram, made.w @ made.w.T, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(space.constraints, np.arange(len(made.h)))
    np.testing.assert_array_equal(space.a, made.a)
    np.testing.assert_allclose(space.h, made.h, atol=1e-9)


def meet(section: Section, a: Floats, h: Floats, shape: Floats, centre: Floats, radius: float, at: Floats) -> None:
    """The ellipsoid reaches the region at one point only: the region's closest point to the centre lies on it."""
    size = max(1.0, float(np.abs(at - centre).max()))
    np.testing.assert_allclose(closest(a, h, shape, centre), at, atol=2e-5 * size)
    away = at - centre
    assert away @ np.linalg.solve(shape, away) == pytest.approx(radius**2, rel=1e-7)


@each_case
@each_seed
def test_circle_and_ellipse_touch_the_region_in_the_plane_through_the_points(
    name: str, seed: int, case: Callable[..., Case]
) -> None:
    made = case(name, seed)
    section = section_through_points(made.space)
    np.testing.assert_allclose(section.basis @ section.basis.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(section.h, section.h_nearest, atol=1e-8 * np.abs(section.h).max())
    distance = float(np.linalg.norm(made.space.nearest.logits - made.z))
    np.testing.assert_allclose(section.z, 0, atol=1e-12)
    np.testing.assert_allclose(section.nearest, [0, distance], atol=1e-9 * distance)
    assert section.cheapest[0] > 0
    meet(section, section.a, section.h, np.eye(2), section.z, distance, section.nearest)
    meet(section, section.a, section.h, section.gram, section.centre, made.space.cheapest.length, section.cheapest)
    y = np.array([0.3, -1.2])
    expected = np.linalg.norm(np.linalg.pinv(made.w) @ (y @ section.basis))
    assert section.effort(y) == pytest.approx(expected, rel=1e-7)


@each_case
@each_seed
@pytest.mark.parametrize("count", [2, 3])
def test_the_ellipsoid_of_chosen_logits_touches_the_slice_of_the_region(
    count: int, name: str, seed: int, case: Callable[..., Case]
) -> None:
    made = case(name, seed)
    chosen = telling_logits(made.space, count)
    section = section_of_logits(made.space, chosen)
    s = list(chosen)
    np.testing.assert_allclose(section.cheapest, made.space.cheapest.logits[s])
    np.testing.assert_allclose(section.z, made.z[s])
    np.testing.assert_allclose(section.nearest, made.space.nearest.logits[s])
    rest = np.setdiff1d(np.arange(len(made.z)), s)
    h = made.h - made.a[:, rest] @ made.space.cheapest.logits[rest]  # the slice, written out
    np.testing.assert_allclose(section.h, h, atol=1e-9 * max(1.0, np.abs(h).max()))
    gram = made.w[s] @ made.w[s].T
    meet(section, made.a[:, s], h, gram, section.centre, section.level, section.cheapest)
    y = section.z + np.arange(1.0, count + 1)
    free = np.linalg.norm(np.linalg.lstsq(made.w[s], y - section.z, rcond=None)[0])  # the others are free
    assert section.effort(y) == pytest.approx(free, rel=1e-7)


def test_the_axes_of_the_ellipse_are_those_of_the_gram_matrix(case: Callable[..., Case]) -> None:
    made = case("multi-label", 0)
    section = section_of_logits(made.space, (0, 3))
    gram = made.w[[0, 3]] @ made.w[[0, 3]].T
    values, vectors = np.linalg.eigh(gram)
    for axis, value, vector in zip(section.axes, values[::-1], vectors.T[::-1], strict=True):
        assert np.linalg.norm(axis) == pytest.approx(section.level * np.sqrt(value))
        assert abs(axis @ vector) == pytest.approx(np.linalg.norm(axis))
    around = section.ellipse()
    np.testing.assert_allclose(around[0], around[-1])
    away = around - section.centre
    np.testing.assert_allclose((away @ np.linalg.inv(gram) * away).sum(1), section.level**2, rtol=1e-7)


def test_one_constraint_in_closed_form(linear_network: Callable[..., Any]) -> None:
    """Label 0 is to appear, label 1 has margin to spare: r* = z + g G[:, 0] / G[0, 0], with G = W W'."""
    w, x = np.array([[2.0, 0.0, 0.0], [3.0, 4.0, 0.0]]), np.full((3, 1, 1), 0.5)
    network = Network(linear_network(w, -w @ x.ravel() + np.array([-1.0, 5.0])))  # z = (-1, 5)
    space = geometry(network, torch.tensor(x), MultiLabel(2).constraints([True, True]))
    np.testing.assert_allclose(space.gram, [[4, 6], [6, 25]])
    np.testing.assert_allclose(space.nearest.logits, [0, 5], atol=1e-12)
    np.testing.assert_allclose(space.cheapest.logits, [0, 5 + 6 / 4], atol=1e-12)
    assert space.cheapest.length == pytest.approx(1 / 2)  # one logit over a gradient of length 2
    assert space.nearest.length == pytest.approx(np.sqrt(25 / 64))  # (G^-1)[0, 0] = 25 / (4 * 25 - 6 * 6)
    assert space.price == pytest.approx(5 / 4)
    assert telling_logits(space) == (0, 1)
    section = section_of_logits(space, (0, 1))
    np.testing.assert_allclose(section.centre, space.z)
    assert section.level == pytest.approx(1 / 2)
    np.testing.assert_allclose(space.cosines, [[1, 0.6], [0.6, 1]])
    free, held = space.unit_costs
    np.testing.assert_allclose(free, [1 / 2, 1 / 5])
    np.testing.assert_allclose(held, [np.sqrt(25 / 64), np.sqrt(4 / 64)])


def test_points_in_one_direction_still_span_a_plane(linear_network: Callable[..., Any]) -> None:
    w, x = np.diag([1.0, 2.0, 4.0]), np.full((3, 1, 1), 0.5)
    network = Network(linear_network(w, -w @ x.ravel() + np.array([-1.0, 5.0, 5.0])))
    space = geometry(network, torch.tensor(x), MultiLabel(3).constraints([True, True, True]))
    assert space.price == pytest.approx(1)
    section = section_through_points(space)
    np.testing.assert_allclose(np.abs(section.basis), [[0, 0, 1], [1, 0, 0]], atol=1e-12)  # the cheapest across
    np.testing.assert_allclose(section.cheapest, section.nearest, atol=1e-12)


def test_spectrum_and_effective_rank_in_closed_form(linear_network: Callable[..., Any]) -> None:
    def space(w: Floats) -> Geometry:
        x = np.full((3, 1, 1), 0.5)
        network = Network(linear_network(w, -w @ x.ravel() - 1))
        return geometry(network, torch.tensor(x), MultiLabel(3).constraints([True, False, False]))

    even = space(2 * np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0])
    np.testing.assert_allclose(even.spectrum[0], 4)
    assert (even.rank, even.effective_rank) == (3, pytest.approx(3))
    uneven = space(np.diag([1.0, 2.0, 0.0]))
    np.testing.assert_allclose(uneven.spectrum[0], [4, 1, 0])
    np.testing.assert_allclose(np.abs(uneven.spectrum[1]), [[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    assert uneven.rank == 2
    assert uneven.effective_rank == pytest.approx(3 / 2 ** (2 / 3))  # shares 2/3 and 1/3
    np.testing.assert_array_equal(uneven.unit_costs, [[1, 0.5, np.inf], [1, 0.5, np.inf]])
    assert np.isnan(uneven.cosines[2]).all()


def test_a_nearest_point_that_no_perturbation_reaches_has_no_price(linear_network: Callable[..., Any]) -> None:
    """Two labels that are one: only one of them is asked for, but it takes the other along."""
    w, x = np.array([[1.0, 2.0, 2.0], [1.0, 2.0, 2.0], [0.0, 1.0, 0.0]]), np.full((3, 1, 1), 0.5)
    network = Network(linear_network(w, -w @ x.ravel() + np.array([-3.0, 1.0, 1.0])))
    space = geometry(network, torch.tensor(x), MultiLabel(3).constraints([True, True, True]))
    assert space.rank == 2
    np.testing.assert_allclose(space.nearest.logits, [0, 1, 1], atol=1e-12)
    np.testing.assert_allclose(space.cheapest.logits, [0, 4, 1 + 3 * 2 / 9], atol=1e-12)
    assert space.nearest.length == np.inf
    assert space.price == np.inf
    assert space.cheapest.length == pytest.approx(1)
    moved = w @ space.nearest.delta.ravel()
    np.testing.assert_allclose(moved, [1.5, 1.5, 0], atol=1e-9)  # the nearest that can be had
    section = section_through_points(space)
    narrow, wide = sorted(np.linalg.norm(section.axes, axis=1))
    assert wide == pytest.approx(np.linalg.norm(section.cheapest))  # of the plane, only one line can be reached
    assert narrow < 1e-5 * wide


@pytest.mark.parametrize("seed", SEEDS)
def test_of_many_classes_those_that_bind_are_shown(
    seed: int, linear_network: Callable[..., Any], written_out: Callable[..., Any]
) -> None:
    rng = np.random.default_rng(seed)
    n = EVERY + 30
    w, x = rng.standard_normal((n, 96)), rng.random((3, 4, 8))
    b = rng.standard_normal(n)
    z, encoding = w @ x.ravel() + b, OneHot(n)
    target = int(np.argsort(z)[-3])
    space = geometry(Network(linear_network(w, b)), torch.tensor(x), encoding.constraints(target))
    a, h = written_out(encoding, target)
    delta = closest(a @ w, h - a @ z, np.eye(96), np.zeros(96))
    assert space.n == n
    assert len(space.index) >= FEW
    assert target in space.index
    bound = np.flatnonzero(np.abs(a @ (z + w @ delta) - h) < 1e-4)
    assert set(space.constraints[space.cheapest.binding]) <= set(bound)
    assert set(np.flatnonzero(a[bound].any(0))) <= set(space.index)
    np.testing.assert_allclose(space.cheapest.logits, (z + w @ delta)[space.index], atol=1e-5)
    projected = closest(a, h, np.eye(n), z)
    np.testing.assert_allclose(space.nearest.logits, projected[space.index], atol=1e-5)
    np.testing.assert_allclose(np.delete(projected, space.index), np.delete(z, space.index), atol=1e-5)
    shown = w[space.index]  # the others are free
    free = np.linalg.norm(np.linalg.lstsq(shown, space.nearest.logits - space.z, rcond=None)[0])
    assert space.nearest.length == pytest.approx(free, rel=1e-6)
    np.testing.assert_allclose(space.a @ z[space.index] - space.h, (a @ z - h)[space.constraints], atol=1e-9)


def test_effort_of_a_displacement() -> None:
    gram = np.diag([4.0, 1.0, 0.0])
    assert effort(gram, np.array([2.0, 0.0, 0.0])) == pytest.approx(1)
    assert effort(gram, np.array([2.0, 1.0, 0.0])) == pytest.approx(np.sqrt(2))
    assert effort(gram, np.array([2.0, 1.0, 0.1])) == np.inf
    assert effort(gram, np.zeros(3)) == 0


def test_nothing_to_do_and_a_contradiction_are_said(linear_network: Callable[..., Any]) -> None:
    x = torch.full((3, 1, 1), 0.5, dtype=torch.float64)
    network = Network(linear_network(np.eye(3)[[0, 0, 1]], np.array([1.0, -1.0, 0.0])))
    with pytest.raises(Halt) as nothing:
        geometry(network, x, MultiLabel(3).constraints([True, False, True]))
    assert nothing.value.reason == StopReason.NOTHING_TO_DO
    with pytest.raises(Halt) as contradiction:  # logit 0 is logit 1 plus 2, and is to be the smaller
        geometry(network, x, MultiLabel(3).constraints([False, True, True]))
    assert contradiction.value.reason == StopReason.INFEASIBLE


# --- in the real network


def test_a_linear_network_lands_where_predicted(linear_network: Callable[..., Any]) -> None:
    """z = 4 (x - 1/2) - 1 per label; label 0 appears at x_0 = 3/4."""
    network, x = Network(linear_network(4 * np.eye(3), np.full(3, -3.0))), torch.full((3, 1, 1), 0.5).double()
    delta = np.array([0.5, 0.0, 0.0]).reshape(3, 1, 1)  # twice what is needed
    landing = land(network, x, MultiLabel(3), [True, False, False], delta)
    np.testing.assert_allclose(landing.logits, [1, -1, -1])
    np.testing.assert_array_equal(landing.decoded, [True, False, False])
    assert landing.factor == pytest.approx(0.5, rel=2**-8)
    assert landing.needed == pytest.approx(0.25, rel=2**-8)


def test_pixels_at_their_limits_need_a_larger_factor_but_not_more_pixels(linear_network: Callable[..., Any]) -> None:
    network = Network(linear_network(np.array([[1.0, 1.0, 0.0]]), np.array([-1.75])))
    x, delta = torch.tensor([0.75, 0.5, 0.0]).double().reshape(3, 1, 1), np.array([0.25, 0.25, 0.0]).reshape(3, 1, 1)
    landing = land(network, x, MultiLabel(1), [True], delta)
    np.testing.assert_allclose(landing.logits, [0], atol=1e-12)  # on the border: not present yet
    assert not landing.decoded.any()
    assert landing.factor == pytest.approx(1, rel=2**-7)
    further = land(network, x, MultiLabel(1), [True], np.array([0.5, 0.125, 0.0]).reshape(3, 1, 1))
    assert further.factor == pytest.approx(2, rel=2**-7)  # pixel 0 can give 1/4 only, pixel 1 has to give the same
    assert further.needed == pytest.approx(np.sqrt(2) / 4, rel=2**-7)


def test_a_target_that_is_never_reached_is_said_to_be(linear_network: Callable[..., Any]) -> None:
    network = Network(lambda images: torch.tanh(images.flatten(1)[:, :1] - 0.5) - 0.75)
    x, delta = torch.full((3, 1, 1), 0.5).double(), np.array([0.75, 0.0, 0.0]).reshape(3, 1, 1)
    landing = land(network, x, MultiLabel(1), [True], delta, cap=4)
    assert (landing.factor, landing.needed, landing.cap) == (np.inf, np.inf, 4)
    np.testing.assert_allclose(landing.logits, np.tanh([0.5]) - 0.75)
