"""The turnstile lets attacks through one at a time, in order."""

import threading
from collections.abc import Callable

import pytest

from ui.backend import Turnstile


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
