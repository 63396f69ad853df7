"""Gradients against finite differences, and Grad-CAM on networks where it is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from jma_core import ECOC, MultiLabel, OneHot, hadamard_codebook
from lab.saliency import grad_cam, saliency


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def pooled(outputs: int, *after: nn.Module) -> nn.Sequential:
    """A convolution, the mean over all places, and a linear layer; ``after`` the convolution more may come."""
    torch.manual_seed(1)
    convolution = nn.Conv2d(3, 5, 3, padding=1)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, outputs)]
    return nn.Sequential(convolution, *after, *head).double().eval().requires_grad_(False)


@pytest.mark.parametrize("after", [(), (nn.ReLU(),), (nn.BatchNorm2d(5), nn.ReLU6())], ids=len)
def test_of_a_mean_and_a_linear_layer_grad_cam_is_the_weighted_sum(
    image: torch.Tensor, after: tuple[nn.Module, ...]
) -> None:
    network = pooled(4, *after)
    maps = network[: 1 + len(after)](image[None])[0]
    for label in range(4):
        known = torch.einsum("c,chw->hw", network[-1].weight[label], maps) / 64
        found = grad_cam(network, image, lambda z, label=label: z[label])
        np.testing.assert_allclose(found, known.clamp_min(0), atol=1e-12)
        assert known.max() > 0


def test_without_a_convolution_of_more_than_one_place_there_is_no_grad_cam(image: torch.Tensor) -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).double().eval()
    whole = nn.Sequential(nn.Conv2d(3, 3, 8), nn.Flatten()).double().eval()
    assert [grad_cam(each, image, lambda z: z[0]) for each in (flat, whole)] == [None, None]


@pytest.mark.parametrize("name", ["one-hot", "multi-label", "ECOC"])
def test_the_gradient_is_that_of_what_the_decoder_compares(image: torch.Tensor, name: str) -> None:
    codebook = hadamard_codebook(8, 8)
    encoding = {"one-hot": OneHot(8), "multi-label": MultiLabel(8), "ECOC": ECOC(codebook)}[name]
    network, label, length = pooled(8, nn.Tanh()), 3, 1e-5
    found = saliency(network, encoding, image, label)
    assert found.gradient.shape == (3, 8, 8)
    for seed in range(3):
        way = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        ahead, behind = (network((image + sign * length * way)[None])[0] for sign in (1, -1))
        if name == "ECOC":
            ahead, behind = (torch.tanh(z) @ torch.as_tensor(codebook[label]).double() for z in (ahead, behind))
        else:
            ahead, behind = ahead[label], behind[label]
        slope = float(ahead - behind) / (2 * length)
        assert float((found.gradient * way.numpy()).sum()) == pytest.approx(slope, rel=1e-6)


def test_a_network_keeps_no_trace_of_it(image: torch.Tensor) -> None:
    network = pooled(4, nn.ReLU())
    before = network(image[None])
    grad_cam(network, image, lambda z: z[0])
    assert not any(module._forward_hooks for module in network.modules())
    assert torch.equal(before, network(image[None]))
    assert not image.requires_grad
