"""Attack lab: pick a model, a photo and labels; run JMA; look at every update."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from jma_core.records import AttackResult
from lab import exports
from lab.advice import after, held_up
from lab.markup import plain
from lab.photos.samples import samples
from lab.photos.uploads import Photo
from lab.request import Request, Settings
from lab.runs.attack_run import AttackRun
from lab.runs.pool import models
from lab.story import story
from models.cards import ModelSpec
from models.encodings import Encoding, Prediction, Target
from ui.brush.brush import painted
from ui.parts import downloads
from ui.parts.aftermath import does_it_hold
from ui.parts.controls import choose_canvas, choose_settings, choose_target, describe_change
from ui.parts.scene import POLL, headline, photo_line, set_scene, wait_for
from ui.parts.sharing import share
from ui.player import moments
from ui.player.player import play
from ui.shell.address import arrive, follow
from ui.shell.cached import gradient
from ui.shell.frame import framed
from ui.shell.session import forget, forget_widgets, photos, prefer, remember, running, runs, session

ANSWER = 3.0  # seconds that a click waits for a step, or for the end of one; what takes longer is polled for


def main() -> None:
    """The page, from top to bottom."""
    arrive()
    scene = set_scene()
    if scene is None:
        return
    spec, photo, now = scene.spec, scene.photo, scene.now
    early = not models().ready(spec.name)
    with st.sidebar:
        target = choose_target(spec, photo, now)
        st.markdown(describe_change(spec.encoding, now, target))
        canvas, picture = choose_canvas(spec, photo)
        request = Request(spec.name, photo.digest, target, choose_settings(spec.encoding.asked(target)), canvas)
        follow(request, spec, now)
    own = None if photo.digest in samples(spec.samples) else photo
    headline(attack_in_words(spec.encoding, now, target), photo_line(spec, photo) if own else "")
    polling = running() is not None  # also another attack of the session, whose end sets the buttons free
    st.fragment(laboratory, run_every=POLL if polling else None)(request, spec, own, now, picture, polling)
    if early:
        wait_for(spec)


def attack_in_words(encoding: Encoding, now: Prediction, target: Target) -> str:
    """What the photo reads as, and as what it is to read."""
    return f"{encoding.names(encoding.answering(now, target).decoded)} → {encoding.wish(target)}"


def laboratory(
    request: Request, spec: ModelSpec, own: Photo | None, now: Prediction, picture: NDArray[np.uint8], polling: bool
) -> None:
    """The attack that answers the request: its controls, its pictures, its numbers. ``own``: the user's own photo."""
    run = runs().get(request)
    if (running() is not None) != polling or painted() != request.canvas.painted:
        st.rerun()
    now = spec.encoding.answering(now, request.target)
    nothing_to_do, pull = spec.encoding.meets(now, request.target), None
    with st.container(key="transport", gap="xsmall"):
        transport(request, run, (picture, own), nothing_to_do=nothing_to_do)
    if not (run and run.steps) and not nothing_to_do and models().ready(request.model):
        pull = gradient(replace(request, settings=Settings()), picture)
    every = moments.moments_of(run, picture.transpose(2, 0, 1) / 255, now, pull)
    moment = play(spec.encoding, request.target, run, every, moments.best_update(run, every), request.canvas.painted)
    st.subheader(measured(run, moment))
    moments.metrics(every[0], moment)
    moments.frequencies(every[0], moment)
    if run and run.steps:
        moments.charts(spec.encoding, request.target, now.logits, run.trace, run.steps, moment.update)
        st.subheader("What happened")
        st.text("\n".join(story(spec, request, every[0].image, run.steps, run.result)))
    if run and run.result and run.result.success and run.steps:
        take_away(run)
        does_it_hold(run, run.result)


def transport(
    request: Request, run: AttackRun | None, attacked: tuple[NDArray[np.uint8], Photo | None], *, nothing_to_do: bool
) -> None:
    """Step, Run, Stop and Reset, and what the attack is doing."""
    busy, ended = bool(run and run.busy), bool(run and run.ended)
    other = running()
    blocked = nothing_to_do or busy or other is not None or bool(request.refused or models().problem(request.model))
    asked = (request, *attacked)
    status(run, other, request.refused, nothing_to_do=nothing_to_do)
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
        st.button("Step", disabled=blocked or ended, icon=":material/skip_next:", on_click=start, args=(*asked, 1))
        label, icon = "Run again" if ended else "Run", ":material/play_arrow:"
        st.button(label, disabled=blocked, type="primary", icon=icon, on_click=start, args=asked)
        st.button("Stop", disabled=not busy, icon=":material/pause:", on_click=stop, args=(request,))
        st.button("Reset", disabled=run is None, icon=":material/replay:", on_click=forget, args=(request,))
        if run and run.result and other is None:
            go_on(run.result, request, attacked)


def go_on(result: AttackResult, request: Request, attacked: tuple[NDArray[np.uint8], Photo | None]) -> None:
    """What to do next: other attacks, which one click begins; of one that succeeded, what else there is to see."""
    for said, asked in after(models().specs[request.model], request, result).items():
        if st.button(plain(said), type="tertiary"):
            start(asked, *attacked)
            show(asked)
    if result.success:
        st.page_link("pages/compare.py", label="Compare attacks")
        st.page_link("pages/geometry.py", label="Why this path?")


