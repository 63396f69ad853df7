"""Pictures of the logit space at one image, as plotly figures. Nothing here knows of a page.

Blue, dashed and square is Euclid; orange, solid and a diamond is Mahalanobis; green is the path of an attack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from jma_core.geometry import Geometry, Section
from lab.markup import in_chart
from ui.figures.attack import BLUE, GREY, ORANGE, blank
from ui.figures.comparison import COLOURS

GREEN = "#1b9e77"
NEAREST, CHEAPEST = "r′, the nearest", "r∗, the cheapest"
FEW = 2
"""Up to so many of the borders through r* are drawn as planes."""
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
    """The lower and the upper corner of what a figure should show: all points, circle and ellipse, and a margin."""
    radius = np.linalg.norm(section.nearest - section.z)
    reach = section.level * np.sqrt(np.maximum(section.gram.diagonal(), 0.0))
    round_about = (section.z - radius, section.z + radius, section.centre - reach, section.centre + reach)
    points = [*round_about, section.cheapest, *shown.landed, *shown.path]
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    margin = 0.06 * (float((high - low).max()) or 1.0)
    return low - margin, high + margin


def solid(section: Section, shown: Shown) -> go.Figure:
    """Three coordinates: the same with a sphere and an ellipsoid, and the binding constraints as planes."""
    figure = blank()
    radius = float(np.linalg.norm(section.nearest - section.z))
    polar, turn = np.meshgrid(np.linspace(0, np.pi, 25), np.linspace(0, 2 * np.pi, 49))
    ball = np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], axis=-1)
    _surface(figure, section.z + radius * ball, "equal distance", BLUE)
    _surface(figure, section.centre + ball @ section.axes, "equal pixel effort", ORANGE)
    low, high = frame_of(section, shown)
    for i in np.flatnonzero(binding(section))[:FEW]:
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
    for mark in marks(section, shown):
        x, y, z = mark.at
        said = "<br>".join(filter(None, ["(%{x:.2f}, %{y:.2f}, %{z:.2f})", mark.note]))
        figure.add_scatter3d(
            x=[x], y=[y], z=[z], mode="markers+text", text=[mark.label], name=mark.name,
            marker={"size": mark.size / 2, "color": mark.colour, "symbol": mark.symbol},
            hovertemplate=f"{said}<extra>{mark.name}</extra>",
        )  # fmt: skip
    names = dict(zip(("xaxis_title", "yaxis_title", "zaxis_title"), map(in_chart, shown.axes), strict=True))
    far = {"eye": {"x": 1.7, "y": 1.7, "z": 1.2}, "center": {"z": -0.15}}  # so that narrow screens clip no axis
    figure.update_scenes(aspectmode="data", camera=far, dragmode="turntable", **names)
    figure.update_layout(
        height=640, margin={"l": 0, "r": 0, "t": 10, "b": 10}, uirevision="kept",
        legend={"orientation": "h", "y": -0.02, "yanchor": "top"},
    )  # fmt: skip
    return figure


@dataclass(frozen=True)
class Mark:
    """A point of a section, and how it is shown."""

    name: str
    label: str
    """What is written beside it; empty for nothing."""
    at: Floats
    """(s,)"""
    colour: str
    symbol: str
    """As Plotly calls them."""
    size: int
    """Pixels."""
    note: str = ""
    target: bool = False
    """Whether an attack can aim at it."""
    leads: str = ""
    """The name of the point that the real network should have landed at."""


def marks(section: Section, shown: Shown) -> list[Mark]:
    """The points of a section; a free one apart."""
    landings = (
        ("real network, stepped to r′", BLUE, "square-open", 13, NEAREST),
        ("real network, stepped to r∗", ORANGE, "diamond-open", 16, CHEAPEST),
    )
    costs = [price(cost) for cost in shown.costs]
    points = [
        Mark("z, now", "z", section.z, GREY, "circle", 13),
        *(
            Mark(name, "", at, colour, symbol, size, leads=leads)
            for (name, colour, symbol, size, leads), at in zip(landings, shown.landed, strict=False)
        ),
        Mark(NEAREST, f"r′ {costs[0]}", section.nearest, BLUE, "square", 15, costs[0], target=True),
        Mark(CHEAPEST, f"r∗ {costs[1]}", section.cheapest, ORANGE, "diamond", 20, costs[1], target=True),
    ]
    if shifted(section):
        points.append(Mark("where the other logits alone carry z", "", section.centre, GREY, "circle-open", 10))
    return points


def price(cost: float) -> str:
    """A cost in pixels, in words."""
    return f"costs {cost:#.3g}" if np.isfinite(cost) else "cannot be reached"


def shifted(section: Section) -> bool:
    """Whether the ellipsoid through r* has its centre visibly elsewhere than at z."""
    return bool(np.linalg.norm(section.centre - section.z) > 0.02 * np.linalg.norm(section.cheapest - section.z))


def _surface(figure: go.Figure, points: Floats, name: str, colour: str) -> None:
    x, y, z = np.moveaxis(points, -1, 0)
    figure.add_surface(
        x=x, y=y, z=z, name=name, showlegend=True, opacity=0.3, colorscale=[[0, colour], [1, colour]],
        showscale=False, hovertemplate=f"<extra>{name}</extra>", contours_x_highlight=False,
        contours_y_highlight=False, contours_z_highlight=False,
    )  # fmt: skip


def binding(section: Section) -> NDArray[np.bool_]:
    """The constraints (q,) whose border in the section goes through r*."""
    steep = np.linalg.norm(section.a, axis=1)
    slack = section.a @ section.cheapest - section.h
    size = max(1.0, float(np.abs(section.cheapest - section.z).max()))
    touching: NDArray[np.bool_] = (steep > 1e-9) & (slack <= 1e-4 * steep * size)
    return touching


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
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom"},
    )  # fmt: skip
    figure.update_xaxes(title="pixels (L2) to move it by one logit", type="log", dtick="D2", tickformat="~g")
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
    figure.update_layout(height=160 + 19 * len(names), margin={"l": 10, "r": 10, "t": 20, "b": 10})
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
