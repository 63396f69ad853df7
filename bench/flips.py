"""How many labels JMA can flip at once, by the network's head: python -m bench.flips --data DIR --out FOLDER

``scenes`` has a linear layer on its features, ``scenes-mlp`` a small network with a ReLU on the same features.
Both read the same test photos, drawn with seed 0, and are asked for the same random flips, 1 to 12 of 24 labels; each
photo is attacked by ``lazy`` at step 0.5 within 200 iterations. Success has its 95 % interval by Wilson; medians are
over successes.

An attack takes seconds to minutes, so that the whole takes hours: ``--models``, ``--flips``, ``--photos`` cut it down.
Each attack is written to flips.json in the folder when it ends, and what is there is not run again. The table and the
picture, flips.png, are made of all that is there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from bench.report import machine, print_table
from bench.zoo import SEED, cases, test_pictures
from jma_core import jma, run
from lab.sweep.statistics import share_interval
from models.loaders import load
from models.registry import MODELS

HEADS = {"scenes": ("#e07b00", 6), "scenes-mlp": ("#555b66", -12)}
"""Models, their colours, and so far above its point stands a number of photos."""
STEP, ITERATIONS = 0.5, 200

Attacks = dict[str, dict[str, list[dict[str, Any]]]]
"""By model and number of flips: an attack for each photo, in the order in which they are drawn."""


def main() -> None:
    """Run what is missing, print the table, draw the picture."""
    parser = argparse.ArgumentParser(description="How many labels JMA can flip at once, by the network's head")
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds the image sets")
    parser.add_argument("--models", nargs="+", choices=HEADS, default=list(HEADS))
    parser.add_argument("--flips", type=int, nargs="+", default=list(range(1, 13)))
    parser.add_argument("--photos", type=int, default=30)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for flips.json and flips.png")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "flips.json"
    attacks: Attacks = json.loads(file.read_text("utf-8"))["attacks"] if file.is_file() else {}
    settings = {"seed": SEED, "step": STEP, "max_iter": ITERATIONS}
    for found in missing(attacks, options.data, options.models, options.flips, options.photos):
        told = {"machine": machine(), "settings": settings, "sha256": {name: MODELS[name].sha256 for name in HEADS}}
        file.write_text(json.dumps(told | {"attacks": found}, indent=1) + "\n", "utf-8")
    show(attacks)
    draw(attacks, options.out / "flips.png")


def missing(
    attacks: Attacks, data: Path, models: Iterable[str], flips: Iterable[int], photos: int
) -> Iterator[Attacks]:
    """Attack what is not there yet, photo by photo; gives everything after each attack."""
    split = test_pictures("scenes", data)
    loaded = {name: load(MODELS[name]) for name in models}
    drawn = {(count, name): cases(loaded[name], split, photos, count) for count in flips for name in loaded}
    for number in range(photos):
        for (count, name), pictures in drawn.items():
            x, target = next(pictures)
            done = attacks.setdefault(name, {}).setdefault(str(count), [])
            if len(done) > number:
                continue
            network, encoding = loaded[name].network, loaded[name].encoding
            result = run(jma(network, x, encoding, target, step=STEP, max_iter=ITERATIONS))
            spent = {side: getattr(result, side) for side in ("n_it", "forward", "backward", "seconds")}
            found = {"success": result.success, "right": result.fraction_right, "reason": result.reason}
            done.append(found | {"l2": float(result.distortion.l2)} | spent)
            print(f"{name}, {count} flips, photo {number + 1}: {result.detail} {result.seconds:.0f} s", flush=True)
            yield attacks


def success(cell: list[dict[str, Any]]) -> tuple[int, float, float]:
    """Successes of a cell, and the ends of their share's interval."""
    hits = sum(each["success"] for each in cell)
    return hits, *share_interval(hits, len(cell))


def middle(cell: list[dict[str, Any]], figure: str) -> float:
    """The median over successes; nan if there is none."""
    return float(median([each[figure] for each in cell if each["success"]] or [float("nan")]))


def show(attacks: Attacks) -> None:
    """One row a cell."""
    rows = []
    for name, cells in attacks.items():
        for count in sorted(cells, key=int):
            cell = cells[count]
            hits, low, high = success(cell)
            figures = [f"{middle(cell, 'l2'):.2f}", f"{middle(cell, 'n_it'):g}", f"{middle(cell, 'backward'):g}"]
            rows.append([name, count, f"{hits} of {len(cell)}", f"{low:.2f} to {high:.2f}", *figures])
    print_table(["model", "flips", "succeeds", "95 % interval", "L2", "n_it", "backward"], rows)


def draw(attacks: Attacks, picture: Path) -> None:
    """Success and median L2 against the number of flips, with the photos of each point."""
    figure, (share, distance) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for name, cells in attacks.items():
        counts = sorted(map(int, cells))
        found = [cells[str(count)] for count in counts]
        (color, above), (hits, low, high) = HEADS[name], zip(*map(success, found), strict=True)
        shares = [each / len(cell) for each, cell in zip(hits, found, strict=True)]
        share.fill_between(counts, low, high, color=color, alpha=0.15)
        share.plot(counts, shares, color=color, marker="o", label=name)
        distance.plot(counts, [middle(cell, "l2") for cell in found], color=color, marker="o")
        for count, height, cell in zip(counts, shares, found, strict=True):
            share.annotate(
                f"{len(cell)}", (count, height), (0, above), textcoords="offset points", ha="center", fontsize=7
            )
    share.set(xlabel="labels flipped, of 24", ylabel="success, 95 % interval, photos", ylim=(-0.03, 1.1))
    distance.set(xlabel="labels flipped, of 24", ylabel="median L2 of the successes", ylim=(0, None))
    share.legend(frameon=False)
    for ax in (share, distance):
        ax.grid(alpha=0.3)
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main()
