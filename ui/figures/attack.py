"""Plots of an attack's records, as plotly figures. Nothing here knows of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from jma_core.records import Phase, Step

BLUE, ORANGE, GREY = "#2f7ed8", "#e07b00", "#8a8f98"
PASSES = "backward passes"
ABOVE = {"annotation_text": "target region above", "annotation_position": "top left"}
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
    Phase.ROUND: "square-open",
}


def margins(steps: Sequence[Step], names: Sequence[str], shown: int) -> go.Figure:
    """The worst margin after each update, and those of the constraints that were active most recently.

    ``names`` are those of the p constraints; the update ``shown`` (0 for the original) is marked.
    """
    figure = _frame("Margins of the target", "margin in logits", shown)
    updates = list(range(1, len(steps) + 1))
    recent = dict.fromkeys(int(i) for step in reversed(steps) for i in step.active)
    for i in list(recent)[:6]:
        figure.add_scatter(
            x=updates, y=[float(step.values[i]) for step in steps], mode="lines", line={"color": GREY, "width": 1},
            showlegend=False, hovertemplate="%{y:.2f}<extra>" + names[i] + "</extra>",
        )  # fmt: skip
    figure.add_scatter(
        x=updates, y=[float(step.values.min()) for step in steps], mode="lines+markers", name="worst constraint",
        line={"color": ORANGE, "width": 3}, marker={"size": 8, "symbol": [SYMBOLS[step.phase] for step in steps]},
        hovertemplate="%{y:.3f}<extra>worst constraint</extra>",
    )  # fmt: skip
    figure.add_hline(y=0, line={"color": BLUE, "dash": "dash"}, **ABOVE)
    return figure


def norms(steps: Sequence[Step], shown: int) -> go.Figure:
    """The distance from the original over the updates, and the length of the full step predicted at each."""
    figure = _frame("Size of the perturbation", "L2, pixels in [0, 1]", shown)
    updates = list(range(1, len(steps) + 1))
    figure.add_scatter(
        x=[0, *updates], y=[0.0, *(step.l2 for step in steps)], mode="lines+markers", name="distance from original",
        line={"color": ORANGE, "width": 3}, hovertemplate="%{y:.3f}<extra>distance</extra>",
        marker={"size": 8, "symbol": ["circle", *(SYMBOLS[step.phase] for step in steps)]},
    )  # fmt: skip
    figure.add_scatter(
        x=updates, y=[step.full_length for step in steps], mode="lines", name="full step still predicted",
        line={"color": BLUE, "width": 2, "dash": "dot"}, hovertemplate="%{y:.3f}<extra>full step</extra>",
    )  # fmt: skip
    return figure


def margins_of_several(attacks: Mapping[str, Sequence[Step]]) -> go.Figure:
    """The worst margin of each attack, by its name, over what it cost: backward passes."""
    figure = _frame("Worst margin of the target", "margin in logits", across=PASSES)
    for (name, steps), colour in zip(attacks.items(), (ORANGE, BLUE), strict=True):
        _curve(figure, name, colour, [step.backward for step in steps], [float(step.values.min()) for step in steps])
    figure.add_hline(y=0, line={"color": GREY, "dash": "dash"}, **ABOVE)
    return figure


def norms_of_several(attacks: Mapping[str, Sequence[Step]]) -> go.Figure:
    """The distance of each attack, by its name, from its original, over what it cost: backward passes."""
    figure = _frame("Size of the perturbation", "L2, pixels in [0, 1]", across=PASSES)
    for (name, steps), colour in zip(attacks.items(), (ORANGE, BLUE), strict=True):
        _curve(figure, name, colour, [0, *(step.backward for step in steps)], [0.0, *(step.l2 for step in steps)])
    return figure


def _curve(figure: go.Figure, name: str, colour: str, x: Sequence[int], y: Sequence[float]) -> None:
    figure.add_scatter(
        x=x, y=y, mode="lines+markers", name=name, line={"color": colour, "width": 2}, marker={"size": 6},
        hovertemplate="%{y:.3f}<extra>" + name + "</extra>",
    )  # fmt: skip


def _frame(title: str, unit: str, shown: int | None = None, across: str = "update") -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        title={"text": title, "font": {"size": 16}}, xaxis_title=across, yaxis_title=unit, height=340,
        hovermode="x unified", margin={"l": 10, "r": 10, "t": 50, "b": 10},
        legend={"orientation": "h", "y": -0.25, "yanchor": "top"}, **STILL,
    )  # fmt: skip
    if shown is not None:
        figure.add_vline(x=shown, line={"color": GREY, "width": 1})
    figure.update_xaxes(rangemode="tozero", dtick=None, tickformat="d")
    return figure


def codebook(labels: Sequence[str], codewords: NDArray[np.int8]) -> go.Figure:
    """Codewords (classes, bits) in {-1, 1} as rows of signs: + orange, − blue."""
    signs = np.where(codewords > 0, "+", "−")
    figure = go.Figure(
        go.Heatmap(
            z=codewords, y=list(labels), x=list(range(1, codewords.shape[1] + 1)), text=signs, texttemplate="%{text}",
            colorscale=[[0, BLUE], [1, ORANGE]], showscale=False, xgap=1, ygap=1,
            hovertemplate="%{y}, bit %{x}: %{text}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_layout(height=60 + 22 * len(labels), margin={"l": 10, "r": 10, "t": 30, "b": 10})
    figure.update_xaxes(side="top", title="bit", showgrid=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure
