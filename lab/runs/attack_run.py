"""One attack of one session, advanced in a thread, so that pages stay alive and a run outlives a page change."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from concurrent.futures import wait
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jma_core.records import AttackResult, Step, Thinned
from ui.backend import models, turnstile
from ui.remaining import remaining
from ui.request import Request
from ui.store import store

if TYPE_CHECKING:
    from jma_core.attacks.trail import Attack
    from models.cards import ModelSpec
    from models.loaders import LoadedModel

log = logging.getLogger(__name__)
MEMORY = 160 * 2**20
"""Bytes of images that the steps of one attack may hold: 278 steps of 224 x 224 pixels."""


class AttackRun:
    """The attack that answers one request: its ``steps`` so far, and the ``result`` once it has ended.

    ``go`` and ``pause`` may be called at any time and from any page; a second ``go`` while it runs does nothing.
    """

    def __init__(self, request: Request, picture: NDArray[np.uint8]) -> None:
        self.request = request
        self.result: AttackResult | None = None
        self.error = ""
        self.unsaved = ""
        """Why it is not among the stored runs although it has ended, for people."""
        self._spec: ModelSpec | None = None
        self._picture = picture
        self._kept = max(2, MEMORY // (4 * max(1, picture.size)))
        self._taken = Thinned(self._kept)
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
    def ended(self) -> bool:
        """Whether there is nothing left to do."""
        return self.result is not None or bool(self.error)

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
            return f"Waiting for {ahead} other attack{'s' * (ahead > 1)} on this computer to finish."
        if not models().request(self.request.model).done():
            return "Waiting for the network to load."
        if self._pause.is_set():
            return "Finishing this iteration."
        now = f"Running: iteration {self._taken.added + 1}."
        if not self._to_the_end:
            return now
        return f"{now} {remaining(self.request.settings, self.steps, time.monotonic() - self._stepped)}"

    def _paused(self) -> str:
        if not self._taken.added:
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

    def wait(self, seconds: float) -> None:
        """Until it halts or has ended, so long at most."""
        if self._thread:
            self._thread.join(seconds)

    def cancel(self) -> None:
        """End for good at the next check inside the attack, if it is running."""
        self._pause.set()
        self._cancelled.set()

    def _advance(self, steps: int | None) -> None:
        try:
            if loaded := self._network():
                with turnstile.turn(self, self._pause) as mine:
                    if mine:
                        self._drive(loaded, steps)
            if self.result and not self._cancelled.is_set():
                self._save(self.result)
        except Exception as error:  # a thread has nobody above it: tell the user, and the log
            log.exception("An attack broke off")
            self.error = f"The attack broke off: {error}"

    def _network(self) -> LoadedModel | None:
        """The network once it is there, which others need not wait for; None if paused before."""
        loading = models().request(self.request.model)
        while not self._pause.is_set():
            if wait([loading], timeout=0.1).done:
                return loading.result()
        return None

    def _drive(self, loaded: LoadedModel, steps: int | None) -> None:
        if self._attack is None:
            self._attack = self._start(loaded)
        while not self._pause.is_set() and (steps is None or steps > 0):
            self._stepped = time.monotonic()
            try:
                self._taken.add(next(self._attack))
            except StopIteration as end:
                self.result = end.value
                return
            steps = None if steps is None else steps - 1

    def _save(self, result: AttackResult) -> None:
        assert self._spec is not None
        try:
            store().add(self._spec, self.request, result)
        except (OSError, sqlite3.Error) as error:
            log.exception("An attack could not be stored")
            self.unsaved = f"This attack could not be stored, and will be gone when the app ends: {error}"

    def _start(self, loaded: LoadedModel) -> Attack:
        self._spec = loaded.spec
        from ui.launch import launch  # imports torch

        return launch(self.request, loaded, self._picture, kept=self._kept, should_stop=self._cancelled.is_set)
