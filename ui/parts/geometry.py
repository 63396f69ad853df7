"""The parts of the Geometry page: the sentence, the table, the pictures, the numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from jma_core.geometry import Geometry, Section
from jma_core.records import Step
from lab.comparison import Contender, called
from lab.markup import plain
from lab.pictures import perturbation_map, to_picture
from lab.request import Measured
from models.encodings import ECOC, Encoding, Prediction, Target
from ui.figures import space as figures
from ui.parts.pictures import show

Floats = NDArray[np.floating]
CLOSE = 1.05
"""Up to this ratio of their costs the nearest and the cheapest point are called level."""
FEW_ROWS = 12
"""Longer tables scroll."""
ACROSS = ("logits, across", "logits, from z towards r′")
"""The axes of the plane through z, r' and r*."""


def logits_shown(encoding: Encoding, space: Geometry) -> list[str]:
    """Names of the k logits of a geometry."""
    return [encoding.logit_names[i] for i in space.index]


def headline(space: Geometry) -> str:
    """What the figure shows, in one sentence."""
    farther = np.linalg.norm(space.cheapest.logits - space.z) / np.linalg.norm(space.nearest.logits - space.z)
    if np.isinf(space.price):
        return "**The nearest point cannot be reached at all** by small changes of the pixels. The cheapest can."
    if space.price < CLOSE:
        return f"Here the nearest point is almost the cheapest: it costs {space.price:.2f} times as much in pixels."
    return (
        f"**The nearest point is not the cheapest.** From z, r∗ is **{farther:.1f} times as far** as r′ in logits, but "
        f"r′ costs **{space.price:.1f} times as much** in pixels."
    )


def cost_table(encoding: Encoding, measured: Measured, steps: Sequence[Step]) -> None:
    """Both points, measured in logits, in pixels of the linearised network, and in pixels of the real one."""
    space, landings = measured.space, (measured.nearest, measured.cheapest)
    points = space.nearest, space.cheapest
    rows = {
        "Euclidean length of r − z, in logits": [float(np.linalg.norm(point.logits - space.z)) for point in points],
        "Mahalanobis length of r − z, in pixels": [point.length for point in points],
        "‖δ‖ predicted, in pixels": [
            float(np.linalg.norm(point.delta)) if np.isfinite(point.length) else np.inf for point in points
        ],
        "‖δ‖ needed in the real network, straight on": [landing.needed for landing in landings],
    }
    cells = {title: [_number(value) for value in values] + [_ratio(*values)] for title, values in rows.items()}
    *_, needed = cells.values()
    for column, landing in enumerate(landings):
        if np.isinf(landing.needed):
            needed[column] = f"never, up to {landing.cap:g} × δ"
        else:
            needed[column] += f" ({landing.factor:.2f} × δ)"
    says = [plain(encoding.names(landing.decoded)) for landing in landings]
    cells["After the full step the network says"] = [*says, ""]
    hits = [step.l2 for step in steps if step.success]
    if hits:
        cells["‖δ‖ of the last attack, new gradients at each step"] = ["", _number(min(hits)), ""]
    columns = ["r′ nearest", "r∗ cheapest", "r′ / r∗"]
    table = {"": list(cells)} | {name: [row[i] for row in cells.values()] for i, name in enumerate(columns)}
    st.table(table, hide_index=True, border="horizontal")


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "unreachable"


def _ratio(nearest: float, cheapest: float) -> str:
    return f"**{nearest / cheapest:.2f}**" if np.isfinite([nearest, cheapest]).all() else ""


def finite(steps: Sequence[Step]) -> list[Step]:
    """Those with a place in logit space."""
    return [step for step in steps if np.isfinite(step.logits).all()]


def shown(
    encoding: Encoding,
    measured: Measured,
    target: Target,
    section: Section,
    axes: Sequence[str],
    steps: Sequence[Step],
    *,
    rivals: Sequence[Contender] = (),
    free: NDArray[np.float64] | None = None,
) -> figures.Shown:
    """What is drawn into a section: where the network landed, where attacks went, and a free point."""
    space = measured.space
    every = encoding.constraint_names(target)

    def path(steps: Sequence[Step]) -> Floats:
        walked: Floats = section.coordinates(np.array([space.z, *(step.logits[space.index] for step in finite(steps))]))
        return walked

    return figures.Shown(
        axes=axes,
        constraints=[every[i] for i in space.constraints],
        costs=(space.nearest.length, space.cheapest.length),
        landed=(
            section.coordinates(measured.nearest.logits[space.index]),
            section.coordinates(measured.cheapest.logits[space.index]),
        ),
        path=path(steps),
        updates=[0, *(step.number for step in finite(steps))],
        rivals={
            name: path(each.result.steps)
            for name, each in zip(called([each.request.settings for each in rivals]), rivals, strict=True)
        },
        free=free,
        margin=bent(encoding, space, target, section),
    )


