"""PDGD and PDPGD on linear networks, and the proximal operator of the largest value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import nn

from bench.linear import Linear, classes, labels, norm_of
from jma_core import OneHot, pdgd, pdpgd, pdpgd_linf, run_batch
from jma_core.attacks.pdgd import _shorter_in_largest

Build = Callable[..., Any]


@pytest.mark.parametrize("attack", [pdgd, pdpgd, pdpgd_linf])
@pytest.mark.parametrize("held", ["worst", "each"])
@pytest.mark.parametrize("problem", [classes(0), labels(11)], ids=["classes", "labels"])
def test_the_nearest_image_of_a_linear_network_is_found(problem: Linear, held: str, attack: Any) -> None:
    optimum = problem.optimum(attack.entry.norm)
    result = problem.attacked(attack, steps=300, held=held)
    slack = 0.25 if (attack, held) == (pdpgd, "each") else 0.12
    assert optimum <= norm_of(result, attack.entry.norm) * (1 + 1e-9) <= (1 + slack) * optimum


@pytest.mark.parametrize("by", [0.05, 0.7, 2.0, 100.0])
def test_the_largest_values_are_cut_as_their_proximal_operator_has_it(by: float) -> None:
    """It minimises by max |d| + ||d - delta||^2 / 2: over the height at which all values are cut."""
    delta = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def cost(height: float) -> float:
        return by * height + float((delta.clamp(-height, height) - delta).square().sum()) / 2

    found = scipy.optimize.minimize_scalar(cost, bounds=(0, 4), method="bounded", options={"xatol": 1e-9})
    assert float(_shorter_in_largest(delta, by).abs().max()) == pytest.approx(found.x, abs=1e-6)


def test_the_largest_changes_are_those_of_the_published_implementation(library: Any, conv_network: Build) -> None:
    net: nn.Module = conv_network(8, dtype=torch.float32)
    x = torch.rand(24, 3, 6, 6, generator=torch.Generator().manual_seed(7))
    targets = net(x).argsort(1)[:, -3]
    expected = library.pdpgd(net, x, targets, norm=float("inf"), targeted=True, num_steps=60)
    results = run_batch(pdpgd_linf, net, x, OneHot(8), targets.tolist(), steps=60)
    reached = net(expected).argmax(1) == targets
    successes = torch.tensor([result.success for result in results])
    assert int((successes != reached).sum()) <= 1
    both = successes & reached
    published = (expected - x).abs().flatten(1).amax(1)[both]
    ours = np.array([result.distortion.linf for result in results])[both]
    assert np.median(ours) == pytest.approx(np.median(published), rel=0.05)
