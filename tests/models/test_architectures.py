"""The zoo's own modules: what they compute, and what their parts have to do with each other."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from models.architectures import VGG, Classifier, Grey, fold_batch_norms

PAIRS = [(4, 5), (5, 6)]
BRANCHED: dict[str, Any] = {"outputs": 8, "bottom": PAIRS, "width": 3, "hidden": 5, "branches": 4, "side": 16}


def images(count: int = 4, side: int = 16) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def used(network: nn.Module) -> nn.Module:
    """The network in eval mode, after its batch norms have seen pictures and learned factors and offsets."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for parameter in module.parameters():
                nn.init.uniform_(parameter, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.running_mean, generator=generator)
            nn.init.uniform_(module.running_var, 0.3, 3, generator=generator)
    return network.eval()


def convolutions(network: nn.Module) -> Iterator[nn.Conv2d]:
    return (module for module in network.modules() if isinstance(module, nn.Conv2d))


# --- VGG -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", range(8))
def test_a_logit_depends_on_the_weights_of_its_own_branch_only(output: int) -> None:
    torch.manual_seed(0)
    network, branch = used(VGG(**BRANCHED)), output // 2
    network(images())[:, output].sum().backward()
    grouped = [module for module in convolutions(network) if module.groups > 1]
    assert len(grouped) == 3
    for module in grouped:
        of_branch = module.weight.grad.reshape(4, -1).abs().sum(1)
        assert of_branch[branch] > 0
        assert (of_branch[torch.arange(4) != branch] == 0).all()


