"""Before a class: the page alone, large, and a bar that steps through the states of a show."""

from __future__ import annotations

import streamlit as st

from lab.markup import plain
from ui.shell.session import forget_widgets, session

FILES = {
    "": "pages/attack_lab.py",
    "compare": "pages/compare.py",
    "geometry": "pages/geometry.py",
    "learn": "pages/learn.py",
}
"""Of the pages that have states, by their paths."""
LARGE = """<style>
html {font-size: clamp(16px, 1.3vw, 32px)}
[data-testid="stHeader"], [data-testid="stSidebar"], [data-testid="stExpandSidebarButton"] {display: none}
[data-testid="stMainBlockContainer"] {padding: 1rem 2rem 5rem}
.st-key-stage {
  position: fixed; inset: auto 0 0 0; z-index: 99; padding: 0.5rem 2rem;
  background: var(--st-background-color, Canvas); border-top: 1px solid #8a8f9855;
}
</style>"""

_full_screen = st.components.v2.component(
    "full_screen",
    html='<button type="button">Full screen</button>',
    css="""button {
      min-height: 2.5rem; padding: 0 0.75rem; color: var(--st-text-color); font: inherit; cursor: pointer;
      background: none; border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius);
    }
    :focus-visible {outline: 2px solid var(--st-primary-color)}""",
    js="""export default ({ parentElement }) => {
        const whole = document.documentElement;
        parentElement.querySelector("button").onclick = () =>
            document.fullscreenElement ? document.exitFullscreen() : whole.requestFullscreen();
    }""",
)


def perform() -> None:
    """While a show is on: hide what is around the page, and draw the bar. To be called before the page is drawn."""
    lasting = session().lasting
    if lasting.scene is None:
        return
    st.html(LARGE)
    last = len(lasting.show) - 1
    with st.container(key="stage", horizontal=True, vertical_alignment="center", gap="small"):
        back = st.button("Back", key="stage-back", disabled=lasting.scene == 0, shortcut="PageUp")
        on = st.button("On", key="stage-on", type="primary", disabled=lasting.scene >= last, shortcut="PageDown")
        st.markdown(f"**{plain(lasting.show[lasting.scene].title)}** ({lasting.scene + 1} of {last + 1})")
        _full_screen(key="full-screen", width="content")
        end = st.button("End the show", key="stage-end", shortcut="Esc")
    if end:
        lasting.scene = None
        st.rerun()
    if back or on:
        go(lasting.scene + on - back)


def go(number: int) -> None:
    """Show the state of a number, from 0 on; the page takes up its address as if it had been typed."""
    mine = session()
    mine.lasting.scene, state = number, mine.lasting.show[number]
    mine.arrived, mine.led = None, True
    forget_widgets()
    st.switch_page(FILES[state.page], query_params=dict(state.query))
