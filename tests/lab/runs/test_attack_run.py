"""One attack in its thread: it loads before it takes its turn, halts when told to, and is not dropped while it runs."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jma_core.records import AttackResult, Step
from lab.request import Request
from lab.runs import attack_run, launch
from lab.runs.attack_run import AttackRun
from lab.runs.turnstile import Turnstile
from tests.lab.runs.test_pool import until
from ui.shell import session

PICTURE = np.zeros((16, 16, 3), np.uint8)


class Bench:
    """A server with two networks, of which "late" comes when told to, and attacks that take a step when told to."""

    def __init__(self, finished: AttackResult) -> None:
        self.result = finished
        self.networks: dict[str, Future[Any]] = {"here": Future(), "late": Future()}
        self.networks["here"].set_result(SimpleNamespace(spec=None))
        self.go_on = threading.Semaphore(0)
        self.launched: list[str] = []

    def request(self, name: str) -> Future[Any]:
        return self.networks[name]

    def launch(self, request: Request, *_: object, **__: object) -> Iterator[Step]:
        self.launched.append(request.model)
        for step in self.result.steps:
            self.go_on.acquire()
            yield step
        return self.result


@pytest.fixture
def bench(finished: AttackResult, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(finished)
    monkeypatch.setattr(attack_run, "models", lambda: bench)
    monkeypatch.setattr(attack_run, "turnstile", Turnstile())
    monkeypatch.setattr(attack_run, "store", lambda: SimpleNamespace(add=lambda *_: None))
    monkeypatch.setattr(launch, "launch", bench.launch)
    yield bench
    bench.go_on.release(1000)


def test_an_attack_whose_network_loads_does_not_hold_up_the_others(
    bench: Bench, request_for: Callable[..., Request]
) -> None:
    early, late = AttackRun(request_for(model="here"), PICTURE), AttackRun(request_for(model="late"), PICTURE)
    late.go()
    until(lambda: late.status == "Waiting for the network to load.")
    early.go()
    bench.go_on.release(1000)
    until(lambda: early.ended)
    assert bench.launched == ["here"]
    assert late.status == "Waiting for the network to load."
    bench.networks["late"].set_result(SimpleNamespace(spec=None))
    until(lambda: late.ended)
    assert late.result is bench.result


def test_an_attack_whose_network_loads_can_be_paused_at_once(bench: Bench, request_for: Callable[..., Request]) -> None:
    late = AttackRun(request_for(model="late"), PICTURE)
    late.go()
    late.pause()
    late.wait(1.0)
    assert not late.busy
    assert late.status == "Not started."
    assert bench.launched == []


def test_a_network_that_cannot_be_loaded_ends_the_attack_in_a_sentence(
    bench: Bench, request_for: Callable[..., Request]
) -> None:
    bench.networks["late"].set_exception(OSError("no such file"))
    late = AttackRun(request_for(model="late"), PICTURE)
    late.go()
    until(lambda: late.ended)
    assert late.status == "The attack broke off: no such file"


def test_a_pause_says_whether_the_target_is_reached(bench: Bench, request_for: Callable[..., Request]) -> None:
    run = AttackRun(request_for(model="here"), PICTURE)
    bench.go_on.release(1000)
    said = {True: "Paused. It reads as wanted already; what follows comes closer to the original.", False: "Paused."}
    for number, step in enumerate(bench.result.steps, start=1):
        run.go(steps=1)
        run.wait(5.0)
        assert len(run.steps) == number
        assert run.status == said[step.success]
    assert {step.success for step in bench.result.steps} == {True, False}


def test_stop_is_answered_when_the_iteration_ends_and_not_before(
    bench: Bench, request_for: Callable[..., Request]
) -> None:
    run = AttackRun(request_for(model="here"), PICTURE)
    run.go()
    bench.go_on.release()
    until(lambda: len(run.steps) == 1)
    assert run.status.startswith("Running: iteration 2. A")
    run.pause()
    run.wait(0.05)
    assert run.status == "Finishing this iteration."
    threading.Timer(0.1, bench.go_on.release).start()
    start = time.monotonic()
    run.wait(5.0)
    assert time.monotonic() - start < 1.0
    assert run.status == "Paused."
    assert len(run.steps) == 2


def test_nobody_keeps_the_turn_for_longer_than_a_share_while_others_wait(
    bench: Bench, request_for: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no share at all, attacks that arrive together take steps in turn, and each ends as it does alone."""
    monkeypatch.setattr(attack_run, "SHARE", 0.0)
    several = [AttackRun(request_for(model="here", target=number), PICTURE) for number in range(3)]
    order: list[int] = []

    def launch_one(request: Request, *_: object, **__: object) -> Iterator[Step]:
        bench.launched.append(request.model)
        for step in bench.result.steps:
            bench.go_on.acquire()
            order.append(request.target)
            yield step
        return bench.result

    monkeypatch.setattr(launch, "launch", launch_one)
    several[0].go()
    until(lambda: bool(bench.launched))  # nobody is ahead of one that has not come yet
    for ahead, run in enumerate(several[1:], start=1):
        run.go()
        until(lambda run=run, ahead=ahead: attack_run.turnstile.ahead(run) == ahead)
    assert several[2].status.startswith("Waiting: 2 other attacks go before this one")
    bench.go_on.release(1000)
    until(lambda: all(run.ended for run in several))
    count = len(bench.result.steps)
    assert order == [0, 1, 2] * count
    assert all(len(run.trace) == count and run.result is bench.result for run in several)


