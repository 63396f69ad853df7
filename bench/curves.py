"""Draw what bench.engine has measured: python -m bench.curves FILE... --out PICTURE

Each FILE is one that ``bench.engine --json`` wrote. One panel a task: median L2 against backward passes, both on
logarithmic axes, ``refined`` before its rivals. A line begins where the median is finite; what lies above three times
the lowest value is cut off.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator, StrMethodFormatter

COLUMNS = 3
OURS, RIVALS = "#e07b00", ["#2f7ed8", "#555b66", "#7a4fbf", "#1b9e77", "#a0522d"]
MARKERS = "osD^vP*X<>"


def main() -> None:
    """Draw all tasks into one picture."""
    parser = argparse.ArgumentParser(description="Draw what bench.engine has measured")
    parser.add_argument("files", type=Path, nargs="+", help="what bench.engine --json wrote")
    parser.add_argument("--out", type=Path, required=True, metavar="PICTURE", help="PNG or SVG")
    options = parser.parse_args()
    runs = [json.loads(file.read_text("utf-8")) for file in options.files]
    panels = [(name, run["settings"]["passes"], found) for run in runs for name, found in run["tasks"].items()]
    rows = -(-len(panels) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(4.6 * COLUMNS, 3.6 * rows), layout="constrained", squeeze=False)
    attacks = list(dict.fromkeys(attack for _, _, found in panels for attack in found))
    for ax, panel in zip(axes.flat, panels, strict=False):
        draw(ax, attacks, *panel)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    drawn = {label: line for ax in axes.flat for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(drawn.values(), drawn, loc="outside lower center", ncols=6, frameon=False)
    figure.savefig(options.out, dpi=110)


def draw(ax: Axes, attacks: list[str], task: str, passes: list[int], found: dict[str, Any]) -> None:
    """One task."""
    images = len(next(iter(found.values()))["l2"][0])
    lowest = np.inf
    for number, attack in enumerate(attacks):
        if attack not in found:
            continue
        medians = [np.median([np.inf if l2 is None else l2 for l2 in row]) for row in found[attack]["l2"]]
        lowest = min(lowest, *medians)
        ours = attack == "refined"
        ax.plot(
            passes,
            [median if np.isfinite(median) else np.nan for median in medians],
            color=OURS if ours else RIVALS[number % len(RIVALS)],
            linewidth=3 if ours else 1.2,
            marker=MARKERS[number % len(MARKERS)],
            zorder=3 if ours else 2,
            label=attack,
        )
    ax.set(title=f"{task}, {images} images", xlabel="backward passes", ylabel="median L2", xscale="log", yscale="log")
    ax.set_ylim(0.95 * lowest, 3 * lowest)
    ax.set_xticks(passes, [str(n) for n in passes])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_minor_formatter(StrMethodFormatter("{x:.2g}"))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:.2g}"))
    ax.grid(alpha=0.3)


if __name__ == "__main__":
    main()
