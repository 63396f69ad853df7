"""CW^K on linear networks whose optimum is known, and where it is C&W itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.linear import classes, order
from jma_core import cw, cw_k

BUDGET = {"searches": 6, "steps": 150, "rate": 0.02, "c": 0.1}


@pytest.mark.parametrize("seed", [0, 1])
def test_an_order_is_reached_near_the_optimum(seed: int) -> None:
    problem = order(seed)
    result = problem.attacked(cw_k, **BUDGET)
    assert result.success
    assert result.decoded.tolist() == list(problem.target)
    assert problem.l2 * (1 - 1e-9) <= result.distortion.l2 <= 1.15 * problem.l2


def test_one_class_is_wanted_as_by_cw() -> None:
    problem = classes(0)
    budget = BUDGET | {"searches": 2, "steps": 40}
    ours, expected = problem.attacked(cw_k, **budget), problem.attacked(cw, **budget)
    np.testing.assert_array_equal(ours.image, expected.image)
    assert [step.l2 for step in ours.steps] == [step.l2 for step in expected.steps]


def test_of_a_set_no_order_is_asked() -> None:
    problem = order(0)
    wanted = frozenset(problem.target)
    result = replace(problem, target=wanted).attacked(cw_k, **BUDGET)
    assert result.success
    assert result.distortion.l2 <= problem.l2 * 1.02
    assert set(result.logits.argsort()[-3:].tolist()) == wanted
