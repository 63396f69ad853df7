"""Pictures of the logit space at one image, as plotly figures. Nothing here knows of a page.

Blue, dashed and square is Euclid; orange, solid and a diamond is Mahalanobis; green is the path of an attack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from jma_core.geometry import Geometry, Section
from lab.markup import in_chart
from ui.figures.attack import BLUE, GREY, ORANGE, STILL, blank
from ui.figures.comparison import COLOURS

GREEN = "#1b9e77"
SHADE = "rgba(138,143,152,0.22)"
NEAREST, CHEAPEST = "r′, the nearest", "r∗, the cheapest"
FEW = 2
"""Up to so many borders through r* are named in the figure; more only where the mouse is."""
READ_AS_WANTED, AIMED_AT = "read as wanted, by the decoder", "linear region, what JMA aims at"
GRID = 181
"""Points along each side at which the decoder is asked."""
AROUND = np.linspace(0, 2 * np.pi, 181)
Floats = NDArray[np.floating]
Margin = Callable[[Floats], Floats]
"""From points (..., 2) of a section to what the decoder is short of, or beyond, the target (...)."""


@dataclass(frozen=True)
class Shown:
    """What is drawn into a section besides what the linearised network says; points are (s,), s = 2 or 3."""

    axes: Sequence[str]
    """The titles of the s axes."""
    constraints: Sequence[str]
    """The names of the q constraints."""
    costs: tuple[float, float]
    """Of r' and of r*, in pixels."""
    landed: tuple[Floats, Floats] | tuple[()]
    """Where the real network ends after the full step to r', and to r*; empty to leave that out."""
    path: Floats = field(default_factory=lambda: np.empty((0, 2)))
    """(v, s) where an attack was after each update that is kept, from z."""
    updates: Sequence[int] = (0,)
    """The v numbers of these updates; 0 for z."""
    rivals: Mapping[str, Floats] = field(default_factory=dict)
    """The same of each attack of a comparison, by its name."""
    free: NDArray[np.float64] | None = None
    """A target point of the user's own."""
    margin: Margin | None = None
    """The decoder's least margin at points (..., 2), where its region is not that of the constraints; else None."""


def frame_of(section: Section, shown: Shown) -> tuple[Floats, Floats]:
    """The lower and the upper corner of what a figure should show: all points, the circle, and a margin."""
    radius = np.linalg.norm(section.nearest - section.z)
    points = [section.z - radius, section.z + radius, section.cheapest, *shown.landed, *shown.path]
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    margin = 0.14 * (float((high - low).max()) or 1.0)
    return low - margin, high + margin


