"""The attacks of the registry, each with few iterations: a test that speaks of all attacks takes them from here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from jma_core import catalogue, find


def brief(iterations: int, **settings: dict[str, Any]) -> dict[str, partial[Any]]:
    """Every attack by name, with so many iterations, and with more settings for some.

    One that needs more than a picture and a target is there if that is among them.
    """
    return {
        name: partial(find(name), **entry.within(iterations) | settings.get(name, {}))
        for name, entry in catalogue().items()
        if settings.get(name, {}).keys() >= set(entry.needs)
    }


def takes(attack: partial[Any], encoding: str) -> bool:
    """Whether one of these is for an encoding of this name."""
    return encoding.lower() in [each.lower() for each in attack.func.entry.encodings]  # type: ignore[attr-defined]


def in_turn(attacks: Mapping[str, partial[Any]], encodings: Iterable[str]) -> dict[str, tuple[str, partial[Any]]]:
    """Each attack with one of the encodings that it takes, another than the one before: where they do not matter."""
    pairs = {}
    for turn, (name, attack) in enumerate(attacks.items()):
        taken = [each for each in encodings if takes(attack, each)]
        pairs[f"{taken[turn % len(taken)]}-{name}"] = taken[turn % len(taken)], attack
    return pairs
