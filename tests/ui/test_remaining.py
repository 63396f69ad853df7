"""What is left of an attack, on made-up progress whose end is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jma_core.records import AttackResult, Phase, Step
from ui.remaining import Remaining, duration, remaining
from ui.request import Settings

SETTINGS = Settings(max_iter=100, max_seconds=60.0)


@pytest.fixture
def step(finished: AttackResult) -> Step:
    return replace(finished.steps[0], phase=Phase.WALK)


def progress(step: Step, worst: list[float], pace: float = 0.5) -> list[Step]:
    """Steps of ``pace`` seconds each, the worst of whose constraints was so far off."""
    return [
        replace(step, iteration=v, seconds=pace * v, values=np.array([3.0, margin, 1.0]))
        for v, margin in enumerate(worst, start=1)
    ]


@pytest.mark.parametrize("seen", [2, 3, 4, 7, 9])
def test_of_linear_progress_the_rest_is_exact(step: Step, seen: int) -> None:
    """From -10 by 1 each half second: the tenth step after the first ends the walk."""
    steps = progress(step, [float(k - 10) for k in range(10)][:seen])
    assert remaining(SETTINGS, steps).likely == pytest.approx(0.5 * (11 - seen))
    assert remaining(SETTINGS, steps, since=0.2).likely == pytest.approx(0.5 * (11 - seen) - 0.2)


def test_of_a_thinned_attack_the_rest_is_the_same(step: Step) -> None:
    steps = progress(step, [float(k - 10) for k in range(9)])
    assert remaining(SETTINGS, steps[::2]).likely == pytest.approx(remaining(SETTINGS, steps).likely)


def test_the_rate_is_the_recent_one(step: Step) -> None:
    """At first by 5, then by 1 a step: the first rate would end it after the next step."""
    steps = progress(step, [-20.0, -15.0, -10.0, -5.0, -4.0, -3.0, -2.0])
    assert remaining(SETTINGS, steps).likely == pytest.approx(2 * 0.5)


@pytest.mark.parametrize("worst", [[-5.0], [-5.0, -5.0, -5.0], [-5.0, -6.0, -7.0], [-5.0, 0.0, 1.0]])
def test_without_progress_only_the_bound_is_known(step: Step, worst: list[float]) -> None:
    """The last: all constraints hold, and yet the decoder says no."""
    steps = progress(step, worst)
    assert remaining(SETTINGS, steps) == Remaining(most=pytest.approx(0.5 * (100 - len(worst))))


def test_the_bound_is_the_sooner_of_the_two_caps_and_nothing_is_likelier_than_it(step: Step) -> None:
    slow = progress(step, [-10.0, -9.99])
    iterations, seconds = replace(SETTINGS, max_iter=10), replace(SETTINGS, max_seconds=3.0)
    assert remaining(iterations, slow) == Remaining(most=pytest.approx(4.0), likely=pytest.approx(4.0))
    assert remaining(seconds, slow) == Remaining(most=pytest.approx(2.0), likely=pytest.approx(2.0))
    assert remaining(seconds, slow, since=5.0) == Remaining(most=0.0, likely=0.0)
    assert remaining(SETTINGS, []) == Remaining(most=60.0)


def test_the_halvings_are_the_end(step: Step) -> None:
    steps = progress(step, [-3.0, -1.0, 1.0, -0.5])
    steps[2:] = replace(steps[2], phase=Phase.LEAP), replace(steps[3], phase=Phase.BISECT)
    assert remaining(SETTINGS, steps).likely == 0


def test_the_refined_attack_takes_all_its_iterations(step: Step) -> None:
    steps = progress(step, [-10.0, -9.0, 1.0, 2.0])
    assert remaining(replace(SETTINGS, level="refined"), steps) == Remaining(most=48.0, likely=48.0)


def test_it_is_said_in_words() -> None:
    assert str(Remaining(most=55.2, likely=3.1)) == "At this rate 4 s, at most 56 s."
    assert str(Remaining(most=299.0)) == "At most 5 min to go."
    assert str(Remaining(102, 0.0)) == "Any moment now."
    assert [duration(seconds) for seconds in (0.0, 0.2, 120.0, 121.0)] == ["0 s", "1 s", "120 s", "3 min"]
