"""L-BFGS and DeepFool, on linear networks and by scipy."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch

from bench.linear import Linear, classes, labels
from jma_core import deepfool, lbfgs
from jma_core.attacks.lbfgs import minimise


def ill_conditioned(seed: int) -> Any:
    """A convex quadratic over 30 values whose free minimum is far outside [0, 1] in many, and its gradient."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    hessian, centre = basis * np.geomspace(1, 1e3, 30) @ basis.T, rng.normal(0.5, 1, 30)

    def f(x: Any) -> tuple[float, Any]:
        slope = hessian @ (x - centre)
        return float((x - centre) @ slope / 2), slope

    return f


def rosenbrock(x: Any) -> tuple[float, Any]:
    return float(scipy.optimize.rosen(1.5 * x)), 1.5 * scipy.optimize.rosen_der(1.5 * x)


@pytest.mark.parametrize("f", [*map(ill_conditioned, range(3)), rosenbrock])
def test_the_minimum_in_the_box_is_that_of_scipy(f: Any) -> None:
    start = np.full(30, 0.2)
    expected = scipy.optimize.minimize(f, start, jac=True, method="L-BFGS-B", bounds=[(0, 1)] * 30)
    points, values = minimise(torch.as_tensor(start)), []
    x = next(points)
    with suppress(StopIteration):
        while len(values) < 1000:
            assert bool(((x >= 0) & (x <= 1)).all())
            value, slope = f(x.numpy())
            values.append(value)
            x = points.send((value, torch.as_tensor(slope)))
    assert min(values) == pytest.approx(expected.fun, rel=1e-4, abs=1e-6)
    assert len(values) <= 4 * expected.nfev


def test_of_two_classes_lbfgs_finds_the_nearest_image() -> None:
    problem = classes(0, count=2)
    result = problem.attacked(lbfgs, searches=20)
    assert problem.l2 <= result.distortion.l2 * (1 + 1e-9) <= 1.01 * problem.l2


@pytest.mark.parametrize("problem", [classes(0), labels(11)], ids=["classes", "labels"])
def test_with_several_constraints_lbfgs_ends_where_the_loss_takes_it(problem: Linear) -> None:
    """Which the weight of the loss does not change: the cross-entropy counts all constraints."""
    result = problem.attacked(lbfgs, searches=12)
    assert problem.l2 <= result.distortion.l2 * (1 + 1e-9) <= 1.2 * problem.l2


def test_of_two_classes_deepfool_projects_once() -> None:
    problem = classes(0, count=2)
    result = problem.attacked(deepfool)
    assert (result.success, result.n_it) == (True, 2)
    assert result.distortion.l2 == pytest.approx(1.02 * problem.l2, rel=1e-3)


@pytest.mark.parametrize("problem", [classes(0), labels(10), labels(11)], ids=["classes", "labels 10", "labels 11"])
def test_with_several_constraints_deepfool_gets_there_but_not_by_the_shortest_way(problem: Linear) -> None:
    result = problem.attacked(deepfool)
    assert result.success
    assert problem.l2 <= result.distortion.l2 * (1 + 1e-9) <= 1.2 * problem.l2
