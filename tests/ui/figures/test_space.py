"""The pictures of the logit space show the numbers of the record."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jma_core.geometry import section_of_logits
from lab.request import Measured
from models.registry import MODELS
from ui.figures import space as figures
from ui.figures.space import BLUE, ORANGE, Shown
from ui.parts.geometry import headline, soft_distances

NAMES = ["one", "two", "three"]
GRAM = np.array([[4.0, 6, 2], [6, 25, 7], [2, 7, 27]])  # scalar products of the gradients, by hand


def named(figure: Any, name: str) -> Any:
    return next(trace for trace in figure.data if (trace.name or "").startswith(name))


def test_a_solid_shows_a_ball_and_an_ellipsoid(measured: Measured) -> None:
    section = section_of_logits(measured.space, (0, 1, 2))
    landed = tuple(section.coordinates(each.logits) for each in (measured.nearest, measured.cheapest))
    path = np.array([[-1.0, 5, 6], [0.0, 6, 7]])
    figure = figures.solid(section, Shown(tuple("xyz"), NAMES, (0.625, 0.5), landed, path))
    ball, ellipsoid = named(figure, "equal distance"), named(figure, "equal pixel effort")
    distance = np.sqrt((ball.x - section.z[0]) ** 2 + (ball.y - section.z[1]) ** 2 + (ball.z - section.z[2]) ** 2)
    np.testing.assert_allclose(distance, 1)
    away = np.stack([ellipsoid.x, ellipsoid.y, ellipsoid.z], axis=-1) - section.centre
    size = np.einsum("...i,ij,...j", away, np.linalg.inv(section.gram), away)
    np.testing.assert_allclose(size, section.level**2)
    wall = named(figure, "border: one")
    np.testing.assert_allclose(wall.x, 0, atol=1e-9)
    assert figure.layout.scene.aspectmode == "data"
    assert (figure.layout.dragmode, figure.layout.scene.dragmode) == (False, "turntable")  # it alone is turned


def test_the_spectrum_and_the_costs_are_those_of_the_gram_matrix(measured: Measured) -> None:
    (bars,) = figures.spectrum(measured.space).data
    np.testing.assert_allclose(bars.y, np.linalg.eigvalsh(GRAM)[::-1], rtol=1e-6)
    free, held = figures.unit_costs(measured.space, NAMES).data
    assert list(free.y) == ["three", "two", "one"]  # cheapest on top
    np.testing.assert_allclose(free.x, 1 / np.sqrt([27, 25, 4]))
    np.testing.assert_allclose(held.x, np.sqrt(np.linalg.inv(GRAM).diagonal()[::-1]))
    (heat,) = figures.cosines(measured.space, NAMES).data
    assert heat.z[0][1] == pytest.approx(6 / np.sqrt(4 * 25))
    assert (heat.zmin, heat.zmax) == (-1, 1)


def test_the_headline_says_what_the_points_cost(measured: Measured) -> None:
    said = headline(measured.space)  # r* is at (0, 6.5, 6.5), from (-1, 5, 6)
    assert f"{np.sqrt(1 + 1.5**2 + 0.5**2):.1f} times as far" in said
    cost = np.sqrt(np.linalg.inv(GRAM)[0, 0])  # of r', which moves the first label alone by one
    assert f"{cost / 0.5:.1f} times as much" in said


def test_codewords_and_distances_in_bits() -> None:
    spec = MODELS["cifar10-ecoc16"]
    code = spec.encoding.codebook
    assert code is not None
    saturated = 50.0 * code[[3, 5]]
    distances = soft_distances(spec.encoding, saturated)
    np.testing.assert_allclose(distances, [(code != code[i]).sum(1) for i in (3, 5)], atol=1e-9)
    figure = figures.codeword_distances([0, 9], distances, spec.encoding.labels, before=3, target=5)
    assert len(figure.data) == 10
    before, target = figure.data[-2:]
    assert (before.line.color, target.line.color) == (BLUE, ORANGE)
    assert list(target.x) == [0, 9]
    np.testing.assert_allclose(target.y, [(code[3] != code[5]).sum(), 0], atol=1e-9)
    (bits,) = figures.codewords({"now": np.tanh(saturated[0]), "wanted": code[5].astype(float)}).data
    assert list(bits.y) == ["now", "wanted"]
    np.testing.assert_array_equal(bits.z, code[[3, 5]])
