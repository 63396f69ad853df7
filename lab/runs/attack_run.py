"""One attack of one session, advanced in a thread, so that pages stay alive and a run outlives a page change."""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
import time
from concurrent.futures import wait
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jma_core.records import AttackResult, History, Step, Trace
from lab.photos.uploads import Photo
from lab.request import Request
from lab.runs.pool import models
from lab.runs.remaining import remaining
from lab.runs.turnstile import turnstile
from lab.store import store
from models.cards import said

if TYPE_CHECKING:
    from jma_core.attacks.trail import Attack
    from models.cards import ModelSpec
    from models.loaders import LoadedModel

log = logging.getLogger(__name__)
SHARE = 10.0
"""Seconds that an attack keeps its turn when others wait; then it goes on after them."""
MEMORY = 160 * 2**20
"""Bytes of images that the steps of one attack may hold: 278 steps of 224 x 224 pixels."""


class AttackRun:
    """The attack that answers one request: its ``steps`` so far, and the ``result`` once it has ended.

    ``go`` and ``pause`` may be called at any time and from any page; a second ``go`` while it runs does nothing.
    """

    def __init__(
        self, request: Request, picture: NDArray[np.uint8], own: Photo | None = None, *, together: int = 1
    ) -> None:
        """One of so many that are run ``together`` shares their memory, and is stored with them: see Relay."""
        self.request = request
        self.own = own
        """The photo that it attacks, if that is the user's own: it stays on offer as long as the attack."""
        self.result: AttackResult | None = None
        self.error = ""
        self.unsaved = ""
        """Why it is not among the stored runs although it has ended, for people."""
        self._spec: ModelSpec | None = None
        self._picture = picture
        self._kept = max(2, MEMORY // together // (4 * max(1, picture.size)))
        self._alone = together == 1
        self._taken = History(self._kept)
        self._attack: Attack | None = None
        self._to_the_end = False
        self._stepped = 0.0
        self._thread: threading.Thread | None = None
        self._pause = threading.Event()
        self._cancelled = threading.Event()

    @classmethod
    def finished(cls, request: Request, result: AttackResult) -> AttackRun:
        """A stored attack, as if it had just run."""
        run = cls(request, np.empty(0, np.uint8))
        run.result = result
        return run

    @property
    def steps(self) -> tuple[Step, ...]:
        """Those so far, of a long attack on a large picture a part of them, evenly spread."""
        return self.result.steps if self.result else self._taken.steps

    @property
    def trace(self) -> Trace:
        """The scalars of all updates so far."""
        return self.result.trace if self.result else self._taken.trace

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do."""
        return self.result is not None or bool(self.error)

    @property
    def outcome(self) -> AttackResult | None:
        """What it ended with, unless it was cancelled."""
        return None if self._cancelled.is_set() else self.result

    @property
    def busy(self) -> bool:
        """Whether it is running, or waiting for its model or its turn."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def status(self) -> str:
        """One sentence on what it is doing, for people."""
        if self.error:
            return self.error
        if self.result:
            return self.result.detail
        if not self.busy:
            return self._paused()
        if ahead := turnstile.ahead(self):
            others = "1 other attack goes" if ahead == 1 else f"{ahead} other attacks go"
            return f"Waiting: {others} before this one, which has its turn in about {ahead * SHARE:.0f} s at most."
        if not models().request(self.request.model).done():
            return "Waiting for the network to load."
        if self._pause.is_set():
            return "Finishing this iteration."
        now = f"Running: iteration {len(self.trace) + 1}."
        if not self._to_the_end:
            return now
        return f"{now} {remaining(self.request.settings, self.steps, time.monotonic() - self._stepped)}"

    def _paused(self) -> str:
        if not self.steps:
            return "Not started."
        reached = self.steps[-1].success
        return (
            "Paused. It reads as wanted already; what follows comes closer to the original." if reached else "Paused."
        )

    def go(self, steps: int | None = None) -> None:
        """Advance by a number of steps, or to the end. Does nothing while busy or once ended."""
        if self.busy or self.ended:
            return
        self._pause.clear()
        self._to_the_end = steps is None
        self._stepped = time.monotonic()
        self._thread = threading.Thread(target=self._advance, args=(steps,), name="attack", daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """Halt after the iteration in progress; ``go`` continues from there."""
        self._pause.set()

    def wait(self, seconds: float | None = None) -> None:
        """Until it halts or has ended, so long at most if told."""
        if self._thread:
            self._thread.join(seconds)

    def cancel(self) -> None:
        """End for good at the next check inside the attack, if it is running."""
        self._pause.set()
        self._cancelled.set()

    def _advance(self, steps: int | None) -> None:
        try:
            loaded, left = self._network(), math.inf if steps is None else steps
            while loaded and left > 0 and not self.result and not self._pause.is_set():
                with turnstile.turn(self, self._pause) as mine:
                    if mine:
                        left = self._drive(loaded, left)
            if self.result and self._alone and not self._cancelled.is_set():
                self._save(self.result)
        except Exception as error:  # a thread has nobody above it: tell the user, and the log
            log.exception("An attack broke off")
            self.error = f"The attack broke off: {said(error)}"

    def _network(self) -> LoadedModel | None:
        """The network once it is there, which others need not wait for; None if paused before."""
        loading = models().request(self.request.model)
        while not self._pause.is_set():
            if wait([loading], timeout=0.1).done:
                return loading.result()
        return None

    def _drive(self, loaded: LoadedModel, left: float) -> float:
        """Make so many steps, or those that fit into a share of the time if others wait; give what is left."""
        if self._attack is None:
            self._attack = self._start(loaded)
        end = time.monotonic() + SHARE
        while left > 0 and not self._pause.is_set():
            self._stepped = time.monotonic()
            try:
                self._taken.add(next(self._attack))
            except StopIteration as stop:
                self.result = stop.value
                break
            left -= 1
            if turnstile.wanted and time.monotonic() > end:
                break
        return left

    def _save(self, result: AttackResult) -> None:
        assert self._spec is not None
        try:
            store().add(self._spec, self.request, result)
        except (OSError, sqlite3.Error) as error:
            log.exception("An attack could not be stored")
            self.unsaved = f"This attack could not be stored, and will be gone when the app ends: {error}"

    def _start(self, loaded: LoadedModel) -> Attack:
        self._spec = loaded.spec
        from lab.runs.launch import launch  # imports torch

        return launch(self.request, loaded, self._picture, kept=self._kept, should_stop=self._cancelled.is_set)
