"""Loading and running models behind the page: torch is imported in a thread, and one attack runs at a time.

A page may be drawn before torch is there; whoever needs a network asks ``models()`` and shows ``status`` meanwhile.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from jma_core.geometry import geometry, land
from models.cards import ModelSpec
from models.registry import DEFAULT, MODELS
from ui.request import Measured, Target

if TYPE_CHECKING:
    from torch import Tensor

    from models.loaders import LoadedModel


MAX_ADDED = 8
"""Models that may be added to those that ship."""
HEAD_START = 2.0
"""Seconds that the first page has for itself: drawn while torch is imported, it would take half as long again."""


class ModelPool:
    """The zoo's models, each loaded once, in a thread, and shared by all sessions: frozen and in eval mode."""

    def __init__(self) -> None:
        self.specs: dict[str, ModelSpec] = dict(MODELS)
        """The models on offer, by name: those that ship, and those that were added since the server started."""
        self.progress: dict[str, tuple[int, int]] = {}
        """Bytes here and bytes in all, of models that are being downloaded."""
        self._loader = ThreadPoolExecutor(thread_name_prefix="load-model")
        self._models: dict[str, Future[LoadedModel]] = {}
        self._lock = threading.Lock()

    def add(self, spec: ModelSpec) -> None:
        """Offer one more model, to all sessions. Of more than MAX_ADDED the oldest goes."""
        with self._lock:
            self._models.pop(spec.name, None)
            self.specs[spec.name] = spec
        for name in [name for name in self.specs if name not in MODELS][:-MAX_ADDED]:
            self.remove(name)

    def remove(self, name: str) -> None:
        """Offer a model no longer, and let go of it."""
        with self._lock:
            self.specs.pop(name, None)
            self._models.pop(name, None)

    def request(self, name: str) -> Future[LoadedModel]:
        """The model's future; starts loading on the first request. A failure stays until ``retry``."""
        with self._lock:
            if name not in self.specs:
                gone: Future[LoadedModel] = Future()
                gone.set_exception(LookupError("It was removed. Choose another one."))
                return gone
            if name not in self._models:
                self._models[name] = self._loader.submit(self._load, self.specs[name])
            return self._models[name]

    def retry(self, name: str) -> None:
        """Forget that a model could not be loaded, so that the next request tries again."""
        with self._lock:
            if name in self._models and self._models[name].done() and self._models[name].exception():
                del self._models[name]

    def ready(self, name: str) -> bool:
        """Whether the model is loaded."""
        future = self.request(name)
        return future.done() and future.exception() is None

    def problem(self, name: str) -> str:
        """Why the model could not be loaded; empty while it loads, and if all went well."""
        future = self.request(name)
        error = future.exception() if future.done() else None
        return str(error) if error else ""

    def _load(self, spec: ModelSpec) -> LoadedModel:
        if "torch" not in sys.modules:
            time.sleep(HEAD_START)
            _import_torch()
        from models.loaders import best_device, load

        return load(spec, best_device(), progress=lambda done, total: self.progress.update({spec.name: (done, total)}))


def _import_torch() -> None:
    """With all that the loaders need. Its 400,000 objects are not searched for garbage: not as they come, nor later."""
    gc.disable()
    try:
        import models.loaders  # noqa: F401
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@st.cache_resource
def models() -> ModelPool:
    """The pool of this server; the default model starts loading with it."""
    pool = ModelPool()
    pool.request(DEFAULT)
    return pool


@dataclass(frozen=True)
class Prediction:
    """What a model says of one picture: logits (n,) and the decoder's answer."""

    logits: NDArray[np.floating]
    decoded: NDArray[Any]


@st.cache_data(max_entries=256, show_spinner=False)
def predict(model: str, digest: str, _picture: NDArray[np.uint8]) -> Prediction:
    """Read a picture (H, W, 3) with a model that has been loaded. Cached by the picture's sha256, ``digest``."""
    import torch

    from models.loaders import to_tensor

    loaded = models().request(model).result()
    with torch.no_grad():
        z = loaded.network(to_tensor(_picture, loaded.device)[None])[0]
    return Prediction(z.cpu().numpy(), loaded.encoding.decode(z).cpu().numpy())


in_background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="measure").submit
"""Measure something in a thread, one thing after another, and give its future."""


@st.cache_resource(max_entries=16)
def measuring(model: str, digest: str, target: Target, _picture: NDArray[np.uint8]) -> Future[Measured]:
    """The geometry of a target at a picture (H, W, 3), measured in a thread; its result may raise Halt."""
    return in_background(_measure, model, target, _picture)


def _measure(model: str, target: Target, picture: NDArray[np.uint8]) -> Measured:
    loaded = models().request(model).result()
    from models.loaders import to_tensor

    return measure(loaded, to_tensor(picture, loaded.device), target)


def measure(loaded: LoadedModel, x: Tensor, target: Target) -> Measured:
    """The geometry of a target at an image (3, H, W). Raises Halt when there is none."""
    from jma_core import Network

    network = Network(loaded.network)
    space = geometry(network, x, loaded.encoding.constraints(target))
    nearest, cheapest = (
        land(network, x, loaded.encoding, target, point.delta) for point in (space.nearest, space.cheapest)
    )
    return Measured(space, nearest, cheapest)


class Turnstile:
    """Lets one ticket through at a time, in order of arrival: attacks of several sessions never interleave."""

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

    def ahead(self, ticket: object) -> int:
        """How many tickets go before this one; 0 when it is its turn or it is not waiting."""
        with self._moved:
            return self._queue.index(ticket) if ticket in self._queue else 0


turnstile = Turnstile()
