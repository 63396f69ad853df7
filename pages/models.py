"""Models: what each network of the zoo recognises, how its outputs encode that, and whether it can run here."""

from __future__ import annotations

import streamlit as st

from models.registry import MODELS, Kind, ModelSpec, unavailable
from ui.frame import framed

ENCODINGS = {
    Kind.ONE_HOT: "One output a class; the largest wins.",
    Kind.MULTI_LABEL: "One output a label; each above its threshold is present.",
    Kind.ECOC: "One output a code bit; the class whose codeword agrees best wins.",
}


def card(spec: ModelSpec) -> None:
    """One model."""
    with st.container(border=True):
        st.subheader(spec.title)
        if reason := unavailable(spec):
            st.error(reason)
        st.write(spec.summary)
        facts = {
            "Encoding": f"{spec.kind}. {ENCODINGS[spec.kind]}",
            "Network": spec.network,
            "Picture": f"{spec.input_size} × {spec.input_size} pixels, RGB",
            "Trained on": spec.data,
            "Licence": spec.licence,
        }
        st.markdown("\n".join(f"- **{name}**: {fact}" for name, fact in facts.items()))
        with st.expander(f"All {len(spec.labels)} labels"):
            st.write(", ".join(spec.labels))
        st.button("Open in the lab", key=f"open-{spec.name}", disabled=bool(reason), on_click=choose, args=(spec.name,))


def choose(name: str) -> None:
    """Make a model the lab's choice."""
    st.session_state["kept"] = {**st.session_state.get("kept", {}), "model": name}
    st.session_state["open_lab"] = True


def main() -> None:
    """The page, from top to bottom."""
    st.title("Models")
    st.write(
        "Every model here is a network that turns a photo into logits, and an encoding that turns logits into labels."
    )
    for model in MODELS.values():
        card(model)
    if st.session_state.pop("open_lab", False):
        st.switch_page("pages/attack_lab.py")


framed(main)
