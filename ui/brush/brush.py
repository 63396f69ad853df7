"""Painting on a picture of a component where it may change, in the browser.

The server is told when a stroke ends; undoing and erasing are strokes too. It tells the number of the stroke that it
shows, so that an answer to an earlier one does not set the browser back; none if the part is from elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from lab.stencil import CELLS, read, written
from ui.shell.session import EVERYWHERE, PAINTED, keep, kept, part_key, session

BRUSH = Path(__file__)
"""Of a component with a brush; <!-- brush.html --> stands in its own for the tools."""
NOTHING = written(np.zeros((CELLS, CELLS), dtype=bool))


def painted() -> str:
    """The part that is chosen, as text; "" if it is none that was painted."""
    return kept(keep("painted", "")) if kept(keep(part_key(), EVERYWHERE)) == PAINTED else ""


def choose(part: str) -> None:
    """From now on this painted part may change, or with "" all of the picture."""
    lasting, where = session().lasting, PAINTED if part else EVERYWHERE
    st.session_state["painted"] = lasting.kept["painted"] = part
    if kept(keep(part_key(), EVERYWHERE)) != where:
        del lasting.kept[part_key()]
        lasting.parts += 1
        lasting.kept[part_key()] = where


def offered(part: str, told: Any) -> dict[str, Any]:
    """What the browser is sent of the part that is painted, if it has last told this."""
    text = part or NOTHING
    return {"cells": CELLS, "text": text, "stroke": told["stroke"] if told and told["text"] == text else None}


def take(key: str) -> None:
    """Choose what the browser tells, in the component of a key; nothing else than a stencil is believed."""
    try:
        text = written(read(st.session_state[key]["painted"]["text"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        return
    choose("" if text == NOTHING else text)
