"""Plots of several attacks at once, as plotly figures. Nothing here knows of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from lab.curves import Points
from lab.markup import in_chart
from ui.figures.attack import BLUE, GREY, ORANGE, blank

Floats = NDArray[np.floating]
COLOURS = (ORANGE, BLUE, "#2a9d5c", "#b04fc4", "#d0342c", "#7a6a00", "#0f8f9f", GREY)
"""Of the attacks, in their order; each is seen on white and on black."""
MIDDLE, INK = "#f2f2f2", "#111111"
LINE = 0.065
"""Of a chart's height, the least distance of two names."""


def approach_chart(curves: Mapping[str, Points]) -> go.Figure:
    """The nearest hit of each attack so far, over its passes; names at the ends, in the order of the ends.

    ``curves`` are those of all attacks by name; empty ones, of attacks without a hit, keep their colours for others.
    """
    figure = blank()
    drawn = {name: points for name, points in curves.items() if len(points)}
    passes, l2 = np.concatenate(list(drawn.values()) or [np.ones((1, 2))]).T
    last = passes.max()
    low, high = np.log10(l2.min()) - 0.05, np.log10(l2.max()) + 0.05
    ends = spread([np.log10(points[-1, 1]) for points in drawn.values()], LINE * (high - low))
    for (name, points), end in zip(drawn.items(), ends, strict=True):
        colour = COLOURS[list(curves).index(name) % len(COLOURS)]
        figure.add_scatter(
            x=points[:, 0], y=points[:, 1], mode="lines+markers", line={"color": colour, "width": 2.5, "shape": "hv"},
            marker={"size": 6}, showlegend=False, hovertemplate=f"L2 %{{y:.3f}}<extra>{in_chart(name)}</extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=[points[-1, 0], last], y=[points[-1, 1]] * 2, mode="lines", showlegend=False, hoverinfo="skip",
            line={"color": colour, "width": 1, "dash": "dot"},
        )  # fmt: skip
        named = f"<b style='color:{colour}'>●</b> {in_chart(name)}"
        figure.add_annotation(
            x=1, xref="paper", xanchor="left", y=end, yref="y", text=named,
            showarrow=False, align="left", font={"size": 13},
        )  # fmt: skip
    longest = max(map(len, drawn), default=0)
    figure.update_layout(
        height=420, margin={"l": 10, "r": min(40 + 7 * longest, 170), "t": 20, "b": 10}, hovermode="x unified",
        xaxis_title="forward + backward passes", yaxis_title="L2 of the nearest hit",
    )  # fmt: skip
    figure.update_xaxes(type="log", dtick="D2" if last < 100 * passes.min() else 1, tickformat="~s", automargin=True)
    figure.update_yaxes(type="log", range=[low, high], dtick="D2" if high - low > 1 else None, tickformat="~g")
    return figure


def spread(at: Sequence[float], gap: float) -> list[float]:
    """Places near these, in their order, no two of them nearer to one another than the gap."""
    order = np.argsort(np.asarray(at), kind="stable")
    placed = np.asarray(at, dtype=np.float64)[order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    if len(placed):
        placed -= np.mean(placed - np.asarray(at)[order])
    return [float(place) for place in placed[np.argsort(order)]]


def margins_matrix(columns: Sequence[str], labels: Sequence[str], values: Floats, unit: str) -> go.Figure:
    """Margins (attacks, labels), a row for each label: blue where it is on the wrong side, orange on the right one."""
    reach = float(np.nanmax(np.abs(np.where(np.isfinite(values), values, np.nan)), initial=1e-9))
    scale = [[0, BLUE], [0.5, MIDDLE], [1, ORANGE]]
    return _matrix(values.T, columns, labels, scale, (-reach, reach), "%{text} " + unit, 2)


def angles_matrix(names: Sequence[str], degrees: Floats) -> go.Figure:
    """Angles between perturbations (attacks, attacks): orange where they go the same way, blue where opposite ways."""
    scale = [[0, ORANGE], [0.5, MIDDLE], [1, BLUE]]
    return _matrix(degrees, names, names, scale, (0, 180), "%{text} degrees", 0)


def _matrix(
    values: Floats,
    columns: Sequence[str],
    rows: Sequence[str],
    scale: list[list[object]],
    ends: tuple[float, float],
    hover: str,
    decimals: int,
) -> go.Figure:
    text = [[_written(value, decimals) for value in row] for row in values]
    across, down = ([in_chart(name) for name in names] for names in (columns, rows))
    figure = blank().add_heatmap(
        z=values, x=across, y=down, text=text, texttemplate="%{text}", textfont={"color": INK, "size": 12},
        colorscale=scale, zmin=ends[0], zmax=ends[1], showscale=False, xgap=1, ygap=1,
        hovertemplate=f"%{{y}}, %{{x}}: {hover}<extra></extra>",
    )  # fmt: skip
    figure.update_layout(height=90 + 26 * len(rows), margin={"l": 10, "r": 10, "t": 10, "b": 10})
    figure.update_xaxes(side="top", showgrid=False, type="category", automargin=True, autotickangles=[0, -45, -90])
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category", automargin=True)
    return figure


def _written(value: float, decimals: int) -> str:
    """Of 10 and more with one decimal at most: cells are narrow."""
    return "–" if np.isnan(value) else f"{value:.{decimals if abs(value) < 10 else min(decimals, 1)}f}"