def plane(section: Section, shown: Shown) -> go.Figure:
    """Two coordinates: the region, z, r' with its circle of equal distance, r* with its ellipse of equal effort."""
    low, high = frame_of(section, shown)
    figure = blank()
    _region(figure, section, low, high, shown.margin)
    _borders(figure, section, [in_chart(name) for name in shown.constraints], low, high)
    radius = float(np.linalg.norm(section.nearest - section.z))
    circle = section.z + radius * np.column_stack([np.cos(AROUND), np.sin(AROUND)])
    _curve(figure, circle, f"equal distance: {radius:.3g} logits", color=BLUE, width=2, dash="dash")
    _curve(figure, section.ellipse(), f"equal pixel effort: {section.level:.3g}", color=ORANGE, width=3)
    if len(shown.path) > 1:
        figure.add_scatter(
            x=shown.path[:, 0], y=shown.path[:, 1], mode="lines+markers", name="path of the last attack",
            line={"color": GREEN, "width": 2}, marker={"size": 6, "symbol": "triangle-up"},
            customdata=list(shown.updates), unselected={"marker": {"opacity": 1}},
            hovertemplate="update %{customdata}: (%{x:.2f}, %{y:.2f})<extra>attack</extra>",
        )  # fmt: skip
    for (name, path), colour in zip(shown.rivals.items(), cycle(COLOURS), strict=False):
        figure.add_scatter(
            x=path[:, 0], y=path[:, 1], mode="lines+markers", name=in_chart(name), line={"color": colour, "width": 1.5},
            marker={"size": 4}, unselected={"marker": {"opacity": 1}},
            hovertemplate=f"(%{{x:.2f}}, %{{y:.2f}})<extra>{in_chart(name)}</extra>",
        )  # fmt: skip
    starts = (section.nearest, BLUE), (section.cheapest, ORANGE)
    for (start, colour), end in zip(starts, shown.landed, strict=False):
        _curve(figure, np.array([start, end]), color=colour, width=1, dash="dot")
    for point in _points(section, shown):
        figure.add_scatter(
            x=[point.at[0]], y=[point.at[1]], mode="markers", name=point.name, customdata=[point.name],
            marker={"size": point.size, "color": point.colour, "symbol": point.symbol, "line": {"width": 2}},
            hovertemplate=point.hover("(%{x:.2f}, %{y:.2f})"), unselected={"marker": {"opacity": 1}},
        )  # fmt: skip
    _write(figure, section.z, "<b>z</b>", 18, yshift=-22)
    across, up = section.cheapest - section.nearest
    side_by_side, outward = abs(across) > abs(up) / 2, -12 if across > 0 else 12
    for label, at, cost, shift in (
        ("r′", section.nearest, shown.costs[0], -outward),
        ("r∗", section.cheapest, shown.costs[1], -outward if abs(across) > (high - low)[0] / 2 else outward),
    ):
        beside = {"xanchor": "right" if shift > 0 else "left", "xshift": shift, "yshift": 24}
        one_above_the_other = {"xanchor": "left", "xshift": 14, "yshift": 12}
        _write(figure, at, f"<b>{label}</b> {price(cost)}", 18, **(beside if side_by_side else one_above_the_other))
    figure.update_xaxes(title=in_chart(shown.axes[0]), range=[low[0], high[0]], zeroline=False, constrain="domain")
    figure.update_yaxes(title=in_chart(shown.axes[1]), range=[low[1], high[1]], zeroline=False, scaleanchor="x")
    figure.update_layout(
        height=620, margin={"l": 10, "r": 10, "t": 20, "b": 10}, hovermode="closest", dragmode="pan",
        clickmode="event+select", uirevision="kept", legend={"orientation": "h", "y": -0.14, "yanchor": "top"},
    )  # fmt: skip
    return figure


def solid(section: Section, shown: Shown) -> go.Figure:
    """Three coordinates: the same with a sphere and an ellipsoid, and the binding constraints as planes."""
    figure = blank()
    radius = float(np.linalg.norm(section.nearest - section.z))
    polar, turn = np.meshgrid(np.linspace(0, np.pi, 25), np.linspace(0, 2 * np.pi, 49))
    ball = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], axis=-1)
    _surface(figure, section.z + radius * ball, "equal distance", BLUE)
    _surface(figure, section.centre + ball @ section.axes, "equal pixel effort", ORANGE)
    low, high = frame_of(section, shown)
    for i in np.flatnonzero(_touching(section))[:FEW]:
        across = np.linalg.svd(section.a[i][None])[2][1:] * float((high - low).max()) / 2
        corners = np.array([[section.cheapest + u * across[0] + v * across[1] for u in (-1, 1)] for v in (-1, 1)])
        _surface(figure, corners, f"border: {in_chart(shown.constraints[i])}", GREY)
    if len(shown.path) > 1:
        x, y, z = shown.path.T
        figure.add_scatter3d(
            x=x, y=y, z=z, mode="lines+markers", name="path of the last attack", line={"color": GREEN, "width": 4},
            marker={"size": 2, "color": GREEN}, hovertemplate="(%{x:.2f}, %{y:.2f}, %{z:.2f})<extra>attack</extra>",
        )  # fmt: skip
    for (name, path), colour in zip(shown.rivals.items(), cycle(COLOURS), strict=False):
        x, y, z = path.T
        figure.add_scatter3d(
            x=x, y=y, z=z, mode="lines", name=in_chart(name), line={"color": colour, "width": 3},
            hovertemplate=f"(%{{x:.2f}}, %{{y:.2f}}, %{{z:.2f}})<extra>{in_chart(name)}</extra>",
        )  # fmt: skip
    for point in _points(section, shown):
        x, y, z = point.at
        figure.add_scatter3d(
            x=[x], y=[y], z=[z], mode="markers+text", text=[point.label], name=point.name,
            marker={"size": point.size / 2, "color": point.colour, "symbol": point.symbol},
            hovertemplate=point.hover("(%{x:.2f}, %{y:.2f}, %{z:.2f})"),
        )  # fmt: skip
    names = dict(zip(("xaxis_title", "yaxis_title", "zaxis_title"), map(in_chart, shown.axes), strict=True))
    far = {"eye": {"x": 1.7, "y": 1.7, "z": 1.2}, "center": {"z": -0.15}}  # so that narrow screens clip no axis
    figure.update_scenes(aspectmode="data", camera=far, **names)
    figure.update_layout(
        height=640, margin={"l": 0, "r": 0, "t": 10, "b": 10}, uirevision="kept",
        legend={"orientation": "h", "y": -0.02, "yanchor": "top"},
    )  # fmt: skip
    return figure


