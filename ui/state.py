"""What a session remembers across reruns and page changes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import asdict
from typing import Any

import streamlit as st

from jma_core.records import FREE
from models.registry import ASSETS
from ui.archive import unpack, unpack_space
from ui.housekeeping import while_connected
from ui.request import Choice, Measured, Request, Target
from ui.runner import AttackRun
from ui.uploads import Photo, read_photo

EXAMPLE_PHOTO = "cat.png"
"""The sample photo that the page shows first."""
MAX_RUNS = 8
"""Attacks that a session keeps open; the oldest goes first."""


def keep(key: str, default: Any) -> str:
    """The key of a widget whose value outlives a page change, which makes Streamlit forget widgets that are not drawn.

    Call it where the widget is made: ``st.selectbox(..., key=keep("level", "lazy"))``. Give the widget the same
    default: a click on a half-drawn page makes Streamlit drop the value that is set here, and fall back to that one.
    """
    kept: dict[str, Any] = st.session_state.setdefault("kept", {})
    if key not in st.session_state:
        st.session_state[key] = kept.get(key, default)
    kept[key] = st.session_state[key]
    return key


def forget_widgets() -> None:
    """Drop the values that Streamlit holds for kept widgets, so that those of another page start from what was kept."""
    for key in st.session_state.get("kept", {}):
        st.session_state.pop(key, None)


def target_key(model: str, photo: str) -> str:
    """The key of the widget that holds a photo's target."""
    return f"target-{model}-{photo}"


def prefer(choice: Request | Choice) -> None:
    """Make a choice what the attack lab and the geometry page show next."""
    key, region, target = target_key(choice.model, choice.photo), choice.canvas.region, choice.target
    kept = {
        **st.session_state.get("kept", {}),
        **asdict(choice.settings),
        "model": choice.model,
        "photo": choice.photo,
        "held": not isinstance(target, tuple) or FREE not in target,
        "native": choice.canvas.native,
        "part": region is not None,
    }
    if region:
        left, top, right, bottom = (round(100 * side) for side in region)
        kept |= {"part-across": (left, right), "part-down": (top, bottom)}
    kept.pop(key, None)
    st.session_state["kept"] = kept
    st.session_state["asked"] = {**st.session_state.get("asked", {}), key: target}


def asked_for(model: str, photo: str) -> Target | None:
    """The target that was preferred last for a photo, if one was."""
    target: Target | None = st.session_state.get("asked", {}).get(target_key(model, photo))
    return target


def photos(kind: str) -> dict[str, Photo]:
    """The photos on offer for a kind of model by digest: the samples, then the session's upload and a restored one."""
    own = [st.session_state[name] for name in ("upload", "restored") if name in st.session_state]
    return samples(kind) | {photo.digest: photo for photo in own}


@st.cache_resource
def samples(kind: str) -> dict[str, Photo]:
    """The sample photos of a folder in assets/samples by digest; the stored example's comes first."""
    paths = sorted((ASSETS / "samples" / kind).iterdir(), key=lambda path: (path.name != EXAMPLE_PHOTO, path.name))
    return {photo.digest: photo for photo in (read_photo(path.read_bytes(), path.name) for path in paths)}


@st.cache_resource
def example() -> AttackRun:
    """The finished attack that the first page shows, made by ``python -m ui.example``."""
    return AttackRun.finished(*unpack((ASSETS / "example.npz").read_bytes()))


@st.cache_resource
def example_space() -> Measured:
    """The logit space of the example, made by the same command."""
    return unpack_space((ASSETS / "example-space.npz").read_bytes())


def runs() -> OrderedDict[Request, AttackRun]:
    """This session's attacks, oldest first."""
    if "runs" not in st.session_state:
        st.session_state["runs"] = OrderedDict({example().request: example()})
        while_connected(st.session_state["runs"])
    kept: OrderedDict[Request, AttackRun] = st.session_state["runs"]
    return kept


def last_run(model: str, photo: str, target: Target) -> AttackRun | None:
    """The session's latest attack on a photo towards a target, with any settings, that has made a step."""
    asked = [(run, run.request) for run in runs().values() if run.steps]
    found = [run for run, each in asked if (each.model, each.photo, each.target) == (model, photo, target)]
    return found[-1] if found else None


def remember(run: AttackRun) -> None:
    """Add an attack to the session's, and let the oldest go that is not running."""
    runs()[run.request] = run
    runs().move_to_end(run.request)
    idle = [request for request, each in runs().items() if each is not run and not each.busy]
    for request in idle[: max(0, len(runs()) - MAX_RUNS)]:
        forget(request)


def forget(request: Request) -> None:
    """Cancel and drop the attack that answers a request."""
    if run := runs().pop(request, None):
        run.cancel()


def running() -> AttackRun | None:
    """This session's attack in progress: at most one."""
    return next((run for run in runs().values() if run.busy), None)
