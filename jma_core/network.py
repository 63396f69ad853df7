"""A classifier and its derivatives, with every pass through it counted.

Passes are counted by hooks inside the autograd graph rather than by the callers: whoever takes a gradient through
``Network`` is counted, one backward pass for each gradient row, vmapped or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from jma_core.records import Halt, StopReason

Classifier = Callable[[Tensor], Tensor]
MIB = 2**20


def never() -> bool:
    """The default ``should_stop``."""
    return False


class Network:
    """A classifier f from images (N, C, H, W) in [0, 1] to logits (N, n), used on one image at a time.

    ``memory`` (bytes) bounds what a chunk of vmapped gradient rows may hold at once. A row needs at most what the
    forward pass saved for it, which the first pass measures; a chunk is the number of such rows that fits, and at
    least one. Running out of memory all the same halves the chunk for good.
    """

    def __init__(self, f: Classifier, *, memory: int = 256 * MIB, should_stop: Callable[[], bool] = never) -> None:
        self._f = f
        self._memory = memory
        self._should_stop = should_stop
        self.chunk: int | None = None
        self.forward = 0
        self.backward = 0

    def check_stop(self) -> None:
        """Raises Halt when the caller wants to stop."""
        if self._should_stop():
            raise Halt(StopReason.STOPPED, "Stopped on request.")

    def logits(self, x: Tensor) -> Tensor:
        """f(x) for one image (C, H, W): (n,), without a graph. Raises Halt when a logit is not finite."""
        with torch.no_grad():
            return self._checked(self._call(x[None]))

    def differentiate(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """f(x) (n,) and the function that pulls cotangents (k, n) back to gradient rows (k, m) on the CPU.

        Row i is ``cotangents[i] @ df/dx``. Rows raise Halt when they are not finite, when memory runs out with one row
        at a time, and, between chunks, when ``should_stop`` says so.
        """
        if self.chunk is None:
            self.chunk = max(1, self._memory // self._saved_bytes(x))
        z, pull = torch.func.vjp(self._call, x[None])[:2]

        def rows(cotangents: Tensor) -> Tensor:
            return self._rows(pull, cotangents.to(z)[:, None], x.numel())

        return self._checked(z), rows

    def push(self, x: Tensor, delta: Tensor) -> Tensor:
        """J delta (n,) for a perturbation (C, H, W), by one forward-mode derivative."""
        with torch.no_grad(), _plain_attention():
            displacement = torch.func.jvp(self._call, (x[None],), (delta[None],))[1]
        return self._checked(displacement)

    def _call(self, batch: Tensor) -> Tensor:
        self.forward += len(batch)
        try:
            z = self._f(batch)
        except RuntimeError as error:
            if _is_out_of_memory(error):
                raise Halt(StopReason.OUT_OF_MEMORY, "The network does not fit into memory at this size.") from error
            raise
        if z.ndim != 2 or len(z) != len(batch):
            raise ValueError(f"expected logits (N, n) for images {tuple(batch.shape)}, got shape {tuple(z.shape)}")
        counted: Tensor = _CountOutput.apply(z, self)
        return counted

    def _checked(self, z: Tensor) -> Tensor:
        if not bool(z.isfinite().all()):
            raise Halt(StopReason.NOT_FINITE, "The network gave logits or derivatives that are not finite numbers.")
        return z[0].detach()

    def _saved_bytes(self, x: Tensor) -> int:
        saved = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal saved
            saved += tensor.numel() * tensor.element_size()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor), torch.enable_grad():
            self._call(x[None].requires_grad_())
        return max(saved, x.numel() * x.element_size())  # at least the row itself

    def _rows(self, pull: Callable[[Tensor], Any], cotangents: Tensor, pixels: int) -> Tensor:
        try:
            rows = torch.empty(len(cotangents), pixels, dtype=cotangents.dtype)
        except RuntimeError as error:
            detail = f"{len(cotangents)} gradient rows do not fit into memory: use lazy rows or a smaller image."
            raise Halt(StopReason.OUT_OF_MEMORY, detail) from error
        done = 0
        while done < len(cotangents):
            self.check_stop()
            assert self.chunk is not None
            part = cotangents[done : done + self.chunk]
            try:
                # A single row goes without vmap, which on the CPU would make it slower.
                gradient = torch.func.vmap(pull)(part)[0] if len(part) > 1 else pull(part[0])[0]
                rows[done : done + len(part)] = gradient.detach().reshape(len(part), -1)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                if self.chunk == 1:
                    detail = "One gradient row does not fit into memory: use a smaller image or network."
                    raise Halt(StopReason.OUT_OF_MEMORY, detail) from error
                self.chunk //= 2
                continue
            done += len(part)
        if not bool(rows.isfinite().all()):
            raise Halt(StopReason.NOT_FINITE, "The network has gradients that are not finite numbers.")
        return rows


@contextmanager
def _plain_attention() -> Iterator[None]:
    """torch's fused attentions have no forward-mode derivative: do without them."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _is_out_of_memory(error: RuntimeError) -> bool:
    said = str(error)  # CUDA has a class for it, the CPU and MPS only words
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in said or "out of memory" in said


class _CountOutput(torch.autograd.Function):
    """Identity on the logits; counts a forward pass for every tangent, a backward pass for every cotangent."""

    @staticmethod
    def forward(z: Tensor, network: Network) -> Tensor:
        return z.view_as(z)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Network], output: Tensor) -> None:
        ctx.network = inputs[1]

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor, None]:
        counted: Tensor = _CountCotangent.apply(cotangents[0], ctx.network)
        return counted, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        ctx.network.forward += len(tangents[0])
        tangent: Tensor = tangents[0].view_as(tangents[0])
        return tangent


class _CountCotangent(torch.autograd.Function):
    """Identity on cotangents (N, n), or on a vmapped batch of them, whose true size only the vmap rule sees."""

    @staticmethod
    def forward(cotangent: Tensor, network: Network) -> Tensor:
        network.backward += len(cotangent)
        return cotangent.view_as(cotangent)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Network], output: Tensor) -> None:
        pass

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None], cotangent: Tensor, network: Network) -> tuple[Tensor, int]:
        network.backward += info.batch_size
        return cotangent.view_as(cotangent), in_dims[0]
