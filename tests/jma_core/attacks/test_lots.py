"""LOTS: what it aims at, what it costs, and that it does not beat what is known to be the nearest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from jma_core import ECOC, MultiLabel, OneHot, StopReason, lots, run, run_batch

Build = Callable[..., Any]
SHAPE = (3, 6, 6)
POOL = torch.rand((24, *SHAPE), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
X = torch.rand((4, *SHAPE), generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.fixture
def net(conv_network: Build) -> nn.Module:
    made: nn.Module = conv_network(6, seed=5)
    return made


def elsewhere(net: nn.Module) -> tuple[int, Tensor]:
    """An image, and the class that most of the pool has of those that it has not."""
    counts = net(POOL).argmax(1).bincount(minlength=6)
    counts[net(X[:1]).argmax()] = 0
    assert counts.max() > 1
    return int(counts.argmax()), X[0]


@pytest.mark.parametrize("layer", ["", "4", "0"])
def test_each_step_goes_down_the_squared_distance_to_the_mean_features_of_the_pictures_with_the_target(
    net: Any, layer: str
) -> None:
    """Against a plain loop; the modules' own outputs are the features."""
    target, x = elsewhere(net)
    features = net if layer == "" else net[: int(layer) + 1]
    goal = features(POOL[net(POOL).argmax(1) == target]).flatten(1).mean(0)
    result = run(lots(net, x, OneHot(6), target, pool=POOL, step=0.01, layer=layer))
    assert result.success
    for step in result.steps:
        np.testing.assert_allclose(step.image, x, atol=1e-9)
        x = x.clone().requires_grad_()
        ((features(x[None]).flatten() - goal) ** 2).sum().div(2).backward()
        x = (x - 0.01 * x.grad / x.grad.abs().max()).clamp(0, 1).detach()
    assert (result.backward, result.forward) == (result.n_it, 1 + len(POOL) + result.n_it)
    assert "made up" not in result.detail
    assert [step.success for step in result.steps].index(True) == len(result.steps) - 1


def test_rounded_only_values_that_move_by_half_a_level_get_on(net: Any) -> None:
    target, x = elsewhere(net)
    result = run(lots(net, x, OneHot(6), target, pool=POOL, pixels="rounded"))
    levels = 255 * result.steps[1].image
    base = np.round(255 * x.numpy())
    assert result.success
    assert 0 < np.abs(levels - base).max() <= 1 + 1e-9
    assert not np.array_equal(np.round(levels), levels)


def test_without_a_picture_of_the_target_logits_are_the_nearest_to_the_mean_that_have_it(linear_network: Build) -> None:
    """Two labels, read off two values: the pool's margins are 0.1, 0.2 and 0.3, and the label wanted is never there."""
    f = linear_network(np.eye(2), np.full(2, -0.5))
    pool = torch.tensor([[0.9, 0.4], [0.9, 0.3], [0.9, 0.2]], dtype=torch.float64)[:, None, None]
    x = torch.tensor([[[0.9, 0.1]]], dtype=torch.float64)
    result = run(lots(f, x, MultiLabel(2), [1, 1], pool=pool, step=0.05))
    assert result.success
    goal = torch.tensor([0.4, 0.2])  # the mean is 0.4, -0.2
    np.testing.assert_allclose(result.steps[1].image - x.numpy(), 0.05 * torch.tensor([[[0.0, 1.0]]]), atol=1e-9)
    assert goal[1] > result.logits[1] > 0
    assert "made up, label by label" in result.detail


QUARTERS = ECOC(np.array([[1, 1, 1], [1, -1, 1], [-1, 1, 1]]))


@pytest.mark.parametrize(("encoding", "target"), [(MultiLabel(3), [1, 1, -1]), (QUARTERS, 0)], ids=["labels", "bits"])
def test_without_a_picture_of_the_target_each_label_s_logit_is_the_mean_of_those_that_have_it(
    linear_network: Build, encoding: Any, target: Any
) -> None:
    """No picture has the first two; of the third, which labels leave free, and bits have in common, nothing moves."""
    f = linear_network(np.eye(3), np.full(3, -0.5))
    pool = torch.tensor([[0.9, 0.4, 0.6], [0.8, 0.3, 0.6], [0.2, 0.8, 0.6], [0.1, 0.7, 0.6]], dtype=torch.float64)
    x = torch.tensor([[[0.2, 0.3, 0.6]]], dtype=torch.float64)
    result = run(lots(f, x, encoding, target, pool=pool[:, None, None], step=0.1))
    goal = np.array([0.35, 0.25])
    way = goal - (x.numpy().ravel()[:2] - 0.5)
    moved = (result.steps[1].image - x.numpy()).ravel()
    np.testing.assert_allclose(moved, [*(0.1 * way / way.max()), 0.0], atol=1e-9)
    assert result.success
    assert "made up, label by label" in result.detail


