"""Memory is given back: what a closed tab held, and what ended attacks left behind in the allocator."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

GONE = 120.0
"""Seconds for which Streamlit lets a tab that lost its connection come back to its session."""
PERIOD = 20.0
"""Seconds from one look at the sessions to the next."""


class Housekeeping:
    """Empties what sessions hold once their tabs are closed for good.

    Streamlit itself forgets such a session only when the next tab is closed, and what it holds until then is not small.
    """

    def __init__(self) -> None:
        self._held: dict[str, MutableMapping[Any, Any]] = {}
        self._left: dict[str, float] = {}
        """When a session was first found without its tab."""

    def watch(self, session: str, held: MutableMapping[Any, Any]) -> None:
        """Empty a mapping when its session has gone."""
        self._held[session] = held

    def tidy(self, connected: Callable[[str], bool], now: float) -> None:
        """Look at all sessions, at a time in seconds."""
        for session in list(self._held):
            if connected(session):
                self._left.pop(session, None)
            elif now - self._left.setdefault(session, now) > GONE:
                self._held.pop(session).clear()
                del self._left[session]
        give_back()


def give_back() -> None:
    """Free what is garbage, and give it back to the system: of one attack glibc keeps some 200 MB for the next."""
    gc.collect()
    if sys.platform == "linux" and (malloc_trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        malloc_trim(0)


@st.cache_resource
def _housekeeping() -> Housekeeping:
    """That of this server, at work in a thread."""
    housekeeping, server = Housekeeping(), runtime.get_instance()

    def work() -> None:
        while True:
            time.sleep(PERIOD)
            housekeeping.tidy(server.is_active_session, time.monotonic())

    threading.Thread(target=work, name="housekeeping", daemon=True).start()
    return housekeeping


def while_connected(held: MutableMapping[Any, Any]) -> None:
    """Empty a mapping once the tab of the session that calls this is closed."""
    if (context := get_script_run_ctx()) and runtime.exists():
        _housekeeping().watch(context.session_id, held)
