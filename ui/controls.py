"""The attack lab's left side: which model, which photo, which labels, how."""

from __future__ import annotations

from dataclasses import fields
from functools import partial

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from jma_core.records import FREE
from models.cards import Kind, ModelSpec
from models.photos import Preprocessing, shrunk
from models.registry import DEFAULT, unavailable
from ui.backend import Prediction, models
from ui.images import show, show_small, spotlit
from ui.presets import presets
from ui.readout import as_target, confidences, listed, preset_target
from ui.request import (
    KAPPA_STEP,
    LEVELS,
    MAX_ITERATIONS,
    MAX_KAPPA,
    MAX_SECONDS,
    SIDE_STEP,
    STEPS,
    Canvas,
    Settings,
    Target,
)
from ui.state import asked_for, keep, photos, samples, target_key
from ui.uploads import MAX_BYTES, Photo, PhotoError, read_photo

THUMBNAIL = 80  # pixels
GALLERY = 330  # pixels; what is taller scrolls
MAX_PILLS = 40  # labels; more are searched


def choose_model() -> ModelSpec:
    """The model picker. A model that cannot be loaded is marked, and says why when picked."""

    zoo = models().specs

    def title(name: str) -> str:
        return zoo[name].title + (" (unavailable)" if unavailable(zoo[name]) else "")

    spec = zoo[st.selectbox("Model", list(zoo), format_func=title, key=keep("model", DEFAULT))]
    if reason := unavailable(spec):
        st.error(f"{spec.title} cannot be used. {reason}")
    else:
        st.caption(spec.summary)
    return spec


def choose_photo(spec: ModelSpec) -> Photo:
    """The gallery of the model's kind, the upload and the camera. A bad file is explained, and the photo stays."""
    shipped, offered = samples(spec.samples), photos(spec.samples)
    first = next(iter(shipped))
    chosen = st.session_state[keep("photo", first)]
    if chosen not in offered:
        chosen = first
    with st.container(height=GALLERY, border=False), st.container(horizontal=True, gap="small"):
        for digest, photo in offered.items():
            with st.container(width=THUMBNAIL, gap="small"):
                show_small(photo, THUMBNAIL)
                kind = "primary" if digest == chosen else "secondary"
                yours = photo is st.session_state.get("upload") and digest not in shipped
                label = "yours" if yours else photo.name.rpartition(".")[0].replace("_", " ")
                st.button(label, key=f"photo-{digest}", type=kind, width="stretch", on_click=_choose, args=(digest,))
    st.file_uploader(
        "Your own photo",
        key="uploaded",
        on_change=_take,
        args=("uploaded",),
        max_upload_size=MAX_BYTES // 2**20,
        help=f"PNG, JPEG, WebP, GIF, TIFF or BMP, at most {MAX_BYTES // 2**20} MB. It stays on this computer.",
    )
    camera = st.expander("Take a photo", icon=":material/photo_camera:", key="camera-open", on_change="rerun")
    if camera.open:  # a camera is on while its widget is on the page
        camera.camera_input("Camera", key="camera", on_change=_take, args=("camera",), label_visibility="collapsed")
    if problem := st.session_state.get("upload_problem"):
        st.error(problem)
    photo = offered[chosen]
    if photo.note:
        st.info(photo.note)
    return photo


def _choose(digest: str) -> None:
    st.session_state["photo"] = digest
    st.session_state["upload_problem"] = ""


def _take(widget: str) -> None:
    file = st.session_state[widget]
    if file is None:
        return
    try:
        photo = read_photo(file.getvalue(), file.name)
    except PhotoError as error:
        st.session_state["upload_problem"] = str(error)
    else:
        st.session_state["upload"] = photo
        _choose(photo.digest)


def choose_target(spec: ModelSpec, photo: Photo, now: Prediction) -> Target:
    """The labels wanted: classes by search, labels as toggles. Starts from a preset that can be attacked at once."""
    key = target_key(spec.name, photo.digest)
    first = asked_for(spec.name, photo.digest)
    if first is None:
        first = preset_target(spec, now.logits, now.decoded)
    if spec.encoding is not Kind.MULTI_LABEL:
        help_text = "Type to search." if len(spec.labels) > 20 else None
        classes = range(len(spec.labels))
        chosen: int = st.selectbox("Wanted class", classes, first, spec.labels.__getitem__, keep(key, first), help_text)
        choose_preset(spec, now, key)
        return chosen
    lit = _lit(first, now)
    choose = partial(st.pills, selection_mode="multi") if len(spec.labels) <= MAX_PILLS else st.multiselect
    wanted = set(
        choose(
            "Wanted labels",
            range(len(spec.labels)),
            default=lit,
            format_func=spec.labels.__getitem__,
            key=keep(key, lit),
            help="The labels that are lit, or listed, are wanted; all others are unwanted.",
        )
    )
    choose_preset(spec, now, key)
    held = st.checkbox(
        "Hold the other labels",
        True,
        keep("held", True),
        help="Ticked, labels that you did not toggle must stay as they are. Otherwise they may come and go, which "
        "takes a smaller perturbation.",
    )
    target = tuple(i in wanted for i in range(len(spec.labels)))
    toggled = target != as_target(now.decoded)
    if held or not toggled:
        return target
    return tuple(FREE if want == has else want for want, has in zip(target, now.decoded, strict=True))


def _lit(target: Target, now: Prediction) -> list[int]:
    """The labels that a multi-label target wants; of those that it leaves free, the ones that the photo has."""
    return np.flatnonzero(np.where(np.equal(target, FREE), now.decoded, target)).tolist()


