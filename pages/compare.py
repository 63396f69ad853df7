"""Compare: one photo, one target, up to eight attacks, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from lab.comparison import MOST, Contender, Saved, called
from lab.links import Query, from_comparison, to_comparison
from lab.markup import plain
from lab.photos.samples import samples
from lab.photos.uploads import Photo
from lab.request import Request
from lab.runs.attack_run import AttackRun
from lab.runs.example import example_comparison
from lab.runs.pool import models
from lab.runs.relay import Relay
from models.cards import ModelSpec
from ui.gallery.gallery import hang
from ui.parts import contest
from ui.parts.controls import choose_canvas, choose_common, choose_target, describe_change
from ui.parts.reopening import reopen
from ui.parts.scene import POLL, set_scene, wait_for
from ui.shell.address import arrive, publish
from ui.shell.frame import framed
from ui.shell.session import all_contenders, prefer, running, session

ANSWER = 3.0  # seconds that Stop waits for the end of an iteration


def main() -> None:
    """The page, from top to bottom."""
    arrive(take)
    scene = set_scene("Compare")
    if scene is None:
        return
    spec, photo, now = scene.spec, scene.photo, scene.now
    early = not models().ready(spec.name)
    with st.sidebar:
        target = choose_target(spec, photo, now)
        st.markdown(describe_change(spec.encoding, now, target))
        canvas, picture = choose_canvas(spec, photo)
        with st.expander("Settings of all attacks"):
            common = choose_common()
    seen = spec.encoding.answering(now, target)
    read, wanted = spec.encoding.names(seen.decoded), spec.encoding.wish(target)
    st.markdown(f"Reads as **{plain(read)}**. Wanted: **{plain(wanted)}**.")
    asked = contest.choose_attacks(spec.encoding.asked(target), common)
    requests = [Request(spec.name, photo.digest, target, settings, canvas) for settings in asked]
    if requests:
        with st.sidebar:
            publish(to_comparison(requests, spec, spec.encoding.proposed(now)), requests[0], spec)
    own = None if photo.digest in samples(spec.samples) else photo
    nothing_to_do = spec.encoding.meets(seen, target)
    polling = racing()
    arena = st.fragment(show, run_every=POLL if polling else None)
    arena(spec, requests, (picture, own), polling=polling, nothing_to_do=nothing_to_do)
    if early:
        wait_for(spec)


def take(query: Query) -> list[str]:
    """Make what a query asks for the choice of this page. Gives a sentence on all of it that cannot be had."""
    choice, asked, problems = from_comparison(query, models().specs)
    prefer(choice)
    session().lasting.kept |= contest.widgets(models().specs[choice.model].encoding.asked(choice.target), asked)
    return problems


def show(
    spec: ModelSpec,
    requests: Sequence[Request],
    attacked: tuple[NDArray[np.uint8], Photo | None],
    *,
    polling: bool,
    nothing_to_do: bool,
) -> None:
    """The attacks that answer the requests, as far as they have ended."""
    if racing() != polling:
        st.rerun()
    names = called([each.settings for each in requests])
    transport(spec, requests, names, attacked, nothing_to_do=nothing_to_do)
    ended = {name: each for name, request in zip(names, requests, strict=True) if (each := contender(request))}
    if not ended:
        return
    futures = [None if polling or each.saved else contest.saved(each) for each in ended.values()]
    shown = list(ended)
    contenders = [
        each if each.saved else replace(each, saved=contest.known(future))
        for each, future in zip(ended.values(), futures, strict=True)
    ]
    contest.words(spec, shown, contenders)
    st.subheader("Pictures")
    hang(spec.encoding, shown, contenders)
    open_one(shown, contenders)
    st.subheader("Numbers")
    if any(future and not future.done() for future in futures):
        st.fragment(look_again, run_every=POLL)(futures)
    contest.numbers(spec, shown, contenders)
    st.subheader("The way there")
    contest.chart(shown, contenders)
    contest.matrices(spec, shown, contenders)
    contest.take_away(spec, shown, contenders)


def contender(request: Request) -> Contender | None:
    """The attack that answers a request once it has ended: this session's, a stored one, or the one that ships."""
    shipped = None if request in session().lasting.bouts else example_comparison().get(request)
    return all_contenders().get(request) or shipped


