"""SemA: its two sets, its steps, and the least change of largest norm on a linear model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from torch.nn import functional

from jma_core import MultiLabel, OneHot, run, sema

Build = Callable[..., Any]
GREY = torch.full((3, 4, 4), 0.5, dtype=torch.float64)


def linear(seed: int, linear_network: Build) -> tuple[Any, np.ndarray, list[int], float]:
    """A model of 5 labels, its weights, a target with two of them flipped, and the least largest change, by HiGHS."""
    w = np.random.default_rng(seed).normal(size=(5, 48))
    z = w @ np.full(48, 0.5)
    flipped = np.abs(z).argsort()[:2]
    target = [int((value > 0) != (j in flipped)) for j, value in enumerate(z)]
    s = np.where(target, 1.0, -1.0)
    rows = np.hstack([-s[:, None] * w, np.zeros((5, 1))])
    limits = np.block([[np.eye(48), -np.ones((48, 1))], [-np.eye(48), -np.ones((48, 1))]])
    found = scipy.optimize.linprog(
        np.eye(49)[-1], np.vstack([rows, limits]), np.concatenate([s * z, np.zeros(96)]), bounds=[(-0.5, 0.5)] * 49
    )
    return linear_network(w, np.zeros(5)), w, target, found.fun


@pytest.mark.parametrize("seed", range(4))
def test_on_a_linear_model_it_does_not_beat_the_least_change_and_hits_within_three_times_that(
    linear_network: Build, seed: int
) -> None:
    f, _, target, least = linear(seed, linear_network)
    below, above = (run(sema(f, GREY, MultiLabel(5), target, eps=scale * least, steps=60)) for scale in (0.99, 3.0))
    assert not below.success
    assert above.success
    assert least <= above.distortion.linf <= 3.0 * least * (1 + 1e-9)


def test_the_first_step_is_the_sign_of_the_two_unit_gradients(linear_network: Build) -> None:
    f, _, target, _ = linear(0, linear_network)
    x, s = GREY.clone().requires_grad_(), torch.tensor(target) * 2.0 - 1
    losses = functional.softplus(-s * f(x[None])[0])
    flips = s * f(x[None])[0] <= 0
    towards, kept = (torch.autograd.grad(-losses[which].sum(), x, retain_graph=True)[0] for which in (flips, ~flips))
    direction = (towards / towards.norm() + kept / kept.norm()).sign()
    result = run(sema(f, GREY, MultiLabel(5), target, eps=0.1, steps=2))
    np.testing.assert_allclose(result.last, GREY + 0.012 * direction, atol=1e-12)
    assert (result.backward, result.forward) == (4, 3)  # one of these measures the memory


def test_gradients_that_oppose_each_other_are_made_orthogonal_before_they_are_added(linear_network: Build) -> None:
    """Both labels are there and nearly share a gradient; the first is to go, the second to stay."""
    f = linear_network(np.array([[1.0, 0.1, 0.0], [1.0, -0.1, 0.0]]), np.array([-0.53, -0.42]))
    x = torch.full((1, 1, 3), 0.5, dtype=torch.float64)
    result = run(sema(f, x, MultiLabel(2), [0, 1], steps=2, eps=0.1))
    sign, kept = np.array([-1.0, -1.0, 0.0]), np.array([1.0, -0.1, 0.0]) / np.sqrt(1.01)
    left = sign - (sign @ kept) * kept
    np.testing.assert_allclose(result.last.ravel() - 0.5, 0.012 * left / np.abs(left).max(), atol=1e-12)


def test_as_released_it_ends_when_its_labels_have_flipped_whatever_became_of_the_others(linear_network: Build) -> None:
    """Without orthogonal gradients the first label takes the second one, which is nearly gone, along."""
    f = linear_network(np.array([[1.0, 0.0], [1.0, 0.5]]), np.array([-0.495, -0.749]))
    x = torch.full((1, 1, 2), 0.5, dtype=torch.float64)
    released, repaired = (
        run(sema(f, x, MultiLabel(2), [0, 1], until=until, steps=30, tau=-1.0)) for until in ("flipped", "target")
    )
    assert (released.success, released.n_it) == (False, 2)
    assert (torch.tensor(released.steps[-1].logits) > 0).tolist() == [False, False]
    assert repaired.n_it > 2


def test_it_is_for_labels_only(linear_network: Build) -> None:
    f, *_ = linear(0, linear_network)
    with pytest.raises(ValueError, match="multi-label"):
        sema(f, GREY, OneHot(5), 0)
