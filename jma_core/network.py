"""A classifier and its derivatives, with every pass through it counted.

Passes are counted by hooks inside the autograd graph rather than by the callers: whoever takes a gradient through
``Network`` is counted, one backward pass for each gradient row, vmapped or not. Only the networks that ``run_batch``
hands out count what they ask for themselves, since several share each pass.

Attacks may run in several threads, also on one classifier, and each gives the bits that it gives alone: nothing here
changes what torch keeps for the whole process, and the one thing of that kind that is used, forward-mode derivatives,
is used by one thread at a time. A ``Network`` itself belongs to one thread. Bits do depend on the number of threads
that torch has (``OMP_NUM_THREADS``), and on CUDA on the free memory unless ``memory`` is given.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from threading import RLock
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from jma_core.records import Halt, StopReason

Classifier = Callable[[Tensor], Tensor]
Loss = Callable[[Tensor], Tensor]
"""Logits (n,), or logits and features (n + k,), to a scalar."""
Rows = Callable[[Tensor], Tensor]
"""Cotangents (k, n) to gradient rows (k, m)."""
MIB = 2**20
FORWARD_MODE = RLock()
"""Held around every forward-mode derivative: torch has one level of them for the whole process."""
AUTOCAST = "cpu", "cuda", "mps", "xpu"
"""Kinds of devices that have an autocast."""
INFERENCE_WEIGHTS = "The network's weights were made in inference_mode, which bars gradients: load it outside of that."
NO_ROOM_FOR_A_ROW = "One gradient row does not fit into memory: use a smaller image or network."


def never() -> bool:
    """The default ``should_stop``."""
    return False


class Network:
    """A classifier f from images (N, C, H, W) in [0, 1] to logits (N, n).

    f sees copies, so that it may work in place, and its logits are copied, in the images' dtype. What the caller has
    set for his own work, such as ``inference_mode``, ``no_grad`` or autocast, touches nothing here, but autocast
    applies to f. A network that torch cannot differentiate in forward mode is differentiated by finite differences,
    and one whose backward pass vmap refuses gives its gradient rows one by one.

    ``memory`` (bytes) bounds what a chunk of vmapped gradient rows may hold at once; by default half of what is free on
    a CUDA device, and 256 MiB elsewhere, where larger chunks are no faster. A row needs at most what the
    forward pass saved for it, which the first pass measures; a chunk is the number of such rows that fits, and at
    least one. Running out of memory all the same halves the chunk for good.

    Where a ``layer`` can be named, an inner module of f as ``named_modules`` has it, or the end of such a name that no
    other has, the k features that it gives come after the logits of the same pass: (N, n + k).

    Raises ValueError for a network in train mode, as far as f shows the modules that it is made of.
    """

    def __init__(self, f: Classifier, *, memory: int | None = None, should_stop: Callable[[], bool] = never) -> None:
        self._f = in_eval_mode(f)
        self._memory = memory
        self._should_stop = should_stop
        self._tapped: dict[str, Classifier] = {"": self._f}
        self._autocasts: list[torch.autocast] | None = None
        self._pushes_forward: bool | None = None
        self._maps_rows = True
        self._eps = 0.0  # of the logits as f gives them
        self.chunk: int | None = None
        self.forward = 0
        self.backward = 0

    def last_layer(self) -> nn.Linear | None:
        """The last linear layer, in the order of declaration, of the modules that f shows; None without any."""
        layers = [each for network in _modules(self._f) for each in network.modules() if isinstance(each, nn.Linear)]
        return layers[-1] if layers else None

    def check_stop(self) -> None:
        """Raises Halt when the caller wants to stop."""
        if self._should_stop():
            raise Halt(StopReason.STOPPED, "Stopped on request.")

    def room(self) -> AbstractContextManager[None]:
        """Where arithmetic is what it is by default, whatever the caller has set; f alone sees his autocast."""
        return nullcontext() if self._autocasts is not None else self._room()

    @contextmanager
    def _room(self) -> Iterator[None]:
        kinds = [kind for kind in AUTOCAST if torch.is_autocast_enabled(kind)]
        with ExitStack() as room:
            room.enter_context(torch.inference_mode(False))
            room.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
            found = [torch.autocast(kind, torch.get_autocast_dtype(kind), cache_enabled=False) for kind in kinds]
            for kind in kinds:
                room.enter_context(torch.autocast(kind, enabled=False))
            self._autocasts = found
            try:
                yield
            finally:
                self._autocasts = None

    # One image at a time, as the attacks are written.

    def logits(self, x: Tensor, layer: str = "") -> Tensor:
        """f(x) for one image (C, H, W): (n,), without a graph. Raises Halt when a logit is not finite."""
        with self.room(), torch.no_grad():
            return finite(self.call(x[None], layer)[0])

    def descend(self, x: Tensor, loss: Loss, layer: str = "") -> tuple[Tensor, Tensor]:
        """f(x) (n,) and the gradient (C, H, W) of ``loss(f(x))``, a scalar: one pass each way, all on x's device.

        Raises Halt when the logits or the gradient are not finite.
        """
        z, gradients = self.gradients(x[None], [loss], layer)
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
        """J delta (n,) for a perturbation (C, H, W): see ``tangents``. Raises Halt unless finite."""
        return finite(self.tangents(x[None], delta[None])[0])

    # Several images (N, C, H, W) at once: what the above are made of, and what ``run_batch`` needs.

    def call(self, images: Tensor, layer: str = "") -> Tensor:
        """f(images) (N, n), counted. Raises ValueError for anything else that f returns."""
        if layer not in self._tapped:
            self._tapped[layer] = _tapped(self._f, layer)
        self.forward += len(images)
        with ExitStack() as outside, _halting("The network does not fit into memory at this size."):
            for autocast in self._autocasts or ():
                outside.enter_context(autocast)
            z = self._tapped[layer](images.clone())
        z = _checked(z, images)
        self._eps = max(torch.finfo(dtype).eps for dtype in (z.dtype, images.dtype))
        counted: Tensor = _CountOutput.apply(z.to(images, copy=True), self)
        return counted

    def gradients(self, images: Tensor, losses: Sequence[Loss], layer: str = "") -> tuple[Tensor, Tensor]:
        """f(images) and the gradients (N, C, H, W) of each image's loss."""
        with self.room(), torch.enable_grad():
            images = _leaf(images)
            z = self.call(images, layer)
            total = torch.stack([loss(each) for loss, each in zip(losses, z, strict=True)]).sum()
            with _halting(NO_ROOM_FOR_A_ROW):
                return z.detach(), _pulled(total, images, torch.ones_like(total))

    def tangents(self, images: Tensor, deltas: Tensor) -> Tensor:
        """J delta (N, n), each at its own image, for two passes each.

        By a forward-mode derivative; or, where an operation of the network has none, by a central difference over an L2
        length of eps^(1/3), 0.005 in float32, whose relative error on a smooth network is of the order of eps^(2/3).
        """
        with self.room(), torch.no_grad():
            if self._pushes_forward is not False:
                try:
                    return self._derivatives(images, deltas)
                except NotImplementedError as error:
                    if not _lacks_forward_mode(error):
                        raise
                    self._pushes_forward = False
            return self._differences(images, deltas)

    def _derivatives(self, images: Tensor, deltas: Tensor) -> Tensor:
        # The first makes a graph as well: torch's custom operators say only then that they have no derivative.
        first = self._pushes_forward is None
        with torch.set_grad_enabled(first), FORWARD_MODE, _PlainAttention(), forward_ad.dual_level():
            dual = forward_ad.make_dual(images.clone().requires_grad_(first), deltas.clone())  # type: ignore[no-untyped-call]
            z, tangents = forward_ad.unpack_dual(self.call(dual))  # type: ignore[no-untyped-call]
        self._pushes_forward = True
        return torch.zeros_like(z) if tangents is None else tangents.detach()

    def _differences(self, images: Tensor, deltas: Tensor) -> Tensor:
        if not self._eps:
            self.call(images)  # which tells it
        lengths = torch.linalg.vector_norm(deltas.flatten(1), dim=1).clamp_min(torch.finfo(deltas.dtype).tiny)
        scales = self._eps ** (1 / 3) / lengths
        steps = scales[:, None, None, None] * deltas
        ahead, behind = self.call(torch.cat([images + steps, images - steps])).chunk(2)
        slopes: Tensor = (ahead - behind) / (2 * scales[:, None])
        return slopes

    def pullback(self, images: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """f(images), and the function from cotangents (N, n) to gradients (N, C, H, W)."""
        self.measure(images[:1])
        with self.room(), torch.enable_grad():
            images = _leaf(images)
            z = self.call(images)
        return z.detach(), partial(_pulled, z, images)

    def rows(self, pull: Callable[[Tensor], Tensor], cotangents: Tensor, pixels: int) -> Tensor:
        """Cotangents (k, N, n) pulled back, a chunk of the k at a time: (k, pixels) on the CPU, pixels = N C H W."""
        too_many = f"{len(cotangents)} gradient rows do not fit into memory: use lazy rows or a smaller image."
        with self.room(), _halting(too_many):
            rows = torch.empty(len(cotangents), pixels, dtype=cotangents.dtype, device="cpu")
        done = 0
        while done < len(cotangents):
            self.check_stop()
            assert self.chunk is not None
            size = max(1, self.chunk // cotangents.shape[1]) if self._maps_rows else 1
            part = cotangents[done : done + size]
            try:
                # A single row goes without vmap, which on the CPU would make it slower.
                with self.room():
                    gradient = torch.func.vmap(pull)(part) if len(part) > 1 else pull(part[0])
                    rows[done : done + len(part)] = gradient.reshape(len(part), -1)
            except RuntimeError as error:
                if _is_out_of_memory(error):
                    if len(part) == 1:
                        raise Halt(StopReason.OUT_OF_MEMORY, NO_ROOM_FOR_A_ROW) from error
                    self.chunk //= 2
                elif len(part) > 1:
                    self._maps_rows = False  # if it was not vmap that failed, the first row alone will fail as well
                else:
                    raise
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

        hooks = torch.autograd.graph.saved_tensors_hooks(count, lambda nothing: nothing)
        with self.room(), hooks, torch.enable_grad():
            self.call(_leaf(image))
        return max(saved, image.numel() * image.element_size())  # at least the row itself


def lowered(f: Classifier, precision: torch.dtype) -> Classifier:
    """f under autocast: float16 or bfloat16 wherever torch holds that to be safe. Logits keep the images' dtype.

    Gradients come back in the images' dtype as well; the dual is solved in float64 as ever. Float16 loses gradients
    below 6e-8, bfloat16 none, but three digits of the logits; success is judged on these logits. Raises ValueError for
    a network in train mode.
    """
    in_eval_mode(f)

    def lower(images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, precision):
            return f(images).to(images.dtype)

    return lower


def in_eval_mode(f: Classifier) -> Classifier:
    """The same. Raises ValueError when a module that f is, or calls by name, is in train mode."""
    for network in _modules(f):
        for name, module in network.named_modules():
            if module.training:
                where = f"its {name!r} is" if name else "it is"
                expected = f"expected a network in eval mode, got {type(network).__name__}, and {where} in train mode"
                raise ValueError(f"{expected}, where outputs depend on chance or on the batch: call its eval() first")
    return f


def _modules(f: Any) -> list[nn.Module]:
    """The modules that f is or belongs to, and those that a function names or an object holds."""
    if isinstance(f, nn.Module):
        return [f]
    if isinstance(f, partial):
        return [module for part in (f.func, *f.args, *f.keywords.values()) for module in _modules(part)]
    if inspect.ismethod(f):
        return _modules(f.__self__)
    if inspect.isfunction(f):
        names = inspect.getclosurevars(f)
        held = [*names.nonlocals.values(), *names.globals.values()]
    else:
        held = list(getattr(f, "__dict__", {}).values())
    return [each for each in held if isinstance(each, nn.Module)]


def _tapped(f: Classifier, layer: str) -> Classifier:
    """f with the features of an inner layer behind its logits. Raises ValueError if f shows no such module."""
    if not isinstance(f, nn.Module):
        raise ValueError(f"expected a torch module, one of whose modules is {layer!r}, got {type(f).__name__}")  # noqa: TRY004
    known = dict(f.named_modules())
    fits = [layer] if layer in known else [name for name in known if name.endswith(f".{layer}")]
    if len(fits) != 1:
        inner = ", ".join(filter(None, known))
        raise ValueError(f"expected the name of one of the network's modules ({inner}), got {layer!r}")
    shared = {id(each): each for each in (*f.parameters(), *f.buffers())}
    own = copy.deepcopy(f, shared)  # of all but the weights: other threads do not pass its hook
    given: list[Any] = []
    own.get_submodule(fits[0]).register_forward_hook(lambda module, images, features: given.append(features))

    def tapped(images: Tensor) -> Tensor:
        given.clear()
        z = _checked(own(images), images)
        features = given[-1] if given else None
        if not isinstance(features, Tensor) or len(features) != len(images):
            raise ValueError(f"expected a layer that gives a tensor for each image, got {fits[0]!r}")
        return torch.cat([z, features.flatten(1)], 1)

    return tapped


def _checked(z: Any, images: Tensor) -> Tensor:
    """What f returned, if it is logits of these images."""
    if isinstance(z, Tensor) and z.is_floating_point() and z.ndim == 2 and len(z) == len(images):
        return z
    if isinstance(z, Tensor):
        got = f"shape {tuple(z.shape)} of {z.dtype}" + ("" if z.is_floating_point() else ", which are no floats")
    else:
        got = f"{type(z).__name__}, no tensor: attack a function that returns the logits alone"
    raise ValueError(f"expected logits (N, n) for images {tuple(images.shape)}, got {got}")


def _leaf(images: Tensor) -> Tensor:
    return images.detach().clone().requires_grad_()


def _pulled(outputs: Tensor, images: Tensor, cotangents: Tensor) -> Tensor:
    """The cotangents pulled back to the images: zero where the outputs do not depend on them."""
    if not outputs.requires_grad:
        return torch.zeros_like(images, requires_grad=False)
    (gradients,) = torch.autograd.grad(outputs, images, cotangents, retain_graph=True, materialize_grads=True)
    return gradients


def _spare(device: torch.device) -> int:
    free: int = torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else 256 * MIB
    return free


def finite(numbers: Tensor) -> Tensor:
    """The same, detached. Raises Halt unless all of them are finite."""
    if float((0 * numbers).sum()) != 0:  # 0 * inf and 0 * nan are nan; ten times as fast as isfinite
        raise Halt(StopReason.NOT_FINITE, "The network gave logits or derivatives that are not finite numbers.")
    return numbers.detach()


class _PlainAttention(TorchFunctionMode):
    """torch's fused attentions have no forward-mode derivative: does without them, in this thread alone.

    That such a mode is in force keeps torch's modules off their fast paths as well.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            return _attention(*args, **kwargs)
        if func is functional.multi_head_attention_forward and kwargs.get("need_weights") is False:
            return func(*args, **{**kwargs, "need_weights": True})[0], None
        return func(*args, **kwargs)


def _attention(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
    """torch's attention by elementary operations."""
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.zeros_like(attn_mask, dtype=q.dtype).masked_fill(~attn_mask, -torch.inf)
    attended: Tensor = torch.ops.aten._scaled_dot_product_attention_math(q, k, v, attn_mask, *args, **kwargs)[0]
    return attended


@contextmanager
def _halting(detail: str) -> Iterator[None]:
    """Make a lack of memory a Halt, and weights that let no gradient through."""
    try:
        yield
    except RuntimeError as error:
        if _is_out_of_memory(error):
            raise Halt(StopReason.OUT_OF_MEMORY, detail) from error
        if str(error).startswith("Inference tensors cannot"):
            raise Halt(StopReason.ZERO_GRADIENT, INFERENCE_WEIGHTS) from error
        raise


def _is_out_of_memory(error: RuntimeError) -> bool:
    said = str(error)  # CUDA has a class for it, the CPU and MPS only words
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in said or "out of memory" in said


def _lacks_forward_mode(error: NotImplementedError) -> bool:
    said = str(error)
    return "forward AD" in said or "forward mode AD" in said


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