def test_an_inner_layer_without_such_a_picture_halts(net: Any) -> None:
    target = int(net(POOL).argmin(1).mode().values)
    pool = POOL[net(POOL).argmax(1) != target]
    result = run(lots(net, X[0], OneHot(6), target, pool=pool, layer="4"))
    assert (result.success, result.reason, result.backward) == (False, StopReason.INFEASIBLE, 0)


def test_a_batch_is_what_single_attacks_are_at_an_inner_layer_too(net: Any) -> None:
    target, _ = elsewhere(net)
    settings: Any = {"pool": POOL, "steps": 20, "layer": "4"}
    together = run_batch(lots, net, X, OneHot(6), [target] * 4, **settings)
    for x, ours in zip(X, together, strict=True):
        alone = run(lots(net, x, OneHot(6), target, **settings))
        np.testing.assert_allclose(ours.image, alone.image, atol=1e-9)
        assert (ours.reason, ours.forward, ours.backward) == (alone.reason, alone.forward, alone.backward)


def test_it_leaves_the_network_as_it_was(net: Any) -> None:
    target, x = elsewhere(net)
    run(lots(net, x, OneHot(6), target, pool=POOL, layer="4"))
    assert not any(module._forward_hooks for module in net.modules())


def test_a_layer_may_be_told_by_the_end_of_its_name(net: Any) -> None:
    target, x = elsewhere(net)
    wrapped = nn.Sequential(nn.Identity(), net).eval()
    one, other = (
        run(lots(f, x, OneHot(6), target, pool=POOL, layer=layer)) for f, layer in ((net, "4"), (wrapped, "1.4"))
    )
    np.testing.assert_array_equal(one.image, other.image)
    assert run(lots(wrapped, x, OneHot(6), target, pool=POOL, layer="4")).image.tobytes() == one.image.tobytes()


@pytest.mark.parametrize("layer", ["fc", "7"])
def test_a_layer_that_there_is_not_is_refused_with_those_that_there_are(net: Any, layer: str) -> None:
    with pytest.raises(ValueError, match=r"expected the name of one of the network's modules \(0, 1, .*6\), got"):
        run(lots(net, X[0], OneHot(6), 0, pool=POOL, layer=layer))
    with pytest.raises(ValueError, match=r"expected a torch module, .* got function"):
        run(lots(lambda images: net(images), X[0], OneHot(6), 0, pool=POOL, layer=layer))


@pytest.mark.parametrize("pool", [POOL[0], POOL[:, :, :5], POOL[:0]])
def test_a_pool_of_another_shape_is_refused_at_once(net: Any, pool: Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected a pool of images \(N, \*\(3, 6, 6\)\), got"):
        lots(net, X[0], OneHot(6), 0, pool=pool)


def test_on_a_linear_model_it_does_not_beat_the_nearest_image(
    linear_network: Build, written_out: Build, shortest_by_quadratic_program: Build
) -> None:
    w = np.random.default_rng(0).normal(size=(4, 27))
    f, pool = linear_network(w, np.zeros(4)), POOL[:, :, :3, :3]
    x = torch.full((3, 3, 3), 0.5, dtype=torch.float64)
    z = f(x[None])[0].numpy()
    target = int(z.argsort()[-2])
    a, h = written_out(OneHot(4), target)
    flat = x.numpy().ravel()
    optimum = np.linalg.norm(shortest_by_quadratic_program(a @ w, h - a @ z, -flat, 1 - flat))
    result = run(lots(f, x, OneHot(4), target, pool=pool))
    assert result.success
    assert optimum <= result.distortion.l2 * (1 + 1e-9)
    assert result.distortion.l2 < 4 * optimum
