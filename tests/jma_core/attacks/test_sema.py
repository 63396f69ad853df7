"""SemA: its two sets, its steps, and the least change of largest norm on a linear model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bench.linear import Floats, classes, labels
from jma_core import MultiLabel, run, sema

Build = Callable[..., Any]
MOVES, CHECKPOINTS = 100, [22, 41, 57, 70, 80, 87, 93, 99]
"""Of APGD's publication: 0.22, and then by 0.03 less each time, but by 0.06 at least."""


def walk(w: Floats, start: Floats, wanted: list[int], eps: float) -> list[Floats]:
    """The images of the algorithm as published, on labels w x, while none of them is a hit."""
    s, step, values, images, moved = np.where(wanted, 1.0, -1.0), 0.012, [], [start], []
    before, halved = start, False
    flips = s * (w @ start) <= 0
    for k in range(MOVES):
        x = images[k]
        margins = s * (w @ x)
        pull = s / (1 + np.exp(margins))
        one, other = (pull * which @ w for which in (flips, ~flips))
        one, other = one / np.linalg.norm(one), other / np.linalg.norm(other)
        sign = np.sign(one)
        left = sign - (sign @ other) * other
        moved.append(np.sign(one + other) if one @ other > -0.85 else left / np.abs(left).max())
        values.append(float(np.log1p(np.exp(-margins)).sum()))
        best, direction = x, moved[k]
        if k in CHECKPOINTS:
            since = [0, *CHECKPOINTS][CHECKPOINTS.index(k)]
            falls = sum(values[j] < values[j - 1] for j in range(since + 1, k + 1))
            stuck = min(values) == min(values[: since + 1])
            halved = falls < 0.75 * (k - since) or (not halved and stuck)
            if halved:
                step, least = step / 2, int(np.argmin(values))
                best, direction = images[least], moved[least]
        there = np.clip(best + step * direction, start - eps, start + eps).clip(0, 1)
        if k:
            there = best + 0.75 * (there - best) + 0.25 * (best - before)
        before = best
        images.append(np.clip(there, start - eps, start + eps).clip(0, 1))
    return images


@pytest.mark.parametrize("seed", range(4))
def test_on_a_linear_model_its_images_are_those_of_the_published_algorithm_and_no_hit_beats_the_least_change(
    seed: int,
) -> None:
    it = labels(seed)
    result = it.attacked(sema, eps=0.99 * it.linf, steps=MOVES + 1)
    expected = walk(it.w, it.x, it.target, 0.99 * it.linf)
    assert not result.success
    np.testing.assert_allclose([step.image.ravel() for step in result.steps], expected, atol=1e-9)
    assert (result.backward, result.forward) == (2 * (MOVES + 1), MOVES + 2)  # one of these measures the memory


@pytest.mark.parametrize("seed", range(4))
def test_with_twice_the_least_change_it_hits(seed: int) -> None:
    it = labels(seed)
    assert it.attacked(sema, eps=2 * it.linf).success


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


def test_it_is_for_labels_only() -> None:
    with pytest.raises(ValueError, match="multi-label"):
        classes(0).attacked(sema)
