"""What every attack reaches on every encoding: python -m bench.cells --data DIR [--only CELL ...] [--json FILE]

Test pictures with a random target each, drawn with seed 0 and the same for all attacks: traffic signs that the model
reads rightly, towards another class, three classes in order, or another codeword; photos, of which two labels are to be
others. Each attack has 100 backward passes: what it has reached by then counts, and the step that takes more ends it.
It has its default settings, but not more iterations than passes, in no more than four searches, and C&W begins with
c = 1. ``lots`` gets 100 other test pictures as its pool. ``eight_bit``, which rounds what others have found, is left
out.

L2, Linf, passes and seconds are medians, the first two over the pictures on which the target was reached: of one attack
that reaches fewer they are not to be compared with another's. An attack that fails says with what.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from bench.report import print_table, write_json
from bench.rivals import capped
from bench.zoo import SEED, cases, test_pictures
from jma_core import catalogue, find
from jma_core.attacks.registry import Declared, Entry, Value
from jma_core.attacks.trail import ORDERS
from models.loaders import LoadedModel, load
from models.registry import MODELS

PASSES, SEARCHES, FIRST_C, FLIPS, POOL = 100, 4, 1.0, 2, 100
CELLS = {
    "one-hot": ("gtsrb-onehot", 10),
    "top-K": ("gtsrb-onehot", 10),
    "ECOC": ("gtsrb-ecoc32", 10),
    "multi-label": ("scenes-mlp", 2),
}
"""Model and pictures."""
HEAD = ["attack", "encoding", "n", "reached", "L2", "Linf", "forward", "backward", "seconds"]


@dataclass(frozen=True)
class Ended:
    """What an attack on one picture has reached within its passes, and what it took."""

    l2: float | None
    """Of the nearest hit, as ``linf``; None without one."""
    linf: float | None
    forward: int
    backward: int
    seconds: float


Cell = list[Ended] | str
"""How an attack ended on each picture, or what it raised."""


def main() -> None:
    """Run the cells, print a table for each."""
    parser = argparse.ArgumentParser(description="What every attack reaches on every encoding")
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds the image sets")
    parser.add_argument("--only", nargs="+", choices=CELLS, default=list(CELLS), help="these encodings")
    parser.add_argument("--attacks", nargs="+", choices=attacks(), default=attacks(), help="these attacks")
    parser.add_argument("--quick", action="store_true", help="one picture of each encoding, 20 passes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure, with machine and settings")
    options = parser.parse_args()
    passes = 20 if options.quick else PASSES
    figures = {}
    for name in options.only:
        count = 1 if options.quick else CELLS[name][1]
        found = cell(name, options.data, count, passes, options.attacks)
        print_table(HEAD, [row(attack, name, count, each) for attack, each in found.items()])
        figures[name] = {k: each if isinstance(each, str) else [*map(asdict, each)] for k, each in found.items()}
    write_json(options.json, {"settings": {"seed": SEED, "passes": passes, "searches": SEARCHES}, "cells": figures})


def attacks() -> list[str]:
    """All that a picture and a target are enough for, or pictures besides."""
    return [name for name, entry in catalogue().items() if {*entry.needs} <= {"pool"}]


def cell(encoding: str, data: Path, count: int, passes: int, names: list[str]) -> dict[str, Cell]:
    """The figures of all attacks that take an encoding, by name."""
    model_name, _ = CELLS[encoding]
    model = load(MODELS[model_name])
    pictures = test_pictures(model_name, data)
    drawn: list[Any] = list(cases(model, pictures, count + POOL, FLIPS))
    pool, rng = torch.stack([x for x, _ in drawn[count:]]), np.random.default_rng(SEED)
    if encoding == "top-K":
        drawn = [(x, ordered(rng, model, target)) for x, target in drawn]
    found = {}
    for name in names:
        if encoding in catalogue()[name].encodings:
            given = {"pool": pool} if catalogue()[name].needs else {}
            found[name] = on_all(find(name), model, drawn[:count], passes, **given)
    return found


def ordered(rng: np.random.Generator, model: LoadedModel, first: Any) -> tuple[int, ...]:
    """A class and two others, in order."""
    return first, *[int(k) for k in rng.permutation(model.encoding.n) if k != first][:2]


def settings(entry: Entry, passes: int) -> dict[str, Value]:
    """The default settings, with a budget of so many passes."""
    weak = {each.name: FIRST_C for each in entry.settings if each.name == "c" and float(each.default) < FIRST_C}
    return capped(entry, passes, SEARCHES) | weak


def on_all(attack: Declared, model: LoadedModel, drawn: list[Any], passes: int, **given: Any) -> Cell:
    """One attack on all pictures."""
    own = settings(attack.entry, passes)
    try:
        return [within(attack, model, x, target, passes, **own, **given) for x, target in drawn]
    except Exception as error:  # a failure is a row of the table
        return f"{type(error).__name__}: {error}"


def within(attack: Declared, model: LoadedModel, x: Any, target: Any, passes: int, **own: Any) -> Ended:
    """The nearest hit, in the attack's own norm, of the steps within so many backward passes."""
    began, hits, spent = time.perf_counter(), [], (0, 0)
    order = ORDERS[attack.entry.norm]
    for step in attack(model.network, x, model.encoding, target, **own):
        spent = step.forward, step.backward
        if step.backward > passes:
            break
        if step.success:
            delta = (step.image.astype(np.float64) - x.cpu().numpy()).ravel()
            hits.append(tuple(float(np.linalg.norm(delta, each)) for each in (order, 2, np.inf)))
    _, l2, linf = min(hits, default=(None, None, None))
    return Ended(l2, linf, *spent, time.perf_counter() - began)


def row(name: str, encoding: str, count: int, found: Cell) -> list[str]:
    """One of the table."""
    figures = [found, *[""] * 5] if isinstance(found, str) else figures_of(found)
    return [name, encoding, str(count), *figures]


def figures_of(found: list[Ended]) -> list[str]:
    """How many were reached, medians of L2 and Linf over those, and of passes and seconds over all."""
    hits = [each for each in found if each.l2 is not None]
    near = [f"{median(getattr(each, norm) for each in hits):.4f}" if hits else "" for norm in ("l2", "linf")]
    counts = [f"{median(getattr(each, side) for each in found):g}" for side in ("forward", "backward")]
    return [str(len(hits)), *near, *counts, f"{median(each.seconds for each in found):.2f}"]


if __name__ == "__main__":
    main()
