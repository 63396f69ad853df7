"""Plots of an attack's records, as plotly figures. Nothing here knows of a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from jma_core.records import Phase
from lab.curves import Curves, Points
from lab.markup import in_chart

BLUE, ORANGE, GREY = "#2f7ed8", "#e07b00", "#8a8f98"
PASSES = "backward passes"
ABOVE = {"annotation_text": "read as wanted above", "annotation_position": "top left"}
STILL = {
    "modebar": {"remove": ["toimage", "zoom", "pan", "zoomin", "zoomout", "autoscale", "resetscale"]},
    "dragmode": False,
}
"""Without plotly's buttons, which on a telephone lie on what is at the top; fingers that drag scroll the page."""
SYMBOLS = {
    Phase.WALK: "circle",
    Phase.LEAP: "star",
    Phase.BISECT: "diamond-open",
    Phase.SHRINK: "circle-open",
    Phase.PROJECT: "triangle-down-open",
    Phase.ROUND: "square-open",
}


def blank() -> go.Figure:
    """A figure to draw on; every one begins here, and is still.

    Plotly asks whether pandas has been imported, and takes it for whole while another thread is importing it.
    """
    import pandas  # noqa: F401

    return go.Figure(layout=STILL)


def margin_chart(curves: Curves, phases: Iterable[str], unit: str, shown: int) -> go.Figure:
    """The worst margin at each update, and those of the constraints that were active most recently.

    ``phases`` are those of the updates; the update ``shown`` (0 for the original) is marked.
    """
    figure = _axes("Margins of the target", f"margin, {unit}", shown)
    for number, (name, points) in enumerate(curves.active.items()):
        figure.add_scatter(
            x=points[:, 0], y=points[:, 1], mode="lines", name="active constraints",
            line={"color": GREY, "width": 1}, legendgroup="active", showlegend=number == 0,
            hovertemplate=f"%{{y:.2f}}<extra>{in_chart(name)}</extra>",
        )  # fmt: skip
    figure.add_scatter(
        x=curves.worst[:, 0], y=curves.worst[:, 1], mode="lines+markers", name="worst margin",
        line={"color": ORANGE, "width": 3}, marker={"size": 8, "symbol": _symbols(phases)},
        hovertemplate="%{y:.3f}<extra>worst margin</extra>",
    )  # fmt: skip
    figure.add_hline(y=0, line={"color": BLUE, "dash": "dash"}, **ABOVE)
    return figure


def norm_chart(curves: Curves, phases: Iterable[str], shown: int) -> go.Figure:
    """The distance from the original over the updates, and the length of the full step predicted at each."""
    figure = _axes("Size of the perturbation", "L2, pixels in [0, 1]", shown)
    figure.add_scatter(
        x=curves.distance[:, 0], y=curves.distance[:, 1], mode="lines+markers", name="distance from original",
        line={"color": ORANGE, "width": 3}, hovertemplate="%{y:.3f}<extra>distance</extra>",
        marker={"size": 8, "symbol": _symbols(phases)},
    )  # fmt: skip
    if len(curves.predicted):
        figure.add_scatter(
            x=curves.predicted[:, 0], y=curves.predicted[:, 1], mode="lines", name="full step still predicted",
            line={"color": BLUE, "width": 2, "dash": "dot"}, hovertemplate="%{y:.3f}<extra>full step</extra>",
        )  # fmt: skip
    return figure


def _symbols(phases: Iterable[str]) -> list[str]:
    return ["circle", *(SYMBOLS[Phase(phase)] for phase in phases)]


def margin_chart_of_several(attacks: Mapping[str, Points], unit: str) -> go.Figure:
    """The worst margin of each attack, by its name, over what it cost: backward passes."""
    figure = _axes("Worst margin of the target", f"margin, {unit}", across=PASSES)
    _each(figure, attacks)
    figure.add_hline(y=0, line={"color": GREY, "dash": "dash"}, **ABOVE)
    return figure


def norm_chart_of_several(attacks: Mapping[str, Points]) -> go.Figure:
    """The distance of each attack, by its name, from its original, over what it cost: backward passes."""
    figure = _axes("Size of the perturbation", "L2, pixels in [0, 1]", across=PASSES)
    _each(figure, attacks)
    return figure


def _each(figure: go.Figure, attacks: Mapping[str, Points]) -> None:
    for (name, points), colour in zip(attacks.items(), cycle((ORANGE, BLUE, GREY)), strict=False):
        _curve(figure, name, colour, points[:, 0], points[:, 1])


def _curve(figure: go.Figure, name: str, colour: str, x: Points, y: Points) -> None:
    figure.add_scatter(
        x=x, y=y, mode="lines+markers", name=name, line={"color": colour, "width": 2}, marker={"size": 6},
        hovertemplate="%{y:.3f}<extra>" + name + "</extra>",
    )  # fmt: skip


def _axes(title: str, unit: str, shown: int | None = None, across: str = "update") -> go.Figure:
    figure = blank()
    figure.update_layout(
        title={"text": title, "font": {"size": 16}}, xaxis_title=across, yaxis_title=unit, height=340,
        hovermode="x unified", margin={"l": 10, "r": 10, "t": 50, "b": 10},
        legend={"orientation": "h", "y": -0.25, "yanchor": "top"},
    )  # fmt: skip
    if shown is not None:
        figure.add_vline(x=shown, line={"color": GREY, "width": 1})
    figure.update_xaxes(rangemode="tozero", dtick=None, tickformat="d")
    return figure


def codebook(labels: Sequence[str], codewords: NDArray[np.int8]) -> go.Figure:
    """Codewords (classes, bits) in {-1, 1} as rows of signs: + orange, − blue."""
    signs = np.where(codewords > 0, "+", "−")
    figure = blank().add_heatmap(
        z=codewords, y=[in_chart(label) for label in labels], x=list(range(1, codewords.shape[1] + 1)), text=signs,
        texttemplate="%{text}", colorscale=[[0, BLUE], [1, ORANGE]], showscale=False, xgap=1, ygap=1,
        hovertemplate="%{y}, bit %{x}: %{text}<extra></extra>",
    )  # fmt: skip
    figure.update_layout(height=60 + 22 * len(labels), margin={"l": 10, "r": 10, "t": 30, "b": 10})
    figure.update_xaxes(side="top", title="bit", showgrid=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure
