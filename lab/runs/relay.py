"""Attacks that run one after another, whichever page is shown meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from lab.runs.attack_run import AttackRun


class Relay:
    """Runs attacks to their ends in a thread, each when the one before has ended, from the first moment on.

    Whoever pauses the one that runs ends the relay; the others stay as they are.
    """

    def __init__(self, runs: Sequence[AttackRun]) -> None:
        self._runs = tuple(runs)
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
        for run in self._runs:
            with self._lock:
                if self._stopped:
                    return
                run.go()
            run.wait()
            if not run.ended:
                return
