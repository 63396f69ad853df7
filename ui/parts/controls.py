"""The attack lab's left side: which model, which photo, which labels, how."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from jma_core.attacks.registry import Entry, Setting, Value
from jma_core.records import FREE
from lab.markup import listed, plain
from lab.photos.samples import readable, samples
from lab.photos.uploads import MAX_BYTES, Photo, PhotoError, read_photo
from lab.pictures import spotlit
from lab.request import (
    KAPPA_STEP,
    MAX_KAPPA,
    MAX_SECONDS,
    OFFERED,
    PERIODS,
    SIDE_STEP,
    Canvas,
    Region,
    Settings,
    offered,
)
from lab.runs.pool import models
from lab.stencil import PRESETS, written
from models.cards import ModelSpec
from models.encodings import Bits, Encoding, Flips, Odds, OneHot, Prediction, Preset, Ranks, Target
from models.photos import shrunk
from models.registry import DEFAULT, unavailable
from ui.brush.brush import choose, painted
from ui.parts.pictures import show, show_small
from ui.shell.session import (
    EVERYWHERE,
    PAINTED,
    RECTANGLE,
    form_key,
    group_key,
    keep,
    kept,
    part_key,
    photos,
    session,
    setting_key,
    several_key,
    standing_key,
    target_key,
)
from ui.toggles.toggles import toggle

THUMBNAIL = 80  # pixels
GALLERY = 364  # pixels; what is taller scrolls
MAX_TOGGLES = 40  # labels; more are searched
ONE, ORDER, SET = "One class", "An order", "A set"  # short: in one row beside the page
Form = Callable[[Target], Any]
"""The value with which a widget shows a target."""
IN_ORDER = "The model is to say the first of these first, then the second, and so on, and all others after them."
IN_ANY_ORDER = "The model is to say all of these before all others."


def choose_model() -> ModelSpec:
    """The model picker. A model that cannot be loaded is marked, and says why when picked; so is one that went."""

    zoo = dict(models().specs)  # others may remove one meanwhile

    def title(name: str) -> str:
        return zoo[name].title + (" (unavailable)" if unavailable(zoo[name]) else "")

    key = keep("model", DEFAULT)
    mine = session()
    if (gone := st.session_state[key]) not in zoo:
        mine.gone = gone.partition("#")[0]
        st.session_state[key] = mine.lasting.kept[key] = DEFAULT
    spec = zoo[st.selectbox("Model", list(zoo), list(zoo).index(kept(key)), title, key)]
    if spec.name != DEFAULT:
        mine.gone = ""
    elif mine.gone:
        st.warning(plain(f"{mine.gone} was removed. {spec.title} is shown instead."))
    if reason := unavailable(spec):
        st.error(plain(f"{spec.title} cannot be used. {reason}"))
    else:
        st.caption(plain(spec.summary))
    return spec


def choose_photo(spec: ModelSpec) -> Photo:
    """The gallery of the model's kind, the upload and the camera. A bad file is explained, and the photo stays."""
    shipped, known = samples(spec.samples), photos(spec.samples)
    first = next(iter(shipped))
    chosen = st.session_state[keep("photo", first)]
    if chosen not in known:
        chosen = first
    wrong = shipped.keys() - readable(spec).keys() - {chosen}
    offered = {digest: photo for digest, photo in known.items() if digest not in wrong}
    with st.container(height=GALLERY, border=False), st.container(horizontal=True, gap="small"):
        for digest, photo in offered.items():
            with st.container(width=THUMBNAIL, key=f"shot-{digest}"):
                show_small(photo, THUMBNAIL)
                yours = photo is session().lasting.upload and digest not in shipped
                label = "yours" if yours else photo.name.rpartition(".")[0].replace("_", " ")
                st.button(
                    plain(label),
                    key=f"photo-{digest}",
                    type="primary" if digest == chosen else "secondary",
                    width="stretch",
                    on_click=_choose,
                    args=(digest,),
                )
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
    if problem := session().upload_problem:
        st.error(plain(problem))
    photo = offered[chosen]
    if photo.note:
        st.info(plain(photo.note))
    return photo


