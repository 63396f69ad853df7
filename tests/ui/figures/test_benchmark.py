"""The charts of a sweep, as data."""

from __future__ import annotations

import numpy as np
import pytest

from ui.figures.benchmark import budget_chart, duel, missed_chart, palette

COLOURS = palette(["A", "B"])


def test_a_curve_begins_with_all_cases_and_goes_on_to_the_end_of_the_longest() -> None:
    curves = {"A": np.array([[1.0, 0.5], [4.0, 0.0]]), "B": np.empty((0, 2))}
    reached, never = missed_chart(curves, COLOURS).data
    assert list(reached.y) == [1, 0.5, 0, 0]
    assert list(never.y) == [1, 1]
    assert (reached.x[0], reached.x[-1]) == (never.x[0], never.x[-1]) == pytest.approx((0.8, 4.8))
    assert {reached.line.color, never.line.color} == set(COLOURS.values())


def test_attacks_keep_their_colours_when_others_are_left_out() -> None:
    (alone,) = budget_chart({"B": np.array([[10.0, 1.0]])}, COLOURS).data
    assert alone.line.color == COLOURS["B"]


def test_who_has_not_reached_a_case_is_beyond_all_distances() -> None:
    distances = np.array([[1.0, np.inf, np.inf], [2.0, 3.0, np.inf]])
    _, dots = duel(("A", "B"), distances, {"1": "one", "2": "two <b>", "3": "three"}, chosen="2").data
    assert list(dots.x) == pytest.approx([1, 4.5, 4.5])
    assert list(dots.y) == pytest.approx([2, 3, 4.5])
    assert list(dots.customdata) == ["1", "2", "3"]
    assert dots.text[1] == "two &lt;b&gt;<br>A: not reached, B: 3.000"
    assert dots.marker.size[1] > dots.marker.size[0]


def test_without_any_distance_there_is_a_chart_yet() -> None:
    nothing = np.full((2, 1), np.inf)
    assert len(duel(("A", "B"), nothing, {"1": "one"}).data[1].x) == 1
    assert list(missed_chart({"A": np.empty((0, 2))}, COLOURS).data[0].y) == [1, 1]
