"""What the Learn page asks of a network, on one whose answers are known by hand, and the pictures of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from jma_core import OneHot
from lab.probes import FACTORS, Generation, Ray, generate, look_along
from models.loaders import LoadedModel
from models.registry import MODELS
from ui.figures import lecture as figures
from ui.parts.lessons import errors, honest_until

NAMES = ["one", "two", "three", "four", "five"]
PICTURE = np.full((1, 2, 3), 51, np.uint8)  # 0.2 everywhere


def model(*, bend: float = 0.0) -> LoadedModel:
    """Logits of five classes: each pixel's own value and a constant, and ``bend`` times its square."""

    class Network(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            pixels = images.flatten(1)[:, :5]
            return pixels + bend * pixels**2 + torch.tensor([4.0, 3.0, 2.0, 1.0, 0.0])

    return LoadedModel(MODELS["mnist-ecoc16"], Network().eval(), OneHot(5), torch.device("cpu"))


def named(figure: Any, name: str) -> Any:
    return next(trace for trace in figure.data if (trace.name or "").startswith(name))


def along(bend: float) -> Ray:
    return look_along(model(bend=bend), PICTURE, np.ones((3, 1, 2), np.float32))


def test_a_linear_network_is_its_linear_model_and_a_parabola_leaves_it_as_its_second_term_says() -> None:
    straight, bent = along(0.0), along(1.0)
    np.testing.assert_allclose(straight.actual, straight.predicted, atol=2e-6)
    np.testing.assert_allclose(bent.predicted[:, 0], 1.4 * FACTORS, rtol=1e-5)  # slope 1 + 2 * 0.2
    np.testing.assert_allclose(errors(bent, 0), FACTORS / 1.4, atol=1e-3)
    assert honest_until(bent, 0) == max(t for t in FACTORS if t / 1.4 <= 0.1)
    figure = figures.ray(bent, 0, 4.2, "one", 0.1)
    network = named(figure, "network")
    assert network.x[-1] == pytest.approx(0.1)
    np.testing.assert_allclose(network.y, 4.2 + 1.4 * network.x + network.x**2, atol=1e-5)


@pytest.fixture(scope="module")
def made() -> Generation:
    """To the fourth class: rivals one, two and three are ahead by 3, 2 and 1, and five is behind by 1."""
    return generate(model(), PICTURE, 3)


def test_rounds_are_those_of_constraint_generation(made: Generation) -> None:
    np.testing.assert_allclose(made.before, [-3, -2, -1, 1], atol=1e-6)
    (only,) = made.rounds
    assert only.asked.tolist() == [True, True, True, False]
    assert not only.violated.any()
    # four rises by a, one falls by 3 - a and two by 2 - a; a^2 + (3 - a)^2 + (2 - a)^2 is least at a = 5 / 3,
    # which is more than the 1 that three asks for
    np.testing.assert_allclose(only.predicted, [0, 0, 2 / 3, 8 / 3], atol=1e-5)
    assert made.solution.length == pytest.approx(np.sqrt(14 / 3), abs=1e-5)
    assert (made.backward, made.outputs) == (3, 5)


def test_the_picture_of_a_round_tells_rows_asked_for_from_others(made: Generation) -> None:
    figure = figures.generation(made, 0, NAMES[:3] + NAMES[4:])
    asked, rest = named(figure, "gradient row asked for: 3"), named(figure, "satisfied without being asked for: 1")
    assert list(asked.text) == NAMES[:3]
    np.testing.assert_allclose(asked.x, made.before[:3])
    np.testing.assert_allclose(rest.y, made.rounds[0].predicted[3:])
    assert len(named(figure, "violated: 0").x) == 0


def test_bars_are_sorted_and_say_what_is_violated() -> None:
    values = np.array([1.0, -2.0, 0.0, -0.5, 3.0])
    figure = figures.constraint_bars(values, NAMES)
    assert list(named(figure, "violated").y) == ["two", "four"]
    assert list(named(figure, "satisfied").y) == ["three", "one", "five"]
    bars, thresholds = figures.logits(values, np.arange(5.0), NAMES, 3).data
    assert list(bars.y) == ["five", "one", "three", "four", "two"]
    assert [bars.marker.color.index(figures.ORANGE)] == [3]
    assert list(thresholds.x) == [4.0, 0.0, 2.0, 3.0, 1.0]
