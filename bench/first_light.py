"""Lazy rows against the full Jacobian on the ImageNet network: python -m bench.first_light [--quick] [--json FILE]

Twelve random targets on the sample photos (seed 0). Both levels attack the same photo with the same settings in one
process. The ``paper`` level gets a minute a case; where that is not enough, its first step is still compared. A second
table restricts the network to its 60 likeliest classes, where ``paper`` ends too. ``--quick`` runs ``lazy`` alone, on
all classes.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.report import NetworkClock, arguments, print_table, write_json
from jma_core import AttackResult, OneHot, find
from jma_core.network import Classifier
from models.loaders import load, to_tensor
from models.registry import ASSETS, MODELS

SEED, CASES, CLASSES, PAPER_SECONDS = 0, 12, 60, 60.0
STEP = 0.2
LEVELS = "lazy", "paper"


def main() -> None:
    """Run all cases, print both tables and the medians."""
    options = arguments("Lazy gradient rows against the full Jacobian")
    model = load(MODELS["imagenet-onehot"])
    photos = [ASSETS / "samples/photos" / name for name in ("cat.png", "espresso.png", "rocket.jpg")]
    targets = np.random.default_rng(SEED).choice(1000, CASES, replace=False)
    whole, restricted = [], []
    for number, target in enumerate(targets.tolist()):
        path = photos[number % len(photos)]
        x = to_tensor(model.spec.preprocessing(Image.open(path)))
        case = {"photo": path.stem, "target": model.spec.encoding.labels[target]}
        print(f"{number + 1}/{len(targets)} {case['photo']} -> {case['target']}", flush=True)
        lazy = attack(model.network, x, OneHot(1000), target, "lazy")
        paper = {} if options.quick else attack(model.network, x, OneHot(1000), target, "paper", PAPER_SECONDS)
        whole.append(case | compare(lazy, paper))
        if options.quick:
            continue
        some = likeliest(model.network, x, target)
        few = {level: attack(some, x, OneHot(CLASSES), 0, level, PAPER_SECONDS) for level in LEVELS}
        restricted.append(case | compare(few["lazy"], few["paper"]))
    print(f"\nAll 1000 classes, step {STEP}; paper has {PAPER_SECONDS:.0f} s a case")
    show(whole)
    if restricted:
        print(f"\nThe {CLASSES} likeliest classes and the target, step {STEP}")
        show(restricted)
    settings = {"seed": SEED, "step": STEP, "quick": options.quick, "paper_seconds": PAPER_SECONDS}
    write_json(options.json, {"settings": settings, "classes_1000": whole, f"classes_{CLASSES}": restricted})


def attack(
    f: Classifier, x: Tensor, encoding: OneHot, target: int, level: str, max_seconds: float = 600.0
) -> dict[str, Any]:
    """One attack: its figures, and its first step for comparison."""
    clock, start, first_seconds = NetworkClock(), time.perf_counter(), None
    with clock.running():
        steps = find(level)(f, x, encoding, target, step=STEP, max_seconds=max_seconds)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: AttackResult = end.value
                break
            first_seconds = first_seconds or time.perf_counter() - start
    return {
        "success": result.success,
        "reason": result.reason,
        **asdict(result.distortion),
        "n_it": result.n_it,
        "forward": result.forward,
        "backward": result.backward,
        "seconds": result.seconds,
        "seconds_in_network": clock.seconds,
        "seconds_to_first_step": first_seconds,
        "certified": all(step.certificate is not None and step.certificate.holds() for step in result.steps),
        "first_step": result.steps[0] if result.steps else None,
    }


def compare(lazy: dict[str, Any], paper: dict[str, Any]) -> dict[str, Any]:
    """Both levels' figures, and how far apart their first steps are: relative distance of d* and of ||delta*||."""
    first, other = lazy.pop("first_step"), paper.pop("first_step", None)
    together: dict[str, Any] = {"lazy": lazy, "paper": paper}
    if other:
        apart = np.linalg.norm(first.predicted - other.predicted) / np.linalg.norm(other.predicted)
        length = abs(first.full_length - other.full_length) / other.full_length
        together["first_step_apart"] = {"displacement": float(apart), "length": float(length)}
        together["first_step_backward"] = {"lazy": first.backward, "paper": other.backward}
    return together


def likeliest(f: Classifier, x: Tensor, target: int) -> Classifier:
    """The network restricted to its CLASSES likeliest classes at x, the target first among them."""
    with torch.no_grad():
        order = f(x[None])[0].argsort(descending=True)
    kept = torch.cat([torch.tensor([target]), order[order != target][: CLASSES - 1]])
    return lambda images: f(images)[:, kept]


def show(cases: list[dict[str, Any]]) -> None:
    """One row a case, then the medians of the successes."""
    head = ["photo", "target", "level", "success", "L2", "n_it", "backward", "forward", "s", "s in network", "first s"]
    rows = []
    for case in cases:
        for level in LEVELS:
            if run := case[level]:
                outcome = "yes" if run["success"] else f"no ({run['reason']})"
                l2 = f"{run['l2']:.3f}" if run["success"] else "-"
                first = f"{run['seconds_to_first_step']:.2f}" if run["seconds_to_first_step"] else "-"
                counts = [str(run["n_it"]), str(run["backward"]), str(run["forward"])]
                times = [f"{run['seconds']:.1f}", f"{run['seconds_in_network']:.1f}", first]
                rows.append([case["photo"], case["target"], level, outcome, l2, *counts, *times])
    print_table(head, rows)
    for level in LEVELS:
        runs = [case[level] for case in cases if case[level]]
        done = [run for run in runs if run["success"]]
        if done:
            medians = ", ".join(
                f"{key} {median(run[key] for run in done):.4g}" for key in ("l2", "n_it", "backward", "seconds")
            )
            slowest = max(run["seconds"] for run in done)
            print(f"{level}: {len(done)} of {len(runs)} succeed; medians {medians}; slowest {slowest:.1f} s")
        elif runs:
            print(f"{level}: 0 of {len(runs)} succeed")
    apart = [case["first_step_apart"]["displacement"] for case in cases if "first_step_apart" in case]
    if apart:
        ratio = max(c["first_step_backward"]["lazy"] / c["first_step_backward"]["paper"] for c in cases if c["paper"])
        print(f"first steps at most {max(apart):.1e} apart, lazy with at most {ratio:.1%} of the backward passes")


if __name__ == "__main__":
    main()
