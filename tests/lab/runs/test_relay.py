"""Attacks one after another: each begins when the one before has ended, and none after a stop."""

from __future__ import annotations

import threading

from lab.runs.relay import Relay

PATIENCE = 10.0  # seconds


class Runner:
    """An attack that ends when told to, or is paused."""

    def __init__(self, *, error: str = "") -> None:
        self.error, self.ended, self.begun = error, False, threading.Event()
        self._halted = threading.Event()

    def go(self) -> None:
        self.begun.set()

    def wait(self) -> None:
        assert self._halted.wait(PATIENCE)

    def finish(self) -> None:
        self.ended = True
        self._halted.set()

    def pause(self) -> None:
        self._halted.set()


def test_each_begins_when_the_one_before_has_ended() -> None:
    first, second = Runner(error="It broke off."), Runner()
    relay = Relay([first, second])  # type: ignore[list-item]
    assert first.begun.wait(PATIENCE)
    assert (relay.busy, second.begun.is_set()) == (True, False)
    first.finish()
    assert second.begun.wait(PATIENCE)
    second.finish()
    relay.wait(PATIENCE)
    assert not relay.busy


def test_after_a_stop_none_begins() -> None:
    first, second = Runner(), Runner()
    relay = Relay([first, second])  # type: ignore[list-item]
    assert first.begun.wait(PATIENCE)
    relay.stop()
    relay.wait(PATIENCE)
    assert (relay.busy, second.begun.is_set()) == (False, False)


def test_who_pauses_the_one_that_runs_ends_it_for_all() -> None:
    first, second = Runner(), Runner()
    relay = Relay([first, second])  # type: ignore[list-item]
    assert first.begun.wait(PATIENCE)
    first.pause()
    relay.wait(PATIENCE)
    assert (relay.busy, second.begun.is_set()) == (False, False)
