"""The turnstile lets attacks through one at a time, in order; the pool loads each model once, and takes new ones."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jma_core.records import Halt, StopReason
from lab.runs.measurements import Measurements, failed
from lab.runs.pool import MAX_ADDED, ModelPool, explained
from lab.runs.turnstile import Turnstile
from models.cards import CardError
from models.downloads import HubError
from models.registry import IMAGENET, MODELS, WeightsError


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


def test_a_ticket_knows_whether_others_wait_for_it() -> None:
    turnstile, given_up = Turnstile(), threading.Event()

    def wait() -> None:
        with turnstile.turn("other", given_up):
            pass

    with turnstile.turn("mine", threading.Event()):
        assert not turnstile.wanted
        thread = threading.Thread(target=wait)
        thread.start()
        until(lambda: turnstile.wanted)
        given_up.set()
        thread.join(5)
        assert not turnstile.wanted


def test_a_measurement_is_made_once_and_the_oldest_goes() -> None:
    measurements, made = Measurements(most=2), []

    def measure(key: str) -> str:
        return measurements.ask(key, lambda: made.append(key) or key.upper()).result(5)

    assert [measure(key) for key in "aabab"] == list("AABAB")
    assert made == ["a", "b"]
    measure("c")
    measure("b")
    assert made == ["a", "b", "c"], "a was asked for longest ago"
    measure("a")
    assert made == ["a", "b", "c", "a"]


def test_a_measurement_that_failed_is_made_again_and_one_that_found_nothing_is_not() -> None:
    measurements, errors = Measurements(), [RuntimeError("level"), Halt(StopReason.INFEASIBLE, "no way"), ValueError()]

    def measure() -> None:
        raise errors.pop(0)

    first = measurements.ask("key", measure)
    assert isinstance(first.exception(5), RuntimeError)
    assert failed(first)
    second = measurements.ask("key", measure)
    assert isinstance(second.exception(5), Halt)
    assert not failed(second)
    assert measurements.ask("key", measure) is second
    assert len(errors) == 1


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
    loads.error = WeightsError("no luck")
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
    assert pool.request("mine").result(5) is second
    assert pool.specs["mine"] is second
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
        pool.request(f"mine {number}").result(5)
    assert list(pool.specs) == [*MODELS, *(f"mine {number}" for number in range(2, MAX_ADDED + 2))]


def test_a_model_that_is_added_is_offered_once_it_is_loaded(pool: ModelPool, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(pool, "_load", lambda spec: release.wait(5) and spec)
    mine = replace(IMAGENET, name="mine")
    pool.add(mine)
    assert list(pool.added) == ["mine"]
    assert list(pool.specs) == list(MODELS)
    release.set()
    assert pool.request("mine").result(5) is mine
    assert pool.specs["mine"] is mine


def test_a_model_that_cannot_be_loaded_is_never_offered_and_stays_with_the_reason(
    pool: ModelPool, loads: Loads
) -> None:
    loads.error = WeightsError("no luck")
    pool.add(replace(IMAGENET, name="mine"))
    assert pool.request("mine").exception(5) is loads.error
    assert list(pool.specs) == list(MODELS)
    assert list(pool.added) == ["mine"]
    assert pool.problem("mine") == "no luck"
    loads.error = None
    pool.retry("mine")
    pool.request("mine").result(5)
    assert list(pool.specs) == [*MODELS, "mine"]
    pool.remove("mine")
    assert not pool.added
    assert list(pool.specs) == list(MODELS)


def test_a_model_that_is_removed_while_it_loads_is_not_offered(
    pool: ModelPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr(pool, "_load", lambda spec: release.wait(5) and spec)
    first, second = (replace(IMAGENET, name="mine", title=title) for title in ("first", "second"))
    pool.add(first)
    loading = pool.request("mine")
    pool.remove("mine")
    pool.add(second)
    release.set()
    loading.result(5)
    assert pool.request("mine").result(5) is second
    assert pool.specs["mine"] is second
    pool.remove("mine")
    assert list(pool.specs) == list(MODELS)


def test_those_that_failed_count_among_the_added(pool: ModelPool, loads: Loads) -> None:
    loads.error = WeightsError("no luck")
    for number in range(MAX_ADDED + 2):
        pool.add(replace(IMAGENET, name=f"mine {number}"))
    assert list(pool.added) == [f"mine {number}" for number in range(2, MAX_ADDED + 2)]


class Mute(BaseException):
    pass


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (AssertionError(), "AssertionError"),
        (KeyError("evil"), "KeyError: 'evil'"),
        (KeyError("F4"), "KeyError: 'F4'"),
        (RuntimeError(""), "RuntimeError"),
        (RuntimeError(" \n "), "RuntimeError"),
        (MemoryError(), "MemoryError"),
        (StopIteration(), "StopIteration"),
        (Mute(), "Mute"),
        (HubError(), "HubError"),
        (ValueError("7"), "ValueError: 7"),
    ],
    ids=repr,
)
def test_an_error_that_says_little_is_put_into_sentences(
    error: BaseException, what: str, pool: ModelPool, loads: Loads
) -> None:
    loads.error = error  # type: ignore[assignment]
    pool.add(replace(IMAGENET, name="mine"))
    pool.request("mine").exception(5)
    said = pool.problem("mine")
    assert said.startswith(f"Loading it failed in a way that was not foreseen ({what}). Try again; ")


def test_an_error_of_ones_own_is_said_as_it_is_and_no_error_at_length() -> None:
    assert explained(CardError("labels: expected two.")) == "labels: expected two."
    assert len(explained(WeightsError("many words " * 1000))) <= 800
    assert len(explained(RuntimeError("many words " * 1000))) <= 800
