"""Present: states of the app to step through before a class, kept in a file."""

from __future__ import annotations

import streamlit as st

from lab.links import unknown
from lab.markup import plain
from lab.show import EXAMPLE, MOST, from_file, state_of, to_file
from ui.shell import stage
from ui.shell.address import asked, explain
from ui.shell.frame import framed
from ui.shell.session import session

UPLOAD = "show-file"
"""The key of the widget for files."""


def main() -> None:
    """The page, from top to bottom."""
    mine = session()
    show = mine.lasting.show
    st.title("Present", anchor=False)
    explain(unknown(asked(), ()))
    st.markdown(
        "A **show** is a list of states of this app, each an address with a title. On stage the page is alone and "
        "large: **Page Down** and **Page Up**, which a presenter's remote sends, step through the states, the "
        "**arrow keys** through the steps of a lecture and the updates of an attack, and **Esc** ends the show. It "
        "works without a network."
    )
    if mine.show_problem:
        st.error(plain(mine.show_problem))
        mine.show_problem = ""
    with st.container(horizontal=True):
        if st.button("Start the show", type="primary", icon=":material/play_arrow:", disabled=not show):
            stage.go(0)
        st.download_button("Download it", to_file(show), "show.json", "application/json", on_click="ignore")
    for place, state in enumerate(show):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", border=True):
            with st.container(gap=None):
                st.markdown(f"{place + 1}. **{plain(state.title)}**")
                st.caption(plain(state.address))
            key = f"{place}-{state.address}"
            st.button("Up", key=f"up-{key}", disabled=place == 0, on_click=_move, args=(place, -1))
            st.button("Down", key=f"down-{key}", disabled=place == len(show) - 1, on_click=_move, args=(place, 1))
            st.button("Remove", key=f"remove-{key}", on_click=_remove, args=(place,))
    st.subheader("Add a state", anchor=False)
    st.caption(
        "“Link to this choice” on the pages has a button for it. An address can be given here, like /learn?step=4."
    )
    with st.form("state", clear_on_submit=True, border=False):
        title, address = st.columns(2)
        title.text_input("Title", key="show-title", max_chars=200)
        address.text_input("Address", key="show-address")
        st.form_submit_button("Add", on_click=_add)
    with st.expander("A show from a file", icon=":material/upload_file:"):
        st.file_uploader("It takes the place of this one", "json", key=UPLOAD, on_change=_take_in)
        st.button("Back to the example", on_click=_begin_again)


def _move(place: int, by: int) -> None:
    show = session().lasting.show
    show.insert(place + by, show.pop(place))


def _remove(place: int) -> None:
    del session().lasting.show[place]


def _add() -> None:
    mine = session()
    if len(mine.lasting.show) >= MOST:
        mine.show_problem = f"A show has up to {MOST} states."
        return
    try:
        mine.lasting.show.append(state_of(st.session_state["show-address"], st.session_state["show-title"]))
    except ValueError as problem:
        mine.show_problem = str(problem)


def _take_in() -> None:
    if (file := st.session_state[UPLOAD]) is None:
        return
    try:
        session().lasting.show = from_file(file.getvalue())
    except ValueError as problem:
        session().show_problem = str(problem)


def _begin_again() -> None:
    session().lasting.show = list(EXAMPLE)


framed(main)
