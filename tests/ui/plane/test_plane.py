"""The drawing of the logit space shows the numbers of the record."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from jma_core import ECOC, Network, OneHot
from jma_core.geometry import Section, geometry, land, section_of_logits, section_through_points
from lab.request import Measured
from models.encodings import MultiLabel
from models.registry import MODELS
from ui.figures import space as figures
from ui.figures.space import CHEAPEST, NEAREST, Shown
from ui.parts import geometry as views
from ui.parts.geometry import headline
from ui.plane.plane import GRID, OPAQUE, border, drawing, region

NAMES = ["one", "two", "three"]


def shown(section: Section, measured: Measured, **more: Any) -> Shown:
    space = measured.space
    return Shown(
        axes=("x", "y"),
        constraints=NAMES,
        costs=(space.nearest.length, space.cheapest.length),
        landed=(section.coordinates(measured.nearest.logits), section.coordinates(measured.cheapest.logits)),
        **more,
    )


def named(things: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(each for each in things if each["name"] == name)


def test_a_plane_shows_both_points_with_circle_and_ellipse_and_nothing_is_cut_off(measured: Measured) -> None:
    space, section = measured.space, section_through_points(measured.space)
    path, free = np.array([[0.0, 0.0], [0.2, 0.4]]), np.array([0.1, 0.3])
    rivals = {"DDN": path + 1, "a<b": path - 1}
    told = drawing(section, shown(section, measured, path=path, updates=[0, 7], free=free, rivals=rivals))
    radius = np.linalg.norm(space.nearest.logits - space.z)
    np.testing.assert_allclose(named(told["marks"], NEAREST)["at"], [0, radius], atol=1e-9)
    np.testing.assert_allclose(named(told["marks"], CHEAPEST)["at"], section.cheapest, rtol=1e-4)
    assert [mark["label"] for mark in told["marks"] if mark["label"]] == ["z", "r′ costs 0.625", "r∗ costs 0.500"]
    assert [mark["name"] for mark in told["marks"] if mark["target"]] == [NEAREST, CHEAPEST]
    landed = named(told["marks"], "real network, stepped to r∗")
    np.testing.assert_allclose(landed["at"], section.cheapest, rtol=1e-4)  # the network is linear
    assert landed["leads"] == CHEAPEST
    assert told["free"] == [0.1, 0.3]
    assert [each["name"] for each in told["paths"]] == ["path of the last attack", "DDN", "a<b"]
    assert told["paths"][0]["updates"] == [0, 7]
    np.testing.assert_allclose(told["paths"][1]["points"], path + 1)
    assert told["circle"]["radius"] == pytest.approx(radius, rel=1e-4)
    centre, axes = np.array(told["ellipse"]["at"]), np.array(told["ellipse"]["axes"])
    around = centre + np.array([[np.cos(t), np.sin(t)] for t in np.linspace(0, 6, 20)]) @ axes
    low, high = np.array(told["frame"])
    for y in around:
        assert section.effort(y) == pytest.approx(space.cheapest.length, rel=1e-3)
        d = y - centre
        assert np.sqrt(d @ np.array(told["price"]) @ d) == pytest.approx(space.cheapest.length, rel=1e-3)
        assert (low < y).all()
        assert (y < high).all()
    binding = [each["name"] for each in told["borders"] if each["kind"] == "binding"]
    assert binding == ["one"]
    assert named(told["borders"], "one")["named"]
    bare = drawing(section, replace(shown(section, measured), landed=()))
    assert not any(mark["leads"] for mark in bare["marks"])


def test_the_bold_border_goes_through_the_cheapest_point_and_the_region_is_beyond_it(measured: Measured) -> None:
    section = section_of_logits(measured.space, (0, 1))
    told = drawing(section, shown(section, measured))
    (bold,) = [each for each in told["borders"] if each["kind"] == "binding"]
    np.testing.assert_allclose(np.array(bold["line"])[:, 0], 0, atol=1e-9)  # label one appears at zero
    assert min(x for x, _ in told["region"]) == pytest.approx(0, abs=1e-9)


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


@pytest.fixture(scope="module")
def stuck(linear_space: Callable[..., Measured]) -> Measured:
    """Two labels that are one, and one that no pixel moves: the first is to appear, and takes the second along."""
    return linear_space([[1.0, 2.0, 2.0], [1.0, 2.0, 2.0], [0.0, 0.0, 0.0]], [-3.0, 1.0, 1.0])


def test_a_point_out_of_reach_is_said_to_be(stuck: Measured) -> None:
    section = section_through_points(stuck.space)
    free = np.array([0.0, 1.0])
    told = drawing(section, shown(section, stuck, free=free))
    assert named(told["marks"], NEAREST)["label"] == "r′ cannot be reached"
    assert told["price"] is None
    assert "**more than any perturbation**" in views.verdict(section, stuck.space, free, None)
    assert headline(stuck.space).startswith("**The nearest point cannot be reached at all**")


def test_logits_that_nothing_moves_can_be_looked_at(stuck: Measured) -> None:
    section = section_of_logits(stuck.space, (1, 2))
    low, high = np.array(drawing(section, shown(section, stuck))["frame"])
    assert (high - low > 0.1).all()
    assert np.isnan(figures.cosines(stuck.space, NAMES).data[0].z[2]).all()
    assert stuck.space.mean_cosine == pytest.approx(1)  # of the two that are one


def test_for_codewords_the_shade_is_the_decoders_and_the_linear_region_is_outlined() -> None:
    """Random logits of the MNIST model in the plane through z, r' and r*: shaded where the decoder reads the target."""
    spec, target = MODELS["mnist-ecoc16"], 6
    encoding = ECOC(spec.encoding.codebook)
    rows = torch.randn(16, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = torch.full((3, 2, 5), 0.5, dtype=torch.float64)
    start = 1.5 * encoding.codebook[0].double() + 0.3 * rows[:, 0]
    network = Network(lambda images: (images.flatten(1) - 0.5) @ rows.T + start)
    space = geometry(network, x, encoding.constraints(target))
    ends = (land(network, x, encoding, target, point.delta) for point in (space.nearest, space.cheapest))
    section = section_through_points(space)
    told = drawing(section, views.shown(spec.encoding, Measured(space, *ends), target, section, views.ACROSS, []))
    with Image.open(io.BytesIO(base64.b64decode(told["read"]["url"].partition(",")[2]))) as picture:
        opacity = np.asarray(picture)[::-1, :, 1].astype(int)
    low, high = told["read"]["frame"]
    grid = np.stack(np.meshgrid(*(np.linspace(low[i], high[i], GRID) for i in range(2))), -1)
    points = section.origin + grid @ section.basis
    reads = encoding.decode(torch.from_numpy(points)).numpy() == target
    assert 0 < reads.mean() < 1
    clear = (opacity == 0) | (opacity == OPAQUE)
    assert clear.mean() > 0.9
    assert (reads == (opacity > OPAQUE / 2))[clear].all()
    linear = ((section.a @ grid[..., None])[..., 0] >= section.h).all(-1)
    assert (linear != reads).any(), "tanh bends the borders"
    assert told["region"]


def test_where_the_decoder_is_linear_there_is_one_region(measured: Measured) -> None:
    space, section = measured.space, section_through_points(measured.space)
    told = drawing(section, views.shown(MultiLabel(tuple("abc")), measured, (1, 1, 1), section, views.ACROSS, []))
    assert "read" not in told
    assert told["region"]
    assert space.n == 3


def test_only_the_nearest_of_many_borders_are_named() -> None:
    spec = MODELS["gtsrb-onehot"]
    rows = torch.randn(43, 60, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x, encoding = torch.full((3, 4, 5), 0.5, dtype=torch.float64), spec.encoding
    network = Network(lambda images: (images.flatten(1) - 0.5) @ rows.T + rows[:, 0])
    space = geometry(network, x, OneHot(43).constraints(5))
    ends = (land(network, x, OneHot(43), 5, point.delta) for point in (space.nearest, space.cheapest))
    section = section_through_points(space)
    told = drawing(section, views.shown(encoding, Measured(space, *ends), 5, section, views.ACROSS, []))
    idle = [each for each in told["borders"] if each["kind"] == "idle"]
    assert len(idle) > 6
    assert [each["named"] for each in idle] == [True] * 6 + [False] * (len(idle) - 6)
