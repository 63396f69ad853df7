"""Attacks that run one after another, whichever page is shown meanwhile, and are then stored as one comparison."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Sequence

from lab.comparison import Contender
from lab.runs.attack_run import AttackRun
from lab.store import store
from models.cards import ModelSpec

log = logging.getLogger(__name__)


class Relay:
    """Runs attacks to their ends in a thread, each when the one before has ended, from the first moment on.

    Whoever pauses the one that runs ends the relay; the others stay as they are. In the end what has ended is stored,
    together with those that had ended before it began.
    """

    def __init__(self, spec: ModelSpec, entrants: Sequence[AttackRun | Contender]) -> None:
        self.unsaved = ""
        """Why there is no stored comparison although attacks have ended, for people."""
        self._spec = spec
        self._entrants = tuple(entrants)
        self._runs = [each for each in entrants if not isinstance(each, Contender)]
        self._stopped = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="relay", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether there is one that runs, or is about to."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Halt the one that runs after the iteration in progress, and begin no other."""
        with self._lock:
            self._stopped = True
            for run in self._runs:
                run.pause()

    def wait(self, seconds: float) -> None:
        """Until it has come to its end, so long at most."""
        self._thread.join(seconds)

    def _work(self) -> None:
        self._run()
        ended = [each for each in map(_ended, self._entrants) if each]
        if not any(map(_ended, self._runs)):
            return
        try:
            store().add_comparison(self._spec, ended)
        except (OSError, sqlite3.Error) as error:
            log.exception("A comparison could not be stored")
            self.unsaved = f"This comparison could not be stored, and will be gone when the app ends: {error}"

    def _run(self) -> None:
        for run in self._runs:
            with self._lock:
                if self._stopped:
                    return
                run.go()
            run.wait()
            if not run.ended:
                return


def _ended(entrant: AttackRun | Contender) -> Contender | None:
    if isinstance(entrant, Contender):
        return entrant
    return Contender(entrant.request, entrant.outcome) if entrant.outcome else None
