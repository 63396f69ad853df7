"""The stored runs as a list: searched, sorted, told apart, and as a table to take along."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any

from lab.store import Row

OUTCOMES: dict[str, Callable[[Row], bool]] = {
    "All": lambda row: True,
    "Reached": lambda row: row.success and not row.attacks,
    "Missed": lambda row: not row.success and not row.attacks,
    "Comparisons": lambda row: bool(row.attacks),
}
"""What a list can be narrowed to, by its name on the page."""
ORDERS: dict[str, tuple[Callable[[Row], Any], bool]] = {
    "Newest first": (lambda row: row.id, True),
    "Oldest first": (lambda row: row.id, False),
    "Smallest L2 first": (lambda row: row.l2, False),
    "Fewest backward passes first": (lambda row: row.backward, False),
    "By model": (lambda row: row.title, False),
}
"""By what it can be sorted, and whether the largest comes first."""
PICTURES = {"original", "attacked", "change"}
"""What a table has no place for."""


def search(rows: Iterable[Row], words: str, outcome: str, order: str) -> list[Row]:
    """Those of an outcome in which all words occur, whatever their case, in this order."""
    asked = words.lower().split()
    found = [row for row in rows if OUTCOMES[outcome](row) and all(word in told(row) for word in asked)]
    key, falling = ORDERS[order]
    return sorted(found, key=key, reverse=falling)


def told(row: Row) -> str:
    """All that is said of a run, in lower case."""
    return " ".join((row.title, row.before, row.wanted, row.after, row.reason, row.asked, row.note)).lower()


def similar(row: Row, rows: Iterable[Row]) -> Row | None:
    """The last run before this one on the same picture towards the same target, by the same model."""
    same = [
        each
        for each in rows
        if each.id < row.id
        and (each.model, each.original, each.wanted, bool(each.attacks))
        == (row.model, row.original, row.wanted, bool(row.attacks))
    ]
    return max(same, key=lambda each: each.id, default=None)


def differences(row: Row, other: Row) -> list[str]:
    """What was asked for in the other run and in this: "step 0.2 → 0.5"; of another attack only what both have."""
    mine, its = (json.loads(each.asked or "{}") for each in (row, other))
    names = {**its, **mine} if mine.get("attack") == its.get("attack") else [name for name in its if name in mine]
    changed = [(name, its.get(name, "none"), mine.get(name, "none")) for name in names]
    return [f"{name} {old} → {new}" for name, old, new in changed if new != old]


def to_csv(rows: Sequence[Row]) -> str:
    """A line for each run, below the names of what it says."""
    names = [field.name for field in fields(Row) if field.name not in PICTURES]
    file = io.StringIO()
    table = csv.writer(file)
    table.writerows([names, *([getattr(row, name) for name in names] for row in rows)])
    return file.getvalue()
