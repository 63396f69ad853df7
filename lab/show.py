"""A show: states of the app to step through before a class, each an address with a title. Kept in a file of JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from lab.links import Query
from lab.markup import one_line

PAGES = ("", "compare", "geometry", "learn")
"""The paths of those that have states; the first is the attack lab's."""
MOST, LONGEST, LARGEST = 100, 200, 2**20
"""States of a show, characters of a title, and bytes of a file, at most."""


@dataclass(frozen=True)
class State:
    """One of them."""

    title: str
    page: str
    """One of PAGES."""
    query: Query

    @property
    def address(self) -> str:
        """From the app's own address on."""
        return f"/{self.page}" + (f"?{urlencode(self.query, doseq=True, safe=',')}" if self.query else "")


EXAMPLE = (
    State("A finished attack", "", {}),
    State("Nearest or cheapest?", "geometry", {}),
    State("Why the ellipse matters", "learn", {"step": ["4"]}),
    State("Why half of the labels is hard", "learn", {"step": ["7"]}),
)
"""What a show begins with."""


def state_of(address: str, title: str = "") -> State:
    """The state of an address, from the app's own on or whole. Raises ValueError, with a sentence, if there is none."""
    try:
        parts = urlsplit(address.strip() or "nothing")
        page = PAGES[PAGES.index(parts.path.strip("/").rpartition("/")[2])]
    except ValueError as error:
        known = ", ".join(f"/{page}" for page in PAGES)
        raise ValueError(
            f"Expected an address of the attack lab, Compare, Geometry or Learn, one of {known}."
        ) from error
    query = parse_qs(parts.query, keep_blank_values=True)
    return State(one_line(title)[:LONGEST] or f"/{page}", page, query)


def to_file(states: Sequence[State]) -> str:
    """A show as a file."""
    told = [{"title": each.title, "address": each.address} for each in states]
    return json.dumps({"states": told}, indent=1, ensure_ascii=False)


def from_file(data: bytes) -> list[State]:
    """What ``to_file`` wrote, on this machine or another. Raises ValueError, with a sentence, for anything else."""
    try:
        if len(data) > LARGEST:
            raise ValueError("too large")
        told: Any = json.loads(data)["states"]
        given = [(each["title"], each["address"]) for each in told]
        if len(given) > MOST or not all(isinstance(text, str) for pair in given for text in pair):
            raise ValueError("too many, or no texts")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"This file is not a show: a list of up to {MOST} states with title and address.") from error
    return [state_of(address, title) for title, address in given]