def choose_preset(spec: ModelSpec, now: Prediction, key: str) -> None:
    """A menu of targets for the widget of a key, and how many labels one drawn at random flips."""
    menu = f"preset-{key}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.menu_button("Preset", list(presets(spec)), key=menu, on_click=_set_preset, args=(spec, now, key, menu))
        if spec.encoding is Kind.MULTI_LABEL:
            count = len(spec.labels)
            flips = min(2, count)
            st.number_input("k, flips at random", 1, count, flips, key=keep(f"flips-{spec.name}", flips))


def _set_preset(spec: ModelSpec, now: Prediction, key: str, menu: str) -> None:
    draw = st.session_state["draws"] = st.session_state.get("draws", 0) + 1
    preset, flips = presets(spec)[st.session_state[menu]], st.session_state.get(f"flips-{spec.name}", 0)
    target = preset(spec, now.logits, now.decoded, flips, np.random.default_rng(draw))
    st.session_state[key] = _lit(target, now) if isinstance(target, tuple) else target


def choose_canvas(spec: ModelSpec, photo: Photo) -> tuple[Canvas, NDArray[np.uint8]]:
    """What of the photo may change, and the picture (H, W, 3) to be attacked."""
    with st.expander("What may change"):
        native = st.checkbox(
            "Attack the photo at its own size",
            key=keep("native", False),
            help="Through the network's own resizing and cropping, so that the saved photo keeps its size and still "
            "fools the network, which resizes it again. Otherwise the small picture that the network sees is attacked.",
        )
        picture = spec.preprocessing(photo.image)
        if native:
            sized, note = shrunk(photo.image)
            picture = np.asarray(sized)
            st.caption(note or f"{sized.width} x {sized.height} pixels.")
        if not st.checkbox("Change a part of it only", key=keep("part", False)):
            return Canvas(native), picture
        sides = {}
        for name, label in (("across", "From left to right"), ("down", "From top to bottom")):
            sides[name] = st.slider(label, 0, 100, (25, 75), SIDE_STEP, "%d %%", keep(f"part-{name}", (25, 75)))
        (left, right), (top, bottom) = sides["across"], sides["down"]
        if left == right or top == bottom:
            st.warning("This part is empty: nothing could change. The whole picture may change instead.")
            return Canvas(native), picture
        canvas = Canvas(native, (left / 100, top / 100, right / 100, bottom / 100))
        small = Preprocessing(THUMBNAIL * 2, squash=True)(Image.fromarray(picture))
        show(spotlit(small, canvas.region), alt="The photo, faded where it may not change")
    return canvas, picture


def describe_change(spec: ModelSpec, now: Prediction, target: Target) -> str:
    """In Markdown, what a target changes: the labels, or the codeword bits."""
    match spec.encoding:
        case Kind.ONE_HOT:
            return f"Its probability now: {confidences(spec, now.logits)[target]:.2%}."
        case Kind.ECOC:
            bits = now.logits > 0
            wanted = spec.codebook[target] > 0
            flips = [str(b + 1) for b in (bits != wanted).nonzero()[0]]
            numbers = f" (number {', '.join(flips)})" if flips else ""
            return (
                f"Bits that would flip: **{len(flips)} of {len(bits)}**{numbers}  \n"
                f"now `{_bit_string(bits)}`  \nwanted `{_bit_string(wanted)}`"
            )
        case Kind.MULTI_LABEL:
            pairs = list(zip(spec.labels, now.decoded, target, strict=True))
            gone = [name for name, has, wants in pairs if has and wants == 0]
            new = [name for name, has, wants in pairs if wants == 1 and not has]
            parts = [f"remove **{listed(gone)}**"] * bool(gone) + [f"add **{listed(new)}**"] * bool(new)
            return f"Flips {len(gone) + len(new)} of {len(pairs)}: {'; '.join(parts)}." if parts else ""


def _bit_string(bits: object) -> str:
    return "".join("+" if bit else "-" for bit in bits)  # type: ignore[attr-defined]


def choose_settings() -> Settings:
    """The attack's settings, folded away behind good defaults."""
    default = Settings()
    with st.expander("Attack settings"):
        values = {
            "level": st.radio(
                "Attack",
                list(LEVELS),
                format_func=LEVELS.get,
                key=keep("level", default.level),
                help="The first and the third walk the same path; the third takes one backward pass for every logit, "
                "about a minute an iteration with 1000 classes. Both clip pixels at black and white after each step; "
                "the second knows of these limits beforehand. The refined attack takes one "
                "gradient an iteration: it first reaches the target and then shrinks the perturbation until its "
                "iterations are used up. From 600 on it may do so twice, with half of them each.",
            ),
            "step": st.select_slider(
                "Step length ε",
                STEPS,
                default.step,
                key=keep("step", default.step),
                help="L2 length of each of JMA's steps, for pixels from 0 to 1. Smaller steps end nearer to the "
                "original and take longer.",
            ),
            "kappa": st.slider(
                "Margin κ",
                0.0,
                MAX_KAPPA,
                default.kappa,
                step=KAPPA_STEP,
                key=keep("kappa", default.kappa),
                help="How far inside the target region to end, in logits. With 0 the picture ends on the border, and "
                "rounding it to 8 bits usually undoes the attack.",
            ),
            "max_iter": st.number_input(
                "Most iterations", 1, MAX_ITERATIONS, default.max_iter, key=keep("max_iter", default.max_iter)
            ),
            "max_seconds": st.number_input(
                "Most seconds", 1.0, MAX_SECONDS, default.max_seconds, key=keep("max_seconds", default.max_seconds)
            ),
        }
    return Settings(**{field.name: values[field.name] for field in fields(Settings)})
