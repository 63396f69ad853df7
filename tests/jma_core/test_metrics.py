from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from jma_core.metrics import distortion

Image = NDArray[np.floating]

SHAPES = [(3, 32, 32), (1, 28, 28), (3, 11, 11), (3, 11, 40), (3, 37, 12)]


def pair(shape: tuple[int, ...], amount: float, seed: int = 0) -> tuple[Image, Image]:
    rng = np.random.default_rng(seed)
    original = rng.random(shape)
    return original, np.clip(original + amount * rng.standard_normal(shape), 0, 1)


@pytest.mark.parametrize("amount", [1e-4, 0.01, 0.3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_all_agree_with_scikit_image(shape: tuple[int, ...], amount: float) -> None:
    original, attacked = pair(shape, amount)
    ours = distortion(original, attacked)
    theirs = structural_similarity(
        original,
        attacked,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
        channel_axis=0,
    )
    assert ours.mse == pytest.approx(mean_squared_error(original, attacked), rel=1e-12)
    assert ours.psnr == pytest.approx(peak_signal_noise_ratio(original, attacked, data_range=1), rel=1e-12)
    assert ours.ssim == pytest.approx(theirs, rel=1e-12)
    assert ours.l2 == pytest.approx(math.sqrt(ours.mse * original.size), rel=1e-12)


def test_known_values() -> None:
    """Three of twelve pixels off by 0.5, 0.25 and 0.25."""
    original = np.full((3, 2, 2), 0.5)
    attacked = original.copy()
    attacked.flat[[0, 5, 11]] = [1.0, 0.25, 0.75]
    ours = distortion(original, attacked)
    assert ours.mse == 0.375 / 12
    assert ours.l2 == math.sqrt(0.375)
    assert ours.linf == 0.5
    assert ours.l0 == 3
    assert ours.psnr == pytest.approx(-10 * math.log10(0.03125), rel=1e-15)


def test_the_mean_square_is_no_root() -> None:
    """The paper's formula prints a root, its tables hold the mean square."""
    assert distortion(np.zeros((1, 2, 2)), np.full((1, 2, 2), 0.1)).mse == pytest.approx(0.01, rel=1e-15)


def test_constant_images_have_the_ssim_of_their_means() -> None:
    """Without variance only the luminance term is left: (2 a b + c1) / (a^2 + b^2 + c1), c1 = 1e-4."""
    a, b = 0.25, 0.5
    ours = distortion(np.full((1, 16, 16), a), np.full((1, 16, 16), b))
    assert ours.ssim == pytest.approx((2 * a * b + 1e-4) / (a * a + b * b + 1e-4), rel=1e-9)


def test_equal_images_have_no_distortion() -> None:
    image = pair((3, 16, 16), 0)[0]
    ours = distortion(image, image.copy())
    assert (ours.mse, ours.l2, ours.linf, ours.psnr) == (0, 0, 0, math.inf)
    assert ours.ssim == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("shape", [(3, 10, 32), (1, 32, 10), (1, 1, 1)], ids=str)
def test_images_smaller_than_the_window_have_no_ssim(shape: tuple[int, ...]) -> None:
    original, attacked = pair(shape, 0.1)
    ours = distortion(original, attacked)
    assert math.isnan(ours.ssim)
    assert ours.mse == pytest.approx(mean_squared_error(original, attacked), rel=1e-12)


def test_float32_images_are_compared_in_float64() -> None:
    """Squares of 1e-5 summed over 3072 pixels: in float32 the mean would be off in its seventh digit."""
    original, attacked = (image.astype(np.float32) for image in pair((3, 32, 32), 1e-5))
    exact = distortion(original.astype(np.float64), attacked.astype(np.float64))
    assert distortion(original, attacked) == exact


@pytest.mark.parametrize(
    ("original", "attacked"),
    [((3, 8, 8), (3, 8, 9)), ((3, 8, 8), (1, 8, 8)), ((8, 8), (8, 8)), ((1, 3, 8, 8), (1, 3, 8, 8))],
)
def test_images_of_other_shapes_are_refused_with_what_was_expected_and_what_came(
    original: tuple[int, ...], attacked: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"expected two images of one shape \(C, H, W\), got \("):
        distortion(np.zeros(original), np.zeros(attacked))
