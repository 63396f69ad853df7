"""At which spatial frequencies the energy of a perturbation lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lab.pictures import ORANGE

Floats = NDArray[np.floating]
EDGES = 1 / 16, 1 / 4
"""Cycles a pixel, at which one band ends and the next begins."""
BANDS = "coarser than 16 pixels", "4 to 16 pixels", "finer than 4 pixels"
"""Low, middle and high frequencies, by their periods."""
DECADES = 6
"""Of energy, that a picture of a spectrum shows below its largest."""


def spectrum(perturbation: Floats) -> Floats:
    """The energy (H, W) of a perturbation (C, H, W) at each frequency, summed over channels, 0 in the middle.

    It sums to the squared L2 norm of the perturbation (Parseval).
    """
    energy: Floats = (np.abs(np.fft.fft2(perturbation.astype(np.float64), norm="ortho")) ** 2).sum(0)
    return np.fft.fftshift(energy)


def bands(height: int, width: int) -> NDArray[np.int64]:
    """Which of BANDS each frequency (H, W) of a spectrum is in, by its distance from 0 in any direction."""
    down, across = (np.fft.fftshift(np.fft.fftfreq(side)) for side in (height, width))
    return np.digitize(np.hypot(down[:, None], across), EDGES)


def shares(energy: Floats) -> Floats:
    """Which part of an energy (H, W), which is not all zero, each of BANDS has; they sum to 1."""
    band = bands(*energy.shape)
    return np.array([energy[band == i].sum() for i in range(len(BANDS))]) / float(energy.sum())


def drawn(energy: Floats) -> NDArray[np.uint8]:
    """A spectrum (H, W) as a picture (H, W, 3): brighter by the logarithm, with rings where one band meets the next."""
    low = energy.max() * 10.0**-DECADES
    grey = np.log10(np.maximum(energy, low) / low) / DECADES * 255
    picture = np.repeat(np.round(grey)[..., None], 3, axis=2).astype(np.uint8)
    band = bands(*energy.shape)
    picture[:-1, :-1][(band[1:, :-1] != band[:-1, :-1]) | (band[:-1, 1:] != band[:-1, :-1])] = ORANGE
    return picture
