"""Geometry: the nearest and the cheapest point of the target region, in logit space and in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from jma_core.geometry import Geometry, Section, section_of_logits, section_through_points, telling_logits
from jma_core.records import Halt, Step
from lab.comparison import Contender
from lab.links import STEP, VIEWS, Query, View, from_geometry, to_geometry, to_link
from lab.markup import plain
from lab.request import Measured, Request, Settings
from lab.runs.measurements import failed
from lab.runs.pool import models
from models.cards import ModelSpec
from models.encodings import ECOC, Prediction
from ui.figures import space as figures
from ui.parts import geometry as views
from ui.parts.controls import choose_target, describe_change
from ui.parts.lessons import HALF, lessons
from ui.parts.scene import POLL, logit_space, set_scene, wait_for, watch
from ui.plane import plane
from ui.shell.address import arrive, publish, written
from ui.shell.frame import framed
from ui.shell.session import keep, kept, last_run, prefer, rivals, session

KINDS = {"plane": "Plane through z, r′ and r∗", "two": "Two logits", "three": "Three logits"}
AXES = "axes"
"""Of the logits that an address asks for, among what a session keeps."""


def main() -> None:
    """The page, from top to bottom."""
    arrive(take)
    scene = set_scene("Mahalanobis against Euclid")
    if scene is None:
        return
    spec, photo, picture, now = scene.spec, scene.photo, scene.picture, scene.now
    with st.sidebar:
        target = choose_target(spec, photo, now)
        st.markdown(describe_change(spec.encoding, now, target))
    request = Request(spec.name, photo.digest, target, Settings())
    link = to_link(request, spec, spec.encoding.proposed(now))
    now = spec.encoding.answering(now, target)
    read, wanted = spec.encoding.names(now.decoded), spec.encoding.wish(target)
    st.markdown(
        f"The photo reads as **{plain(read)}** and is to read as **{plain(wanted)}**. Its logits are the point "
        "**z**. Which point of the target region should an attack aim at: **r′**, the nearest in logits (Euclid), or "
        "**r∗**, the one that takes the smallest change of pixels? That change is a **Mahalanobis distance**: a "
        "displacement d of the logits costs √(dᵀ(JJᵀ)⁺d), with the Jacobian J, the gradients of the logits."
    )
    if spec.encoding.meets(now, target):
        st.info("The photo already has the wanted labels: there is no way to go. Choose other labels on the left.")
    elif (space := logit_space(spec, photo.digest, target, picture)) is None:
        wait_for(spec)
    elif space.done() and not failed(space):
        st.fragment(report)(spec, request, link, picture, now, space)
        return
    else:
        st.fragment(watch, run_every=POLL)(space, "Taking the gradients of the logits. This takes a few seconds.")
    publish(link, request, spec)


def take(query: Query) -> list[str]:
    """Make what a query asks for the choice of this page. Gives a sentence on all of it that cannot be had."""
    choice, view, problems = from_geometry(query, models().specs)
    prefer(choice)
    session().lasting.kept |= {"view": view.kind, AXES: view.logits}
    plane.put(view.point)
    return problems


def report(
    spec: ModelSpec,
    request: Request,
    link: Query,
    picture: NDArray[np.uint8],
    now: Prediction,
    measurement: Future[Measured],
) -> None:
    """Everything that was measured."""
    try:
        measured = measurement.result()
    except Halt as halt:
        st.warning(plain(halt.detail))
        publish(link, request, spec)
        return
    target, which = request.target, (spec.name, request.photo, request.target)
    run = last_run(*which)
    steps = run.steps if run else []
    st.markdown(f"#### {views.headline(measured.space)}")
    chosen = picture_of_the_space(spec, measured, request, link, steps, rivals(*which))
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
    spec: ModelSpec,
    measured: Measured,
    request: Request,
    link: Query,
    steps: Sequence[Step],
    compared: Sequence[Contender],
) -> str:
    """The drawing of the view that the user chooses, and its link; gives the name of the point that was clicked."""
    space, titles = measured.space, views.logits_shown(spec.encoding, measured.space)
    chooser, linked = st.columns([2, 1], vertical_alignment="bottom")
    key = keep("view", "plane", KINDS)
    with chooser:
        kind = st.segmented_control(
            "View",
            KINDS,
            default=kept(key),
            format_func=KINDS.__getitem__,
            key=key,
            required=True,
            label_visibility="collapsed",
            wrap=True,
        )
    if len(titles) < (3 if kind == "three" else 2):
        st.info(f"This network has {len(titles)} logit{'s' * (len(titles) > 1)} only: too few for this picture.")
        return figures.CHEAPEST
    section, axes, named = section_of(space, titles, kind, f"{request.photo} {written(link)} {kind}")
    subject = " ".join([request.photo, written(link), kind, *axes])
    chosen, point = plane.done(subject)
    with linked:
        publish(to_geometry(link, View(kind, named, point)), request, spec)
    free = np.array(point) if point else views.halfway(section)
    shown = views.shown(spec.encoding, measured, request.target, section, axes, steps, rivals=compared, free=free)
    if kind == "three":
        st.plotly_chart(figures.solid(section, shown), key="solid")
        bends = " in the linear problem; the decoder sees tanh of the logits, which bends its own"
        st.caption(
            "Drag to turn. On the blue ball all is as near as r′, on the orange one all is as cheap as r∗. Grey planes "
            f"are the borders that bind{bends * (not spec.encoding.linear)}."
        )
        return chosen
    plane.draw(section, shown, subject=subject, live=True)
    st.markdown(views.verdict(section, space, free, shown.margin))
    st.caption(caption(kind, section, bent=shown.margin is not None))
    if compared:
        st.caption("Thin lines are the paths of the attacks that you have compared; drag or zoom out to follow them.")
    return chosen


def section_of(
    space: Geometry, titles: list[str], kind: str, subject: str
) -> tuple[Section, tuple[str, ...], tuple[str, ...]]:
    """The section of a kind, the titles of its axes, and the logits that were chosen for it against the proposal."""
    if kind == "plane":
        return section_through_points(space), views.ACROSS, ()
    proposed = tuple(titles[i] for i in telling_logits(space, VIEWS[kind]))
    axes = choose_logits(titles, proposed, subject)
    return section_of_logits(space, tuple(map(titles.index, axes))), axes, axes if axes != proposed else ()


def choose_logits(titles: list[str], proposed: tuple[str, ...], subject: str) -> tuple[str, ...]:
    """Pickers for as many different logits as are proposed; start from those, or from those of the address."""
    asked = session().lasting.kept.pop(AXES, ())
    start = asked if len(asked) == len(proposed) and {*asked} <= {*titles} else proposed
    chosen: list[str] = []
    directions = ("Across", "Up") if len(proposed) == 2 else ("Across", "Deep", "Up")  # as Plotly draws x, y and z
    for column, title, name in zip(st.columns(len(proposed)), directions, start, strict=True):
        free = [each for each in titles if each not in chosen]
        key = keep(f"{title} {subject}", name if name in free else free[0], free)
        chosen.append(column.selectbox(f"{title}: logit of", free, free.index(kept(key)), key=key))
    return tuple(chosen)


def caption(kind: str, section: Section, *, bent: bool) -> str:
    """How to read the figure; ``bent`` where the decoder's region is not that of the linear constraints."""
    about = (
        "The ellipse holds all that an effort in pixels reaches: it grows until it touches the region, at r∗. Hollow "
        "marks are where the real network ends after the full step. Click r′ or r∗, and its photo is below. Faded "
        "borders do not bind; those without a name have it where you point."
    )
    if bent:
        about += (
            " Grey is what the decoder reads as wanted: it sees tanh of the logits, which bends the borders. JMA aims "
            "at the linear region, outlined with dashes, in which r′ and r∗ are."
        )
    if kind == "plane":
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
    st.caption(
        "Cosines between gradients. Orange: what raises one raises the other. Blue: what raises one lowers it. Signs "
        f"aside they are **{space.mean_cosine:.2f}** on average."
    )
    st.markdown(
        "The more alike the gradients, the more each label drags the others along, and the harder it is to flip half "
        "of them at once. A linear head, one layer on the features of the photo, keeps them further apart than a "
        "small network on the same features does:"
    )
    label, step = lessons()[HALF - 1].question, {STEP: str(HALF)}
    st.page_link("pages/learn.py", label=label, icon=":material/school:", query_params=step)


framed(main)
