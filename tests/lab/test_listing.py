"""The list of stored runs: what is found, in which order, and what is said of two that are alike."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from lab.listing import differences, search, similar, to_csv
from lab.store import Row


def row(number: int, **known: Any) -> Row:
    """A stored run of a cat that is to be read as flowers."""
    usual = {
        "at": "2026-01-02T03:04:05+00:00", "model": "scenes", "title": "Scenes, 24 labels", "weights": "",
        "before": "cat", "wanted": "flowers", "after": "flowers", "success": True, "reason": "success", "l2": 0.5,
        "n_it": 7, "backward": 14, "seconds": 1.5, "attacks": 0, "original": b"cat", "attacked": b"", "change": b"",
        "asked": json.dumps({"attack": "lazy", "step": 0.2, "kappa": 0.0}), "note": "",
    }  # fmt: skip
    return Row(number, **(usual | known))


ROWS = [
    row(4, attacks=3, reason="DDN came nearest.", l2=0.3),
    row(3, success=False, after="cat", l2=2.0, backward=3, note="Tuesday's lecture"),
    row(2, asked=json.dumps({"attack": "ddn", "steps": 100, "kappa": 0.0}), l2=0.4),
    row(1, before="bridge", original=b"bridge"),
]


@pytest.mark.parametrize(
    ("words", "outcome", "order", "found"),
    [
        ("", "All", "Newest first", [4, 3, 2, 1]),
        ("", "Missed", "Newest first", [3]),
        ("", "Comparisons", "Newest first", [4]),
        ("CAT  ddn", "All", "Oldest first", [2, 4]),
        ("lecture", "All", "Newest first", [3]),
        ("", "All", "Smallest L2 first", [4, 2, 1, 3]),
        ("flowers", "Reached", "Smallest L2 first", [2, 1]),
        ("unicorn", "All", "Newest first", []),
    ],
)
def test_runs_are_searched_narrowed_and_sorted(words: str, outcome: str, order: str, found: list[int]) -> None:
    assert [each.id for each in search(ROWS, words, outcome, order)] == found


def test_a_run_is_told_from_the_last_one_on_the_same_picture_and_target() -> None:
    before = similar(ROWS[1], ROWS)
    assert before is ROWS[2]
    assert differences(ROWS[1], before) == ["attack ddn → lazy"], "the settings of each are its own"
    longer = row(5, asked=json.dumps({"attack": "lazy", "step": 0.5, "kappa": 0.0, "part": "painted"}))
    assert differences(longer, ROWS[1]) == ["step 0.2 → 0.5", "part none → painted"]
    assert similar(ROWS[2], ROWS) is None, "the bridge is another picture"
    assert similar(ROWS[0], ROWS) is None, "a comparison is compared with comparisons"
    assert differences(ROWS[1], ROWS[1]) == []


def test_a_table_has_a_line_for_each_run_and_no_pictures() -> None:
    first, *_ = lines = list(csv.DictReader(io.StringIO(to_csv(ROWS))))
    assert [line["id"] for line in lines] == ["4", "3", "2", "1"]
    assert (first["before"], first["l2"], first["attacks"]) == ("cat", "0.3", "3")
    assert not {"original", "attacked", "change"} & first.keys()