def test_an_attack_that_nobody_waits_for_keeps_its_turn(
    bench: Bench, request_for: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attack_run, "SHARE", 0.0)
    turns: list[object] = []
    turn = attack_run.turnstile.turn
    monkeypatch.setattr(attack_run.turnstile, "turn", lambda *ticket: turns.append(ticket) or turn(*ticket))
    bench.go_on.release(1000)
    run = AttackRun(request_for(model="here"), PICTURE)
    run.go()
    until(lambda: run.ended)
    assert len(turns) == 1


def test_one_step_promises_no_end(bench: Bench, request_for: Callable[..., Request]) -> None:
    run = AttackRun(request_for(model="here"), PICTURE)
    run.go(steps=1)
    until(lambda: bool(bench.launched))
    assert run.status == "Running: iteration 1."
    bench.go_on.release()
    run.wait(5.0)
    assert run.status == "Paused."
    assert len(run.steps) == 1


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> OrderedDict[Request, AttackRun]:
    kept: OrderedDict[Request, AttackRun] = OrderedDict()
    monkeypatch.setattr(session, "runs", lambda: kept)
    return kept


def test_of_too_many_attacks_the_oldest_goes_but_never_one_that_runs(
    bench: Bench, runs: OrderedDict[Request, AttackRun], request_for: Callable[..., Request]
) -> None:
    all_runs = [AttackRun(request_for(model="here", target=number), PICTURE) for number in range(session.MAX_RUNS + 2)]
    all_runs[0].go()
    until(lambda: bool(bench.launched))
    for run in all_runs:
        session.remember(run)
    assert list(runs.values()) == [all_runs[0], *all_runs[3:]]
    assert all_runs[0].busy
    bench.go_on.release(1000)
    until(lambda: all_runs[0].ended)
    assert all_runs[0].result is bench.result
    session.remember(AttackRun(request_for(model="here", target=-1), PICTURE))
    assert all_runs[0] not in runs.values()


def test_an_attack_that_is_run_again_is_the_latest(
    runs: OrderedDict[Request, AttackRun], request_for: Callable[..., Request]
) -> None:
    first, second = request_for(target=1), request_for(target=2)
    for request in (first, second, first):
        session.remember(AttackRun(request, PICTURE))
    assert list(runs) == [second, first]
