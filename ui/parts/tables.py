"""Tables that are taken along."""

from __future__ import annotations

import streamlit as st


def offer(name: str, csv: str, markdown: str, latex: str) -> None:
    """A table as a file NAME.csv, and to be copied in two forms."""
    with st.container(horizontal=True):
        st.download_button("Table (CSV)", csv, f"{name}.csv", "text/csv", on_click="ignore")
        for form, text in (("Markdown", markdown), ("LaTeX", latex)):
            with st.popover(f"Copy as {form}"):
                st.code(text, language=form.lower())
