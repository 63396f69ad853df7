"""The chart of a contact sheet."""

from __future__ import annotations

from lab.sheet import Cell
from tests.sheets import MISSED, REACHED
from ui.figures.sheet import LOOKS, flips_chart


def test_a_dot_is_an_attack_that_was_made_by_its_distance_and_what_it_has_changed() -> None:
    skipped = dict.fromkeys(REACHED) | {"status": "skipped", "error": "The picture reads so already."}
    rows = [REACHED, MISSED | {"l2": 2.5, "flips_made": 1}, skipped, None]
    reached, missed = flips_chart([Cell("<b>.png", row) for row in rows]).data
    assert (reached.x, reached.y) == ((1.0,), (2,))
    assert (missed.x, missed.y) == ((2.5,), (1,))
    assert len({(trace.marker.color, trace.marker.symbol) for trace in (reached, missed)}) == len(LOOKS)
    assert "2 of 2 labels changed" in reached.text[0]
    assert "<b>.png" not in reached.text[0]
