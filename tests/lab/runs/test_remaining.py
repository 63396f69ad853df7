"""What is left of an attack, on made-up progress whose end is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jma_core.records import AttackResult, Phase, Step
from lab.request import Settings
from lab.runs.remaining import Remaining, duration, remaining

SETTINGS = Settings.of(max_iter=100, max_seconds=60.0)


@pytest.fixture
def step(finished: AttackResult) -> Step:
    return replace(finished.steps[0], phase=Phase.WALK)


def progress(step: Step, worst: list[float], pace: float = 0.5) -> list[Step]:
    """Steps of ``pace`` seconds each, the worst of whose constraints was so far off."""
    return [
        replace(step, iteration=v, seconds=pace * v, values=np.array([3.0, margin, 1.0]))
        for v, margin in enumerate(worst, start=1)
    ]


WALKS = {
    "cat, one label": (
        1.8,
        [-2.91, -1.02, 0.74],
        [0.9, 1.2, 1.6],
    ),
    "cat, three labels": (
        17.6,
        [-8.44, -6.82, -5.65, -4.82, -4.24, -3.75, -3.27, -2.87, -2.5, -2.28, -1.98, -1.83, -1.52, -1.35, -1.18, -1.11,
         -0.9, -0.87, -0.69, -0.6, -0.48, -0.33, -0.26, -0.23, -0.47, -0.67, -0.37, -0.61, -0.29, -0.41, -0.37, -0.18,
         -0.31, -0.09, -0.24, 0.0],
        [0.8, 1.5, 1.9, 2.3, 2.5, 2.8, 3.2, 3.6, 4.0, 4.5, 4.9, 5.3, 5.7, 6.1, 6.4, 6.9, 7.3, 7.8, 8.2, 8.6, 9.0, 9.5,
         9.9, 10.6, 11.0, 11.4, 11.9, 12.4, 13.0, 13.5, 14.0, 14.8, 15.5, 16.1, 16.8, 17.3],
    ),
    "birds, two labels": (
        10.5,
        [-4.09, -3.38, -2.77, -2.3, -1.88, -1.43, -1.35, -1.13, -1.25, -0.83, -0.82, -0.45, -0.6, -0.42, -0.57, -0.66,
         -0.63, -0.3, -0.65, -0.04, -0.71, 0.0],
        [0.8, 1.3, 1.7, 2.4, 3.0, 3.5, 4.0, 4.6, 5.3, 5.9, 6.2, 6.6, 6.9, 7.2, 7.5, 7.8, 8.2, 8.5, 8.9, 9.4, 9.8, 10.2],
    ),
    "bridge, one label": (
        8.6,
        [-6.3, -5.68, -5.12, -4.62, -4.18, -3.75, -3.33, -2.9, -2.35, -1.74, -0.95, -0.98, -0.4, -1.5, -0.33, -1.33,
         0.03],
        [0.8, 1.6, 2.0, 2.4, 3.2, 3.8, 4.2, 4.8, 5.5, 5.9, 6.3, 6.6, 6.9, 7.3, 7.7, 8.0, 8.5],
    ),
}  # fmt: skip
"""Recorded walks of `lazy` on the sample photos: seconds in all, and the worst margin and the seconds at each step."""


@pytest.mark.parametrize("name", WALKS)
def test_what_is_said_of_recorded_walks_comes_true(step: Step, name: str) -> None:
    """Within a factor of two, or not said; and the bound holds."""
    end, margins, seconds = WALKS[name]
    steps: list[Step] = []
    for number, (margin, second) in enumerate(zip(margins, seconds, strict=True), start=1):
        steps.append(replace(step, iteration=number, seconds=second, values=np.array([3.0, margin, 1.0])))
        left, said = end - second, remaining(SETTINGS, steps)
        assert said.likely is None or left / 2 <= said.likely <= left * 2
        assert said.most >= left


def test_the_bound_is_the_sooner_of_the_two_caps(step: Step) -> None:
    slow = progress(step, [-10.0, -9.99])
    assert remaining(SETTINGS, slow) == Remaining(most=pytest.approx(49.0))
    assert remaining(Settings.of(max_iter=10, max_seconds=60.0), slow) == Remaining(most=pytest.approx(4.0))
    assert remaining(replace(SETTINGS, max_seconds=3.0), slow) == Remaining(most=pytest.approx(2.0))
    assert remaining(replace(SETTINGS, max_seconds=3.0), slow, since=5.0) == Remaining(most=0.0)
    assert remaining(SETTINGS, []) == Remaining(most=60.0)


def test_the_halvings_are_the_end(step: Step) -> None:
    steps = progress(step, [-3.0, -1.0, 1.0, -0.5])
    steps[2:] = replace(steps[2], phase=Phase.LEAP), replace(steps[3], phase=Phase.BISECT)
    assert remaining(SETTINGS, steps).likely == 0


def test_the_refined_attack_takes_all_its_iterations(step: Step) -> None:
    steps = progress(step, [-10.0, -9.0, 1.0, 2.0])
    assert remaining(Settings.of("refined", steps=100, max_seconds=60.0), steps) == Remaining(most=48.0, likely=48.0)


def test_it_is_said_in_words() -> None:
    assert str(Remaining(most=55.2, likely=3.1)) == "About 4 s, at most 56 s."
    assert str(Remaining(most=299.0)) == "At most 5 min to go."
    assert str(Remaining(102, 0.0)) == "Any moment now."
    assert [duration(seconds) for seconds in (0.0, 0.2, 120.0, 121.0)] == ["0 s", "1 s", "120 s", "3 min"]
