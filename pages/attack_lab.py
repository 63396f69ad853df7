"""Attack lab: pick a model, a photo and labels; run JMA; look at every update."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from jma_core.records import reads
from models.cards import ModelSpec
from ui import exports, views
from ui.address import arrive, follow
from ui.backend import Prediction, models
from ui.controls import choose_canvas, choose_settings, choose_target, describe_change
from ui.frame import framed
from ui.loading import POLL, set_scene, wait_for
from ui.player import play
from ui.readout import names, wish
from ui.request import Request
from ui.runner import AttackRun
from ui.state import forget, remember, running, runs
from ui.story import story

ANSWER = 3.0  # seconds that a click waits for a step, or for the end of one; what takes longer is polled for


def main() -> None:
    """The page, from top to bottom."""
    arrive()
    scene = set_scene("Attack lab")
    if scene is None:
        return
    spec, photo, now = scene.spec, scene.photo, scene.now
    early = not models().ready(spec.name)
    with st.sidebar:
        target = choose_target(spec, photo, now)
        st.markdown(describe_change(spec, now, target))
        canvas, picture = choose_canvas(spec, photo)
        request = Request(spec.name, photo.digest, target, choose_settings(), canvas)
        follow(request, spec, now)
    polling = running() is not None  # also another attack of the session, whose end sets the buttons free
    st.fragment(laboratory, run_every=POLL if polling else None)(request, spec, now, picture, polling)
    if early:
        wait_for(spec)


def laboratory(request: Request, spec: ModelSpec, now: Prediction, picture: Any, polling: bool) -> None:
    """The attack that answers the request: its controls, its pictures, its numbers."""
    run = runs().get(request)
    if (running() is not None) != polling:
        st.rerun()
    st.markdown(f"Reads as **{names(spec, now.decoded)}**. Wanted: **{wish(spec, request.target)}**.")
    transport(request, run, picture, nothing_to_do=reads(now.decoded, np.array(request.target)))
    original = picture.transpose(2, 0, 1) / 255
    moments = views.frames(run, original, now)
    frame = play(spec, request.target, run, moments, views.best_frame(run, moments).update)
    st.subheader("Measures")
    views.metrics(moments[0], frame)
    if run and run.steps:
        views.curves(spec, request.target, run.steps, frame.update)
        st.subheader("What happened")
        st.text("\n".join(story(spec, request, moments[0].image, run.steps, run.result)))
    if run and run.result and run.result.success and run.steps:
        downloads(run)


def transport(request: Request, run: AttackRun | None, picture: Any, *, nothing_to_do: bool) -> None:
    """Step, Run, Stop and Reset, and what the attack is doing."""
    busy, ended = bool(run and run.busy), bool(run and run.ended)
    other = running()
    blocked = nothing_to_do or busy or other is not None or bool(models().problem(request.model))
    go, asked = {"on_click": start}, (request, picture)
    with st.container(horizontal=True):
        st.button("Step", disabled=blocked or ended, icon=":material/skip_next:", args=(*asked, 1), **go)
        label = "Run again" if ended else "Run"
        st.button(label, disabled=blocked, type="primary", icon=":material/play_arrow:", args=asked, **go)
        st.button("Stop", disabled=not busy, icon=":material/pause:", on_click=stop, args=(request,))
        st.button("Reset", disabled=run is None, icon=":material/replay:", on_click=forget, args=(request,))
    if nothing_to_do:
        st.info("The photo already has the wanted labels: there is nothing to attack. Choose other labels on the left.")
    elif other is not None and other is not run:
        st.info("Another attack of yours is running. Go back to it to stop it, or wait for it to end.")
    elif run is None:
        st.caption("Step makes one update, Run goes on to the end.")
    elif run.error or (run.result and not run.result.success):
        st.warning(run.status)
    elif run.result:
        st.success(summary(run))
    else:
        st.caption(run.status)
    if run and run.unsaved:
        st.warning(run.unsaved)


def start(request: Request, picture: Any, steps: int | None = None) -> None:
    """Advance the request's attack, or begin it (again); a second click while one runs does nothing."""
    if running():
        return
    run = runs().get(request)
    if run is None or run.ended:
        run = AttackRun(request, picture)
        remember(run)
    run.go(steps)
    if steps:
        run.wait(ANSWER)


def stop(request: Request) -> None:
    """Halt after the iteration in progress."""
    if run := runs().get(request):
        run.pause()
        run.wait(ANSWER)


def summary(run: AttackRun) -> str:
    """A successful attack in one sentence."""
    result = run.result
    assert result is not None
    read, passes = names(models().specs[run.request.model], result.decoded), result.backward
    return (
        f"Reads as **{read}** now: {result.n_it} updates, {passes} backward pass{'es' * (passes != 1)}, "
        f"{result.seconds:.1f} s, L2 {result.distortion.l2:.3f}."
    )


def downloads(run: AttackRun) -> None:
    """The result as files, and whether the attack survives in them."""
    assert run.result is not None
    request, result, name = run.request, run.result, exports.file_name(run.request)
    st.subheader("Take it with you")
    png, npz, record, html = st.columns(4)
    npz.download_button("Arrays (NPZ)", partial(exports.npz, request, result), f"{name}.npz", width="stretch")
    text = partial(exports.record, request, result)  # like all of them made when it is asked for
    record.download_button("Record (JSON)", text, f"{name}.json", "application/json", width="stretch")
    if not models().ready(request.model):
        st.caption("The picture can be saved as soon as the network is loaded.")
        return
    saved = exports.as_file(request, result.distortion.l2, result)
    png.download_button("Picture (PNG)", partial(exports.png, saved), f"{name}.png", "image/png", width="stretch")
    verdicts, photo = exports.verdicts(request, saved), exports.credit(request)
    page = partial(exports.html, request, result, saved, verdicts, photo)
    html.download_button("Report (HTML)", page, f"{name}.html", "text/html", width="stretch")
    for file, (survives, seen) in verdicts.items():
        mark = ":material/check_circle: still" if survives else ":material/cancel: no longer"
        st.markdown(f"**{file}**: {mark} read as wanted when opened again; it reads as *{seen}*.")
    st.caption(
        "Rounded to 8 bits as it is, the attacked picture would seldom survive. The PNG holds the nearest picture "
        f"found that does: L2 {saved.distortion.l2:.3f}, where the attack ended at {result.distortion.l2:.3f}."
    )


framed(main)