def bent(encoding: Encoding, space: Geometry, target: Target, section: Section) -> figures.Margin | None:
    """The decoder's least margin in a section, where its region is another than that of the linear constraints.

    That is so for ECOC, whose decoder sees tanh of the logits. None also where not all logits are in the geometry.
    """
    if encoding.linear or len(space.index) < space.n:
        return None
    return lambda y: encoding.margins(section.origin + y @ section.basis, target).min(-1)


def perturbations(encoding: Encoding, original: Floats, measured: Measured, chosen: str) -> None:
    """Both perturbations at one gain, and the photo after the full step to the chosen point."""
    space = measured.space
    nearest, cheapest = (np.clip(original + each.delta, 0, 1) for each in (space.nearest, space.cheapest))
    image, landing, name = (
        (nearest, measured.nearest, "r′") if chosen == figures.NEAREST else (cheapest, measured.cheapest, "r∗")
    )
    gain = min(perturbation_map(original, each)[1] for each in (nearest, cheapest))
    left, middle, right = st.columns(3)
    for column, title, each, its_landing in (
        (left, "r′", nearest, measured.nearest),
        (middle, "r∗", cheapest, measured.cheapest),
    ):
        with column:
            says = encoding.names(its_landing.decoded)
            show(perturbation_map(original, each, gain)[0], f"Step to {title}, then: {says}")
    with right:
        show(to_picture(image), f"Photo after the full step to {name}: {encoding.names(landing.decoded)}")
    st.caption(
        f"Blue pixels get darker, orange ones brighter; both perturbations × {gain:.0f}, so their strengths compare."
    )


def halfway(section: Section) -> NDArray[np.float64]:
    """Where the free point lies before somebody moves it: between r' and r*."""
    return np.asarray((section.nearest + section.cheapest) / 2)


def verdict(section: Section, space: Geometry, point: NDArray[np.float64], margin: figures.Margin | None) -> str:
    """Where a target point lies, and what it costs, in a sentence."""
    if margin is None:
        rounding = 1e-3 * np.abs(point).max(initial=1e-9) * np.abs(section.a).sum(1)  # of where it was laid
        inside = bool((section.a @ point - section.h >= -rounding).all())
    else:
        inside = bool(margin(point) > 0)
    cost = section.effort(point)
    place = "in the target region" if inside else "outside the target region"
    price = f"**{cost:.3f}** in pixels, **{cost / space.cheapest.length:.2f} times** what r∗ costs"
    return f"Your point is {place} and costs {price if np.isfinite(cost) else '**more than any perturbation**'}."


def logit_table(encoding: Encoding, measured: Measured) -> None:
    """The k logits: now, at both points, in the real network; those of binding constraints first."""
    space = measured.space
    order = np.argsort(-np.abs(space.pull), kind="stable")
    titles = logits_shown(encoding, space)
    columns = {
        "logit": [titles[i] for i in order],
        "now": space.z[order],
        "at r′": space.nearest.logits[order],
        "at r∗": space.cheapest.logits[order],
        "network, step to r∗": measured.cheapest.logits[space.index][order],
        "binds r∗": ["yes" if space.pull[i] else "" for i in order],
    }
    style = {name: st.column_config.NumberColumn(format="%.2f") for name in list(columns)[1:5]}
    st.dataframe(columns, column_config=style, hide_index=True, height="content" if len(order) <= FEW_ROWS else 460)


def soft_distances(encoding: ECOC, logits: Floats) -> Floats:
    """Distances (..., l) in bits from tanh of logits (..., n) to each codeword: (n - c . tanh z) / 2."""
    distances: Floats = (encoding.n - encoding.scores(logits)) / 2
    return distances


def codewords(encoding: ECOC, now: Prediction, target: Target, steps: Sequence[Step]) -> None:
    """Bits now, wanted and reached, and the distances to all codewords along the last attack."""
    (wanted,) = np.flatnonzero(encoding.wishes(target) == 1)
    rows = {"now": np.tanh(now.logits), "wanted": encoding.codebook[wanted].astype(float)}
    if steps:
        hits = [step for step in steps if step.success]
        rows["reached"] = np.tanh(min(hits, key=lambda step: step.l2).logits if hits else steps[-1].logits)
    st.plotly_chart(figures.codewords(rows), key="codewords")
    if not steps:
        st.caption("Run the attack in the lab to see the bits that it reaches, and the way there.")
        return
    walked = np.array([now.logits, *(step.logits for step in steps)])
    distances = soft_distances(encoding, walked)
    updates = [0, *(step.number for step in steps)]
    figure = figures.codeword_distances(
        updates, distances, encoding.labels, before=int(now.decoded), target=int(wanted)
    )
    st.plotly_chart(figure, key="distances")
    st.caption(
        "Bits are squashed by tanh to −1 … 1. A line is a class; the lowest is what the network says. Grey lines are "
        "the other classes."
    )
