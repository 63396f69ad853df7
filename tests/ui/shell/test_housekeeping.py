"""A reloaded tab finds what it had; what a closed one held is freed, and not before it can no longer come back."""

from __future__ import annotations

import sys
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from weakref import ref

import numpy as np
import pytest
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.state import SafeSessionState, SessionState
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from lab.request import Request, Settings
from lab.runs.attack_run import AttackRun
from ui.shell import housekeeping as module
from ui.shell.housekeeping import GONE, REST, Housekeeping, Tab, give_back
from ui.shell.session import KEY, Lasting, Session

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Run(AttackRun):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__(Request("scenes", "photo", (0,), Settings()), np.zeros((4, 4, 3), np.uint8))
        self.told: list[str] = []

    def pause(self) -> None:
        self.told.append("pause")
        super().pause()

    def cancel(self) -> None:
        self.told.append("cancel")
        super().cancel()


def opened(session: str, *runs: Run) -> Tab:
    """A tab with these attacks only."""
    state, mine = SafeSessionState(SessionState(), lambda: None), Session()
    state[KEY] = mine
    mine.lasting.runs = OrderedDict((replace(run.request, photo=str(i)), run) for i, run in enumerate(runs))
    return Tab(session, mine, state)


def everybody(session: str) -> bool:
    return True


def nobody(session: str) -> bool:
    return False


def test_what_a_closed_tab_held_is_freed_after_two_minutes() -> None:
    forgotten: list[str] = []
    housekeeping, run = Housekeeping(forgotten.append), Run()
    freed = ref(run)
    closed, other = opened("closed", run), opened("open", Run())
    closed.state["widget"] = b"megabytes"
    housekeeping.enter(closed, "", everybody)
    housekeeping.enter(other, "", everybody)
    housekeeping.tidy(everybody, now=0.0)
    for now in (100.0, 100.0 + GONE):
        housekeeping.tidy(lambda session: session == "open", now)
        assert {KEY, "widget"} == closed.state.filtered_state.keys(), "it may still come back"
    housekeeping.tidy(lambda session: session == "open", now=101.0 + GONE)
    assert closed.state.filtered_state == {}
    assert forgotten == ["closed"]
    assert run.told[-2:] == ["pause", "cancel"]
    del run, closed
    assert freed() is None
    assert other.state[KEY].lasting.runs


def test_the_attacks_of_a_tab_that_has_gone_are_paused_before_others_have_waited_long() -> None:
    housekeeping, run = Housekeeping(), Run()
    housekeeping.enter(opened("mine", run), "", everybody)
    housekeeping.tidy(nobody, now=0.0)
    housekeeping.tidy(nobody, now=REST)
    assert run.told == []
    housekeeping.tidy(nobody, now=REST + 1.0)
    assert run.told == ["pause"]


def test_a_tab_that_comes_back_starts_anew() -> None:
    housekeeping, mine = Housekeeping(), opened("mine", Run())
    housekeeping.enter(mine, "", everybody)
    for now in range(0, int(3 * GONE), int(GONE / 2)):
        housekeeping.tidy(nobody, now=float(now))
        housekeeping.tidy(everybody, now=now + 1.0)
    assert mine.runs


def test_a_reloaded_tab_finds_its_attacks_and_its_choice_and_they_go_on() -> None:
    housekeeping, run = Housekeeping(), Run()
    before, after = opened("before", run), opened("after")
    held = before.session.lasting
    before.session.upload_problem = "that of the old page"
    token = housekeeping.enter(before, "", everybody)
    housekeeping.tidy(everybody, now=0.0)
    assert housekeeping.enter(after, token, nobody) != token
    assert after.session == Session(held)
    for now in (1.0, GONE, 3 * GONE):
        housekeeping.tidy(lambda session: session == "after", now)
    assert run.told == []
    assert after.session.lasting is held
    assert after.runs == [run]
    assert before.session.lasting == Lasting()


@pytest.mark.parametrize("token", ["", "made up", "open"])
def test_nobody_takes_over_a_tab_that_is_open_or_unknown_to_them(token: str) -> None:
    housekeeping, run = Housekeeping(), Run()
    mine, thief = opened("mine", run), opened("thief")
    real = housekeeping.enter(mine, "", everybody)
    housekeeping.enter(thief, real if token == "open" else token, everybody)
    assert thief.runs == []
    assert mine.runs == [run]


def test_what_one_tab_has_left_is_taken_over_once() -> None:
    housekeeping, run = Housekeeping(), Run()
    first, second = opened("first"), opened("second")
    token = housekeeping.enter(opened("before", run), "", everybody)
    housekeeping.enter(first, token, nobody)
    housekeeping.enter(second, token, nobody)
    assert first.runs == [run]
    assert run not in second.runs


def test_a_connection_that_ends_a_moment_later_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    housekeeping, left = Housekeeping(), iter([True, True, False])
    token = housekeeping.enter(opened("before"), "", everybody)
    housekeeping.wait_for(token, lambda session: next(left))
    assert list(left) == []
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    housekeeping.wait_for(token, everybody)  # and not for ever
    housekeeping.wait_for("made up", everybody)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@linux
def test_the_uploads_of_a_closed_tab_leave_streamlits_own_keeping_and_the_memory() -> None:
    """No stand-in: the files are where the server has them, and another tab's stay."""
    keeper = MemoryUploadedFileManager("/upload")
    for session in ("closed", "open"):
        keeper.add_file(session, UploadedFileRec("photo", "photo.tif", "image/tiff", b"x" * 60_000_000))
    housekeeping = Housekeeping(keeper.remove_session_files)
    for session in ("closed", "open"):
        housekeeping.enter(opened(session), "", everybody)
    full = resident()
    for now in (0.0, GONE, GONE + 1):
        assert keeper.get_files("closed", ["photo"])
        housekeeping.tidy(lambda session: session == "open", now)
    give_back()
    assert full - resident() > 50e6
    assert not keeper.get_files("closed", ["photo"])
    (left,) = keeper.get_files("open", ["photo"])
    assert len(left.data) == 60_000_000


@linux
def test_freed_memory_goes_back_to_the_system() -> None:
    small = [bytearray(100_000) for _ in range(1000)]  # below the size from which glibc maps each by itself
    top = bytearray(100_000)  # above them in the heap, so that they are not given back when they are freed
    full = resident()
    del small
    give_back()
    assert full - resident() > 80e6
    assert len(top) == 100_000
