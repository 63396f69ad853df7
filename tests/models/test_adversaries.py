"""Adversaries on linear networks, where the nearest way out is known in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from jma_core import ECOC, Encoding, OneHot
from jma_core.codes import hadamard_codebook
from models.adversaries import Adversary, JmaStep, ProjectedGradients
from models.recipes import RECIPES, UNSHIPPED

SHAPE = (3, 4, 4)
ONE_HOT, CODE = OneHot(5), ECOC(hadamard_codebook(5, 8))


def linear(n: int, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, n)).eval()


def drawn(count: int, encoding: Encoding, network: nn.Module) -> tuple[Tensor, Tensor]:
    """Images far from 0 and 1, and what the constraints read in them."""
    images = 0.4 + 0.2 * torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        z = network(images)
    return images, (z @ words(encoding).T).argmax(1)


def words(encoding: Encoding) -> Tensor:
    """(classes, n) the scores of the classes are these times the logits."""
    return encoding.codebook.float() if isinstance(encoding, ECOC) else torch.eye(encoding.n)


@pytest.mark.parametrize("encoding", [ONE_HOT, CODE], ids=["one-hot", "ECOC"])
def test_a_step_goes_straight_to_the_nearest_border_of_a_linear_network(encoding: Encoding) -> None:
    """The border to class k is a plane, (w_y - w_k) . x + b_y - b_k = 0, whose distance and normal are geometry."""
    network = linear(encoding.n)
    images, right = drawn(12, encoding, network)
    layer = network[1]
    weight, bias = words(encoding) @ layer.weight.detach(), words(encoding) @ layer.bias.detach()
    moved = JmaStep(encoding=encoding, eps=0.1, rows=4)(network, images, right)
    for x, y, end in zip(images.flatten(1).numpy(), right.tolist(), moved.flatten(1).numpy(), strict=True):
        normals = (weight[y] - weight).numpy()
        others = [k for k in range(5) if k != y]
        far = {k: (normals[k] @ x + float(bias[y] - bias[k])) / np.linalg.norm(normals[k]) for k in others}
        k = min(far, key=far.__getitem__)
        np.testing.assert_allclose(end - x, -0.1 * normals[k] / np.linalg.norm(normals[k]), atol=1e-6)


def test_only_the_constraints_that_hold_least_are_looked_at() -> None:
    """Class 1 is nearer in logits and class 2 in pixels: one row finds the first, two rows the second."""
    layer = nn.Linear(48, 3)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[1, 0], layer.weight[2, 1] = 0.1, 10.0
        layer.bias.copy_(torch.tensor([0.0, -0.55, -6.0]))  # at grey: -0.5 and -1
    network, grey = nn.Sequential(nn.Flatten(), layer).eval(), torch.full((1, *SHAPE), 0.5)
    for rows, pixel in ((1, 0), (2, 1)):
        moved = JmaStep(encoding=OneHot(3), eps=0.2, rows=rows)(network, grey, torch.tensor([0]))
        assert (moved - grey).flatten().tolist() == pytest.approx([0.2 * (i == pixel) for i in range(48)])


def test_projected_gradients_turn_to_the_steepest_way_up_the_loss() -> None:
    network = linear(2)
    images, right = drawn(12, OneHot(2), network)
    moved = ProjectedGradients(loss=functional.cross_entropy, eps=0.1, steps=2)(network, images, right)
    delta = (moved - images).flatten(1)
    normals = functional.normalize(network[1].weight[1 - right] - network[1].weight[right]).detach()
    # The start is cut to half by each of two steps of 1.25 eps: at worst 0.3 of it is left across.
    assert ((delta * normals).sum(1) > 0.09).all()
    assert delta.norm(dim=1).max() == pytest.approx(0.1, rel=1e-5)


@pytest.mark.parametrize(
    "adversary",
    [JmaStep(encoding=ONE_HOT, eps=2.0, rows=3), ProjectedGradients(loss=functional.cross_entropy, eps=2.0, steps=2)],
    ids=["JMA", "PGD"],
)
def test_altered_images_stay_in_the_ball_and_the_box_and_cost_what_is_said(adversary: Adversary) -> None:
    network = linear(5)
    passes = {"forward": 0, "backward": 0}

    def backward(gradient: Tensor) -> None:
        passes["backward"] += len(gradient)

    def forward(module: nn.Module, given: object, z: Tensor) -> None:
        passes["forward"] += len(z)
        z.register_hook(backward)

    network.register_forward_hook(forward)
    images = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(2))
    before = images.clone()
    moved = adversary(network, images, torch.arange(6) % 5)
    assert torch.equal(images, before)
    assert not moved.requires_grad
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert 0.1 < (moved - images).flatten(1).norm(dim=1).max() <= 2.0 + 1e-5
    assert passes == {side: 6 * count for side, count in adversary.passes._asdict().items()}
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("name", [name for name in UNSHIPPED if "-pgd" in name])
def test_what_is_compared_learns_at_equal_cost_and_differs_in_nothing_but_the_adversary(name: str) -> None:
    one, other = UNSHIPPED[name], (RECIPES | UNSHIPPED)[name.replace("-pgd", "")]
    assert type(one.adversary) is ProjectedGradients
    assert type(other.adversary) is JmaStep
    assert sum(one.adversary.passes) == sum(other.adversary.passes)
    assert one.adversary.eps == other.adversary.eps
    assert name.endswith(("-pgd", f"-pgd-{one.adversary.eps}"))
    assert one == replace(other, adversary=one.adversary, spec=one.spec)


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.begins])
def test_a_robust_model_is_the_one_it_begins_on_but_for_its_weights(name: str) -> None:
    ours, theirs = RECIPES[name].spec, RECIPES[RECIPES[name].begins].spec
    for each in ("network", "options", "preprocessing", "mean", "std", "samples"):
        assert getattr(ours, each) == getattr(theirs, each)
    assert ours.encoding.labels == theirs.encoding.labels
