"""A classifier and its derivatives, with every pass through it counted.

Passes are counted by hooks inside the autograd graph rather than by the callers: whoever takes a gradient through
``Network`` is counted, one backward pass for each gradient row, vmapped or not. Only the networks that ``run_batch``
hands out count what they ask for themselves, since several share each pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from jma_core.records import Halt, StopReason

Classifier = Callable[[Tensor], Tensor]
Loss = Callable[[Tensor], Tensor]
"""Logits (n,) to a scalar."""
Rows = Callable[[Tensor], Tensor]
"""Cotangents (k, n) to gradient rows (k, m)."""
MIB = 2**20
NO_ROOM_FOR_A_ROW = "One gradient row does not fit into memory: use a smaller image or network."


def never() -> bool:
    """The default ``should_stop``."""
    return False


class Network:
    """A classifier f from images (N, C, H, W) in [0, 1] to logits (N, n).

    ``memory`` (bytes) bounds what a chunk of vmapped gradient rows may hold at once; by default half of what is free on
    a CUDA device, and 256 MiB elsewhere, where larger chunks are no faster. A row needs at most what the
    forward pass saved for it, which the first pass measures; a chunk is the number of such rows that fits, and at
    least one. Running out of memory all the same halves the chunk for good.
    """

    def __init__(self, f: Classifier, *, memory: int | None = None, should_stop: Callable[[], bool] = never) -> None:
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

    # One image at a time, as the attacks are written.

    def logits(self, x: Tensor) -> Tensor:
        """f(x) for one image (C, H, W): (n,), without a graph. Raises Halt when a logit is not finite."""
        with torch.no_grad():
            return finite(self.call(x[None])[0])

    def descend(self, x: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
        """f(x) (n,) and the gradient (C, H, W) of ``loss(f(x))``, a scalar: one pass each way, all on x's device.

        Raises Halt when the logits or the gradient are not finite.
        """
        z, gradients = self.gradients(x[None], [loss])
        return finite(z[0]), finite(gradients[0])

    def differentiate(self, x: Tensor) -> tuple[Tensor, Rows]:
        """f(x) (n,) and the function that pulls cotangents (k, n) back to gradient rows (k, m) on the CPU.

        Row i is ``cotangents[i] @ df/dx``. Rows raise Halt when they are not finite, when memory runs out with one row
        at a time, and, between chunks, when ``should_stop`` says so.
        """
        z, pull = self.pullback(x[None])

        def rows(cotangents: Tensor) -> Tensor:
            return finite(self.rows(pull, cotangents.to(z)[:, None], x.numel()))

        return finite(z[0]), rows

    def push(self, x: Tensor, delta: Tensor) -> Tensor:
        """J delta (n,) for a perturbation (C, H, W), by one forward-mode derivative. Raises Halt unless finite."""
        return finite(self.tangents(x[None], delta[None])[0])

    # Several images (N, C, H, W) at once: what the above are made of, and what ``run_batch`` needs.

    def call(self, images: Tensor) -> Tensor:
        """f(images) (N, n), counted. Raises ValueError for any other shape."""
        self.forward += len(images)
        with _halting("The network does not fit into memory at this size."):
            z = self._f(images)
        if z.ndim != 2 or len(z) != len(images):
            raise ValueError(f"expected logits (N, n) for images {tuple(images.shape)}, got shape {tuple(z.shape)}")
        counted: Tensor = _CountOutput.apply(z, self)
        return counted

    def gradients(self, images: Tensor, losses: Sequence[Loss]) -> tuple[Tensor, Tensor]:
        """f(images) and the gradients (N, C, H, W) of each image's loss."""
        with torch.enable_grad():
            images = images.detach().requires_grad_()
            z = self.call(images)
            total = torch.stack([loss(each) for loss, each in zip(losses, z, strict=True)]).sum()
            with _halting(NO_ROOM_FOR_A_ROW):
                (gradients,) = torch.autograd.grad(total, images)
        return z.detach(), gradients

    def tangents(self, images: Tensor, deltas: Tensor) -> Tensor:
        """J delta (N, n), each at its own image."""
        with torch.no_grad(), _plain_attention():
            pushed: Tensor = torch.func.jvp(self.call, (images,), (deltas,))[1]
        return pushed

    def pullback(self, images: Tensor) -> tuple[Tensor, Callable[[Tensor], Any]]:
        """f(images), and the function from cotangents (N, n) to gradients, in a tuple."""
        self.measure(images[:1])
        z, pull = torch.func.vjp(self.call, images)[:2]
        return z.detach(), pull

    def rows(self, pull: Callable[[Tensor], Any], cotangents: Tensor, pixels: int) -> Tensor:
        """Cotangents (k, N, n) pulled back, a chunk of the k at a time: (k, pixels) on the CPU, pixels = N C H W."""
        with _halting(f"{len(cotangents)} gradient rows do not fit into memory: use lazy rows or a smaller image."):
            rows = torch.empty(len(cotangents), pixels, dtype=cotangents.dtype)
        done = 0
        while done < len(cotangents):
            self.check_stop()
            assert self.chunk is not None
            part = cotangents[done : done + max(1, self.chunk // cotangents.shape[1])]
            try:
                # A single row goes without vmap, which on the CPU would make it slower.
                gradient = torch.func.vmap(pull)(part)[0] if len(part) > 1 else pull(part[0])[0]
                rows[done : done + len(part)] = gradient.detach().reshape(len(part), -1)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                if len(part) == 1:
                    raise Halt(StopReason.OUT_OF_MEMORY, NO_ROOM_FOR_A_ROW) from error
                self.chunk //= 2
                continue
            done += len(part)
        return rows

    def measure(self, image: Tensor) -> int:
        """The chunk: how many images (1, C, H, W), or gradient rows of one, fit into memory. Measured once."""
        if self.chunk is None:
            saved = self._saved_bytes(image)
            self.chunk = max(1, (_spare(image.device) if self._memory is None else self._memory) // saved)
        return self.chunk

    def _saved_bytes(self, image: Tensor) -> int:
        saved = 0

        def count(tensor: Tensor) -> None:  # a graph that held its own outputs would never be freed
            nonlocal saved
            saved += tensor.numel() * tensor.element_size()

        with torch.autograd.graph.saved_tensors_hooks(count, lambda nothing: nothing), torch.enable_grad():
            self.call(image.detach().requires_grad_())
        return max(saved, image.numel() * image.element_size())  # at least the row itself


def lowered(f: Classifier, precision: torch.dtype) -> Classifier:
    """f under autocast: float16 or bfloat16 wherever torch holds that to be safe. Logits keep the images' dtype.

    Gradients come back in the images' dtype as well; the dual is solved in float64 as ever. Float16 loses gradients
    below 6e-8, bfloat16 none, but three digits of the logits; success is judged on these logits.
    """

    def lower(images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, precision):
            return f(images).to(images.dtype)

    return lower


def _spare(device: torch.device) -> int:
    free: int = torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else 256 * MIB
    return free


def finite(numbers: Tensor) -> Tensor:
    """The same, detached. Raises Halt unless all of them are finite."""
    if float((0 * numbers).sum()) != 0:  # 0 * inf and 0 * nan are nan; ten times as fast as isfinite
        raise Halt(StopReason.NOT_FINITE, "The network gave logits or derivatives that are not finite numbers.")
    return numbers.detach()


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


@contextmanager
def _halting(detail: str) -> Iterator[None]:
    """Make a lack of memory a Halt."""
    try:
        yield
    except RuntimeError as error:
        if _is_out_of_memory(error):
            raise Halt(StopReason.OUT_OF_MEMORY, detail) from error
        raise


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
