"""sigma-zero and JSMA against the fewest values that can reach a target of a linear model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from jma_core import MultiLabel, OneHot, StopReason, jsma, run, sigma_zero

Build = Callable[..., Any]


def two_classes(seed: int, linear_network: Build) -> tuple[Any, torch.Tensor, int, int]:
    """A linear model, an image, the class it is not, and how many values have to change: the largest gains first."""
    rng = np.random.default_rng(seed)
    w, x = rng.normal(size=(2, 48)), torch.from_numpy(rng.uniform(0.2, 0.8, (3, 4, 4)))
    z = w @ x.numpy().ravel()
    target = int(z.argmin())
    row = w[target] - w[1 - target]
    gains = np.sort(np.where(row > 0, row * (1 - x.numpy().ravel()), -row * x.numpy().ravel()))[::-1]
    fewest = int(np.searchsorted(np.cumsum(gains), z.max() - z.min())) + 1
    return linear_network(w, np.zeros(2)), x, target, fewest


@pytest.mark.parametrize("seed", range(5))
def test_on_a_linear_model_of_two_classes_it_changes_hardly_more_values_than_it_must(
    linear_network: Build, seed: int
) -> None:
    f, x, target, fewest = two_classes(seed, linear_network)
    smooth, pairs = run(sigma_zero(f, x, OneHot(2), target, steps=200)), run(jsma(f, x, OneHot(2), target))
    assert smooth.success
    assert pairs.success
    assert fewest <= smooth.distortion.l0 <= fewest + 1
    assert fewest <= pairs.distortion.l0 <= fewest + 1


def test_a_pair_is_the_one_that_raises_and_lowers_most() -> None:
    """By trying all pairs and signs, for the logits as published."""
    w = np.random.default_rng(1).normal(size=(3, 12))
    x, weights = torch.full((3, 2, 2), 0.5, dtype=torch.float64), torch.from_numpy(w)
    z = w @ np.full(12, 0.5)
    target = int(z.argmin())
    result = run(jsma(lambda images: images.flatten(1) @ weights.T, x, OneHot(3), target, aim="logits", steps=2))
    alpha, beta = w[target], w.sum(0) - w[target]
    best = max(
        (-(s * alpha[p] + t * alpha[q]) * (s * beta[p] + t * beta[q]), p, q, s, t)
        for p in range(12)
        for q in range(p)
        for s in (-1, 1)
        for t in (-1, 1)
        if s * alpha[p] + t * alpha[q] > 0 > s * beta[p] + t * beta[q]
    )
    _, p, q, s, t = best
    expected = np.zeros(12)
    expected[[p, q]] = 0.5 * s, 0.5 * t
    np.testing.assert_array_equal(result.last.ravel() - 0.5, expected)


def test_a_value_that_has_moved_goes_on_in_its_direction_alone(linear_network: Build) -> None:
    w = np.random.default_rng(0).normal(size=(4, 48))
    x = torch.full((3, 4, 4), 0.5, dtype=torch.float64)
    result = run(jsma(linear_network(w, np.zeros(4)), x, MultiLabel(4), [0, 1, 0, 1], theta=0.1))
    images = np.array([step.image for step in result.steps])
    signs = np.sign(np.diff(images, axis=0))
    assert ((signs >= 0).all(0) | (signs <= 0).all(0)).all()
    assert result.distortion.l0 <= 2 * result.n_it


def test_it_says_so_when_no_pair_helps(linear_network: Build) -> None:
    f = linear_network(np.eye(2)[:, [0, 0, 0, 1]] * 0.1, np.array([1.0, 0.0]))
    result = run(jsma(f, torch.full((1, 2, 2), 0.5, dtype=torch.float64), OneHot(2), 1))
    assert (result.success, result.reason) == (False, StopReason.STALLED)


def test_of_a_large_picture_the_pairs_of_the_best_values_are_enough(linear_network: Build) -> None:
    """Two classes, 2700 values."""
    w = np.random.default_rng(2).normal(size=(2, 2700))
    x = torch.full((3, 30, 30), 0.5, dtype=torch.float64)
    z = w @ np.full(2700, 0.5)
    row = np.abs(w[0] - w[1])
    fewest = int(np.searchsorted(np.cumsum(np.sort(row)[::-1] / 2), abs(z[0] - z[1]))) + 1
    result = run(jsma(linear_network(w, np.zeros(2)), x, OneHot(2), int(z.argmin())))
    assert fewest <= result.distortion.l0 <= fewest + 1
