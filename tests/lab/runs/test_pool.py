"""The turnstile lets attacks through one at a time, in order; the pool loads each model once, and takes new ones."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from models.registry import IMAGENET, MODELS
from ui.backend import MAX_ADDED, ModelPool, Turnstile


def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        threading.Event().wait(0.01)
    pytest.fail("the condition did not come about within 5 s")


def test_tickets_pass_one_at_a_time_in_order_of_arrival() -> None:
    turnstile, order, inside, most = Turnstile(), [], [], []
    go_on = threading.Event()

    def pass_through(ticket: str) -> None:
        with turnstile.turn(ticket, threading.Event()) as mine:
            assert mine
            inside.append(ticket)
            most.append(len(inside))
            order.append(ticket)
            go_on.wait(5)
            inside.remove(ticket)

    threads = []
    for place, ticket in enumerate(["first", "second", "third"]):
        threads.append(threading.Thread(target=pass_through, args=(ticket,)))
        threads[-1].start()
        until(lambda ticket=ticket, place=place: turnstile.ahead(ticket) == place and (place or inside))
    go_on.set()
    for thread in threads:
        thread.join(5)
    assert order == ["first", "second", "third"]
    assert max(most) == 1
    assert turnstile.ahead("first") == 0


def test_a_ticket_that_gives_up_leaves_the_queue() -> None:
    turnstile, given_up, outcome = Turnstile(), threading.Event(), []

    def wait() -> None:
        with turnstile.turn("impatient", given_up) as mine:
            outcome.append(mine)

    with turnstile.turn("slow", threading.Event()):
        thread = threading.Thread(target=wait)
        thread.start()
        until(lambda: turnstile.ahead("impatient") == 1)
        given_up.set()
        thread.join(5)
        assert outcome == [False]
        assert turnstile.ahead("impatient") == 0


class Loads:
    """Stands for loading: what was asked for, and what it gives or raises."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: Exception | None = None

    def __call__(self, spec: Any) -> Any:
        self.asked.append(spec.name)
        if self.error:
            raise self.error
        return spec


@pytest.fixture
def loads() -> Loads:
    return Loads()


@pytest.fixture
def pool(loads: Loads, monkeypatch: pytest.MonkeyPatch) -> ModelPool:
    pool = ModelPool()
    monkeypatch.setattr(pool, "_load", loads)
    return pool


def test_a_model_is_loaded_once_and_only_when_it_is_asked_for(pool: ModelPool, loads: Loads) -> None:
    assert list(pool.specs) == list(MODELS)
    assert loads.asked == []
    for _ in range(2):
        assert pool.request(IMAGENET.name).result(5) is IMAGENET
    assert pool.ready(IMAGENET.name)
    assert pool.problem(IMAGENET.name) == ""
    assert loads.asked == [IMAGENET.name]


def test_a_failure_stays_until_it_is_tried_again(pool: ModelPool, loads: Loads) -> None:
    loads.error = RuntimeError("no luck")
    assert pool.request(IMAGENET.name).exception(5) is loads.error
    assert pool.problem(IMAGENET.name) == "no luck"
    assert not pool.ready(IMAGENET.name)
    loads.error = None
    assert pool.problem(IMAGENET.name) == "no luck"
    pool.retry(IMAGENET.name)
    assert pool.request(IMAGENET.name).result(5) is IMAGENET
    assert pool.problem(IMAGENET.name) == ""
    pool.retry(IMAGENET.name)  # what is there is not loaded again
    assert pool.ready(IMAGENET.name)
    assert loads.asked == [IMAGENET.name] * 2


def test_a_model_that_is_added_under_a_known_name_takes_its_place(pool: ModelPool, loads: Loads) -> None:
    first, second = (replace(IMAGENET, name="mine", title=title) for title in ("first", "second"))
    pool.add(first)
    assert pool.request("mine").result(5) is first
    pool.add(second)
    assert pool.specs["mine"] is second
    assert pool.request("mine").result(5) is second
    assert loads.asked == ["mine", "mine"]


def test_a_model_that_is_removed_is_let_go_of(pool: ModelPool, loads: Loads) -> None:
    pool.add(replace(IMAGENET, name="mine"))
    pool.request("mine").result(5)
    pool.remove("mine")
    assert list(pool.specs) == list(MODELS)
    assert pool.problem("mine") == "It was removed. Choose another one."
    pool.remove("mine")  # a second click


def test_of_too_many_added_models_the_oldest_goes_and_those_that_ship_stay(pool: ModelPool) -> None:
    for number in range(MAX_ADDED + 2):
        pool.add(replace(IMAGENET, name=f"mine {number}"))
    assert list(pool.specs) == [*MODELS, *(f"mine {number}" for number in range(2, MAX_ADDED + 2))]
