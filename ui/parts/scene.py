"""What a page shows of a photo before its network is there, and how it waits for it."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from lab.comparison import Contender
from lab.markup import plain
from lab.photos.samples import samples
from lab.photos.uploads import Photo
from lab.request import Measured
from lab.runs.attack_run import AttackRun
from lab.runs.example import example, example_space
from lab.runs.measurements import failed, measuring
from lab.runs.pool import models
from models.cards import ModelSpec, said
from models.encodings import Prediction, Target
from ui.parts.controls import choose_model, choose_photo
from ui.parts.pictures import show
from ui.shell.cached import predict
from ui.shell.session import runs, session

ANY = "photos"
"""The samples of networks for photos of all sorts."""
POLL = 0.5  # seconds between looks at what runs in the background: an attack, or a network that loads


@dataclass(frozen=True)
class Scene:
    """A model and a photo, and what the one says of the other."""

    spec: ModelSpec
    photo: Photo
    picture: NDArray[np.uint8]
    """(size, size, 3): the photo as the network sees it."""
    now: Prediction


def set_scene(title: str = "") -> Scene | None:
    """Choose model and photo in the sidebar. None, with the photo on the page, until the model has spoken.

    A page without a ``title`` finds its own in the scene; until then the photo's name is there.
    """
    with st.sidebar:
        spec = choose_model()
        photo = choose_photo(spec)
    picture = spec.preprocessing(photo.image)
    if title:
        headline(title, photo_line(spec, photo))
    now = first_sight(spec, photo.digest, picture)
    if now is not None and np.isfinite(now.logits).all():
        return Scene(spec, photo, picture, now)
    if not title:
        headline(photo.name)
    with st.columns(3)[0]:
        show(picture, f"{photo.name}, as the network will see it")
    if now is None:
        wait_for(spec)
    else:
        st.error(
            "The network's logits for this photo are not all finite numbers, so that it reads nothing in it. "
            "Choose another photo or another model."
        )
    return None


def headline(text: str, note: str = "") -> None:
    """A title of the page that leaves room for what is below it."""
    with st.container(key="headline", gap="small" if note else None):
        st.title(plain(text), anchor=False)
        if note:
            st.caption(plain(note))


def photo_line(spec: ModelSpec, photo: Photo) -> str:
    """A photo's name, and what to bear in mind of one that a network for one kind of pictures was not made for."""
    if spec.samples == ANY or photo.digest in samples(spec.samples):
        return f"Photo: {photo.name}"
    strange = f"This network knows one kind of picture, and names something of it whatever it is shown: {spec.summary}"
    return f"Photo: {photo.name}. {strange}"


def first_sight(spec: ModelSpec, digest: str, picture: NDArray[np.uint8]) -> Prediction | None:
    """What the model says of the photo: from a stored attack, or from the network once it is loaded; else None."""
    ended: list[AttackRun | Contender] = [*runs().values(), *session().lasting.reopened.values()]
    for run in ended:
        asked = run.request
        if run.result and not asked.canvas.native and (asked.model, asked.photo) == (spec.name, digest):
            return spec.encoding.answering(Prediction(run.result.logits_before, run.result.decoded_before))
    return predict(spec.name, picture) if models().ready(spec.name) else None


def logit_space(spec: ModelSpec, digest: str, target: Target, picture: NDArray[np.uint8]) -> Future[Measured] | None:
    """The logit space at a photo: stored for the example, else measured once the network is loaded; None until then."""
    stored = example().request
    if (spec.name, digest, target) == (stored.model, stored.photo, stored.target):
        known: Future[Measured] = Future()
        known.set_result(example_space())
        return known
    return measuring(spec.name, digest, target, picture) if models().ready(spec.name) else None


def watch(asked: Future[Any], awaited: str) -> None:
    """Say what is awaited, and redraw the page when it is there; or say that it failed, until the page is redrawn.

    To be drawn every POLL seconds, as a fragment.
    """
    if asked.done() and (problem := failed(asked)):
        st.error(plain(f"This could not be measured: {said(problem)}"))
        if st.button("Try again", icon=":material/replay:"):
            st.rerun()
        return
    st.info(awaited, icon=":material/hourglass_top:")
    if asked.done():
        st.rerun()


def wait_for(spec: ModelSpec) -> None:
    """Say that the network is loading, and redraw the page when it is there; or say why it cannot be loaded.

    For a page that was drawn without the network, even if that has come since.
    """
    if problem := models().problem(spec.name):
        st.error(plain(f"This model cannot be used. {problem}"))
    else:
        st.fragment(_look_again, run_every=POLL)(spec.name)


def _look_again(name: str) -> None:
    done, total = models().progress.get(name, (0, 0))
    rest = f"{done / 1e6:.0f} of {total / 1e6:.0f} MB are here." if total else "This takes a few seconds after a start."
    st.info(f"The network is loading. {rest}", icon=":material/hourglass_top:")
    if models().request(name).done():
        st.rerun()