@dataclass(frozen=True)
class _Point:
    name: str
    label: str
    at: Floats
    colour: str
    symbol: str
    size: int
    note: str = ""

    def hover(self, where: str) -> str:
        return "<br>".join(filter(None, [where, self.note])) + f"<extra>{self.name}</extra>"


def _points(section: Section, shown: Shown) -> list[_Point]:
    landings = (
        ("real network, stepped to r′", BLUE, "square-open", 13),
        ("real network, stepped to r∗", ORANGE, "diamond-open", 16),
    )
    points = [
        _Point("z, now", "z", section.z, GREY, "circle", 13),
        *(
            _Point(name, "", at, colour, symbol, size)
            for (name, colour, symbol, size), at in zip(landings, shown.landed, strict=False)
        ),
        _Point(NEAREST, "r′", section.nearest, BLUE, "square", 15, price(shown.costs[0])),
        _Point(CHEAPEST, "r∗", section.cheapest, ORANGE, "diamond", 20, price(shown.costs[1])),
    ]
    if shifted(section):
        points.append(_Point("where the other logits alone carry z", "", section.centre, GREY, "circle-open", 10))
    if shown.free is not None:
        points.append(_Point("your point", "", shown.free, GREY, "x", 13, price(section.effort(shown.free))))
    return points


def _curve(figure: go.Figure, points: Floats, name: str = "", hover: str = "", **line: Any) -> None:
    figure.add_scatter(
        x=points[:, 0], y=points[:, 1], mode="lines", name=name, showlegend=bool(name), line=line,
        hovertemplate=hover or None, hoverinfo=None if hover else "skip",
    )  # fmt: skip


def price(cost: float) -> str:
    """A cost in pixels, in words."""
    return f"costs {cost:#.3g}" if np.isfinite(cost) else "cannot be reached"


def shifted(section: Section) -> bool:
    """Whether the ellipsoid through r* has its centre visibly elsewhere than at z."""
    return bool(np.linalg.norm(section.centre - section.z) > 0.02 * np.linalg.norm(section.cheapest - section.z))


def _write(figure: go.Figure, at: Sequence[float] | Floats, text: str, size: int, **more: Any) -> None:
    figure.add_annotation(x=at[0], y=at[1], text=text, showarrow=False, font={"size": size}, **more)


def _surface(figure: go.Figure, points: Floats, name: str, colour: str) -> None:
    x, y, z = np.moveaxis(points, -1, 0)
    figure.add_surface(
        x=x, y=y, z=z, name=name, showlegend=True, opacity=0.3, colorscale=[[0, colour], [1, colour]],
        showscale=False, hovertemplate=f"<extra>{name}</extra>", contours_x_highlight=False,
        contours_y_highlight=False, contours_z_highlight=False,
    )  # fmt: skip


def _touching(section: Section) -> NDArray[np.bool_]:
    """The constraints (q,) whose border in the section goes through r*."""
    steep = np.linalg.norm(section.a, axis=1)
    slack = section.a @ section.cheapest - section.h
    size = max(1.0, float(np.abs(section.cheapest - section.z).max()))
    touching: NDArray[np.bool_] = (steep > 1e-9) & (slack <= 1e-4 * steep * size)
    return touching


def region(a: Floats, h: Floats, low: Floats, high: Floats) -> Floats:
    """The corners (c, 2) of {a y >= h} within a box: Sutherland and Hodgman's clipping (1974). Empty if none."""
    corners = [
        np.array([x, y]) for x, y in ((low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1]))
    ]
    for row, need in zip(a, h, strict=True):
        slack = [float(row @ corner - need) for corner in corners]
        tolerance = 1e-9 * max(1.0, abs(float(need)))
        kept = []
        for i, corner in enumerate(corners):
            before, value = slack[i - 1], slack[i]
            if (before < -tolerance) != (value < -tolerance):
                kept.append(corners[i - 1] + (before / (before - value)) * (corner - corners[i - 1]))
            if value >= -tolerance:
                kept.append(corner)
        corners = kept
    return np.array(corners).reshape(-1, 2)


