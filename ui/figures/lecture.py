"""Pictures of the Learn page, as plotly figures. Nothing here knows of a page. Type is large: a hall looks at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from lab.markup import in_chart
from ui.figures.attack import BLUE, GREY, ORANGE, blank

if TYPE_CHECKING:
    from lab.probes import Generation, Ray

Floats = NDArray[np.floating]
TYPE = 15  # pixels


def logits(z: Floats, thresholds: Floats, names: Sequence[str], chosen: int) -> go.Figure:
    """Logits (n,) as bars, largest on top, and the threshold of each; the ``chosen`` one is lit."""
    order = np.argsort(-z, kind="stable")
    titles = [in_chart(names[i]) for i in order]
    figure = blank().add_bar(
        x=z[order], y=titles, orientation="h", marker_color=[ORANGE if i == chosen else GREY for i in order],
        name="logit", showlegend=False, hovertemplate="%{y}: logit %{x:.2f}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=thresholds[order], y=titles, mode="markers", name="threshold",
        marker={"symbol": "line-ns", "size": 14, "color": BLUE, "line": {"width": 4, "color": BLUE}},
        hovertemplate="%{y}: threshold %{x:.2f}<extra></extra>",
    )  # fmt: skip
    return _bars(figure, "logit")


def constraint_bars(values: Floats, names: Sequence[str]) -> go.Figure:
    """Constraint values A z - h (p,) as bars, the worst on top: orange where a constraint is violated."""
    order = np.argsort(values, kind="stable")
    figure = blank()
    for name, colour, here in (("violated", ORANGE, values < 0), ("satisfied", GREY, values >= 0)):
        places = [i for i in order if here[i]]
        figure.add_bar(
            x=values[places], y=[in_chart(names[i]) for i in places], orientation="h", marker_color=colour, name=name,
            showlegend=True, hovertemplate="%{y}: %{x:.2f}<extra>" + name + "</extra>",
        )  # fmt: skip
    figure.add_vline(x=0, line={"color": BLUE, "dash": "dash"})
    return _bars(figure, "margin of the constraint, in logits")


def ray(seen: Ray, logit: int, z: float, name: str, upto: float) -> go.Figure:
    """One logit along x + t delta for t up to ``upto``: of the network, and of its linear model."""
    shown = seen.factors <= upto
    t = np.concatenate([[0.0], seen.factors[shown]])
    figure = blank()
    for values, title, line in (
        (seen.predicted, "linear model z + t J δ", {"color": BLUE, "dash": "dash", "width": 4}),
        (seen.actual, "network f(x + t δ)", {"color": ORANGE, "width": 4}),
    ):
        figure.add_scatter(
            x=t, y=z + np.concatenate([[0.0], values[shown, logit]]), mode="lines+markers", name=title, line=line,
            hovertemplate="t = %{x:.3g}: %{y:.3f}<extra>" + title + "</extra>",
        )  # fmt: skip
    figure.update_xaxes(title="t, part of the full step", range=[0, upto * 1.02])
    figure.update_yaxes(title=f"logit of {in_chart(name)}")
    return _large(figure, 520)


def generation(made: Generation, number: int, names: Sequence[str]) -> go.Figure:
    """Every constraint's margin now and as round ``number`` (from 0) predicts it: asked for, violated, or neither."""
    this = made.rounds[number]
    rest = ~this.asked & ~this.violated
    figure = blank()
    for places, title, colour, symbol, size in (
        (rest, "satisfied without being asked for", GREY, "circle-open", 6),
        (this.violated, "violated", ORANGE, "x", 12),
        (this.asked, "gradient row asked for", BLUE, "star", 16),
    ):
        index = np.flatnonzero(places).tolist()
        figure.add_scatter(
            x=made.before[index], y=this.predicted[index], mode="markers", name=f"{title}: {len(index)}",
            marker={"color": colour, "symbol": symbol, "size": size}, text=[in_chart(names[i]) for i in index],
            showlegend=True, hovertemplate="%{text}: %{x:.2f} now, %{y:.2f} predicted<extra></extra>",
        )  # fmt: skip
    figure.add_hline(y=0, line={"color": GREY, "dash": "dash"})
    figure.update_xaxes(title="margin now, in logits")
    figure.update_yaxes(title="margin predicted after the step")
    return _large(figure, 560)


def alike(cosines: Mapping[str, Floats]) -> go.Figure:
    """How many pairs of gradients have which cosine, signs aside, of each matrix (n, n) of cosines, by its name."""
    figure = blank()
    for (name, values), colour in zip(cosines.items(), (ORANGE, GREY), strict=True):
        pairs = np.abs(values[np.triu_indices(len(values), 1)])
        counts, edges = np.histogram(pairs, bins=20, range=(0, 1))
        figure.add_bar(
            x=(edges[:-1] + edges[1:]) / 2, y=counts, width=0.05, name=name, marker_color=colour, opacity=0.65,
            hovertemplate="%{y} pairs of labels near %{x:.2f}<extra>" + name + "</extra>",
        )  # fmt: skip
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(title="cosine of two labels' gradients, signs aside", range=[0, 1])
    figure.update_yaxes(title="pairs of labels")
    return _large(figure, 460)


def sieges(names: Sequence[str], distances: Floats) -> go.Figure:
    """Distances (2, n) that an attack went against a network and against its defended twin, on n photos."""
    figure = blank()
    titles = [in_chart(name.rpartition(".")[0].replace("_", " ")) for name in names]
    for values, name, colour in zip(distances, ("as it is", "defended"), (ORANGE, BLUE), strict=True):
        figure.add_bar(
            x=np.where(np.isfinite(values), values, np.nan), y=titles, orientation="h", name=name, marker_color=colour,
            hovertemplate="%{y}: L2 %{x:.3f}<extra>" + name + "</extra>",
        )  # fmt: skip
    figure.update_layout(barmode="group")
    figure.update_xaxes(title="distance to the target, L2 in pixels; no bar where the attack failed")
    figure.update_yaxes(autorange="reversed", type="category", dtick=1, showgrid=False)
    return _large(figure, 140 + 46 * len(names))


def _bars(figure: go.Figure, title: str) -> go.Figure:
    rows = len({name for trace in figure.data for name in trace.y})
    figure.update_xaxes(title=title)
    figure.update_yaxes(autorange="reversed", type="category", dtick=1, showgrid=False)
    return _large(figure, 120 + 20 * rows)


def _large(figure: go.Figure, height: int) -> go.Figure:
    figure.update_layout(
        height=height, margin={"l": 10, "r": 10, "t": 40, "b": 10}, font={"size": TYPE},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "font": {"size": TYPE}},
    )  # fmt: skip
    figure.update_xaxes(title_font_size=TYPE, tickfont_size=TYPE - 2)
    figure.update_yaxes(title_font_size=TYPE, tickfont_size=TYPE - 2)
    return figure
