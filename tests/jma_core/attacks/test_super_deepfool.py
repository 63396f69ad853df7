"""SuperDeepFool: the optimum of linear models on every encoding, and its step for one boundary."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.linear import NETWORKS, codewords
from jma_core import MultiLabel, run, super_deepfool


@pytest.mark.parametrize(("overshoot", "slack"), [(1e-5, 1e-4), (0.02, 0.02)])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("seed", range(3))
def test_on_a_linear_model_it_ends_at_the_nearest_image(name: str, seed: int, overshoot: float, slack: float) -> None:
    """Codewords of small logits, of which the decoder's tanh is the identity. An overshoot may break an order again."""
    it = codewords(seed, scale=1e-4) if name == "ECOC" else NETWORKS[name](seed)
    result = it.attacked(super_deepfool, overshoot=overshoot)
    assert result.success
    assert it.l2 * (1 - 1e-9) <= result.distortion.l2 <= (1 + slack) * it.l2


@pytest.mark.parametrize("seed", range(3))
def test_a_decoder_with_tanh_is_reached_near_its_nearest_image(seed: int) -> None:
    """Though the attack's own constraints are linear."""
    it = codewords(seed)
    result = it.attacked(super_deepfool)
    assert result.success
    assert it.l2 <= result.distortion.l2 <= 1.15 * it.l2


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
