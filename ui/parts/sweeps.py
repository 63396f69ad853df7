"""Sweeps of one's own on the page: planned in a form, estimated, started, watched and stopped."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from jma_core.attacks.registry import Value
from lab.markup import plain
from lab.photos.uploads import MAX_BYTES
from lab.request import Settings
from lab.runs.sweeps import ESTIMATE, RUN, UPLOADED, OwnSweep, own_sweeps, plan, possible
from lab.sweep.pictures import SUFFIXES
from lab.sweep.plan import OTHER
from models.cards import ModelSpec
from models.registry import MODELS
from ui.parts.benchmark import pick
from ui.parts.contest import Form, choose_attacks
from ui.parts.controls import choose_margin
from ui.shell.session import keep, kept, session

POLL = 1.0
"""Seconds between looks at what runs."""
MOST = 100
"""Pictures of one upload."""
SAMPLES, FILES, DIRECTORY = "The sample photos", "Files", "A directory to be uploaded"
FOLDER = "A folder on this computer"
ENDINGS = [suffix.removeprefix(".") for suffix in sorted(SUFFIXES)]
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
LAST = 12
"""Lines of what a process has said."""
SWEEP = Form("sweep", few=3, unasked=("seed",))
"""The plan's seeds are for all attacks."""


def at_home() -> bool:
    """Whether only this computer's own users reach the server, who may then have it read their folders."""
    hosts = {str(st.get_option("server.address")), *st.get_option("server.allowedHosts")}
    return hosts <= LOOPBACK


class Asked(NamedTuple):
    """What a form says of a plan; no pictures, or no attacks, until they are chosen."""

    spec: ModelSpec
    pictures: dict[str, Value]
    files: list[tuple[str, bytes]]
    rule: tuple[str, int]
    attacks: list[Settings]

    @property
    def title(self) -> str:
        """That of its plan."""
        return f"{self.rule[0]}, {self.spec.title}"


def ask(form: Form) -> Asked:
    """The widgets of a plan: model, pictures, targets and attacks, kept under the form's name."""
    left, right = st.columns(2, gap="large")
    with left:
        titles = {name: spec.title for name, spec in MODELS.items()}
        spec = MODELS[pick("Model", f"{form.name}-model", [*MODELS], titles)]
        pictures, files = choose_pictures(spec, form.name)
    with right:
        rule = choose_rule(spec, form.name)
        margin = choose_margin(f"{form.name}-kappa")
    attacks = choose_attacks(spec.encoding.name, {"kappa": margin, "max_seconds": math.inf}, form)
    return Asked(spec, pictures, files, rule, attacks)


def plan_one() -> None:
    """The form, the plan that it gives, and what can be done with it."""
    asked = ask(SWEEP)
    st.markdown("**The plan**")
    if not asked.pictures or not asked.attacks:
        st.info("Choose pictures and attacks.")
        return
    text = plan(asked.title, asked.spec.name, asked.pictures, asked.rule, asked.attacks)
    st.code(text, None, wrap_lines=True)
    busy = any(each.running for each in own_sweeps())
    with st.container(horizontal=True):
        click: dict[str, Any] = {"disabled": busy, "on_click": begin, "args": (text, asked.files)}
        st.button("Estimate", icon=":material/timer:", kwargs={"what": ESTIMATE}, **click)
        st.button("Start", icon=":material/play_arrow:", type="primary", kwargs={"what": RUN}, **click)
    st.caption(
        "An estimate makes a few units of each attack. A sweep is a process of its own, one at a time: it goes on "
        "when this page is closed, and the same plan goes on where it was stopped. docs/SWEEPS.md says what else "
        "a plan may say: copy it, and run it from the command line."
    )