def _region(figure: go.Figure, section: Section, low: Floats, high: Floats, margin: Margin | None) -> None:
    """Grey, what is read as wanted: the constraints' region, or the decoder's own around the outline of that."""
    room = 3 * (high - low)  # for whoever zooms out
    corners = region(section.a, section.h, low - room, high + room)
    closed = np.vstack([corners, corners[:1]])
    if margin is None:
        if len(corners):
            figure.add_scatter(
                x=closed[:, 0], y=closed[:, 1], mode="lines", fill="toself", fillcolor=SHADE, line={"width": 0},
                name="target region", hoverinfo="skip",
            )  # fmt: skip
        return
    across, up = (np.linspace(low[i] - room[i] / 6, high[i] + room[i] / 6, GRID) for i in range(2))
    figure.add_contour(
        x=across, y=up, z=margin(np.stack(np.meshgrid(across, up), axis=-1)), name=READ_AS_WANTED, hoverinfo="skip",
        contours={"type": "constraint", "operation": "<", "value": 0}, fillcolor=SHADE, line={"width": 0},
        showlegend=True, showscale=False,
    )  # fmt: skip
    if len(corners):
        _curve(figure, closed, AIMED_AT, color=GREY, width=2, dash="dash")


def _borders(figure: go.Figure, section: Section, names: Sequence[str], low: Floats, high: Floats) -> None:
    """The constraints' borders that cross the frame: those through r* bold, and, dotted blue, others through r'."""
    bold = _touching(section)
    size = float((high - low).max())
    targets = np.array([section.nearest, section.cheapest])

    def draw(line: Floats, hover: str, **style: Any) -> None:
        apart = np.linalg.norm(line[:, None] - targets, axis=2).min(1)
        _curve(figure, line[apart > 0.04 * size], hover=f"{hover}<extra>border</extra>", **style)  # or it hides them

    for i, (row, need) in enumerate(zip(section.a, section.h, strict=True)):
        line = border(row, need, low, high)
        if line is not None:
            draw(line, names[i], color=GREY, width=4 if bold[i] else 1)
            inside = sorted(line[(line > low).all(1) & (line < high).all(1)].tolist())
            if bold[i] and bold.sum() <= FEW and inside:
                above = abs(row[0]) > abs(row[1])  # beside a steep border, below a flat one
                _write(figure, inside[0], f"border: {names[i]}", 13, xanchor="left", yshift=12 if above else -12)
        moved = section.h_nearest[i]
        apart = abs(moved - need) > 1e-3 * np.linalg.norm(row) * size
        at_nearest = abs(float(row @ section.nearest - moved)) <= 1e-6 * max(1.0, abs(moved))
        if apart and at_nearest and (line := border(row, moved, low, high)) is not None:
            draw(line, f"{names[i]}, with the other logits as in r′", color=BLUE, width=1, dash="dot")


def border(row: Floats, need: float, low: Floats, high: Floats) -> Floats | None:
    """Points (200, 2) of the line row . y = need within a box's surroundings; None if it does not cross the box."""
    steep = float(np.linalg.norm(row))
    corners = np.array([[x, y] for x in (low[0], high[0]) for y in (low[1], high[1])])
    if steep < 1e-9 or len(set(np.sign(corners @ row - need))) < 2:
        return None
    middle, normal = (low + high) / 2, row / steep
    foot = middle + (need / steep - normal @ middle) * normal
    reach = np.linspace(-2, 2, 200)[:, None] * float((high - low).max())
    return np.asarray(foot + reach * np.array([-normal[1], normal[0]]))


def spectrum(space: Geometry) -> go.Figure:
    """The eigenvalues of J J', largest first, on a logarithmic scale."""
    values = space.spectrum[0]
    places = np.arange(1, len(values) + 1)
    figure = blank().add_bar(
        x=places, y=np.where(values > 0, values, np.nan), marker_color=ORANGE,
        customdata=np.sqrt(1 / np.maximum(values, np.finfo(float).tiny)),
        hovertemplate="eigenvalue %{y:.3g}<br>one logit that way costs %{customdata:.3g}<extra></extra>",
    )  # fmt: skip
    figure.update_layout(height=360, margin={"l": 10, "r": 10, "t": 20, "b": 10})
    figure.update_xaxes(title="direction, cheapest first", tickformat="d", showgrid=False)
    figure.update_yaxes(title="eigenvalue of J J′", type="log", exponentformat="power", dtick=1)
    return figure


