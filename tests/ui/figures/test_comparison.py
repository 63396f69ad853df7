"""Plots of several attacks: names that keep apart, numbers that fit their cells."""

from __future__ import annotations

import numpy as np

from ui.figures.comparison import angles_matrix, approach_chart, margins_matrix, spread


def test_names_keep_apart_in_their_order_and_stay_where_there_is_room() -> None:
    placed = spread([0.5, 3.0, 0.45, 0.48], 0.1)
    order = np.argsort(placed).tolist()
    assert order == [2, 3, 0, 1]
    assert np.diff(np.sort(placed)).min() >= 0.1 - 1e-12
    np.testing.assert_allclose(spread([3.0, 1.0, 2.0], 0.5), [3, 1, 2])
    assert spread([], 0.1) == []


def test_cells_hold_three_digits_and_what_is_unknown_is_a_dash() -> None:
    drawn = margins_matrix(["A", "B"], ["one", "two"], np.array([[9.994, -10.36], [0.0, np.nan]]), "logits").data[0]
    assert np.array(drawn.text).tolist() == [["9.99", "0.00"], ["-10.4", "–"]]
    assert (drawn.zmin, drawn.zmax) == (-10.36, 10.36)
    angles = angles_matrix(["A", "B"], np.array([[0.0, 89.6], [89.6, 0.0]])).data[0]
    assert np.array(angles.text).tolist() == [["0", "90"], ["90", "0"]]


def test_an_attack_without_a_hit_keeps_its_colour_and_has_no_line() -> None:
    curves = {"A": np.array([[10.0, 2.0], [20.0, 1.0]]), "B": np.empty((0, 2)), "C": np.array([[90.0, 0.5]])}
    drawn, all_three = approach_chart(curves), approach_chart(curves | {"B": np.array([[30.0, 1.0]])})
    colours = [trace.line.color for trace in all_three.data]
    assert [trace.line.color for trace in drawn.data] == [*colours[:2], *colours[4:]]
    assert [each.text.rpartition(" ")[2] for each in drawn.layout.annotations] == ["A", "C"]
