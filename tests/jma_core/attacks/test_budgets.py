"""The attacks that are given the largest perturbation, and the smallest of them that reaches the target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.linear import Linear, classes, labels, norm_of
from jma_core import OneHot, apgd, apgd_linf, apgd_min, apgd_min_linf, bim, fgsm, pgd, pgd_linf, run_batch
from jma_core.attacks.apgd import _dlr
from jma_core.attacks.trail import ORDERS

Build = Callable[..., Any]
each_bounded = pytest.mark.parametrize("attack", [bim, pgd, pgd_linf, apgd, apgd_linf])
each_problem = pytest.mark.parametrize("problem", [classes(0), labels(11)], ids=["classes", "labels"])


def images(count: int) -> Tensor:
    return torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(7))


# Linear networks


@each_bounded
def test_of_two_classes_the_other_is_reached_within_the_norm_that_it_needs_and_not_within_less(attack: Any) -> None:
    """A path of 2.5 radii from a start at right angles ends with a cosine of 0.986."""
    problem = classes(0, count=2)
    optimum = problem.optimum(attack.entry.norm)
    below, above = (problem.attacked(attack, eps=factor * optimum, steps=60) for factor in (0.999, 1.02))
    assert (below.success, above.success) == (False, True)
    assert optimum <= norm_of(above, attack.entry.norm) * (1 + 1e-9)


@each_bounded
@each_problem
def test_a_target_with_several_constraints_takes_more_than_it_needs(problem: Linear, attack: Any) -> None:
    """The cross-entropy counts all of them, and signs take turns between them. No image is outside of the ball."""
    norm = attack.entry.norm
    optimum = problem.optimum(norm)
    for factor, reached in ((0.99, False), (1.3, True)):
        result = problem.attacked(attack, eps=factor * optimum, steps=60)
        assert result.success == reached
        changes = [(step.image - result.original).ravel() for step in result.steps]
        assert all(np.linalg.norm(each, ORDERS[norm]) <= factor * optimum * (1 + 1e-9) for each in changes)


@pytest.mark.parametrize("attack", [apgd_min, apgd_min_linf])
@each_problem
def test_the_smallest_radius_is_found(problem: Linear, attack: Any) -> None:
    optimum = problem.optimum(attack.entry.norm)
    result = problem.attacked(attack, steps=60)
    slack = 0.01 if attack is apgd_min else 0.15
    assert optimum <= norm_of(result, attack.entry.norm) * (1 + 1e-9) <= (1 + slack) * optimum


def test_of_two_classes_fgsm_is_optimal_but_for_what_lies_between_two_lengths() -> None:
    problem = classes(0, count=2)
    result = problem.attacked(fgsm, eps=0.5, steps=2000)
    assert (result.backward, result.forward, result.n_it) == (1, 1 + result.n_it, result.n_it)
    assert 0 <= result.distortion.linf - problem.linf <= 0.5 / 2000
    published = problem.attacked(fgsm, eps=0.5, steps=1)
    assert (published.success, published.distortion.linf) == (True, 0.5)


def test_dlr_is_the_worst_difference_of_logits_over_the_lead_on_the_third_and_fourth() -> None:
    z = torch.tensor([1.0, -2.0, 5.0, 0.5, 3.0])
    assert float(_dlr(OneHot(5).constraints(0).values(z))) == pytest.approx((5 - 1) / (5 - (1 + 0.5) / 2))
    assert float(_dlr(OneHot(5).constraints(2).values(z))) == pytest.approx((3 - 5) / (5 - (1 + 0.5) / 2))


# Random starts


@pytest.mark.parametrize("attack", [pgd, pgd_linf, apgd, apgd_linf, apgd_min, apgd_min_linf])
def test_another_seed_is_another_start(conv_network: Build, attack: Any) -> None:
    net, x = conv_network(8), images(1)[0].double()
    target = int(net(x[None])[0].argmin())

    def first(seed: int) -> np.ndarray:
        return next(attack(net, x, OneHot(8), target, seed=seed, steps=2)).image

    np.testing.assert_array_equal(first(1), first(1))
    assert (first(1) != first(2)).any()


# Against adv-lib


def least_losses(results: list[Any], targets: Tensor) -> Tensor:
    """The least cross-entropy of each attack."""
    return torch.stack(
        [
            functional.cross_entropy(
                torch.stack([torch.as_tensor(step.logits) for step in result.steps]),
                target.expand(len(result.steps)),
                reduction="none",
            ).min()
            for result, target in zip(results, targets, strict=True)
        ]
    )


@pytest.mark.parametrize(("attack", "norm", "eps"), [(apgd, 2, 0.5), (apgd_linf, float("inf"), 0.05)])
def test_the_loss_falls_as_in_the_published_apgd(
    library: Any, conv_network: Build, attack: Any, norm: float, eps: float
) -> None:
    """Of which the first of its gradients, at the start, is not counted."""
    from adv_lib.attacks.auto_pgd import apgd as published

    net: nn.Module = conv_network(8, dtype=torch.float32)
    x = images(24)
    targets = net(x).argsort(1)[:, -3]
    best = published(net, x, targets, eps, norm, targeted=True, n_iter=49, loss_function="ce", best_loss=True)
    expected = functional.cross_entropy(net(best), targets, reduction="none")
    found = run_batch(attack, net, x, OneHot(8), targets.tolist(), eps=eps, steps=50, kept=64)
    assert float(least_losses(found, targets).median()) == pytest.approx(float(expected.median()), rel=0.05)
    reached = net(best).argmax(1) == targets
    assert abs(sum(result.success for result in found) - int(reached.sum())) <= 1


@pytest.mark.parametrize(("attack", "seeds"), [(bim, [{}]), (pgd_linf, [{"seed": seed} for seed in range(4)])])
def test_bim_and_pgd_succeed_as_often_as_the_published(
    library: Any, conv_network: Build, attack: Any, seeds: list[dict[str, int]]
) -> None:
    net: nn.Module = conv_network(8, dtype=torch.float32)
    x = images(24)
    targets = net(x).argsort(1)[:, -3]
    ours = theirs = 0
    for seed in seeds:
        found = run_batch(attack, net, x, OneHot(8), targets.tolist(), eps=0.05, steps=20, path=2.0, **seed)
        ours += sum(result.success for result in found)
        expected = library.pgd_linf(
            net, x, targets, 0.05, targeted=True, steps=20, random_init=bool(seed), relative_step_size=0.1
        )
        theirs += int((net(expected).argmax(1) == targets).sum())
    assert 0.2 < theirs / len(seeds) / len(x) < 0.8
    assert ours == pytest.approx(theirs, rel=0.05)


@pytest.mark.parametrize(("attack", "norm", "eps"), [(apgd_min, 2, 1.0), (apgd_min_linf, float("inf"), 0.1)])
def test_smallest_radii_between_two_classes_are_those_of_adv_lib(
    library: Any, conv_network: Build, attack: Any, norm: float, eps: float
) -> None:
    """Which searches from 2 eps on, at random each time, and with a target counts misses as hits."""
    from adv_lib.attacks.auto_pgd import minimal_apgd

    net: nn.Module = conv_network(2, dtype=torch.float32)
    x = images(12)
    original = net(x).argmax(1)
    expected = minimal_apgd(net, x, original, norm, eps, binary_search_steps=6, n_iter=24, loss_function="ce")
    found = run_batch(
        attack, net, x, OneHot(2), (1 - original).tolist(), searches=6, steps=25, eps=eps, loss="cross-entropy"
    )
    assert all(result.success for result in found)
    published = np.median(torch.linalg.vector_norm((expected - x).flatten(1), norm, dim=1))
    ours = np.median([norm_of(result, attack.entry.norm) for result in found])
    assert ours == pytest.approx(published, rel=0.05)