def transport(
    spec: ModelSpec,
    requests: Sequence[Request],
    names: Sequence[str],
    attacked: tuple[NDArray[np.uint8], Photo | None],
    *,
    nothing_to_do: bool,
) -> None:
    """Run and Stop, and what each attack is doing."""
    bouts, busy = session().lasting.bouts, racing()
    other = running()
    left = [each for each in requests if not (bouts[each].ended if each in bouts else contender(each))]
    label = f"Run {len(left)} of {len(requests)}" if 0 < len(left) < len(requests) else "Run" if left else "Run again"
    refused = next((each.refused for each in requests if each.refused), "")
    missing = not requests or bool(models().problem(requests[0].model))
    blocked = nothing_to_do or busy or other is not None or missing or bool(refused)
    with st.container(horizontal=True):
        asked = (spec, requests, left or requests, *attacked)
        st.button(label, disabled=blocked, type="primary", icon=":material/play_arrow:", on_click=start, args=asked)
        st.button("Stop", disabled=not busy, icon=":material/pause:", on_click=stop)
    if nothing_to_do:
        st.info("The photo already has the wanted labels: there is nothing to attack. Choose other labels on the left.")
    elif not requests:
        st.info(f"Choose up to {MOST} attacks.")
    elif other is not None and other not in bouts.values():
        st.info("An attack of yours in the lab is not done. Stop it there, or wait for its end.")
    elif refused:
        st.warning(plain(refused))
    elif len(left) == len(requests) and not bouts.keys() & set(requests):
        st.caption("Run begins with the first attack; each is shown as it ends.")
    for name, request in zip(names, requests, strict=True):
        run = bouts.get(request)
        if run and (not run.ended or run.error):
            st.caption(plain(f"{name}: {run.status}"))
    relay = session().lasting.relay
    if relay and relay.unsaved:
        st.warning(plain(relay.unsaved))


def racing() -> bool:
    """Whether attacks of this page run, or are about to."""
    relay = session().lasting.relay
    return bool(relay and relay.busy)


def start(
    spec: ModelSpec, requests: Sequence[Request], left: Sequence[Request], picture: NDArray[np.uint8], own: Photo | None
) -> None:
    """Run those ``left`` one after another, from where they are or anew; a second click while some run does nothing."""
    if running() or racing():
        return
    bouts = session().lasting.bouts
    for request in left:
        if request not in bouts or bouts[request].ended:
            bouts[request] = AttackRun(request, picture, own, together=MOST)
        bouts.move_to_end(request)
    for request in list(bouts)[: -2 * MOST]:
        del bouts[request]
    entrants = [bouts[request] if request in left else contender(request) for request in requests]
    session().lasting.relay = Relay(spec, [each for each in entrants if each])


def stop() -> None:
    """Halt after the iteration in progress, and begin no other attack."""
    if relay := session().lasting.relay:
        relay.stop()
        relay.wait(ANSWER)


def look_again(futures: Sequence[Future[Saved] | None]) -> None:
    """Say what is awaited, and draw the page again when it is there."""
    st.caption("The results are being saved as files of 8 bits and read again.")
    if all(future is None or future.done() for future in futures):
        st.rerun()


def open_one(names: Sequence[str], contenders: Sequence[Contender]) -> None:
    """Take one result to the lab, or to the geometry page."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Result", names, width=260, key="contest-opened")
        to_lab = st.button("Open in the lab", icon=":material/target:")
        to_geometry = st.button("Open in Geometry", icon=":material/architecture:")
    if to_lab or to_geometry:
        chosen, lasting = contenders[list(names).index(name)], session().lasting
        if chosen.request in lasting.bouts or chosen.request in lasting.reopened:
            reopen(chosen.request, chosen.result)
        else:  # what ships is rounded, and for this page only
            prefer(chosen.request)
        st.switch_page("pages/attack_lab.py" if to_lab else "pages/geometry.py")


framed(main)
