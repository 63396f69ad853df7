"""Plots of a sweep, as plotly figures. Nothing here knows of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from lab.curves import Points
from lab.markup import in_chart
from ui.figures.attack import GREY, ORANGE, blank
from ui.figures.comparison import COLOURS

BEYOND = 1.5
"""How far behind the farthest distance those dots are that have none, as a factor."""
MISSED = "not reached"


def missed_chart(curves: Mapping[str, Points], colours: Mapping[str, str]) -> go.Figure:
    """Of each attack the share of cases that are not reached within a distance; each begins at all of them."""
    figure = _axes("L2", "share not reached", curves)
    places = np.concatenate([points[:, 0] for points in curves.values()] or [np.ones(1)])
    low, high = (places.min() * 0.8, places.max() * 1.2) if len(places) else (0.1, 1.0)
    for name, points in curves.items():
        last = points[-1, 1] if len(points) else 1.0
        _steps(
            figure, name, colours[name], np.vstack([[low, 1.0], points, [high, last]]), "%{y:.0%} beyond L2 %{x:.3g}"
        )
    figure.update_yaxes(range=[-0.02, 1.04], tickformat=".0%")
    return figure


def budget_chart(curves: Mapping[str, Points], colours: Mapping[str, str]) -> go.Figure:
    """Of each attack the median distance that so many passes get to; none where it is infinite."""
    figure = _axes("forward + backward passes", "median L2 of the nearest hit", curves)
    for name, points in curves.items():
        _steps(figure, name, colours[name], points, "L2 %{y:.3f} after %{x:.0f} passes")
    figure.update_xaxes(tickformat="~s")
    figure.update_yaxes(type="log", dtick="D2", tickformat="~g")
    return figure


def _axes(across: str, up: str, names: Mapping[str, Points]) -> go.Figure:
    figure = blank()
    figure.update_layout(
        height=380 + 10 * len(names), xaxis_title=across, yaxis_title=up, margin={"l": 10, "r": 10, "t": 20, "b": 10},
        legend={"orientation": "h", "y": -0.2, "yanchor": "top"}, showlegend=True,
    )  # fmt: skip
    figure.update_xaxes(type="log", dtick="D2", tickformat="~g", automargin=True)
    return figure


def _steps(figure: go.Figure, name: str, colour: str, points: Points, hover: str) -> None:
    figure.add_scatter(
        x=points[:, 0], y=points[:, 1], mode="lines", name=in_chart(name), hovertemplate=f"{hover}<extra></extra>",
        line={"color": colour, "width": 2.5, "shape": "hv"},
    )  # fmt: skip


def duel(
    names: tuple[str, str], distances: NDArray[np.float64], cases: Mapping[str, str], chosen: str = ""
) -> go.Figure:
    """The distances (2, cases) of two attacks, a dot a case, which gives its hash; above the line the first is nearer.

    Who has not reached a case is put beyond a dotted line. ``cases``: their titles by hash.
    """
    finite = distances[np.isfinite(distances)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.1, 1.0)
    edge = high * BEYOND
    x, y = np.where(np.isfinite(distances), distances, edge)
    figure = blank()
    ends = [low / 1.2, edge * 1.15]
    figure.add_scatter(
        x=ends, y=ends, mode="lines", line={"color": GREY, "dash": "dash", "width": 1}, hoverinfo="skip",
        showlegend=False,
    )  # fmt: skip
    border, line = (high * edge) ** 0.5, {"color": GREY, "dash": "dot", "width": 1}
    told_at = {"text": MISSED, "xref": "paper", "yref": "paper", "showarrow": False}
    if np.isinf(distances[0]).any():
        figure.add_vline(x=border, line=line)
        figure.add_annotation(x=1, y=0, xanchor="right", yanchor="bottom", **told_at)
    if np.isinf(distances[1]).any():
        figure.add_hline(y=border, line=line)
        figure.add_annotation(x=0, y=1, xanchor="left", yanchor="top", **told_at)
    hashes = [*cases]
    across, up = map(in_chart, names)
    told = [
        f"{in_chart(title)}<br>{across}: {_length(a)}, {up}: {_length(b)}"
        for title, a, b in zip(cases.values(), *distances, strict=True)
    ]
    figure.add_scatter(
        x=x, y=y, mode="markers", customdata=hashes, text=told, hovertemplate="%{text}<extra></extra>",
        marker={
            "size": [15 if each == chosen else 10 for each in hashes], "color": ORANGE, "opacity": 0.8,
            "line": {"color": "#888", "width": [2.5 if each == chosen else 0 for each in hashes]},
        },
        selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 0.8}}, showlegend=False,
    )  # fmt: skip
    figure.update_layout(
        height=460, xaxis_title=f"L2, {across}", yaxis_title=f"L2, {up}",
        margin={"l": 10, "r": 10, "t": 20, "b": 10}, hovermode="closest",
    )  # fmt: skip
    span = [float(np.log10(each)) for each in ends]
    figure.update_xaxes(type="log", range=span, dtick="D2", tickformat="~g", automargin=True)
    figure.update_yaxes(type="log", range=span, dtick="D2", tickformat="~g", automargin=True)
    return figure


def _length(l2: float) -> str:
    return f"{l2:.3f}" if np.isfinite(l2) else MISSED


def palette(names: Sequence[str]) -> dict[str, str]:
    """A colour for each attack, by its place among all."""
    return {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
