"""The margins that a picture has left after transformations, as a plotly figure. Nothing here knows of a page."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from lab.aftermath import Fate, Reading, Trial
from lab.markup import in_chart
from ui.figures.attack import BLUE, GREY, ORANGE, blank

LOOKS = {Fate.WANTED: (ORANGE, "star"), Fate.ORIGINAL: (BLUE, "circle"), Fate.OTHER: (GREY, "x")}
"""Colour and mark."""
LINE = 24
"""Pixels of one transformation."""


def survival_chart(trials: Sequence[Trial], unit: str) -> go.Figure:
    """A line for each transformation: the margin of the attacked picture as a bar, that of the original as a mark."""
    figure = blank()
    for fate, (colour, mark) in LOOKS.items():
        ones = [trial for trial in trials if trial.attacked.fate == fate]
        told = {
            "x": [each.attacked.margin for each in ones], "y": [in_chart(each.title) for each in ones],
            "legendgroup": fate, "name": f"read {fate}", "text": [_told(each.attacked) for each in ones],
            "hovertemplate": "%{y}: %{text}<extra></extra>",
        }  # fmt: skip
        figure.add_bar(orientation="h", width=0.3, marker_color=colour, showlegend=False, textposition="none", **told)
        figure.add_scatter(
            mode="markers", marker={"color": colour, "symbol": mark, "size": 11}, showlegend=bool(ones), **told
        )
    figure.add_scatter(
        x=[each.original.margin for each in trials], y=[in_chart(each.title) for each in trials], mode="markers",
        marker={
            "color": [LOOKS[each.original.fate][0] for each in trials], "size": 10,
            "symbol": [f"{LOOKS[each.original.fate][1]}-open" for each in trials], "line_width": 2,
        },
        name="without the attack", text=[_told(each.original) for each in trials],
        hovertemplate="%{y}, without the attack: %{text}<extra></extra>",
    )  # fmt: skip
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    figure.update_layout(
        height=110 + LINE * len(trials), margin={"l": 10, "r": 10, "t": 10, "b": 10}, barmode="overlay",
        xaxis_title=f"worst margin of the target, {unit}: above 0 it is read as wanted", hovermode="closest",
        legend={"orientation": "h", "y": 1, "yanchor": "bottom"},
    )  # fmt: skip
    figure.update_xaxes(automargin=True, zeroline=False)
    titles = [in_chart(each.title) for each in trials]
    figure.update_yaxes(automargin=True, showgrid=False, categoryorder="array", categoryarray=titles[::-1])
    return figure


def _told(reading: Reading) -> str:
    return f"{in_chart(reading.reads)}, margin {reading.margin:+.2f}"