def unit_costs(space: Geometry, names: Sequence[str]) -> go.Figure:
    """Pixels that it takes to move each logit by one, cheapest on top: the others free, and held."""
    free, held = space.unit_costs
    order = np.argsort(free, kind="stable")
    labels = [in_chart(names[i]) for i in order]
    figure = blank()
    for costs, name, colour, symbol in (
        (free, "the others free", ORANGE, "diamond"),
        (held, "the others held", BLUE, "square"),
    ):
        figure.add_scatter(
            x=costs[order], y=labels, mode="markers", name=name,
            marker={"color": colour, "symbol": symbol, "size": 11},
            hovertemplate="%{y}: %{x:.3g}<extra>" + name + "</extra>",
        )  # fmt: skip
    figure.update_layout(
        height=90 + 19 * len(labels), margin={"l": 10, "r": 10, "t": 30, "b": 10},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom"}, **STILL,
    )  # fmt: skip
    figure.update_xaxes(title="pixels (L2) to move it by one logit", type="log")
    figure.update_yaxes(autorange="reversed", type="category", dtick=1)
    return figure


def cosines(space: Geometry, names: Sequence[str]) -> go.Figure:
    """Cosines between the logits' gradients: orange moves along, blue moves against."""
    values, labels = space.cosines, [in_chart(name) for name in names]
    figure = blank().add_heatmap(
        z=values, x=labels, y=labels, zmin=-1, zmax=1, zmid=0, colorbar={"title": "cosine", "len": 0.6},
        colorscale=[[0, BLUE], [0.5, "#f4f4f4"], [1, ORANGE]], xgap=1, ygap=1,
        hovertemplate="%{y} and %{x}: %{z:.2f}<extra></extra>",
    )  # fmt: skip
    figure.update_layout(height=160 + 19 * len(names), margin={"l": 10, "r": 10, "t": 20, "b": 10}, **STILL)
    figure.update_xaxes(tickangle=-60, dtick=1, type="category", showgrid=False)
    figure.update_yaxes(autorange="reversed", dtick=1, type="category", showgrid=False)
    return figure


def codewords(rows: dict[str, Floats]) -> go.Figure:
    """Soft bits tanh z (n,) in [-1, 1], a row for each name: + orange, − blue, undecided pale."""
    soft = np.array(list(rows.values()))
    figure = blank().add_heatmap(
        z=soft, y=list(rows), x=list(range(1, soft.shape[1] + 1)), text=np.where(soft > 0, "+", "−"),
        texttemplate="%{text}", zmin=-1, zmax=1, colorscale=[[0, BLUE], [0.5, "#f4f4f4"], [1, ORANGE]],
        showscale=False, xgap=2, ygap=4, hovertemplate="%{y}, bit %{x}: %{z:.2f}<extra></extra>",
    )  # fmt: skip
    figure.update_layout(height=80 + 40 * len(rows), margin={"l": 10, "r": 10, "t": 30, "b": 10})
    figure.update_xaxes(side="top", title="bit", showgrid=False, dtick=2)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def codeword_distances(
    updates: Sequence[int], distances: Floats, names: Sequence[str], *, before: int, target: int
) -> go.Figure:
    """Distances (v, l) in bits to the codewords of l classes, after updates of these v numbers; 0 is the original."""
    figure = blank()
    order = [i for i in range(len(names)) if i not in (before, target)] + [before, target]
    lines = {before: (BLUE, 3, "dash"), target: (ORANGE, 4, "solid")}
    for i in order:
        colour, width, dash = lines.get(i, (GREY, 1, "solid"))
        figure.add_scatter(
            x=list(updates), y=distances[:, i], mode="lines",
            line={"color": colour, "width": width, "dash": dash}, showlegend=i in lines, name=in_chart(names[i]),
            hovertemplate=f"%{{y:.2f}} bits, update %{{x}}<extra>{in_chart(names[i])}</extra>",
        )  # fmt: skip
    figure.update_layout(
        height=380, margin={"l": 10, "r": 10, "t": 20, "b": 10}, hovermode="closest",
        legend={"orientation": "h", "y": -0.2, "yanchor": "top"},
    )  # fmt: skip
    figure.update_xaxes(title="update", tickformat="d")
    figure.update_yaxes(title="distance to the codeword, bits", rangemode="tozero")
    return figure
