"""SuperDeepFool: the optimum of linear models on every encoding, and its step for one boundary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from jma_core import MultiLabel, OneHot, run, super_deepfool

Build = Callable[..., Any]
ENCODINGS: dict[str, Any] = {"one-hot": OneHot(5), "multi-label": MultiLabel(5)}
"""ECOC's decoder reads tanh of the logits: what is nearest for its constraints is not for the decoder."""


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("seed", range(3))
def test_on_a_linear_model_it_ends_at_the_nearest_image(
    linear_network: Build, written_out: Build, shortest_by_quadratic_program: Build, name: str, seed: int
) -> None:
    encoding = ENCODINGS[name]
    w = 0.3 * np.random.default_rng(seed).normal(size=(encoding.n, 48))
    f, x = linear_network(w, np.zeros(encoding.n)), torch.full((3, 4, 4), 0.5, dtype=torch.float64)
    z = f(x[None])[0]
    target: Any = (z > 0).int().tolist() if name == "multi-label" else int(z.argsort()[0])
    if name == "multi-label":
        target = [bit if j > 2 else 1 - bit for j, bit in enumerate(target)]
    a, h = written_out(encoding, target)
    optimum = np.linalg.norm(shortest_by_quadratic_program(a @ w, h - a @ z.numpy()))
    result = run(super_deepfool(f, x, encoding, target))
    assert result.success
    assert optimum * (1 - 1e-9) <= result.distortion.l2 <= 1.0001 * optimum


def test_one_boundary_s_way_is_projected_onto_its_normal() -> None:
    """z = x^2 + 2 y^2 - 0.6: against the publication's formula, written out."""

    def f(images: torch.Tensor) -> torch.Tensor:
        x, y = images.flatten(1).T
        return (x**2 + 2 * y**2 - 0.6)[:, None]

    start = torch.tensor([[[0.5, 0.1]]], dtype=torch.float64)
    result = run(super_deepfool(f, start, MultiLabel(1), [1], overshoot=0.02))
    images = [step.image.ravel() for step in result.steps]
    hit = next(i for i, step in enumerate(result.steps) if step.success)
    x0, x = start.numpy().ravel(), images[hit]
    normal = np.array([2 * x[0], 4 * x[1]])
    normal /= np.linalg.norm(normal)
    np.testing.assert_allclose(images[hit + 1], x0 + normal * (normal @ (x - x0)), atol=1e-12)
    around = np.linspace(0, np.pi / 2, 200001)
    border = np.stack([np.sqrt(0.6) * np.cos(around), np.sqrt(0.3) * np.sin(around)], 1)
    nearest = np.linalg.norm(border - x0, axis=1).min()
    assert nearest <= result.distortion.l2 <= 1.005 * nearest
