"""The pictures of the logit space show the numbers of the record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from jma_core import ECOC, Network
from jma_core.geometry import Section, geometry, land, section_of_logits, section_through_points
from lab.request import Measured
from models.encodings import MultiLabel
from models.registry import MODELS
from ui.figures import space as figures
from ui.figures.space import BLUE, CHEAPEST, NEAREST, ORANGE, Shown, border, region
from ui.parts import geometry as views
from ui.parts.geometry import headline, soft_distances

NAMES = ["one", "two", "three"]
GRAM = np.array([[4.0, 6, 2], [6, 25, 7], [2, 7, 27]])  # scalar products of the gradients, by hand


def shown(section: Section, measured: Measured, **more: Any) -> Shown:
    space = measured.space
    return Shown(
        axes=tuple("xyz"[: len(section.z)]),
        constraints=NAMES,
        costs=(space.nearest.length, space.cheapest.length),
        landed=(section.coordinates(measured.nearest.logits), section.coordinates(measured.cheapest.logits)),
        **more,
    )


def named(figure: Any, name: str) -> Any:
    return next(trace for trace in figure.data if (trace.name or "").startswith(name))


def points(trace: Any) -> np.ndarray:
    return np.column_stack([trace.x, trace.y])


def test_a_plane_shows_both_points_with_circle_and_ellipse_on_equal_scales(measured: Measured) -> None:
    space, section = measured.space, section_through_points(measured.space)
    path, free = np.array([[0.0, 0.0], [0.2, 0.4]]), np.array([0.1, 0.3])
    rivals = {"DDN": path + 1, "a<b": path - 1}
    figure = figures.plane(section, shown(section, measured, path=path, updates=[0, 7], free=free, rivals=rivals))
    radius = np.linalg.norm(space.nearest.logits - space.z)
    np.testing.assert_allclose(points(named(figure, NEAREST)), [[0, radius]], atol=1e-9)
    np.testing.assert_allclose(points(named(figure, CHEAPEST)), [section.cheapest])
    np.testing.assert_allclose(points(named(figure, "your point")), [free])
    np.testing.assert_allclose(points(named(figure, "path of the last attack")), path)
    assert list(named(figure, "path of the last attack").customdata) == [0, 7]
    np.testing.assert_allclose(points(named(figure, "DDN")), path + 1)
    np.testing.assert_allclose(points(named(figure, "a&lt;b")), path - 1)
    np.testing.assert_allclose(np.linalg.norm(points(named(figure, "equal distance")), axis=1), radius)
    for y in points(named(figure, "equal pixel effort"))[::20]:
        assert section.effort(y) == pytest.approx(space.cheapest.length)
    landed = named(figure, "real network, stepped to r∗")
    np.testing.assert_allclose(points(landed), [section.cheapest], atol=1e-6)  # the network is linear
    assert (named(figure, NEAREST).marker.symbol, named(figure, CHEAPEST).marker.symbol) == ("square", "diamond")
    assert figure.layout.yaxis.scaleanchor == "x"
    bare = figures.plane(section, replace(shown(section, measured), landed=()))
    assert not any("real network" in (trace.name or "") for trace in bare.data)
    texts = [each.text for each in figure.layout.annotations]
    assert "<b>r′</b> costs 0.625" in texts
    assert "<b>r∗</b> costs 0.500" in texts
    assert "border: one" in texts


def test_the_bold_border_goes_through_the_cheapest_point_and_shade_is_beyond_it(measured: Measured) -> None:
    section = section_of_logits(measured.space, (0, 1))
    figure = figures.plane(section, shown(section, measured))
    (bold,) = [trace for trace in figure.data if trace.line.width == 4]
    np.testing.assert_allclose(bold.x, 0, atol=1e-9)  # label one appears at zero
    (shade,) = [trace for trace in figure.data if trace.fill == "toself"]
    assert min(shade.x) == pytest.approx(0, abs=1e-9)
    low, high = figures.frame_of(section, shown(section, measured))
    assert (low < section.z).all()
    assert (high > section.cheapest).all()


def test_a_solid_shows_a_ball_and_an_ellipsoid(measured: Measured) -> None:
    section = section_of_logits(measured.space, (0, 1, 2))
    figure = figures.solid(section, shown(section, measured, path=np.array([[-1.0, 5, 6], [0.0, 6, 7]])))
    ball, ellipsoid = named(figure, "equal distance"), named(figure, "equal pixel effort")
    distance = np.sqrt((ball.x - section.z[0]) ** 2 + (ball.y - section.z[1]) ** 2 + (ball.z - section.z[2]) ** 2)
    np.testing.assert_allclose(distance, 1)
    away = np.stack([ellipsoid.x, ellipsoid.y, ellipsoid.z], axis=-1) - section.centre
    size = np.einsum("...i,ij,...j", away, np.linalg.inv(section.gram), away)
    np.testing.assert_allclose(size, section.level**2)
    wall = named(figure, "border: one")
    np.testing.assert_allclose(wall.x, 0, atol=1e-9)
    assert figure.layout.scene.aspectmode == "data"


def test_a_region_is_clipped_to_the_box() -> None:
    low, high = np.array([0.0, 0.0]), np.array([2.0, 2.0])
    corner = region(np.array([[-1.0, -1.0]]), np.array([-1.0]), low, high)  # x + y <= 1
    assert sorted(map(tuple, corner.tolist())) == [(0, 0), (0, 1), (1, 0)]
    assert len(region(np.array([[1.0, 0.0]]), np.array([3.0]), low, high)) == 0
    whole = region(np.zeros((0, 2)), np.zeros(0), low, high)
    assert sorted(map(tuple, whole.tolist())) == [(0, 0), (0, 2), (2, 0), (2, 2)]


def test_a_border_is_drawn_if_it_crosses_the_box() -> None:
    low, high = np.array([0.0, 0.0]), np.array([2.0, 2.0])
    line = border(np.array([1.0, 2.0]), 3.0, low, high)
    assert line is not None
    np.testing.assert_allclose(line @ [1, 2], 3)
    assert border(np.array([1.0, 2.0]), 7.0, low, high) is None
    assert border(np.zeros(2), -1.0, low, high) is None


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


@pytest.fixture(scope="module")
def stuck(linear_space: Callable[..., Measured]) -> Measured:
    """Two labels that are one, and one that no pixel moves: the first is to appear, and takes the second along."""
    return linear_space([[1.0, 2.0, 2.0], [1.0, 2.0, 2.0], [0.0, 0.0, 0.0]], [-3.0, 1.0, 1.0])


def test_a_point_out_of_reach_is_said_to_be(stuck: Measured) -> None:
    section = section_through_points(stuck.space)
    figure = figures.plane(section, shown(section, stuck, free=np.array([0.0, 1.0])))
    assert "<b>r′</b> cannot be reached" in [each.text for each in figure.layout.annotations]
    assert "cannot be reached" in named(figure, "your point").hovertemplate
    assert headline(stuck.space).startswith("**The nearest point cannot be reached at all**")


def test_logits_that_nothing_moves_can_be_looked_at(stuck: Measured) -> None:
    section = section_of_logits(stuck.space, (1, 2))
    low, high = figures.frame_of(section, shown(section, stuck))
    assert (high - low > 0.1).all()
    figures.plane(section, shown(section, stuck))
    assert np.isnan(figures.cosines(stuck.space, NAMES).data[0].z[2]).all()


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


def test_for_codewords_the_grey_region_is_the_decoders_and_the_linear_one_is_outlined() -> None:
    """Random logits of the MNIST model in the plane through z, r' and r*: grey where the decoder reads the target."""
    spec, target = MODELS["mnist-ecoc16"], 6
    encoding = ECOC(spec.encoding.codebook)
    rows = torch.randn(16, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = torch.full((3, 2, 5), 0.5, dtype=torch.float64)
    start = 1.5 * encoding.codebook[0].double() + 0.3 * rows[:, 0]
    network = Network(lambda images: (images.flatten(1) - 0.5) @ rows.T + start)
    space = geometry(network, x, encoding.constraints(target))
    ends = (land(network, x, encoding, target, point.delta) for point in (space.nearest, space.cheapest))
    section = section_through_points(space)
    figure = figures.plane(
        section, views.shown(spec.encoding, Measured(space, *ends), target, section, views.ACROSS, [])
    )
    grey = next(trace for trace in figure.data if trace.name == figures.READ_AS_WANTED)
    assert any(trace.name == figures.AIMED_AT for trace in figure.data)
    points = section.origin + np.stack(np.meshgrid(grey.x, grey.y), -1) @ section.basis
    reads = encoding.decode(torch.from_numpy(points)).numpy() == target
    assert 0 < reads.mean() < 1
    np.testing.assert_array_equal(np.array(grey.z) > 0, reads)
    linear = (section.a @ np.stack(np.meshgrid(grey.x, grey.y), -1)[..., None])[..., 0] >= section.h
    assert (linear.all(-1) != reads).any(), "tanh bends the borders"


def test_where_the_decoder_is_linear_there_is_one_region(measured: Measured) -> None:
    space, section = measured.space, section_through_points(measured.space)
    labels = MultiLabel(tuple("abc"))
    figure = figures.plane(section, views.shown(labels, measured, (1, 1, 1), section, views.ACROSS, []))
    assert [trace.name for trace in figure.data if "region" in str(trace.name)] == ["target region"]
    assert space.n == 3
