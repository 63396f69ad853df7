"""Line charts as SVG, for pages without scripts. Colours and dashes come from the page's style sheet, by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ui.markup import Markup, join, tag

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
    """Its class: "main" with markers, "second" dashed, or "faint"."""
    points: Sequence[tuple[float, float]]


def chart(title: str, across: str, up: str, curves: Sequence[Curve]) -> Markup:
    """Curves in one frame with title, axes and legend. At least one point must be finite."""
    drawn = [Curve(c.name, c.kind, [p for p in c.points if math.isfinite(p[0] + p[1])]) for c in curves]
    xs, ys = zip(*(point for curve in drawn for point in curve.points), strict=True)
    x_ticks, y_ticks = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))
    x_ticks = [x for x in x_ticks if x == int(x)] or x_ticks
    left, right = min(xs), max(max(xs), min(xs) + 1)
    low, high = y_ticks[0], y_ticks[-1]

    def at(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT)
        return round(across, 1), round(HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    legend = [curve for curve in drawn if curve.name]
    return tag(
        "svg",
        tag("text", title, x=LEFT, y=16, class_="title"),
        *(_across(*at(left, y), f"{y:.10g}") for y in y_ticks),
        *(tag("text", f"{x:.10g}", x=at(x, low)[0], y=HEIGHT - BOTTOM + 16, class_="x") for x in x_ticks if x <= right),
        tag("text", across, x=WIDTH - RIGHT, y=HEIGHT - 6, class_="end"),
        tag("text", up, x=WIDTH - RIGHT, y=16, class_="end"),
        *(_line(curve.kind, [at(*point) for point in curve.points]) for curve in drawn),
        *(_entry(curve, HEIGHT + 14 + ROW * i) for i, curve in enumerate(legend)),
        viewBox=f"0 0 {WIDTH} {HEIGHT + ROW * len(legend) + 8}",
        role="img",
        aria_label=f"{title}: {up} over {across}",
    )


def ticks(low: float, high: float) -> list[float]:
    """Five to ten round numbers, evenly spaced, that enclose a range; a range without length is given one."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = min((m * power for m in (1, 2, 5, 10)), key=lambda step: abs(math.log(step / raw)))
    return [i * step for i in range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)]


def _across(x: float, y: float, text: str) -> Markup:
    grid = tag("line", x1=x, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid")
    return join(grid, tag("text", text, x=x - 6, y=y + 4, class_="end"))


def _line(kind: str, points: Sequence[tuple[float, float]]) -> Markup:
    path = tag("polyline", points=" ".join(f"{x},{y}" for x, y in points), class_=kind)
    marked = points if kind == "main" and len(points) <= MARKED else []
    return join(path, *(tag("circle", cx=x, cy=y, r=3.5, class_=kind) for x, y in marked))


def _entry(curve: Curve, y: int) -> Markup:
    return join(_line(curve.kind, [(LEFT, y - 4), (LEFT + 34, y - 4)]), tag("text", curve.name, x=LEFT + 44, y=y))