def status(run: AttackRun | None, other: AttackRun | None, refused: str, *, nothing_to_do: bool) -> None:
    """What the attack is doing, or has come to, in a line. ``other`` is the one of the session that runs."""
    if nothing_to_do:
        st.info("The photo already has the wanted labels: there is nothing to attack. Choose other labels on the left.")
    elif other is not None and other is not run:
        elsewhere(other)
    elif refused:
        st.warning(plain(refused))
    elif run is None:
        st.caption("Nothing has been changed yet: Step makes one update, Run goes on to the end.")
    elif run.result:
        st.success(summary(run)) if run.result.success else st.warning(plain(missed(run, run.result)))
    elif run.error:
        st.warning(plain(run.status))
    else:
        st.caption(plain(run.status))
    if run and run.unsaved:
        st.warning(plain(run.unsaved))


def elsewhere(other: AttackRun) -> None:
    """What is said of an attack of this session that is not the one on the page: it can be stopped and looked at."""
    spec, asked = models().specs.get(other.request.model), other.request
    which = (
        f"{photos(spec.samples)[asked.photo].name} towards {spec.encoding.wish(asked.target)}"
        if spec
        else "one on a model that was removed"
    )
    st.info(plain(f"Another attack of yours is not done: {which}. {other.status}"))
    with st.container(horizontal=True):
        st.button("Stop it", icon=":material/pause:", on_click=halt, args=(other,))
        if other in session().lasting.bouts.values():
            st.page_link("pages/compare.py", label="Show it", icon=":material/visibility:")
        elif spec and st.button("Show it", icon=":material/visibility:"):
            show(other.request)


def show(request: Request) -> None:
    """Make a request the lab's choice, and draw the page for it."""
    forget_widgets()
    prefer(request)
    st.rerun()


def start(request: Request, picture: NDArray[np.uint8], own: Photo | None, steps: int | None = None) -> None:
    """Advance the request's attack, or begin it (again); a second click while one runs does nothing."""
    if running():
        return
    run = runs().get(request)
    if run is None or run.ended:
        run = AttackRun(request, picture, own)
        remember(run)
    run.go(steps)
    if steps:
        run.wait(ANSWER)


def stop(request: Request) -> None:
    """Halt the request's attack, if there is one."""
    if run := runs().get(request):
        halt(run)


def halt(run: AttackRun) -> None:
    """Halt after the iteration in progress."""
    run.pause()
    run.wait(ANSWER)


def measured(run: AttackRun | None, moment: moments.Moment) -> str:
    """What the measures are of."""
    if moment.step is None or run is None:
        return "Measures of the original"
    which = ", the result" if run.result and moment.update == run.result.update else ""
    return f"Measures of update {moment.update} of {run.steps[-1].number}{which}"


def summary(run: AttackRun) -> str:
    """A successful attack in sentences: what it ended with, what all of it took, and what else is to be said of it."""
    result = run.result
    assert result is not None
    read, passes = models().specs[run.request.model].encoding.names(result.decoded), result.backward
    said = (
        f"The result reads as **{plain(read)}** at L2 {result.distortion.l2:.3f}: {run.steps[-1].number} updates, "
        f"{passes} backward pass{'es' * (passes != 1)}, {result.seconds:.1f} s."
    )
    return f"{said} {plain(result.besides)}".rstrip()


def missed(run: AttackRun, result: AttackResult) -> str:
    """Why an attack has failed, and what held it up."""
    return f"{run.status} {held_up(models().specs[run.request.model], run.request, result)}".rstrip()


def take_away(run: AttackRun) -> None:
    """The result as files, and whether the attack survives in them."""
    assert run.result is not None
    request, result, name = run.request, run.result, downloads.file_name(run.request)
    spec = models().specs[request.model]
    st.subheader("Take it with you")
    png, npz, record, html = st.columns(4)
    text = partial(exports.record, spec, request, result)  # like all of them made when it is asked for
    # A click does not draw the page again: a second one meanwhile would ask for a file of the page before.
    here: dict[str, Any] = {"on_click": "ignore", "width": "stretch"}
    record.download_button("Record (JSON)", text, f"{name}.json", "application/json", **here)
    share(run)
    if not models().ready(request.model):
        st.caption("The picture can be saved as soon as the network is loaded.")
        return
    files = downloads.files(request, result)
    arrays = partial(exports.npz, spec, request, result, saved=files.end)
    npz.download_button("Arrays (NPZ)", arrays, f"{name}.npz", **here)
    png.download_button("Picture (PNG)", lambda: files.png, f"{name}.png", "image/png", **here)
    page = partial(downloads.html, request, result, files, downloads.credit(request))
    html.download_button("Report (HTML)", page, f"{name}.html", "text/html", **here)
    for file, verdict in files.verdicts.items():
        mark = ":material/check_circle: still" if verdict.survives else ":material/cancel: no longer"
        margin = f" (margin {verdict.margin})" if verdict.margin else ""
        st.markdown(
            f"**{file}**: {mark} read as wanted when opened again; it reads as *{plain(verdict.reads)}*{margin}."
        )
    st.caption(files.about)
    ends = f"L2 {files.end.distortion.l2:.3f}, where the attack ended at {result.distortion.l2:.3f}"
    found = "the nearest picture found that does" if files.end.success else "what came closest, for none was found"
    st.caption(f"Rounded to 8 bits as it is, the attacked picture would seldom survive. The PNG holds {found}: {ends}.")


framed(main)