def choose_pictures(spec: ModelSpec, name: str) -> tuple[dict[str, Value], list[tuple[str, bytes]]]:
    """What a plan says of pictures, nothing if there are none yet; and the files that were uploaded.

    The widgets of a form are kept under its ``name``.
    """
    way = pick("Pictures", f"{name}-pictures", [SAMPLES, FILES, DIRECTORY, *[FOLDER] * at_home()])
    if way == SAMPLES:
        return {"samples": spec.samples}, []
    if way == FOLDER:
        key = keep(f"{name}-folder", "")
        folder = Path(st.text_input("Folder", kept(key), key=key)).expanduser()
        if not kept(key):
            return {}, []
        if not folder.is_dir():
            st.error(plain(f"There is no folder {folder}."))
            return {}, []
        return {"folder": str(folder.resolve())}, []
    limit = MAX_BYTES // 2**20
    if way == FILES:
        uploads = st.file_uploader("Files", accept_multiple_files=True, max_upload_size=limit, key=f"{name}-files")
    else:
        uploads = st.file_uploader(
            "Directory", ENDINGS, accept_multiple_files="directory", max_upload_size=limit, key=f"{name}-directory"
        )
    if len(uploads) > MOST:
        st.warning(f"The first {MOST} are taken.")
    return ({"folder": UPLOADED} if uploads else {}), [(each.name, each.getvalue()) for each in uploads[:MOST]]


def choose_rule(spec: ModelSpec, name: str) -> tuple[str, int]:
    """How targets are drawn, and of how many labels."""
    rule = pick("Targets", f"{name}-rule", [*spec.encoding.presets, OTHER])
    if not rule.startswith("Flip k"):
        return rule, 1
    key = keep(f"{name}-k-{spec.name}", 1)
    return rule, st.number_input("k, labels", 1, len(spec.encoding.labels), kept(key), key=key)


def begin(text: str, files: list[tuple[str, bytes]], what: str) -> None:
    """Start the process of a plan, or an estimate of it."""
    OwnSweep.of(text, files).start(what)


def watch_all() -> None:
    """All sweeps that were planned here, as they are; looked at again and again while one of them runs."""
    every = own_sweeps()
    busy = any(each.running for each in every)
    st.fragment(_watch, run_every=POLL if busy else None)(busy)


def _watch(busy: bool) -> None:
    every = own_sweeps()
    if any(each.running for each in every) != busy:
        st.rerun()
    for each in every:
        with st.container(border=True):
            card(each, blocked=busy, on_show=_show)


def card(sweep: OwnSweep, *, blocked: bool, on_show: Callable[[str], None] | None = None) -> None:
    """How far a sweep is, and what can be done with it; ``blocked``: not while another one runs."""
    running, (finished, units), name = sweep.running, sweep.done, sweep.folder.name
    state = "at work" if running else "finished" if units and finished == units else "stopped" if units else "planned"
    st.markdown(f"**{plain(sweep.title)}**: {state}")
    said = sweep.said(RUN) or sweep.said(ESTIMATE)
    if units:
        st.progress(finished / units, f"{finished} of {units} units are finished")
    if said:
        st.caption(plain(said[-1]))
    with st.container(horizontal=True):
        st.button("Stop", key=f"stop-{name}", disabled=not running, icon=":material/pause:", on_click=sweep.stop)
        over = blocked or (units > 0 and finished == units)
        st.button("Go on" if units else "Start", key=f"go-{name}", disabled=over, on_click=partial(sweep.start, RUN))
        shown = on_show is not None and st.button(
            "Show", key=f"show-{name}", disabled=not finished, on_click=on_show, args=(sweep.title,)
        )
        with st.popover("Delete", key=f"ask-{name}"):
            st.write("Delete this sweep and its results for good?")
            gone = st.button("Yes, delete it", key=f"delete-{name}", type="primary", on_click=sweep.delete)
        if shown or gone:
            st.rerun()  # all of the page, of which this is a part that is drawn alone
    with st.expander("Plan, and what the process says"):
        st.code(sweep.plan, None, wrap_lines=True)
        for what in (ESTIMATE, RUN):
            if lines := sweep.said(what):
                st.code("\n".join(lines[-LAST:]), None, wrap_lines=True)


def _show(title: str) -> None:
    session().lasting.kept["benchmark-results"] = title
    st.session_state["benchmark-results"] = title


def start_one() -> None:
    """The part of the page that makes sweeps."""
    st.header("A sweep of your own")
    if not possible():
        st.info("On this system sweeps are started from the command line: python -m lab.sweep run PLAN.toml --out DIR.")
        return
    plan_one()
    watch_all()
