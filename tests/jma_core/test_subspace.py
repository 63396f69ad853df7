"""Perturbations of long waves: the projection against scipy's DCT, JMA against the problem solved in the subspace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.fft
import torch

from jma_core import Linearisation, MultiLabel, Network, OneHot, catalogue, find, jma, run
from jma_core.subspace import Subspace
from tests.attacks import brief, takes

HEIGHT, WIDTH, PERIOD = 12, 16, 6.0
EVERYTHING = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
PART = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.bool)
PART[0, 2:10, 5:15] = True
SMALL = torch.ones(1, 6, 6, dtype=torch.bool)
WAVES = {name: each for name, each in brief(30).items() if catalogue()[name].waves and takes(each, "one-hot")}


def low_passed(delta: np.ndarray, period: float) -> np.ndarray:
    """By scipy, of images (..., H, W)."""
    spectrum = scipy.fft.dctn(delta, axes=(-2, -1), norm="ortho")
    down, across = (np.arange(side) / (2 * side) for side in delta.shape[-2:])
    spectrum[..., np.hypot(down[:, None], across) > 1 / period] = 0
    return scipy.fft.idctn(spectrum, axes=(-2, -1), norm="ortho")


@pytest.mark.parametrize("period", [2.0, 3.3, 6.0, 8.0, 1000.0])
def test_the_projection_is_that_of_scipys_cosines(period: float) -> None:
    delta = np.random.default_rng(0).standard_normal((2, 3, HEIGHT, WIDTH))
    found = Subspace(EVERYTHING, period).project(torch.from_numpy(delta))
    np.testing.assert_allclose(found, low_passed(delta, period), atol=1e-13)
    inside = Subspace(PART, period).project(torch.from_numpy(delta)).numpy()
    np.testing.assert_allclose(inside[..., 2:10, 5:15], low_passed(delta[..., 2:10, 5:15], period), atol=1e-13)
    assert (inside[..., ~PART[0].numpy()] == 0).all()


def test_without_a_period_it_is_the_mask_and_images_keep_every_bit() -> None:
    delta, x0, x = torch.rand(3, 3, HEIGHT, WIDTH)
    assert torch.equal(Subspace(PART).project(delta), delta * PART)
    assert torch.equal(Subspace(EVERYTHING).project(delta), delta)
    assert torch.equal(Subspace(PART).nearest(x, x0), torch.where(PART, x, x0))
    assert torch.equal(Subspace(PART, PERIOD).nearest(x, x0)[:, ~PART[0]], x0[:, ~PART[0]])


@pytest.mark.parametrize("mask", [EVERYTHING, PART])
def test_the_step_is_the_optimum_of_the_problem_in_the_subspace(
    linear_network: Callable[..., Any], shortest_by_quadratic_program: Callable[..., Any], mask: torch.Tensor
) -> None:
    """The oracle's unknowns are the waves' amplitudes, one for each that scipy's low-pass leaves as it is."""
    rng, m = np.random.default_rng(3), 3 * HEIGHT * WIDTH
    w, target = rng.standard_normal((8, m)) / m**0.5, [1, 1, 0, 1, 0, 0, 1, 0]
    image = torch.full((3, HEIGHT, WIDTH), 0.5, dtype=torch.float64)
    z = w @ image.numpy().ravel()
    b = 0.1 * rng.standard_normal(8) - z
    network, encoding = linear_network(w, b), MultiLabel(8)
    signs = np.where(np.array(target) == 1, 1.0, -1.0)

    inside = mask[0].numpy()
    rows, columns = inside.any(1).sum(), inside.any(0).sum()
    unit = np.eye(rows * columns).reshape(-1, rows, columns)
    waves = scipy.fft.idctn(unit, axes=(-2, -1), norm="ortho")
    waves = waves[[np.allclose(low_passed(wave, PERIOD), wave) for wave in waves]]
    basis = np.zeros((3, len(waves), 3, HEIGHT, WIDTH))
    for channel in range(3):
        basis[channel, :, channel][:, inside] = waves.reshape(len(waves), -1)
    basis = basis.reshape(-1, m)
    amplitudes = shortest_by_quadratic_program(signs[:, None] * w @ basis.T, -signs * (w @ image.numpy().ravel() + b))
    expected = (amplitudes @ basis).reshape(3, HEIGHT, WIDTH)

    space = Subspace(mask, PERIOD)
    for solve in (Linearisation.solve_full, Linearisation.solve_lazy):
        found = solve(Linearisation(Network(network), image, encoding.constraints(target), space))
        np.testing.assert_allclose(found.delta, expected, atol=1e-7)
        assert found.certificate.holds(1e-8)
    result = run(jma(network, image, encoding, target, mask=mask, period=PERIOD, step=100.0, bisections=0))
    assert result.success
    np.testing.assert_allclose(result.image - result.original, expected, atol=1e-5)


@pytest.mark.parametrize("name", WAVES)
def test_every_attack_that_can_be_held_to_waves_stays_with_them(mlp_network: Callable[..., Any], name: str) -> None:
    """On a picture so grey that nothing is clipped, or else where nothing was."""
    net, image = mlp_network(6), 0.45 + 0.1 * torch.rand(3, 6, 6, dtype=torch.float64)
    target = int(net(image[None])[0].argsort()[-2])
    result = run(WAVES[name](net, image, OneHot(6), target, period=5.0))
    seen = [each for each in (result.image, *(step.image for step in result.steps)) if 0 < each.min() <= each.max() < 1]
    assert any((each != image.numpy()).any() for each in seen)
    for each in seen:
        np.testing.assert_allclose(each - image.numpy(), low_passed(each - image.numpy(), 5.0), atol=1e-9)


@pytest.mark.parametrize("name", ["boxed", "linf", "fgsm", "sigma_zero", "eight_bit"])
def test_others_refuse_a_period(mlp_network: Callable[..., Any], name: str) -> None:
    assert not catalogue()[name].waves
    with pytest.raises(ValueError, match=r"expected no period, got 5: .* cannot be held to waves"):
        run(find(name)(mlp_network(6), torch.full((3, 6, 6), 0.5), OneHot(6), 1, period=5.0))


def test_what_is_out_of_range_is_refused() -> None:
    for period in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected a period of at least 0 pixels"):
            Subspace(EVERYTHING, period)
    with pytest.raises(ValueError, match="expected a mask that is a rectangle"):
        Subspace(torch.eye(6, dtype=torch.bool)[None], 3.0)