def _choose(digest: str) -> None:
    st.session_state["photo"] = digest
    session().upload_problem = ""


def _take(widget: str) -> None:
    """Make the file in a widget the session's photo, or say why not. Without one, take its photo away again."""
    file, mine = st.session_state[widget], session()
    before = mine.held_photos.pop(widget, None)
    mine.upload_problem = ""
    if file is None:
        _drop(before)
        return
    try:
        photo = read_photo(file.getvalue(), file.name)
    except PhotoError as error:
        mine.upload_problem = str(error)
        return
    own = mine.lasting.upload
    if not own or st.session_state["photo"] != own.digest:
        mine.before_upload = st.session_state["photo"]
    mine.lasting.upload = mine.held_photos[widget] = photo
    _choose(photo.digest)


def _drop(photo: Photo | None) -> None:
    """Forget the session's photo, if it is this one, and go back to the one that was chosen before it."""
    mine = session()
    if photo is None or photo is not mine.lasting.upload:
        return
    mine.lasting.upload = None
    if st.session_state["photo"] == photo.digest:
        _choose(mine.before_upload)


def choose_target(spec: ModelSpec, photo: Photo, now: Prediction) -> Target:
    """The labels wanted: classes by search, labels as toggles. Starts from a preset that can be attacked at once."""
    key = target_key(spec.name, photo.digest)
    first = session().lasting.asked.get(key)
    if first is None:
        first = spec.encoding.proposed(now)
    if spec.encoding.several:
        choose = _toggle_labels if len(spec.encoding.labels) <= MAX_TOGGLES else _search_labels
        return choose(spec, now, key, first)
    if isinstance(spec.encoding, OneHot) and spec.encoding.most > 1:
        form = _choose_form(key, first)
        if form != ONE:
            return _choose_together(spec.encoding, now, key, first, ordered=form == ORDER)
    return _choose_class(spec, now, key, first if isinstance(first, int) else spec.encoding.proposed(now))


def _choose_form(key: str, first: Target) -> str:
    """Whether one class is asked for, several in order, or several in any order."""
    shown = keep(form_key(key), {int: ONE, tuple: ORDER, frozenset: SET}[type(first)])
    return st.segmented_control(
        "Wanted",
        [ONE, ORDER, SET],
        default=kept(shown),
        key=shown,
        required=True,
        label_visibility="collapsed",
        width="stretch",
    )


def _choose_class(spec: ModelSpec, now: Prediction, key: str, first: Target) -> Target:
    labels, shown = spec.encoding.labels, spec.encoding.chosen(first, now)
    help_text = "Type to search." if len(labels) > 20 else None
    box = keep(key, shown)
    chosen = st.selectbox("Wanted class", range(len(labels)), kept(box), labels.__getitem__, box, help_text)
    _choose_preset(spec.encoding.presets, now, key, partial(spec.encoding.chosen, seen=now))
    return spec.encoding.asking(chosen, now)


