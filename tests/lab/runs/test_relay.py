"""Attacks one after another: each begins when the one before has ended, and none after a stop."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from jma_core import AttackResult
from lab.request import Request
from lab.runs.example import example_comparison
from lab.runs.relay import Relay
from lab.store import store
from models.registry import DEFAULT, MODELS

PATIENCE = 10.0  # seconds
SPEC = MODELS[DEFAULT]


class Runner:
    """An attack that ends when told to, or is paused."""

    def __init__(self, *, error: str = "") -> None:
        self.error, self.ended, self.begun = error, False, threading.Event()
        self.request: Request | None = None
        self.outcome: AttackResult | None = None
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
    relay = Relay(SPEC, [first, second])  # type: ignore[list-item]
    assert first.begun.wait(PATIENCE)
    assert (relay.busy, second.begun.is_set()) == (True, False)
    first.finish()
    assert second.begun.wait(PATIENCE)
    second.finish()
    relay.wait(PATIENCE)
    assert not relay.busy


def test_after_a_stop_none_begins() -> None:
    first, second = Runner(), Runner()
    relay = Relay(SPEC, [first, second])  # type: ignore[list-item]
    assert first.begun.wait(PATIENCE)
    relay.stop()
    relay.wait(PATIENCE)
    assert (relay.busy, second.begun.is_set()) == (False, False)


def test_who_pauses_the_one_that_runs_ends_it_for_all() -> None:
    first, second = Runner(), Runner()
    relay = Relay(SPEC, [first, second])  # type: ignore[list-item]
    assert first.begun.wait(PATIENCE)
    first.pause()
    relay.wait(PATIENCE)
    assert (relay.busy, second.begun.is_set()) == (False, False)


def test_what_has_ended_is_stored_together_with_what_had_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JMA_LAB_DATA", str(tmp_path))
    before, after, given_up = list(example_comparison().values())[:3]
    first, second = Runner(), Runner()
    first.request, first.outcome, second.request = after.request, after.result, given_up.request
    relay = Relay(SPEC, [before, first, second])  # type: ignore[list-item]
    assert first.begun.wait(PATIENCE)
    first.finish()
    assert second.begun.wait(PATIENCE)
    relay.stop()
    relay.wait(PATIENCE)
    (row,) = store().rows()
    assert [each.request for each in store().comparison(row.id)] == [before.request, after.request]
    assert (row.attacks, relay.unsaved) == (2, "")


def test_a_comparison_that_cannot_be_stored_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("JMA_LAB_DATA", str(tmp_path / "file"))
    runner, known = Runner(), next(iter(example_comparison().values()))
    runner.request, runner.outcome = known.request, known.result
    relay = Relay(SPEC, [runner])  # type: ignore[list-item]
    runner.finish()
    relay.wait(PATIENCE)
    assert relay.unsaved.startswith("This comparison could not be stored")
