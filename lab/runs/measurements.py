"""What the pages measure of networks, in a thread of its own, and keep."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from jma_core.records import Halt
from lab.request import Measured
from lab.runs.pool import models
from models.encodings import Target

Outcome = TypeVar("Outcome")


class Measurements:
    """What is measured in a thread, one thing after another, for all sessions; the last ``most`` are kept.

    A failure is told to those who have asked, and never kept: who asks next has it measured anew.
    """

    def __init__(self, most: int = 16) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="measure")
        self._most = most
        self._asked: OrderedDict[Hashable, Future[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def ask(self, key: Hashable, work: Callable[[], Outcome]) -> Future[Outcome]:
        """The future of some work, begun if nobody has asked for this key before."""
        with self._lock:
            asked = self._asked.get(key)
            if asked is None or (asked.done() and failed(asked)):
                asked = self._asked[key] = self._pool.submit(work)
            self._asked.move_to_end(key)
            while len(self._asked) > self._most:
                self._asked.popitem(last=False)
        return asked


def failed(done: Future[Any]) -> BaseException | None:
    """What went wrong, if anything; that there is nothing to measure is an answer."""
    problem = done.exception()
    return None if isinstance(problem, Halt) else problem


measurements = Measurements()


def measuring(model: str, digest: str, target: Target, picture: NDArray[np.uint8]) -> Future[Measured]:
    """The geometry of a target at a picture (H, W, 3), measured in a thread; its result may raise Halt."""
    return measurements.ask(("geometry", model, digest, target), lambda: _measure(model, target, picture))


def _measure(model: str, target: Target, picture: NDArray[np.uint8]) -> Measured:
    loaded = models().request(model).result()
    from lab.probes import measure  # imports torch, as that does
    from models.loaders import to_tensor

    return measure(loaded, to_tensor(picture, loaded.device), target)
