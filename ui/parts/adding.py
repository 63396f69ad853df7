"""Adding models to the zoo while the app runs: from a hub, or from a file of one's own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import PurePath

import streamlit as st

from lab.markup import plain
from lab.runs.pool import models
from models.cards import TEMPLATE, CardError, ModelSpec, read_card
from models.downloads import SUGGESTIONS, HubError, Suggestion, missing
from models.encodings import MultiLabel, OneHot, Plain
from models.registry import ASSETS, HOW_TO_CONVERT
from ui.shell.session import session

MAX_MEGABYTES = 500
KINDS: dict[str, Plain] = {each.name: each for each in (OneHot, MultiLabel)}
"""The encodings that a hub's model may be given."""
POLL = 0.7  # seconds between looks at a model that is being fetched
WORD_LISTS = {"COCO, 80 things": "coco80.txt", "VOC, 20 things": "voc20.txt"}  # in assets/labels


def add_a_model() -> None:
    """Two ways to one more model."""
    st.header("Add a model")
    hub, file = st.tabs(["From a hub", "From a file"])
    with hub:
        from_a_hub()
    with file:
        from_a_file()
    found()


def from_a_hub() -> None:
    """Look an address up, say what it is and how much there is to download, and only then fetch it."""
    st.write(
        "Any image classifier or tagger of timm, the Hugging Face hub or torchvision, or an open_clip network with "
        "label words of your own."
    )
    suggestions()
    st.menu_button("Fill in label words", list(WORD_LISTS), key="word-list", on_click=_fill_in)
    with st.form("hub", border=False):
        address = st.text_input(
            "Address",
            placeholder="timm:NAME, hf-hub:ORG/NAME, torchvision:NAME or open_clip:ARCH/PRETRAINED",
            key="address",
        )
        words = st.text_input(
            "Label words, with commas between them", key="words", help="For open_clip, which reads any words."
        )
        kind = st.radio("Encoding", [None, *KINDS], format_func=_kind_name, horizontal=True)
        asked = st.form_submit_button("Look it up")
    if asked and address:
        session().found = _look_up(address, tuple(filter(None, map(str.strip, words.split(",")))), kind)


def found() -> None:
    """What was looked up, and how much it has to fetch; nothing is fetched before that is confirmed."""
    spec = session().found
    if isinstance(spec, str):
        st.error(plain(spec))
    elif spec:
        st.success(
            f"**{plain(spec.title)}**: {spec.encoding.name}, {len(spec.encoding.labels)} labels. "
            f"Licence: {plain(spec.licence)}."
        )
        size = f"Download {spec.download / 1e6:.0f} MB and add it" if spec.download else "Add it"
        st.button(size, type="primary", on_click=_add, args=(spec,))


def suggestions() -> None:
    """Models worth trying; those that cannot be had now are greyed out, with the reason."""
    if not st.toggle("Show some to try"):
        return
    with st.spinner("Asking the hubs ..."), ThreadPoolExecutor() as pool:
        problems = list(pool.map(Suggestion.unavailable, SUGGESTIONS))
    for each, problem in zip(SUGGESTIONS, problems, strict=True):
        pick, line = st.columns([2, 3], vertical_alignment="center")
        pick.button(
            plain(each.address), disabled=bool(problem), on_click=_suggest, args=(each.address,), width="stretch"
        )
        line.caption(plain(f"{each.line} {problem}"))


def _suggest(address: str) -> None:
    st.session_state["address"] = address


def _fill_in() -> None:
    words = (ASSETS / "labels" / WORD_LISTS[st.session_state["word-list"]]).read_text("utf-8")
    st.session_state["words"] = ", ".join(words.splitlines())


def _kind_name(kind: str | None) -> str:
    return "as its configuration says" if kind is None else kind


def _look_up(address: str, words: tuple[str, ...], kind: str | None) -> ModelSpec | str:
    """What an address is; or, in a sentence, why that cannot be said."""
    with st.spinner(f"Looking up {plain(address)} ..."):
        from models.hubs import describe  # imports torch

        try:
            found = describe(address, labels=words, encoding=KINDS[kind] if kind else None)
            return replace(found, name=f"{found.name}#{_digest(*words, str(kind))}") if words or kind else found
        except HubError as error:
            return str(error)


def from_a_file() -> None:
    """A safetensors file and its card."""
    st.write(
        "The weights as a safetensors file, and a card beside it: a few lines of TOML that name the network, the "
        "encoding, the labels and the normalisation."
    )
    st.download_button(
        "Template of a card",
        lambda: TEMPLATE,  # made when asked for: what lies ready the browser looks after, also when it has gone
        "my-model.toml",
        "text/plain",
        icon=":material/download:",
        on_click="ignore",
    )
    kinds = ["safetensors", "pt", "pth", "bin", "ckpt"]  # all but the first are refused, in words that help
    weights = st.file_uploader("Weights", type=kinds, max_upload_size=MAX_MEGABYTES)
    card = st.file_uploader("Card", type=["toml"], max_upload_size=1)
    if weights and not weights.name.lower().endswith(".safetensors"):
        st.error(plain(f"{PurePath(weights.name).name} is a pickled checkpoint. {HOW_TO_CONVERT}"))
    elif weights and card and st.button("Add this model", type="primary"):
        name = f"file:{PurePath(card.name).stem}#{_digest(card.getvalue(), weights.getvalue())}"
        try:
            spec = _with_tower(read_card(card.getvalue(), name, weights.getvalue()))
        except (CardError, HubError) as error:
            st.error(plain(f"The card cannot be used. {error}"))
            return
        if spec.download:
            session().found = spec
        else:
            _add(spec)
        st.rerun()


def _with_tower(spec: ModelSpec) -> ModelSpec:
    """A card's model, with the size of the image tower that a CLIP + MLP has to fetch. Raises HubError."""
    library, _, name = spec.network.partition(":")
    if library != "clip-mlp":
        return spec
    with st.spinner(f"Looking up {name} ..."):
        from models.zero_shot import weights_of  # imports torch

        return replace(spec, download=missing(weights_of(name)))


def _digest(*parts: str | bytes) -> str:
    """Eight characters that tell models of one name apart: what was read with one must not be taken for another's."""
    whole = sha256()
    for part in parts:
        whole.update(part if isinstance(part, bytes) else f"{part}\n".encode())
    return whole.hexdigest()[:8]


def _add(spec: ModelSpec) -> None:
    session().found = None
    models().add(spec)


def progress_of(spec: ModelSpec) -> None:
    """How far an added model has come; if it failed, why; and what was odd when it was tried."""
    loading = models().request(spec.name)
    if not loading.done():
        st.fragment(_watch, run_every=POLL)(spec.name)
    elif problem := models().problem(spec.name):
        st.error(plain(problem))
    elif note := loading.result().note:
        st.warning(plain(note))


def _watch(name: str) -> None:
    done, total = models().progress.get(name, (0, 0))
    if total:
        st.progress(done / total, f"{done / 1e6:.0f} of {total / 1e6:.0f} MB")
    else:
        st.progress(0.0, "Loading")
    if models().request(name).done():
        st.rerun()
