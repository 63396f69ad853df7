"""The address bar of the attack lab: what it asks for is taken up, and it follows what is chosen."""

from __future__ import annotations

from urllib.parse import urlencode

import streamlit as st

from models.cards import ModelSpec
from ui.backend import Prediction, models
from ui.links import from_link, sample_names, to_link
from ui.readout import preset_target
from ui.request import Request
from ui.state import prefer

_replace = st.components.v2.component(
    "address",
    js="export default ({ data }) => history.replaceState(history.state, '', location.pathname + data.at(0))",
)
"""Not ``st.query_params``, which would make every click on a label an entry of the browser's history."""


def arrive() -> None:
    """On a session's first visit, make the choice that the address asks for the lab's. Say what of it cannot be had."""
    if "arrived" not in st.session_state:
        query = {name: st.query_params.get_all(name) for name in st.query_params}
        st.session_state["arrived"] = []
        if query:
            choice, st.session_state["arrived"] = from_link(query, models().specs)
            prefer(choice)
    if problems := st.session_state["arrived"]:
        said = "".join(f"\n- {problem}" for problem in problems)
        st.warning(f"Not everything that the address asks for can be shown.\n{said}", icon=":material/link_off:")
        st.button("Dismiss", on_click=problems.clear)


def follow(request: Request, spec: ModelSpec, now: Prediction) -> None:
    """Write a request into the address bar, and offer it as a link."""
    link = to_link(request, spec, preset_target(spec, now.logits, now.decoded))
    query = "?" + urlencode(link, doseq=True) if link else ""
    _replace(data=(query,), key="address", height=0)
    with st.popover("Link to this choice", icon=":material/link:", width="stretch"):
        if request.photo not in sample_names(spec).values():
            st.caption("A link cannot carry a photo of your own, nor what is wanted of it: this one has the rest.")
        st.code((st.context.url or "").partition("?")[0].rstrip("/") + "/" + query, language=None, wrap_lines=True)
        st.caption("It restores the model, the photo, the labels and the settings.")
