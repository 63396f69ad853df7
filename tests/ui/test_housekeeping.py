"""What a closed tab held is freed, and not before it can no longer come back."""

from __future__ import annotations

import sys
from pathlib import Path
from weakref import ref

import numpy as np
import pytest

from ui.housekeeping import GONE, Housekeeping, give_back
from ui.request import Request, Settings
from ui.runner import AttackRun


def run() -> AttackRun:
    return AttackRun(Request("scenes", "photo", (0,), Settings()), np.zeros((4, 4, 3), np.uint8))


def test_what_a_closed_tab_held_is_freed_after_two_minutes() -> None:
    housekeeping, held, other = Housekeeping(), {"one": run()}, {"one": run()}
    freed = ref(held["one"])
    housekeeping.watch("closed", held)
    housekeeping.watch("open", other)
    housekeeping.tidy(lambda session: True, now=0.0)
    housekeeping.tidy(lambda session: session == "open", now=100.0)
    housekeeping.tidy(lambda session: session == "open", now=100.0 + GONE)
    assert held, "it may still come back"
    housekeeping.tidy(lambda session: session == "open", now=101.0 + GONE)
    assert held == {}
    assert freed() is None
    assert other


def test_a_tab_that_comes_back_starts_anew() -> None:
    housekeeping, held = Housekeeping(), {"one": run()}
    housekeeping.watch("mine", held)
    for now in range(0, int(3 * GONE), int(GONE / 2)):
        housekeeping.tidy(lambda session: False, now=float(now))
        housekeeping.tidy(lambda session: True, now=now + 1.0)
    assert held


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_freed_memory_goes_back_to_the_system() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    small = [bytearray(100_000) for _ in range(1000)]  # below the size from which glibc maps each by itself
    top = bytearray(100_000)  # above them in the heap, so that they are not given back when they are freed
    full = resident()
    del small
    give_back()
    assert full - resident() > 80e6
    assert len(top) == 100_000
