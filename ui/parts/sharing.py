"""A finished attack to be shown elsewhere: as a film, as a page that moves, as a run to go, as something to run."""

from __future__ import annotations

from functools import partial
from pathlib import PurePosixPath
from typing import Any

import streamlit as st

from jma_core.records import AttackResult
from lab.archive import pack_to_go
from lab.film import FORMATS, frames
from lab.photos.samples import samples
from lab.pictures import as_png
from lab.repeat import plan, program
from lab.request import Request
from lab.runs.attack_run import AttackRun
from lab.runs.pool import models
from models.cards import ModelSpec
from models.registry import MODELS
from ui.parts import downloads
from ui.player.player import inlined
from ui.shell.session import photos

KINDS = {"gif": "Film (GIF)", "mp4": "Film (MP4)", "webp": "Film (WebP)"}


def share(run: AttackRun) -> None:
    """What else can be taken along of a run that has ended; each thing is made when it is asked for."""
    assert run.result is not None
    request, result = run.request, run.result
    spec, name = models().specs[request.model], downloads.file_name(request)
    shelf = st.expander("Share what moves", icon=":material/movie:", key="sharing", on_change="rerun")
    if not shelf.open:
        return
    here: dict[str, Any] = {"on_click": "ignore", "width": "stretch"}
    with shelf:
        columns = st.columns(4)
        for column, (kind, label) in zip(columns, KINDS.items(), strict=False):
            data = partial(_film, spec, request, result, kind)
            column.download_button(label, data, f"{name}.{kind}", FORMATS[kind][1], key=f"film-{kind}", **here)
        if models().ready(request.model):
            page = partial(_moving, run)
            columns[-1].download_button("Moving report", page, f"{name}-moving.html", "text/html", **here)
        st.caption(
            "The films are for slides: MP4 is the sharpest for its size, GIF plays everywhere and has 256 colours, "
            "WebP is for browsers. The moving report is one file with the player in it, which opens offline."
        )
        _to_go(spec, request, result, name)
        _again(spec, request)


def _film(spec: ModelSpec, request: Request, result: AttackResult, kind: str) -> bytes:
    make, _ = FORMATS[kind]
    return make(*frames(spec, request, result))


def _moving(run: AttackRun) -> str:
    assert run.result is not None
    files = downloads.files(run.request, run.result)
    player = inlined(models().specs[run.request.model].encoding, run)
    return downloads.html(run.request, run.result, files, downloads.credit(run.request), player)


def _to_go(spec: ModelSpec, request: Request, result: AttackResult, name: str) -> None:
    """The run as a file that the page Runs of another machine opens."""
    photo = None if request.photo in samples(spec.samples) else photos(spec.samples).get(request.photo)
    with st.container(horizontal=True, vertical_alignment="center"):
        inside = photo is not None and st.checkbox("Put my photo into the file", key=f"inside-{request.photo}")
        data = as_png(photo.image) if photo and inside else b""
        file = partial(pack_to_go, request, result, spec.sha256, data)
        st.download_button("Run to go (NPZ)", file, f"{name}-run.npz", on_click="ignore")
    said = "Without it the attacked picture alone is in it, as the network sees it." if photo else ""
    st.caption(f"The page Runs of another machine opens it, at every update. {said}")


def _again(spec: ModelSpec, request: Request) -> None:
    """The attack in Python and as a plan, to be copied."""
    if request.model not in MODELS:
        st.caption("It cannot be copied as a program: its model is not one of those that everybody has.")
        return
    photo = photos(spec.samples).get(request.photo)
    called = photo.name if photo else "photo.png"
    is_sample = request.photo in samples(spec.samples)
    path = PurePosixPath("assets/samples", spec.samples, called) if is_sample else PurePosixPath(called)
    python, command = st.tabs(["Copy as Python", "Copy as command"])
    with python:
        st.code(program(spec, request, path), language="python")
    with command:
        if planned := plan(spec, request, path):
            st.caption("Save this as plan.toml, and run what its first line says.")
            st.code(planned, language="toml")
        else:
            st.caption(
                "A plan has no words for this: labels that float, sets of classes, or what may change of a photo."
            )
    if not is_sample:
        st.caption(f"Put your photo beside it, as {called}.")