def _choose_together(encoding: OneHot, now: Prediction, key: str, first: Target, *, ordered: bool) -> Target:
    """Several classes, each of which the model is to say before all others. Starts from those next to the first."""
    presets, count = encoding.presets_together(ordered=ordered), min(3, encoding.most)
    if isinstance(first, int):
        first = encoding.next_best(now, count)
    form = partial(encoding.chosen, seen=now)
    shown = keep(several_key(key), form(first))
    chosen = st.multiselect(
        "Wanted classes, in order" if ordered else "Wanted classes",
        range(len(encoding.labels)),
        default=kept(shown),
        format_func=encoding.labels.__getitem__,
        key=shown,
        max_selections=encoding.most,
        help=f"Up to {encoding.most}. " + (IN_ORDER if ordered else IN_ANY_ORDER),
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        k = keep("together", count)
        _choose_preset(presets, now, shown, form, k)
        st.number_input("k classes", 2, encoding.most, min(kept(k), encoding.most), key=k)
    if not chosen:
        st.info("Choose a class, or a preset. Until then the runner-up is wanted.")
        return encoding.runner_up(now)
    return encoding.together(chosen, ordered=ordered)


def _toggle_labels(spec: ModelSpec, now: Prediction, key: str, first: Target) -> Target:
    """Few labels: each is on, off, or either."""
    encoding = spec.encoding
    st.markdown(":small[Wanted labels]")
    asked = keep(key, tuple(encoding.wishes(first).tolist()))
    target: Target = toggle("Wanted labels", encoding.labels, now.decoded, asked)
    if {*encoding.wishes(target)} == {FREE}:
        target = encoding.asking(encoding.chosen(target, now), now)  # nothing is asked for: all are held
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _choose_flips(spec, now, key, lambda preset: preset)
    lit, free = encoding.chosen(target, now), FREE in encoding.wishes(target)
    st.button(
        "Hold the other labels" if free else "Free the other labels",
        disabled=encoding.meets(now, target),
        help="Labels that you do not ask to change stay as they are, or are free to come and go, which takes a smaller "
        "perturbation.",
        on_click=st.session_state.update,
        kwargs={key: encoding.asking(lit, now, held=None if free else ())},
    )
    return target


def _choose_flips(spec: ModelSpec, now: Prediction, key: str, form: Form) -> None:
    many = len(spec.encoding.labels)
    flips = keep(f"flips-{spec.name}", min(2, many))
    _choose_preset(spec.encoding.presets, now, key, form, flips)
    st.number_input("k, flips at random", 1, many, kept(flips), key=flips)


def _search_labels(spec: ModelSpec, now: Prediction, key: str, first: Target) -> Target:
    """Many labels, of which those wanted are listed."""
    labels, form = spec.encoding.labels, partial(spec.encoding.chosen, seen=now)
    listed = keep(key, form(first))
    wanted = st.multiselect(
        "Wanted labels",
        range(len(labels)),
        default=kept(listed),
        format_func=labels.__getitem__,
        key=listed,
        help="The labels that are listed are wanted; all others are unwanted.",
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _choose_flips(spec, now, key, form)
    hold = keep("held-of-many", False)
    held = st.checkbox(
        "Hold the other labels",
        kept(hold),
        hold,
        help="Ticked, labels that you did not toggle must stay as they are. Otherwise they may come and go, which "
        "takes a smaller perturbation.",
    )
    if held:
        return spec.encoding.asking(wanted, now)
    stay = keep(standing_key(key), spec.encoding.standing(first, now))
    standing = st.multiselect(
        "Hold only",
        range(len(labels)),
        default=kept(stay),
        format_func=labels.__getitem__,
        key=stay,
        help="Of the labels that you did not toggle, those that must stay as they are. All others may come and go.",
    )
    return spec.encoding.asking(wanted, now, held=standing)


def _choose_preset(
    presets: Mapping[str, Preset], now: Prediction, key: str, form: Form, count: str | None = None
) -> None:
    """A menu of targets for the widget of a key, in its form. ``count``: that of how many labels a preset is about."""
    menu = f"preset-{key}"
    args = presets, now, key, form, count
    st.menu_button("Preset", list(presets), key=menu, on_click=_set_preset, args=args)


def _set_preset(presets: Mapping[str, Preset], now: Prediction, key: str, form: Form, count: str | None) -> None:
    lasting = session().lasting
    lasting.draws += 1
    preset = presets[st.session_state[f"preset-{key}"]]
    target = preset(now, st.session_state[count] if count else 0, np.random.default_rng(lasting.draws))
    st.session_state[key] = form(target)


def choose_canvas(spec: ModelSpec, photo: Photo) -> tuple[Canvas, NDArray[np.uint8]]:
    """What of the photo may change, and the picture (H, W, 3) to be attacked."""
    with st.expander("What may change"):
        own = keep("native", False)
        native = st.checkbox(
            "Attack the photo at its own size",
            kept(own),
            own,
            help="Through the network's own resizing and cropping, so that the saved photo keeps its size and still "
            "fools the network, which resizes it again. Otherwise the small picture that the network sees is attacked.",
        )
        picture = spec.preprocessing(photo.image)
        if native:
            sized, note = shrunk(photo.image)
            picture = np.asarray(sized)
            st.caption(note or f"{sized.width} x {sized.height} pixels.")
        part = keep(part_key(), EVERYWHERE)
        shape = st.segmented_control(
            "Which pixels",
            [EVERYWHERE, RECTANGLE, PAINTED],
            default=kept(part),
            key=part,
            required=True,
            width="stretch",
        )
        if shape == PAINTED:
            return Canvas(native, painted=_choose_patch(picture)), picture
        region = _choose_region(picture) if shape == RECTANGLE else None
        return Canvas(native, region, period=_choose_period()), picture


def _choose_patch(picture: NDArray[np.uint8]) -> str:
    """The painted part of the picture (H, W, 3), which may be one of the patches; "" for all of it."""
    part = painted()
    if part:
        _show_part(picture, Canvas(painted=part))
    else:
        st.warning("Nothing is painted: nothing could change. The whole picture may change instead.")
    with st.container(horizontal=True, gap="xsmall"):
        for name, stencil in PRESETS.items():
            st.button(name, on_click=choose, args=(written(stencil),))
    st.caption("Brush, rectangle and eraser are above the pictures of the attack lab.")
    return part


def _show_part(picture: NDArray[np.uint8], canvas: Canvas) -> None:
    """The picture (H, W, 3), small, faded where it may not change."""
    small = Image.fromarray(picture)
    small.thumbnail((THUMBNAIL * 2, THUMBNAIL * 2))
    lit = canvas.free(*small.size[::-1])
    show(spotlit(np.asarray(small), lit), alt="The photo, faded where it may not change")


def _choose_region(picture: NDArray[np.uint8]) -> Region | None:
    """A rectangle of the picture (H, W, 3); None for all of it."""
    sides = {}
    for name, label in (("across", "From left to right"), ("down", "From top to bottom")):
        side = keep(f"part-{name}", (25, 75))
        sides[name] = st.slider(label, 0, 100, kept(side), SIDE_STEP, "%d %%", side)
    (left, right), (top, bottom) = sides["across"], sides["down"]
    if left == right or top == bottom:
        st.warning("This part is empty: nothing could change. The whole picture may change instead.")
        return None
    region = left / 100, top / 100, right / 100, bottom / 100
    _show_part(picture, Canvas(region=region))
    return region


def _choose_period() -> float:
    """The period of the shortest waves that perturbations are made of; 0 for any."""
    period = keep("period", PERIODS[0], PERIODS)
    return st.selectbox(
        "Waves of the perturbation",
        PERIODS,
        PERIODS.index(kept(period)),
        lambda pixels: f"of at least {pixels:g} pixels" if pixels else "any",
        period,
        help="Long waves are low frequencies: what a perturbation of these changes is coarse. The gradients are "
        "projected on them, so that JMA's steps are the shortest among such perturbations. Where a pixel is held at "
        "black or white, it may depart from them.",
    )


def describe_change(encoding: Encoding, now: Prediction, target: Target) -> str:
    """In Markdown, what a target changes: the labels, or the codeword bits."""
    match encoding.change(now, target):
        case Odds(confidence):
            return f"Its probability now: {confidence:.2%}."
        case Ranks(ranks):
            return f"Ranks now: {', '.join(f'{plain(encoding.labels[i])} **{rank}**' for i, rank in ranks.items())}."
        case Bits(bits, wanted):
            flips = [str(b + 1) for b in (bits != wanted).nonzero()[0]]
            numbers = f" (number {', '.join(flips)})" if flips else ""
            return (
                f"Bits that would flip: **{len(flips)} of {len(bits)}**{numbers}  \n"
                f"now `{_bit_string(bits)}`  \nwanted `{_bit_string(wanted)}`"
            )
        case Flips(gone, new):
            removed, added = (plain(listed([encoding.labels[i] for i in each])) for each in (gone, new))
            parts = [f"remove **{removed}**"] * bool(gone) + [f"add **{added}**"] * bool(new)
            many = f"Flips {len(gone) + len(new)} of {len(encoding.labels)}"
            return f"{many}: {'; '.join(parts)}." if parts else ""


def _bit_string(bits: NDArray[np.bool_]) -> str:
    return "".join("+" if bit else "-" for bit in bits)


def choose_settings(asked: str) -> Settings:
    """The attack and its settings, folded away behind good defaults, of those that can be ``asked`` for it."""
    with st.expander("Attack settings"):
        attack = choose_attack(offered(asked))
        own = {each.name: choose_setting(setting_key(attack, each.name), each) for each in OFFERED[attack].settings}
        common = choose_common()
    return Settings(attack, tuple(own.items()), **common)


def choose_common() -> dict[str, float]:
    """The settings that all attacks have."""
    kappa, cap = choose_margin("kappa"), keep("max_seconds", Settings().max_seconds)
    return {"kappa": kappa, "max_seconds": st.number_input("Most seconds", 1.0, MAX_SECONDS, kept(cap), key=cap)}


def choose_margin(name: str) -> float:
    """How far inside the target region attacks are to end, kept under a ``name``."""
    key = keep(name, Settings().kappa)
    return st.slider(
        "Margin κ",
        0.0,
        MAX_KAPPA,
        kept(key),
        step=KAPPA_STEP,
        key=key,
        help="How far inside the target region to end, in logits. With 0 the picture ends on the border, and "
        "rounding it to 8 bits usually undoes the attack.",
    )


def choose_attack(entries: Mapping[str, Entry]) -> str:
    """A group, and one of its attacks, with a sentence on each."""
    first = Settings().entry.group
    groups = list(dict.fromkeys(entry.group for entry in entries.values()))
    box = keep("group", first, groups)
    group = st.selectbox("Attacks", groups, groups.index(kept(box)), key=box)
    members = {name: entry for name, entry in entries.items() if entry.group == group}
    key = keep(group_key(group), next(iter(members)), members)
    return st.radio(
        "Attack",
        list(members),
        list(members).index(kept(key)),
        format_func=lambda name: plain(members[name].title),
        captions=[plain(f"{entry.summary} {entry.source}.") for entry in members.values()],
        key=key,
        label_visibility="collapsed",
    )


def choose_setting(key: str, setting: Setting, first: Value | None = None) -> Value:
    """The widget of one of an attack's own settings; it begins with its default, or with the value ``first``."""
    shown = keep(key, setting.default if first is None else first)
    told = f"{setting.help} In its publication: {setting.paper}." if setting.paper else setting.help
    if setting.kind == "choice":
        return st.selectbox(setting.label, setting.choices, setting.choices.index(str(kept(shown))), key=key, help=told)
    if setting.kind == "text":
        return st.text_input(setting.label, str(kept(shown)), key=key, help=told)
    number, shape = (int, "%d") if setting.kind == "int" else (float, "%g")
    low, high = (None if each is None else number(each) for each in setting.limits)
    step = 1 if number is int else 10.0 ** math.floor(math.log10(abs(float(setting.default)) or 0.01))
    return st.number_input(setting.label, low, high, number(kept(shown)), step, shape, key=key, help=told)
