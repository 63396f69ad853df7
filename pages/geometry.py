"""Geometry: the nearest and the cheapest point of the target region, in logit space and in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from jma_core.geometry import Section, section_of_logits, section_through_points, telling_logits
from jma_core.records import Halt, Step
from lab.comparison import Contender
from lab.markup import plain
from lab.request import Measured, Request, Settings
from lab.runs.measurements import failed
from models.cards import ModelSpec
from models.encodings import ECOC, Prediction, Target
from ui.figures import space as figures
from ui.parts import geometry as views
from ui.parts.controls import choose_target, describe_change
from ui.parts.scene import POLL, logit_space, set_scene, wait_for, watch
from ui.shell.address import arrive, follow
from ui.shell.frame import framed
from ui.shell.session import last_run, rivals

PLANE, TWO, THREE = "Plane through z, r′ and r∗", "Two logits", "Three logits"


def main() -> None:
    """The page, from top to bottom."""
    arrive()
    scene = set_scene("Mahalanobis against Euclid")
    if scene is None:
        return
    spec, photo, picture, now = scene.spec, scene.photo, scene.picture, scene.now
    with st.sidebar:
        target = choose_target(spec, photo, now)
        st.markdown(describe_change(spec.encoding, now, target))
        follow(Request(spec.name, photo.digest, target, Settings()), spec, now)
    now = spec.encoding.answering(now, target)
    read, wanted = spec.encoding.names(now.decoded), spec.encoding.wish(target)
    st.markdown(
        f"The photo reads as **{plain(read)}** and is to read as **{plain(wanted)}**. "
        "Its logits are the point **z**. Which point of the target region should an attack aim at: the nearest, "
        "**r′**, or the one that takes the smallest change of pixels, **r∗**?"
    )
    if spec.encoding.meets(now, target):
        st.info("The photo already has the wanted labels: there is no way to go. Choose other labels on the left.")
    elif (space := logit_space(spec, photo.digest, target, picture)) is None:
        wait_for(spec)
    elif space.done() and not failed(space):
        st.fragment(report)(spec, photo.digest, target, picture, now, space)
    else:
        st.fragment(watch, run_every=POLL)(space, "Taking the gradients of the logits. This takes a few seconds.")


def report(
    spec: ModelSpec,
    digest: str,
    target: Target,
    picture: NDArray[np.uint8],
    now: Prediction,
    measurement: Future[Measured],
) -> None:
    """Everything that was measured."""
    try:
        measured = measurement.result()
    except Halt as halt:
        st.warning(plain(halt.detail))
        return
    run = last_run(spec.name, digest, target)
    steps = run.steps if run else []
    st.markdown(f"#### {views.headline(measured.space)}")
    chosen = picture_of_the_space(spec, measured, target, steps, rivals(spec.name, digest, target))
    if len(measured.space.index) < measured.space.n:
        st.caption(
            f"Of {measured.space.n} logits the {len(measured.space.index)} that matter are shown: those of the target "
            "and of the competitors that bind, and the largest. The others are left free: held as r′ has them, they "
            "could only make it dearer."
        )
    if run and len(steps) < (updates := run.trace.number.max(initial=0)):
        st.caption(f"Of the last attack {len(steps)} of {updates:.0f} updates were kept: its path has no others.")
    views.cost_table(spec.encoding, measured, steps)
    st.caption(
        "A pixel runs from 0 to 1; lengths of perturbations are L2. The linear model, z + Jδ, is true near the photo "
        "only, so the real network needs more than predicted, or never arrives straight on. That is why the attack "
        "takes short steps with new gradients."
    )
    st.subheader("The two perturbations")
    views.perturbations(spec.encoding, picture.transpose(2, 0, 1) / 255, measured, chosen)
    if isinstance(spec.encoding, ECOC):
        st.subheader("Bits and codewords")
        views.codewords(spec.encoding, now, target, steps)
    directions(spec, measured)
    with st.expander("The logits in numbers"):
        views.logit_table(spec.encoding, measured)


def picture_of_the_space(
    spec: ModelSpec, measured: Measured, target: Target, steps: Sequence[Step], compared: Sequence[Contender]
) -> str:
    """The figure in the view that the user chooses; gives the name of the point that was clicked."""
    view = st.segmented_control("View", [PLANE, TWO, THREE], default=PLANE, key="view") or PLANE
    space, titles = measured.space, views.logits_shown(spec.encoding, measured.space)
    if len(titles) < (3 if view == THREE else 2):
        st.info(f"This network has {len(titles)} logit{'s' * (len(titles) > 1)} only: too few for this picture.")
        return figures.CHEAPEST
    axes: Sequence[str] = views.ACROSS
    if view == PLANE:
        section = section_through_points(space)
    else:
        places = choose_logits(titles, telling_logits(space, 2 if view == TWO else 3))
        section, axes = section_of_logits(space, places), [titles[i] for i in places]
    if view == THREE:
        figure = figures.solid(
            section, views.shown(spec.encoding, measured, target, section, axes, steps, rivals=compared)
        )
        st.plotly_chart(figure, key="solid")
        bends = " in the linear problem; the decoder sees tanh of the logits, which bends its own"
        st.caption(
            "Drag to turn. On the blue ball all is as near as r′, on the orange one all is as cheap as r∗. Grey planes "
            f"are the borders that bind{bends * (not spec.encoding.linear)}."
        )
        return figures.CHEAPEST
    margin = views.bent(spec.encoding, space, target, section)
    space_for_figure = st.container()
    with st.expander("Try a target point of your own", expanded=True):
        free = views.free_point(section, space, axes, margin)
    figure = figures.plane(
        section, views.shown(spec.encoding, measured, target, section, axes, steps, rivals=compared, free=free)
    )
    with space_for_figure:
        event = st.plotly_chart(figure, key=f"plane-{view}", on_select="rerun", selection_mode="points")
        st.caption(caption(view, section, bent=margin is not None))
        if compared:
            st.caption("Thin lines are the paths of the attacks that you have compared; pan to follow them.")
    clicked = [point.get("customdata", "") for point in event.selection.points]
    return figures.NEAREST if any(figures.NEAREST in np.ravel(each) for each in clicked) else figures.CHEAPEST


def choose_logits(titles: list[str], proposed: tuple[int, ...]) -> tuple[int, ...]:
    """Pickers for as many different logits as are proposed; start from those."""
    chosen: list[int] = []
    directions = ("Across", "Up") if len(proposed) == 2 else ("Across", "Deep", "Up")  # as Plotly draws x, y and z
    for column, title, place in zip(st.columns(len(proposed)), directions, proposed, strict=True):
        free = [i for i in range(len(titles)) if i not in chosen]
        start = free.index(place) if place in free else 0
        chosen.append(column.selectbox(f"{title}: logit of", free, start, titles.__getitem__))
    return tuple(chosen)


def caption(view: str, section: Section, *, bent: bool) -> str:
    """How to read the figure; ``bent`` where the decoder's region is not that of the linear constraints."""
    about = (
        "Dashed: as near to z as r′. Solid: as cheap in pixels as r∗. Hollow marks are where the real network ends "
        "after the full step. Click r′ or r∗, and its photo is below."
    )
    if bent:
        about += (
            " Grey is what the decoder reads as wanted: it sees tanh of the logits, which bends the borders. JMA aims "
            "at the linear region, outlined with dashes, in which r′ and r∗ are."
        )
    if view == PLANE:
        where = "linear region" if bent else "grey target region"
        return f"{about} Circle and ellipse each touch the {where} in one point only."
    start = ", and starts from where the other binding logits alone would carry z" if figures.shifted(section) else ""
    return (
        f"{about} The region is cut where all other logits are as in r∗, and touches the ellipse there; dotted blue "
        f"borders are cut where they are as in r′. The ellipse leaves the other logits free{start}."
    )


def directions(spec: ModelSpec, measured: Measured) -> None:
    """Which directions are cheap and which are dear."""
    space, titles = measured.space, views.logits_shown(spec.encoding, measured.space)
    st.subheader("Which directions are cheap?")
    left, right = st.columns(2)
    with left:
        st.plotly_chart(figures.spectrum(space), key="spectrum")
        st.caption(
            f"Effort spectrum. The {len(titles)} gradients have rank {space.rank}, and act like "
            f"**{space.effective_rank:.1f}** equal and independent ones (effective rank)."
        )
    with right:
        st.plotly_chart(figures.unit_costs(space, titles), key="unit-costs")
        st.caption("Diamonds: what it costs to move one logit when the others may follow. Squares: when they may not.")
    st.plotly_chart(figures.cosines(space, titles), key="cosines")
    st.caption("Cosines between gradients. Orange: what raises one raises the other. Blue: what raises one lowers it.")


framed(main)