def test_a_logit_depends_on_the_channels_of_its_own_branch_only() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(*used(VGG(**BRANCHED)))
    first = next(number for number, module in enumerate(network) if getattr(module, "groups", 1) > 1)
    with torch.no_grad():
        channels = network[:first](images())
    channels.requires_grad_()
    z = network[first:](channels)
    for output in range(8):
        (gradient,) = torch.autograd.grad(z[:, output].sum(), channels, retain_graph=True)
        of_branch = gradient.abs().sum((0, 2, 3)).reshape(4, 3).sum(1)
        assert (of_branch > 0).tolist() == [k == output // 2 for k in range(4)]


def test_the_bottom_is_shared_by_all_branches() -> None:
    torch.manual_seed(0)
    network = used(VGG(**BRANCHED))
    first = next(convolutions(network))
    for output in range(8):
        network.zero_grad()
        network(images())[:, output].sum().backward()
        assert (first.weight.grad != 0).any()


def test_a_network_without_branches_has_no_groups() -> None:
    assert {module.groups for module in convolutions(VGG(5, [(4, 4)], 6, 7))} == {1}


def test_branches_compute_what_separate_networks_compute() -> None:
    """Cut the grouped layers up by hand, and run each branch as a network of its own."""
    torch.manual_seed(0)
    network = nn.Sequential(*used(VGG(**BRANCHED)))
    expected = network(images())
    first = next(number for number, module in enumerate(network) if getattr(module, "groups", 1) > 1)
    shared = network[:first](images())
    for branch in range(4):
        y = shared[:, 3 * branch : 3 * branch + 3]
        for module in network[first:]:
            if isinstance(module, nn.Conv2d):
                weight = module.weight.chunk(4)[branch]
                bias = None if module.bias is None else module.bias.chunk(4)[branch]
                y = nn.functional.conv2d(y, weight, bias, padding=module.padding)
            elif isinstance(module, nn.BatchNorm2d):
                of_branch = [
                    part.chunk(4)[branch]
                    for part in (module.running_mean, module.running_var, module.weight, module.bias)
                ]
                y = nn.functional.batch_norm(y, *of_branch, eps=module.eps)
            else:
                y = module(y)
        torch.testing.assert_close(y, expected[:, 2 * branch : 2 * branch + 2])


@pytest.mark.parametrize(("outputs", "branches"), [(16, 3), (3, 2), (1, 2)])
def test_outputs_that_do_not_divide_among_the_branches_are_refused(outputs: int, branches: int) -> None:
    with pytest.raises(ValueError, match=f"expected outputs .*multiple of branches, got {outputs} for {branches}"):
        VGG(outputs, [(4, 4)], 2, 2, branches)


@pytest.mark.parametrize(("side", "pairs"), [(32, 2), (28, 1), (16, 2), (8, 1), (20, 1), (33, 1)])
def test_there_are_as_many_logits_as_outputs_at_any_side(side: int, pairs: int) -> None:
    assert VGG(6, [(4, 4)] * pairs, 2, 3, 2, side=side).eval()(images(side=side)).shape == (4, 6)


@pytest.mark.parametrize(("side", "pairs"), [(28, 2), (24, 2), (12, 1), (6, 0)])
def test_there_are_as_many_logits_as_outputs_where_three_pixels_are_left(side: int, pairs: int) -> None:
    assert VGG(6, [(4, 4)] * pairs, 2, 3, 2, side=side).eval()(images(side=side)).shape == (4, 6)


def test_a_grey_network_sees_the_mean_of_the_channels() -> None:
    torch.manual_seed(0)
    network = VGG(4, [(4, 4)], 2, 3, side=16, grey=True).eval()
    x = images()
    torch.testing.assert_close(network(x), network(x[:, [2, 0, 1]]))
    torch.testing.assert_close(network(x), network(x.mean(1, keepdim=True).expand(-1, 3, -1, -1)))


def test_grey_gives_the_three_channels_equal_gradients() -> None:
    x = images().requires_grad_()
    weights = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    (Grey()(x) * weights).sum().backward()
    torch.testing.assert_close(x.grad, (weights / 3).expand(-1, 3, -1, -1))


# --- folding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [BRANCHED, {**BRANCHED, "grey": True}, {**BRANCHED, "branches": 1}], ids=str)
def test_folding_a_vgg_changes_nothing_that_it_computes(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = used(VGG(**options))
    with torch.no_grad():
        expected = network(images())
        folded = fold_batch_norms(copy.deepcopy(network))
        actual = folded(images())
    norms = [number for number, module in enumerate(folded) if isinstance(module, nn.BatchNorm2d)]
    assert norms  # those between which and the convolution the picture is halved
    assert all(isinstance(folded[number - 1], nn.MaxPool2d) for number in norms)
    assert expected.std() > 0.01
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_folding_a_network_of_timms_keeps_the_activations_of_its_batch_norms() -> None:
    torch.manual_seed(0)
    network = used(timm.create_model("tf_efficientnet_lite0", num_classes=5)).double()
    x = images(1, 32).double()
    with torch.no_grad():
        expected = network(x)
        folded = fold_batch_norms(network)
        actual = folded(x)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=0)


def test_a_batch_norm_that_follows_no_convolution_stays() -> None:
    network = used(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)))
    expected = network(images())
    folded = fold_batch_norms(network)
    assert [type(module) for module in folded] == [nn.BatchNorm2d, nn.Conv2d, nn.ReLU, nn.BatchNorm2d]
    torch.testing.assert_close(folded(images()), expected)


# --- normalisation -------------------------------------------------------------------------------------------------


def test_a_classifier_normalises_each_channel_by_its_own_mean_and_std() -> None:
    mean, std = (0.1, 0.2, 0.3), (0.5, 2.0, 4.0)
    x = images()
    expected = (x.numpy() - np.array(mean)[:, None, None]) / np.array(std)[:, None, None]
    np.testing.assert_allclose(Classifier(nn.Identity(), mean, std)(x).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_normalisation_is_no_part_of_the_weights() -> None:
    assert Classifier(nn.Linear(2, 2), (0.5,) * 3, (0.5,) * 3).state_dict().keys() == {
        "backbone.weight",
        "backbone.bias",
    }
