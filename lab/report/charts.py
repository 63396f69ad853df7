"""Line charts as SVG, for pages without scripts. Colours and dashes come from the page's style sheet, by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from lab.report.templates import render

WIDTH, HEIGHT = 420, 240
"""Of the drawing without its legend, in units: pixels on a telephone held upright."""
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 30, 40
ROW = 18
MARKED = 40
"""Points of a curve that are marked one by one, at most."""


@dataclass(frozen=True)
class Curve:
    """A line through points; those that are not finite are left out."""

    name: str
    """Its entry in the legend; none if empty."""
    kind: str
    """Its class: "main" with markers, "second" dashed, or "faint"; or "c0" to "c7", of
    several that are alike, with a marker where it ends."""
    points: NDArray[np.float64]
    """(k, 2)"""


def chart(title: str, across: str, up: str, curves: Sequence[Curve], *, log: bool = False) -> Markup:
    """Curves in one chart with title, axes and legend, those without a finite point left out; not all may be.

    With ``log`` both axes are logarithmic, and all numbers above 0.
    """
    finite = [Curve(c.name, c.kind, c.points[np.isfinite(c.points).all(1)]) for c in curves]
    drawn = [curve for curve in finite if len(curve.points)]
    xs, ys = np.concatenate([curve.points for curve in drawn]).T.tolist()
    place, spaced = (math.log10, log_ticks) if log else (float, ticks)
    x_ticks, y_ticks = spaced(min(xs), max(xs)), spaced(min(ys), max(ys))
    x_ticks = [x for x in x_ticks if x == int(x)] or x_ticks
    left, right = min(xs), max(max(xs), min(xs) + 1)
    low, high = y_ticks[0], y_ticks[-1]

    def at(x: float, y: float) -> tuple[float, float]:
        across = (place(x) - place(left)) / (place(right) - place(left))
        upwards = (place(y) - place(low)) / (place(high) - place(low))
        return (
            round(LEFT + across * (WIDTH - LEFT - RIGHT), 1),
            round(HEIGHT - BOTTOM - upwards * (HEIGHT - TOP - BOTTOM), 1),
        )

    return render(
        "chart.svg",
        title=title,
        across=across,
        up=up,
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        bottom=HEIGHT - BOTTOM,
        row=ROW,
        marked=MARKED,
        x_ticks=[(at(x, low)[0], f"{x:.10g}") for x in x_ticks if left <= x <= right],
        y_ticks=[(at(left, y)[1], f"{y:.10g}") for y in y_ticks],
        lines=[(curve.kind, [at(*point) for point in curve.points]) for curve in drawn],
        legend=[(curve.name, curve.kind) for curve in drawn if curve.name],
    )


def ticks(low: float, high: float) -> list[float]:
    """Five to ten round numbers, evenly spaced, that enclose a range; a range without length is given one."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = min((m * power for m in (1, 2, 5, 10)), key=lambda step: abs(math.log(step / raw)))
    return [i * step for i in range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """The same for a logarithmic axis: 1, 2 and 5 times powers of ten, or even spaces where these would be too few."""
    if 1.01 * low < high < 3 * low:
        return ticks(low, high)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [m * 10.0**power for power in powers for m in (1, 2, 5)]
    below, above = [each for each in every if each <= low], [each for each in every if each > high]
    return [each for each in every if below[-1] <= each <= above[0]]
