"""Tabs are kept track of: one that is reloaded finds what it had, and what a closed one held is given back."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_urlsafe

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.state import SafeSessionState

from lab.runs.attack_run import AttackRun
from ui.shell.session import Lasting, Session, session

REST = 10.0
"""Seconds after which the attacks of a tab that has gone are paused: it may have been reloaded, or lost its network."""
GONE = 125.0
"""Seconds after which it cannot come back. For 120 of them Streamlit lets a lost connection be taken up again."""
COLLECT = 20.0
"""Seconds from one search for garbage to the next."""
PATIENCE = 1.0
"""Seconds for which a reloaded tab waits for its old connection to end."""
PERIOD = 2.0
"""Seconds from one look at the tabs to the next."""
COOKIE = "jma_lab_tab"


@dataclass
class Tab:
    """One tab of a browser."""

    id: str
    """Of Streamlit's session for it; a reload makes a new one."""
    session: Session
    state: SafeSessionState
    """Where that and the values of widgets are."""
    left: float | None = None
    """When it was first found without a connection."""

    @property
    def runs(self) -> list[AttackRun]:
        """Its attacks."""
        return self.session.lasting.attacks


class Housekeeping:
    """The tabs of a server, each by a token that nobody can guess.

    Streamlit forgets a session only when the next tab is closed, and what it holds until then is not small. ``forget``
    is told of each that was given up here.
    """

    def __init__(self, forget: Callable[[str], object] = lambda session: None) -> None:
        self._tabs: dict[str, Tab] = {}
        self._forget = forget
        self._lock = threading.Lock()

    def enter(self, tab: Tab, before: str, connected: Callable[[str], bool]) -> str:
        """The token of a tab that was just opened. It takes over what the one called ``before`` has left behind."""
        with self._lock:
            token = token_urlsafe()
            self._tabs[token] = tab
            old = self._tabs.get(before)
            if old and not connected(old.id):
                tab.session.lasting, old.session.lasting = old.session.lasting, Lasting()
            return token

    def wait_for(self, token: str, connected: Callable[[str], bool]) -> None:
        """Until a tab is left, PATIENCE seconds at most."""
        tab, end = self._tabs.get(token), time.monotonic() + PATIENCE
        while tab and connected(tab.id) and time.monotonic() < end:
            time.sleep(0.02)

    def stay(self, token: str, state: SafeSessionState) -> None:
        """Take note of how the state of a tab is reached now: Streamlit wraps it anew for each run of the script."""
        with self._lock:
            if token in self._tabs:
                self._tabs[token].state = state

    def tidy(self, connected: Callable[[str], bool], now: float) -> None:
        """Look at all tabs, at a time in seconds."""
        with self._lock:
            for token, tab in list(self._tabs.items()):
                if connected(tab.id):
                    tab.left = None
                    continue
                tab.left = now if tab.left is None else tab.left
                if now - tab.left > REST:
                    for run in tab.runs:
                        run.pause()
                if now - tab.left > GONE:
                    for run in tab.runs:
                        run.cancel()
                    for name in tab.state.filtered_state:
                        with suppress(KeyError):  # Streamlit, too, clears the state of a tab that has gone
                            del tab.state[name]
                    self._forget(tab.id)
                    del self._tabs[token]


def give_back() -> None:
    """Free what is garbage, and give it back to the system: of one attack glibc keeps some 200 MB for the next."""
    gc.collect()
    if sys.platform == "linux" and (malloc_trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        malloc_trim(0)


@st.cache_resource
def _housekeeping() -> Housekeeping:
    """That of this server, at work in a thread."""
    server = runtime.get_instance()
    housekeeping = Housekeeping(server.uploaded_file_mgr.remove_session_files)

    def work() -> None:
        collected = time.monotonic()
        while True:
            time.sleep(PERIOD)
            housekeeping.tidy(server.is_active_session, time.monotonic())
            if time.monotonic() - collected > COLLECT:
                give_back()
                collected = time.monotonic()

    threading.Thread(target=work, name="housekeeping", daemon=True).start()
    return housekeeping


def present() -> str:
    """The token of the tab whose script calls this; empty where there is no server, as in tests.

    A browser names the tab that it has just unloaded in a cookie. Its connection may end a moment after the new one
    has begun.
    """
    context = get_script_run_ctx()
    if context is None or not runtime.exists():
        return ""
    state, active = context.session_state, runtime.get_instance().is_active_session
    mine = session()
    if mine.token:
        _housekeeping().stay(mine.token, state)
    else:
        before = st.context.cookies.get(COOKIE, "")
        _housekeeping().wait_for(before, active)
        mine.token = _housekeeping().enter(Tab(context.session_id, mine, state), before, active)
    return mine.token
