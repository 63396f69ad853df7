"""Networks behind the page: torch is imported in a thread, and each model loaded once.

A page may be drawn before torch is there; whoever needs a network asks ``models()`` and shows ``status`` meanwhile.
"""

from __future__ import annotations

import gc
import logging
import sys
import textwrap
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from models.cards import ModelError, ModelSpec, said
from models.registry import DEFAULT, MODELS

if TYPE_CHECKING:
    from models.loaders import LoadedModel

log = logging.getLogger(__name__)
LONGEST_PROBLEM = 800
"""Characters."""
MAX_ADDED = 8
"""Models that may be added to those that ship."""
HEAD_START = 2.0
"""Seconds that the first page has for itself: drawn while torch is imported, it would take half as long again."""


class Removed(ModelError):
    """A model that was added is no longer there."""


class ModelPool:
    """The zoo's models, each loaded once, in a thread, and shared by all sessions: frozen and in eval mode."""

    def __init__(self) -> None:
        self.specs: dict[str, ModelSpec] = dict(MODELS)
        """The models on offer, by name: those that ship, and of those that were added the ones that were loaded."""
        self.added: dict[str, ModelSpec] = {}
        """All that were added since the server started, oldest first: also those that load, or could not be loaded."""
        self.progress: dict[str, tuple[int, int]] = {}
        """Bytes here and bytes in all, of models that are being downloaded."""
        self._loader = ThreadPoolExecutor(thread_name_prefix="load-model")
        self._models: dict[str, Future[LoadedModel]] = {}
        self._lock = threading.Lock()

    def add(self, spec: ModelSpec) -> None:
        """Load one more model, and offer it to all sessions once it is. Of more than MAX_ADDED the oldest goes."""
        self.remove(spec.name)
        with self._lock:
            self.added[spec.name] = spec
        for name in list(self.added)[:-MAX_ADDED]:
            self.remove(name)
        self.request(spec.name)

    def remove(self, name: str) -> None:
        """Offer a model no longer, and let go of it."""
        with self._lock:
            for kept in (self.added, self.specs, self.progress, self._models):
                kept.pop(name, None)

    def request(self, name: str) -> Future[LoadedModel]:
        """The model's future; starts loading on the first request. A failure stays until ``retry``."""
        with self._lock:
            spec = self.added.get(name) or self.specs.get(name)
            if spec is None:
                gone: Future[LoadedModel] = Future()
                gone.set_exception(Removed("It was removed. Choose another one."))
                return gone
            if name not in self._models:
                self._models[name] = self._loader.submit(self._offer, spec)
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
        """Why the model could not be loaded, in sentences; empty while it loads, and if all went well."""
        future = self.request(name)
        error = future.exception() if future.done() else None
        return explained(error) if error else ""

    def _offer(self, spec: ModelSpec) -> LoadedModel:
        try:
            loaded = self._load(spec)
        except ModelError:
            raise
        except Exception:
            log.exception("Loading %s failed", spec.name)
            raise
        with self._lock:
            if self.added.get(spec.name) is spec:  # nobody has removed it meanwhile
                self.specs[spec.name] = spec
        return loaded

    def _load(self, spec: ModelSpec) -> LoadedModel:
        if "torch" not in sys.modules:
            time.sleep(HEAD_START)
            _import_torch()
        from models.loaders import best_device, load

        return load(spec, best_device(), progress=lambda done, total: self.progress.update({spec.name: (done, total)}))


def explained(error: BaseException) -> str:
    """Why a model cannot be loaded, in sentences: those of its own errors; for others what they are, and what to do."""
    if isinstance(error, ModelError) and str(error):
        return textwrap.shorten(str(error), LONGEST_PROBLEM)
    kind, text = type(error).__name__, said(error)
    what = kind if text == kind else f"{kind}: {text}"
    return (
        f"Loading it failed in a way that was not foreseen ({what}). Try again; if that does not help, choose another "
        "model. The server's log has the details."
    )


def _import_torch() -> None:
    """With all that the loaders need. Its 400,000 objects are not searched for garbage: not as they come, nor later."""
    gc.disable()
    try:
        import models.loaders  # noqa: F401
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


_pool = ModelPool()


def models() -> ModelPool:
    """The pool of this server; the default model loads from the first call on."""
    _pool.request(DEFAULT)
    return _pool
