"""The frame around every page: title, icon and navigation."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from ui.state import forget_widgets

STYLE = """<style>
[data-testid="stBaseButton-primary"] {background: #0b5fad; border-color: #0b5fad}
[data-testid="stBaseButton-primary"]:hover {background: #094d8c; border-color: #094d8c}
[data-testid="stMarkdownContainer"] .katex-display.katex-display {overflow: visible}
[data-testid="stMainBlockContainer"] {padding-top: 4.25rem}
[class*="st-key-photo-"] button {padding-inline: 0.25rem}
</style>"""
"""White text needs a darker blue than the dark theme's; formulas, which fit, would scroll by a pixel or two. Projectors
have no room for Streamlit's six lines above a title, nor the button under a small photo for its margins."""


def frame() -> None:
    """Draw the frame, and in it the page that the address asks for."""
    st.set_page_config(page_title="JMA Lab", page_icon="assets/icon.png", layout="wide", initial_sidebar_state=340)
    pages = [
        st.Page("pages/attack_lab.py", title="Attack lab", icon=":material/target:", default=True),
        st.Page("pages/geometry.py", title="Geometry", icon=":material/architecture:", url_path="geometry"),
        st.Page("pages/learn.py", title="Learn", icon=":material/school:", url_path="learn"),
        st.Page("pages/runs.py", title="Runs", icon=":material/history:", url_path="runs"),
        st.Page("pages/models.py", title="Models", icon=":material/category:", url_path="models"),
    ]
    st.html(STYLE)
    page = st.navigation(pages, position="top")
    if st.session_state.get("page") != page.title:
        st.session_state["page"] = page.title
        forget_widgets()  # those of the page before: here they are other widgets, and take their values from keep()
    st.session_state["framed"] = True
    page.run()


def framed(main: Callable[[], None]) -> None:
    """Run a page's ``main`` inside the frame.

    The first deep link to a cold server makes Streamlit run the page's own file without app.py, by the address's name,
    or say "page not found" if no file in pages/ has that name. So files are named like addresses, and draw the frame.
    """
    if st.session_state.pop("framed", False):
        main()
    else:
        frame()
