"""Many attacks at a glance, as a plotly figure. Nothing here knows of a page."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from lab.markup import in_chart
from lab.sheet import Cell, State
from ui.figures.attack import GREY, ORANGE, blank

LOOKS = {State.REACHED: (ORANGE, "star", "target reached"), State.MISSED: (GREY, "x", "target missed")}
"""Colour, mark and words."""
MOST_TICKS = 8
"""Numbers that there is room for beside the chart."""


def flips_chart(cells: Sequence[Cell]) -> go.Figure:
    """Of each attack that was made, how many labels it has changed as wanted, against its distance."""
    figure = blank()
    for state, (colour, mark, words) in LOOKS.items():
        told = [(cell.picture, cell.row) for cell in cells if cell.row and cell.state == state]
        figure.add_scatter(
            x=[row["l2"] for _, row in told], y=[row["flips_made"] for _, row in told], mode="markers", name=words,
            marker={"color": colour, "symbol": mark, "size": 11, "opacity": 0.8}, showlegend=bool(told),
            text=[_told(picture, row) for picture, row in told], hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(
        height=300, margin={"l": 10, "r": 10, "t": 10, "b": 10}, xaxis_title="L2, pixels in [0, 1]",
        yaxis_title="labels changed as wanted", hovermode="closest",
        legend={"orientation": "h", "y": 1, "yanchor": "bottom"},
    )  # fmt: skip
    figure.update_xaxes(rangemode="tozero", automargin=True)
    most = max([cell.row["flips_made"] or 0 for cell in cells if cell.row], default=0)
    figure.update_yaxes(range=[-0.5, most + 0.5], dtick=1 if most <= MOST_TICKS else None, automargin=True)
    return figure


def _told(picture: str, row: dict[str, object]) -> str:
    flips = f"{row['flips_made']} of {row['flips_asked']} labels changed"
    return f"{in_chart(picture)}<br>{in_chart(str(row['before']))} → {in_chart(str(row['read']))}<br>{flips}"
