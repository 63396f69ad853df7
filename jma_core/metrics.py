"""How far an attacked image is from its original.

All images are (C, H, W) arrays with pixels in [0, 1]; C is 1 or 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.floating]


@dataclass(frozen=True)
class Distortion:
    """Distances between two images.

    ``mse`` is the mean over pixels and channels of squared differences (the paper's formula prints its root, its
    tables hold this); ``l2`` and ``linf`` are norms of the difference in [0, 1] pixel units, ``l0`` is the number of
    values that differ, of the C H W that there are; ``psnr`` is in dB and infinite for equal images; ``ssim`` is 1 for
    equal images and nan for images smaller than its 11 x 11 window.
    """

    mse: float
    l2: float
    linf: float
    l0: int
    psnr: float
    ssim: float


def distortion(original: Image, attacked: Image) -> Distortion:
    """Every distance between two images of equal shape (C, H, W). Raises ValueError when the shapes differ."""
    if original.shape != attacked.shape or original.ndim != 3:
        raise ValueError(f"expected two images of one shape (C, H, W), got {original.shape} and {attacked.shape}")
    difference = attacked.astype(np.float64) - original
    mse = float(np.mean(difference**2))
    return Distortion(
        mse=mse,
        l2=float(np.linalg.norm(difference)),
        linf=float(np.abs(difference).max()),
        l0=int(np.count_nonzero(difference)),
        psnr=10 * math.log10(1 / mse) if mse else math.inf,
        ssim=ssim(original, attacked),
    )


def ssim(original: Image, attacked: Image) -> float:
    """Structural similarity, mean over channels and pixels at least 5 from the border; at most 1.

    Gaussian window of sigma 1.5 and 11 x 11 pixels, K1 = 0.01, K2 = 0.03, data range 1. Source: Wang et al. 2004.
    Not defined (nan) for images smaller than the window.
    """
    if min(original.shape[1:]) < 11:
        return math.nan
    from scipy.ndimage import gaussian_filter  # a fifth of a second that those who only read records need not wait

    def blur(channels: NDArray[np.float64]) -> NDArray[np.float64]:
        blurred: NDArray[np.float64] = gaussian_filter(channels, sigma=(0, 1.5, 1.5), radius=(0, 5, 5))
        return blurred

    x, y = original.astype(np.float64), attacked.astype(np.float64)
    mean_x, mean_y = blur(x), blur(y)
    variances = blur(x * x + y * y) - mean_x**2 - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variances + c2)
    return float((luminance * structure)[:, 5:-5, 5:-5].mean())
