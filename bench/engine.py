"""The refined attack against its rivals: python -m bench.engine --data DIR [--quick] [--json FILE]

For each task the same images and targets for all attacks, drawn with seed 0: median L2 over all images (failures count
as infinite) after 50, 100, 300 and 600 backward passes. Attacks whose schedule depends on the number of their steps
are run anew for each number; JMA and FAB, whose steps take as many passes as there are active constraints, once, and
are read off on the way. Passes are medians over the images at the largest number; seconds are those of all runs, inside
the network and outside. Each rival is there in every form that suits the task. The whole run takes hours on two CPU
cores; ``--tasks``, ``--images`` and ``--passes`` cut it down, and ``--quick`` is 8 traffic signs and 50 passes.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.report import NetworkClock, print_table, write_json
from bench.zoo import SEED, cases, test_pictures
from jma_core import find, run_batch
from jma_core.attacks.registry import Value
from models.loaders import LoadedModel, load
from models.registry import MODELS

SEARCHES = 5
"""Values of c that C&W tries."""
TASKS = {
    "imagenet": ("imagenet-onehot", 1),
    "gtsrb": ("gtsrb-onehot", 1),
    "gtsrb-ecoc": ("gtsrb-ecoc32", 1),
    "cifar-ecoc": ("cifar10-ecoc16", 1),
    **{f"scenes-{flips}": ("scenes", flips) for flips in (1, 2, 5, 10, 24)},
}
"""Model, and how many labels are flipped where it has several."""

Measured = dict[str, Any]
"""``l2`` (passes, images), inf after a failure; ``forward`` and ``backward`` passes (images,) at the largest number."""
STEPPED: dict[str, tuple[str, dict[str, Value]]] = {
    "refined": ("refined", {}),
    "DDN, logistic": ("ddn", {}),
    "DDN, worst": ("ddn", {"surrogate": "worst"}),
    "FMN, logistic": ("fmn", {"surrogate": "logistic"}),
    "FMN, worst": ("fmn", {}),
    "ALMA, each": ("alma", {"held": "each"}),
    "ALMA, worst": ("alma", {}),
    "C&W": ("cw", {"searches": SEARCHES, "c": 1.0}),
    "ML-C&W": ("cw", {"searches": SEARCHES, "c": 1.0, "hinge": "sum"}),
}
"""Attacks of the registry, each in some form."""
ON_THE_WAY: dict[str, str] = {"FAB": "fab", "JMA, lazy": "lazy", "JMA, paper": "paper"}
FAR = 10_000
"""Iterations that these may take."""
FOR_CLASSES = {"ALMA, worst", "C&W"}
FOR_LABELS = {"ML-C&W"}


def main() -> None:
    """Run the tasks, print a table for each."""
    parser = argparse.ArgumentParser(description="The refined attack against its rivals")
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds the image sets")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--images", type=int, default=30, help="for each task")
    parser.add_argument("--passes", type=int, nargs="+", default=[50, 100, 300, 600], help="backward passes")
    parser.add_argument("--quick", action="store_true", help="8 traffic signs, 50 passes: under a minute on two cores")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure, with machine and settings")
    options = parser.parse_args()
    if options.quick:
        options.tasks, options.images, options.passes = ["gtsrb"], 8, [50]
    figures = {name: compare(name, options.data, options.images, sorted(options.passes)) for name in options.tasks}
    for found in figures.values():
        for attack in found.values():  # JSON has no infinity
            attack["l2"] = [[None if math.isinf(l2) else l2 for l2 in row] for row in attack["l2"]]
    settings = {"seed": SEED, "images": options.images, "passes": options.passes}
    write_json(options.json, {"settings": settings, "tasks": figures})


def compare(name: str, data: Path, images: int, passes: list[int]) -> dict[str, Any]:
    """Every attack on one task."""
    model_name, flips = TASKS[name]
    model = load(MODELS[model_name])
    drawn = list(cases(model, test_pictures(model_name, data), images, flips))
    x, targets = torch.stack([x for x, _ in drawn]), [target for _, target in drawn]
    found: dict[str, Any] = {}
    for attack in suited(model, passes[-1]):
        measure = stepped if attack in STEPPED else read
        clock, began = NetworkClock(), time.perf_counter()
        with clock.running():
            found[attack] = measure(attack, model, x, targets, passes)
        found[attack] |= {"seconds": time.perf_counter() - began, "seconds_in_network": clock.seconds}
    show(name, found, passes)
    return found


def suited(model: LoadedModel, passes: int) -> list[str]:
    """The attacks, in the forms that suit the encoding; not ``paper`` where its first step takes more passes."""
    unsuited = set(FOR_CLASSES if model.spec.encoding.several else FOR_LABELS)
    if model.encoding.n > passes:
        unsuited.add("JMA, paper")
    return [name for name in [*STEPPED, *ON_THE_WAY] if name not in unsuited]


def form(name: str, iterations: int) -> Callable[..., Any]:
    """One of STEPPED with so many iterations."""
    named, values = STEPPED[name]
    attack = find(named)
    settings = attack.entry.within(iterations, **values)
    return lambda f, x, encoding, target: attack(f, x, encoding, target, **settings)


def stepped(name: str, model: LoadedModel, x: Tensor, targets: list[Any], passes: list[int]) -> Measured:
    """An attack that is run anew for each number of passes."""
    rows = []
    for n in passes:
        results = run_batch(form(name, n), model.network, x, model.encoding, targets)
        assert all(result.backward <= n for result in results)
        rows.append([result.distortion.l2 if result.success else math.inf for result in results])
    spent = {side: [getattr(result, side) for result in results] for side in ("forward", "backward")}
    return {"l2": rows, **spent}


def read(name: str, model: LoadedModel, x: Tensor, targets: list[Any], passes: list[int]) -> Measured:
    """An attack that is run once, as far as the largest number of passes."""
    columns, spent, attack = [], [], find(ON_THE_WAY[name])
    for image, target in zip(x, targets, strict=True):
        steps = []
        for step in attack(model.network, image, model.encoding, target, **attack.entry.within(FAR)):
            if step.backward > passes[-1]:
                break
            steps.append(step)
        hits = [(step.backward, step.l2) for step in steps if step.success]
        columns.append([min((l2 for backward, l2 in hits if backward <= n), default=math.inf) for n in passes])
        spent.append((steps[-1].forward, steps[-1].backward) if steps else (0, 0))
    forward, backward = (list(side) for side in zip(*spent, strict=True))
    return {"l2": [list(row) for row in zip(*columns, strict=True)], "forward": forward, "backward": backward}


def show(name: str, found: dict[str, Any], passes: list[int]) -> None:
    """One row an attack: median L2, and failures in brackets."""
    rows = []
    for attack, figures in found.items():
        cells = []
        for distances in figures["l2"]:
            failures = sum(math.isinf(l2) for l2 in distances)
            cells.append(f"{np.median(distances):.4f}" + (f" ({failures} fail)" if failures else ""))
        counts = [f"{median(figures[side]):g}" for side in ("forward", "backward")]
        inside = figures["seconds_in_network"]
        rows.append([attack, *cells, *counts, f"{inside:.1f}", f"{figures['seconds'] - inside:.1f}"])
    print(f"\n{name}: median L2 of {len(distances)} images after so many backward passes", flush=True)
    print_table(["attack", *map(str, passes), "forward", "backward", "s in network", "s outside"], rows)


if __name__ == "__main__":
    main()
