"""Labels that are wanted, unwanted, or either: each is a button that a click moves on, and marked if it is read now."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from jma_core.records import FREE
from ui.shell.component import component
from ui.shell.session import Key, kept

Values = tuple[int, ...]
"""Of each label 1, wanted, 0, unwanted, or -1, either."""

_component = component("jma_toggles", Path(__file__))


def toggle(name: str, labels: Sequence[str], there: NDArray[np.bool_], key: Key[Values]) -> Values:
    """Put the toggles of a target on the page, which is kept under ``key``; ``there`` (l,) are the labels read now.

    Each vector that the browser sends has a number, by which it knows an answer that is older than its last click.
    """
    widget = f"toggles-{key}"
    sent = st.session_state.get(widget, {}).get("asked") or {"number": 0}
    told = {
        "name": name,
        "labels": list(labels),
        "there": there.tolist(),
        "asked": list(kept(key)),
        "number": sent["number"],
    }
    # A tuple as in ui/player/player.py.
    _component(key=widget, data=(told,), on_asked_change=partial(_take, widget, key, len(labels)))
    return kept(key)


def _take(widget: str, key: Key[Values], many: int) -> None:
    """Make what the browser has sent the target, if it is one."""
    asked = st.session_state[widget]["asked"]["asked"]
    if len(asked) == many and {*asked} <= {1, 0, FREE}:
        st.session_state[key] = tuple(asked)
