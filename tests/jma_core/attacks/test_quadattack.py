"""QuadAttacK, where the nearest features and the nearest image are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from jma_core import Linearisation, Network, OneHot, TopK, quadattack, run

Build = Callable[..., Any]
SHAPE = (3, 2, 4)
X = torch.full(SHAPE, 0.5, dtype=torch.float64)


@pytest.fixture
def model() -> nn.Module:
    """Linear in the pixels, with an inner layer of six features."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(24, 6), nn.Linear(6, 5)).double()
    return net.eval().requires_grad_(False)


@pytest.mark.parametrize("target", [(4, 2, 0), {1, 3}, 2])
def test_the_program_finds_the_nearest_features(
    model: nn.Module, shortest_by_quadratic_program: Build, written_out: Build, target: Any
) -> None:
    k = 1 if isinstance(target, int) else len(target)
    encoding: Any = OneHot(5) if k == 1 else TopK(5, k, ordered=isinstance(target, tuple))
    layer = model[2]
    features = model[:2](X[None])[0].numpy()
    w, b = layer.weight.numpy(), layer.bias.numpy()
    a, h = written_out(encoding, target, 0.2)
    expected = shortest_by_quadratic_program(a @ w, h - a @ (w @ features + b))
    local = Linearisation(Network(model), X, encoding.constraints(target, 0.2))
    for most in (0, 1, 3):
        _, cotangent = local.solve_in_logits(w @ w.T, most)
        np.testing.assert_allclose(w.T @ cotangent, expected, atol=1e-9)
        inner = model[1].weight.numpy()
        np.testing.assert_allclose(local.gradient(cotangent).numpy().ravel(), inner.T @ expected, atol=1e-8)


def test_it_ends_near_the_nearest_image(
    model: nn.Module, shortest_by_quadratic_program: Build, written_out: Build
) -> None:
    ranking = model(X[None])[0].argsort(descending=True).tolist()
    target = (ranking[1], ranking[0], ranking[3])
    a, h = written_out(TopK(5, 3), target)
    with torch.no_grad():
        z = model(X[None])[0].numpy()
    w = (model[2].weight @ model[1].weight).numpy()
    nearest = np.linalg.norm(shortest_by_quadratic_program(a @ w, h - a @ z))
    result = run(quadattack(model, X, OneHot(5), target, searches=4, steps=60, rate=0.01, margin=0.01))
    assert result.success
    assert nearest <= result.distortion.l2 <= 1.15 * nearest  # 1.12 when this was written


def test_the_last_layer_counts_only_where_it_makes_the_logits(model: nn.Module) -> None:
    assert Network(model).last_layer() is model[2]
    assert Network(lambda images: images.flatten(1)).last_layer() is None
    target, settings = model(X[None])[0].argsort()[:3].tolist(), {"searches": 1, "steps": 8}
    hidden = run(quadattack(lambda images: model(images), X, OneHot(5), target, metric="logits", **settings))
    other = run(quadattack(nn.Sequential(model, nn.Identity(), nn.Flatten()).eval(), X, OneHot(5), target, **settings))
    seen = run(quadattack(model, X, OneHot(5), target, **settings))
    np.testing.assert_array_equal(other.last, seen.last)
    assert not np.array_equal(hidden.last, seen.last)
