"""The address bar: what it asks for is taken up or explained, and it follows what is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import urlencode, urlsplit

import streamlit as st

from lab.links import Query, from_link, sample_names, to_link
from lab.request import Request
from lab.runs.pool import models
from lab.show import MOST, PAGES, State
from models.cards import ModelSpec
from models.encodings import Prediction
from ui.shell.session import prefer, session

_bar = st.components.v2.component(
    "address",
    js="export default ({ data }) => history.replaceState(history.state, '', location.pathname + data.at(0))",
)
"""Not ``st.query_params``, which would make every click on a label an entry of the browser's history."""


def take(query: Query) -> list[str]:
    """Make the choice that a query asks for the lab's. Gives a sentence on all of it that cannot be had."""
    choice, problems = from_link(query, models().specs)
    prefer(choice)
    return problems


def arrive(take: Callable[[Query], list[str]] = take) -> None:
    """On a session's first visit, take up what the address asks for. Say what of it cannot be had.

    A tab that was reloaded has its choice already, unless its address was changed.
    """
    mine = session()
    if mine.arrived is None:
        query = asked()
        mine.arrived = []
        if mine.led or (query and query != mine.lasting.followed):
            mine.arrived = take(query)
        mine.led = False
    if mine.arrived:
        explain(mine.arrived)
        st.button("Dismiss", on_click=mine.arrived.clear)


def asked() -> Query:
    """What the address of this page asks for."""
    return {name: st.query_params.get_all(name) for name in st.query_params}


def explain(problems: Sequence[str]) -> None:
    """Say what of an address cannot be had, if there is anything."""
    if problems:
        said = "".join(f"\n- {problem}" for problem in problems)
        st.warning(f"Not everything that the address asks for can be shown.\n{said}", icon=":material/link_off:")


def replace(query: str) -> None:
    """Write a query, with its question mark, into the address bar, without an entry in the browser's history."""
    _bar(data=(query,), key="address", height=0)


def follow(request: Request, spec: ModelSpec, now: Prediction) -> None:
    """Write a request into the address bar, and offer it as a link."""
    publish(to_link(request, spec, spec.encoding.proposed(now)), request, spec)


def written(link: Query) -> str:
    """A query as it is written, with its question mark; nothing if it asks for nothing."""
    return "?" + urlencode(link, doseq=True, safe=",") if link else ""


def whole(link: Query) -> str:
    """The address of this page with a query."""
    page = (st.context.url or "").partition("?")[0].rstrip("/")
    return page + "/" * (not urlsplit(page).path) + written(link)


def publish(link: Query, request: Request, spec: ModelSpec) -> None:
    """Write a query into the address bar, and offer it as a link. ``request`` has the photo that it asks for."""
    session().lasting.followed = link
    replace(written(link))
    with st.popover("Link to this choice", icon=":material/link:", width="stretch"):
        if request.photo not in sample_names(spec).values():
            st.caption("A link cannot carry a photo of your own, nor what is wanted of it: this one has the rest.")
        st.code(whole(link), language=None, wrap_lines=True)
        st.caption("It restores the model, the photo, the labels and the settings.")
        show, page = session().lasting.show, session().page
        title = f"{page}: {spec.encoding.wish(request.target)}"
        state = State(title, page.lower() if page.lower() in PAGES else PAGES[0], link)
        st.button("Add to the show", disabled=len(show) >= MOST, on_click=show.append, args=(state,))
