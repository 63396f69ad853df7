"""One attack runs at a time; those of several sessions take turns."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turnstile:
    """Lets one ticket through at a time, in order of arrival: attacks of several sessions take turns."""

    def __init__(self) -> None:
        self._queue: deque[object] = deque()
        self._moved = threading.Condition()

    @contextmanager
    def turn(self, ticket: object, given_up: threading.Event) -> Iterator[bool]:
        """Wait for this ticket's turn; yields False at once if ``given_up`` is set before it comes."""
        with self._moved:
            self._queue.append(ticket)
            while self._queue[0] is not ticket and not given_up.is_set():
                self._moved.wait(timeout=0.2)
            mine = self._queue[0] is ticket
        try:
            yield mine
        finally:
            with self._moved:
                self._queue.remove(ticket)
                self._moved.notify_all()

    @property
    def wanted(self) -> bool:
        """Whether others wait for the ticket whose turn it is."""
        return len(self._queue) > 1

    def ahead(self, ticket: object) -> int:
        """How many tickets go before this one; 0 when it is its turn or it is not waiting."""
        with self._moved:
            return self._queue.index(ticket) if ticket in self._queue else 0


turnstile = Turnstile()
