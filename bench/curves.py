"""Draw the results of bench.engine that ship: python -m bench.curves --out PICTURE

Two panels a task: the median L2 against backward passes, and against passes of both kinds, on logarithmic axes,
``refined`` before its rivals. Of each rival there is the form that is nearest in the end. A line begins where the
median is finite; what lies above three times the lowest value is cut off.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator, StrMethodFormatter

from bench.engine import shipped
from bench.protocol import OURS, TASKS
from bench.standings import Line, Standing, middle

OURS_COLOUR, RIVALS = "#e07b00", ["#2f7ed8", "#555b66", "#7a4fbf", "#1b9e77", "#a0522d"]
MARKERS = "osD^vP*X<>"


def main() -> None:
    """Draw all tasks into one picture."""
    parser = argparse.ArgumentParser(description="Draw the results of bench.engine that ship")
    parser.add_argument("--out", type=Path, required=True, metavar="PICTURE", help="PNG or SVG")
    options = parser.parse_args()
    tasks = {name: found for name, found in shipped().items() if found}
    figure, axes = plt.subplots(len(tasks), 2, figsize=(9.2, 3.4 * len(tasks)), layout="constrained", squeeze=False)
    attacks = list(dict.fromkeys(line.form.title for found in tasks.values() for line in lines(found[-1])))
    for row, (name, found) in zip(axes, tasks.items(), strict=True):
        draw(row[0], TASKS[name].title, attacks, found, both=False)
        draw(row[1], TASKS[name].title, attacks, found, both=True)
    drawn = {label: line for ax in axes.flat for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(drawn.values(), drawn, loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(options.out, dpi=110)


def lines(standing: Standing) -> list[Line]:
    """``refined``, and of each rival the nearest form."""
    nearest: dict[str, Line] = {}
    for line in standing.rivals:
        before = nearest.get(line.form.title)
        if before is None or middle(line.distance) < middle(before.distance):
            nearest[line.form.title] = line
    return [standing.ours, *nearest.values()]


def draw(ax: Axes, title: str, attacks: Sequence[str], found: Sequence[Standing], *, both: bool) -> None:
    """One panel: passes of both kinds, or backward alone."""
    lowest = min(middle(line.distance) for each in found for line in (each.ours, *each.rivals))
    for form in [line.form for line in lines(found[-1])]:
        every = {each.gradients: line for each in found for line in (each.ours, *each.rivals) if line.form == form}
        spent = [(1 + both) * gradients for gradients in every]
        medians = [middle(line.frugal if both else line.distance) for line in every.values()]
        ours, number = form.attack == OURS, attacks.index(form.title)
        ax.plot(
            spent,
            [median if np.isfinite(median) else np.nan for median in medians],
            color=OURS_COLOUR if ours else RIVALS[number % len(RIVALS)],
            linewidth=3 if ours else 1.2,
            marker=MARKERS[number % len(MARKERS)],
            zorder=3 if ours else 2,
            label=form.title,
        )
    kind = "passes, forward and backward" if both else "backward passes"
    ax.set(title=f"{title}, n = {found[-1].ours.n}", xlabel=kind, ylabel="median L2", xscale="log", yscale="log")
    ax.set_ylim(0.95 * lowest, 3 * lowest)
    ticks = [(1 + both) * each.gradients for each in found]
    ax.set_xticks(ticks, [str(n) for n in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_minor_formatter(StrMethodFormatter("{x:.2g}"))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:.2g}"))
    ax.grid(alpha=0.3)


if __name__ == "__main__":
    main()
