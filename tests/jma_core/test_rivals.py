"""The rivals against their published implementations, as adv-lib has them, and on what those cannot do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.rivals import IMAGES, PAIRS, images, side_by_side
from jma_core import OneHot, fab, run_batch, sigma_zero, super_deepfool

Build = Callable[..., Any]


@pytest.fixture(scope="module", name="images")
def some_images() -> Tensor:
    return images()


def lengths(originals: Tensor, attacked: Any) -> np.ndarray:
    return np.linalg.norm(
        (torch.stack([torch.as_tensor(image) for image in attacked]) - originals).flatten(1).numpy(), axis=1
    )


@pytest.mark.parametrize("name", PAIRS)
def test_distortions_are_those_of_the_published_implementation(library: Any, conv_network: Build, name: str) -> None:
    net: nn.Module = conv_network(8, dtype=torch.float32)
    ours, published, successes, reached = side_by_side(library, net, name)
    assert int(reached.sum()) >= IMAGES // 3  # FMN's first estimate of the norm leaves it short on smooth networks
    assert int((successes != reached).sum()) <= 1
    both = successes & reached
    assert np.median(ours[both]) == pytest.approx(np.median(published[both]), rel=0.05)


BETWEEN_TWO: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "fab": (partial(fab, steps=20), "fab", {"norm": 2, "n_iter": 20}),
    "super_deepfool": (super_deepfool, "sdf", {}),
}
"""Ours, adv-lib's, which have no target, and their settings."""


@pytest.mark.parametrize("name", BETWEEN_TWO)
def test_between_two_classes_distortions_are_those_of_the_published_untargeted_one(
    library: Any, conv_network: Build, images: Tensor, name: str
) -> None:
    attack, theirs, settings = BETWEEN_TWO[name]
    net: nn.Module = conv_network(2, dtype=torch.float32)
    labels = net(images).argmax(1)
    expected = getattr(library, theirs)(net, images, labels, **settings)
    results = run_batch(attack, net, images, OneHot(2), (1 - labels).tolist())
    assert all(result.success for result in results)
    found = lengths(images, [result.image for result in results])
    assert np.median(found) == pytest.approx(np.median(lengths(images, expected)), rel=0.05)


def test_sigma_zero_between_two_classes_changes_as_few_values_as_the_published_one(
    library: Any, conv_network: Build, images: Tensor
) -> None:
    net: nn.Module = conv_network(2, dtype=torch.float32)
    labels = net(images).argmax(1)
    expected = (library.sigma_zero(net, images, labels, num_steps=100) != images).flatten(1).sum(1)
    results = run_batch(partial(sigma_zero, steps=100), net, images, OneHot(2), (1 - labels).tolist())
    assert all(result.success for result in results)
    found = np.array([result.distortion.l0 for result in results])
    assert np.median(found) == pytest.approx(float(np.median(expected)), rel=0.05)
    assert found.mean() == pytest.approx(float(expected.double().mean()), rel=0.05)
