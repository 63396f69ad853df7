"""Spectra against what is known of them: Parseval's theorem, one wave, one pixel."""

from __future__ import annotations

import numpy as np
import pytest

from lab.pictures import ORANGE
from lab.spectrum import BANDS, bands, drawn, shares, spectrum


def wave(period: float, height: int = 64, width: int = 96) -> np.ndarray:
    """A cosine from left to right, of one channel."""
    return np.broadcast_to(np.cos(2 * np.pi * np.arange(width) / period), (1, height, width))


@pytest.mark.parametrize("size", [(3, 8, 8), (3, 15, 22), (1, 7, 7)])
def test_the_energy_of_all_frequencies_is_that_of_all_pixels(size: tuple[int, ...]) -> None:
    perturbation = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    assert spectrum(perturbation).sum() == pytest.approx((perturbation.astype(float) ** 2).sum(), rel=1e-12)
    assert shares(spectrum(perturbation)).sum() == pytest.approx(1)


def test_a_wave_is_two_points_at_its_frequency_left_and_right_of_the_middle() -> None:
    energy = spectrum(wave(8))
    rows, columns = np.nonzero(energy > 1e-9 * energy.max())
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == {(32, 48 - 12), (32, 48 + 12)}


@pytest.mark.parametrize(("period", "band"), [(96, 0), (32, 0), (12, 1), (6, 1), (3, 2), (2, 2)])
def test_a_wave_lies_in_the_band_of_its_period(period: float, band: int) -> None:
    np.testing.assert_allclose(shares(spectrum(wave(period))), np.eye(len(BANDS))[band], atol=1e-12)
    np.testing.assert_allclose(shares(spectrum(wave(period).swapaxes(1, 2))), np.eye(len(BANDS))[band], atol=1e-12)


def test_a_constant_is_low_and_one_pixel_is_everywhere_alike() -> None:
    np.testing.assert_allclose(shares(spectrum(np.ones((3, 9, 9)))), [1, 0, 0], atol=1e-12)
    pixel = np.zeros((3, 512, 512))
    pixel[1, 20, 30] = 1
    np.testing.assert_allclose(spectrum(pixel), 1 / 512**2)
    areas = np.pi / 16**2, np.pi / 4**2 - np.pi / 16**2, 1 - np.pi / 4**2
    np.testing.assert_allclose(shares(spectrum(pixel)), areas, atol=1e-3)


def test_a_drawn_spectrum_is_brightest_at_its_largest_and_has_two_rings() -> None:
    picture = drawn(spectrum(wave(8, 64, 64)))
    assert (picture[32, 32 + 8] == 255).all()
    assert (picture[0, 0] == 0).all()
    ring = (picture == ORANGE).all(-1)
    assert ring.any()
    assert set(bands(64, 64)[ring].tolist()) == {0, 1, 2}
    assert ring[32].sum() == 4, "the middle row crosses two rings twice"
