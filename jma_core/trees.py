"""Trees of labels, in which a jet is a plane: which labels have to flip with others for the answer to make sense.

The rules are those of SemA's code (Mahmood and Elhamifar 2024). A set of present labels is consistent if every present
label that has parents has a present one, and every one that has children has a present one; so a tree should name all
kinds of a thing, or none. Needs no torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class LabelTree:
    """Which of some labels are kinds of which. Labels may have several parents. Raises ValueError for a cycle."""

    parents: tuple[tuple[int, ...], ...]
    """Of each label, by its number in the order of the model's labels."""

    def __post_init__(self) -> None:
        left = set(range(len(self.parents)))
        while ends := {label for label in left if left.isdisjoint(self.parents[label])}:
            left -= ends
        if left:
            raise ValueError(f"expected a tree of labels, got a cycle among the numbers {sorted(left)}")

    @classmethod
    def read(cls, text: str, labels: Sequence[str]) -> LabelTree:
        """The tree of a model's labels from a file's text; what in it is none of them only links those that are.

        JSON in the form of Open Images' hierarchy, objects with LabelName and Subcategory; or a JSON object of lists of
        children by parent; or, as WordNet's ``is_a`` lists have it, lines of a parent and a child, with a tab between
        them if their names have spaces. Raises ValueError for anything else, and for cycles.
        """
        above: dict[str, list[str]] = {}
        for parent, child in _pairs(text):
            above.setdefault(child, []).append(parent)
        number = {label: i for i, label in enumerate(labels)}

        def parents(name: str, path: tuple[str, ...]) -> Iterator[int]:
            if name in path:
                raise ValueError(f"expected a tree of labels, got a cycle: {' > '.join((*path, name))}")
            for each in above.get(name, []):
                yield from [number[each]] if each in number else parents(each, (*path, name))

        return cls(tuple(tuple(dict.fromkeys(parents(label, ()))) for label in labels))

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Of each label, in order."""
        every = range(len(self.parents))
        return tuple(tuple(child for child in every if label in self.parents[child]) for label in every)

    def consistent(self, present: Sequence[bool]) -> bool:
        """Whether these labels, present or absent, make sense together."""
        return all(
            any(present[each] for each in near)
            for label in _which(present)
            for near in (self.parents[label], self.children[label])
            if near
        )

    def flipped(self, present: Sequence[bool], labels: Iterable[int]) -> tuple[bool, ...]:
        """The target in which these labels are flipped and, with them, the others that have to flip.

        The present ones are turned off first. With a label its present descendants go, and each ancestor that is left
        without a present child; of an absent parent all children. A label that comes brings a chain of ancestors, the
        present ones if there are, else the first, and so a chain of descendants. Always the same for the same labels,
        but not always the fewest. Of two labels that contradict each other the one that is turned on prevails.
        """
        labels, now = list(labels), list(present)
        for label in labels:
            if present[label]:
                self._off(now, label)
        for label in labels:
            if not present[label]:
                self._on(now, label, self.parents)
                self._on(now, label, self.children)
        return tuple(now)

    def _off(self, now: list[bool], label: int) -> None:
        now[label] = False
        for child in self.children[label]:
            if now[child]:
                self._off(now, child)
        for parent in self.parents[label]:
            there = [each for each in self.children[parent] if now[each]]
            for each in ([] if there else [parent]) if now[parent] else there:
                self._off(now, each)

    def _on(self, now: list[bool], label: int, near: tuple[tuple[int, ...], ...]) -> None:
        now[label] = True
        there = [each for each in near[label] if now[each]] or list(near[label][:1])
        for each in there:
            self._on(now, each, near)


def _which(present: Sequence[bool]) -> list[int]:
    return [label for label, there in enumerate(present) if there]


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Each parent with each child."""
    if text.lstrip().startswith("{"):
        told = json.loads(text)
        yield from _nested(told) if "LabelName" in told else _listed(told)
        return
    for line in filter(None, map(str.strip, text.splitlines())):
        words = line.split("\t") if "\t" in line else line.split()
        if len(words) != 2:
            raise ValueError(f"expected a parent and a child in each line, got {line!r}")
        yield words[0].strip(), words[1].strip()


def _nested(told: Any) -> Iterator[tuple[str, str]]:
    for child in told.get("Subcategory", []):
        yield told["LabelName"], child["LabelName"]
        yield from _nested(child)


def _listed(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if wrong := [parent for parent, children in told.items() if not isinstance(children, list)]:
        raise ValueError(f"expected a list of children of each parent, got {told[wrong[0]]!r} of {wrong[0]!r}")
    for parent, children in told.items():
        yield from ((parent, child) for child in children)
