"""What the tests share: small networks, the constraints of each encoding written out by hand, and two oracles.

Nothing here uses the code under test, so that every expected answer comes from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.rivals import adv_lib

Floats = NDArray[np.float64]


@pytest.fixture(autouse=True)
def _same_random_numbers() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def linear_network() -> Callable[[Any, Any], Callable[[Tensor], Tensor]]:
    """f(x) = W x + b on images (N, C, H, W), from arrays or tensors."""

    def build(w: Any, b: Any) -> Callable[[Tensor], Tensor]:
        w, b = torch.as_tensor(w), torch.as_tensor(b)
        return lambda images: images.flatten(1) @ w.T + b

    return build


def _frozen(net: nn.Sequential, dtype: torch.dtype) -> nn.Module:
    for layer in net:
        if isinstance(layer, nn.Linear):  # as initialised, the networks are nearly constant on [0, 1]
            layer.weight.data *= 3
    return net.to(dtype).eval().requires_grad_(False)


@pytest.fixture(scope="session")
def conv_network() -> Callable[..., nn.Module]:
    """A smooth convolutional network from images (3, 6, 6) to n logits of a few units."""

    def build(n: int, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers = [nn.Conv2d(3, 6, 3, padding=1), nn.SiLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(54, 24)]
            return _frozen(nn.Sequential(*layers, nn.Tanh(), nn.Linear(24, n)), dtype)

    return build


@pytest.fixture(scope="session")
def mlp_network() -> Callable[..., nn.Module]:
    """A smooth multi-layer perceptron from images (3, 6, 6) to n logits of a few units."""

    def build(n: int, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _frozen(nn.Sequential(nn.Flatten(), nn.Linear(108, 32), nn.Tanh(), nn.Linear(32, n)), dtype)

    return build


def _ranked(n: int, target: Any, kappa: float, *, ordered: bool) -> tuple[Floats, Floats]:
    inside = list(target) if ordered else sorted(target)
    others = [i for i in range(n) if i not in inside]
    chain = [*inside, *others][1:]
    pairs = [*zip([*inside, *[inside[-1]] * n], chain, strict=False)] if ordered else product(inside, others)
    rows = np.array([np.eye(n)[larger] - np.eye(n)[smaller] for larger, smaller in pairs])
    return rows, np.full(len(rows), kappa)


@pytest.fixture(scope="session")
def written_out() -> Callable[..., tuple[Floats, Floats]]:
    """A (p, n) and h (p,) of an encoding's constraints A z >= h, from the table in the design."""

    def write(encoding: Any, target: Any, kappa: float = 0.0) -> tuple[Floats, Floats]:
        if hasattr(encoding, "thresholds"):
            s, decided = np.where(np.asarray(target) == 1, 1.0, -1.0), np.asarray(target) != -1
            return np.diag(s)[decided], (s * encoding.thresholds.double().numpy() + kappa)[decided]
        if hasattr(encoding, "ordered"):
            return _ranked(encoding.n, target, kappa, ordered=encoding.ordered)
        codes = encoding.codebook.double().numpy() if hasattr(encoding, "codebook") else np.eye(encoding.n)
        rivals = [i for i in range(len(codes)) if i != target]
        return np.array([codes[target] - codes[i] for i in rivals]), np.full(len(rivals), kappa)

    return write


@pytest.fixture(scope="session")
def shortest_by_enumeration() -> Callable[[Floats, Floats], Floats | None]:
    """The shortest delta with B delta >= r by trying all 2^p active sets in pixel space; None when there is none.

    The optimum is pinv(B_S) r_S for its own active set S, and every other candidate that is feasible is no shorter.
    """

    def solve(b: Floats, r: Floats) -> Floats | None:
        norms = np.linalg.norm(b, axis=1)
        b, r = b / np.where(norms > 0, norms, 1)[:, None], r / np.where(norms > 0, norms, 1)
        best = None
        for size in range(len(r) + 1):
            for chosen in combinations(range(len(r)), size):
                rows = list(chosen)
                delta = np.linalg.pinv(b[rows], rcond=1e-11) @ r[rows] if rows else np.zeros(b.shape[1])
                feasible = (b @ delta >= r - 1e-11 * (np.abs(r).max() + 1)).all()
                if feasible and (best is None or np.linalg.norm(delta) < np.linalg.norm(best)):
                    best = delta
        return best

    return solve


@pytest.fixture(scope="session")
def shortest_by_quadratic_program() -> Callable[..., Floats]:
    """The shortest delta with B delta >= r, within bounds if there are any, by DAQP with one unknown a pixel."""
    import daqp

    def solve(b: Floats, r: Floats, lower: Floats | None = None, upper: Floats | None = None) -> Floats:
        p, m = b.shape
        above, below = np.full(p, 1e30), r
        if lower is not None and upper is not None:
            above, below = np.concatenate([upper, above]), np.concatenate([lower, below])
        sense = np.zeros(len(below), dtype=np.int32)
        delta, _, flag, _ = daqp.solve(np.eye(m), np.zeros(m), np.ascontiguousarray(b), above, below, sense)
        assert flag == 1
        return np.asarray(delta)

    return solve


@pytest.fixture(scope="session")
def library() -> Iterator[Any]:
    """adv-lib's attacks."""
    pytest.importorskip("adv_lib", reason="needs adv-lib: pip install --no-deps adv-lib")
    with adv_lib() as attacks:
        yield attacks


class _Rationed(torch.autograd.Function):
    """Identity whose backward pass has room for a given number of gradient rows at once."""

    @staticmethod
    def forward(z: Tensor, room: int, error: RuntimeError) -> Tensor:
        return z.view_as(z)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int, RuntimeError], output: Tensor) -> None:
        ctx.room, ctx.error = inputs[1:]

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None, None]:
        return _RationedCotangent.apply(cotangent, ctx.room, ctx.error), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        return tangent.view_as(tangent)


class _RationedCotangent(torch.autograd.Function):
    @staticmethod
    def forward(cotangent: Tensor, room: int, error: RuntimeError) -> Tensor:
        if room < 1:
            raise error
        return cotangent.view_as(cotangent)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int, RuntimeError], output: Tensor) -> None:
        pass

    @staticmethod
    def vmap(info: Any, in_dims: Any, cotangent: Tensor, room: int, error: RuntimeError) -> tuple[Tensor, int]:
        if info.batch_size > room:
            raise error
        return cotangent.view_as(cotangent), in_dims[0]


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("Allocation on device"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried to ..."),
    RuntimeError(
        "MPS backend out of memory (MPS allocated: 8.89 GB, max allowed: 9.07 GB). Tried to allocate 6.25 MB."
    ),
]


@pytest.fixture(params=OUT_OF_MEMORY, ids=["cuda", "cpu", "mps"])
def out_of_memory(request: pytest.FixtureRequest) -> RuntimeError:
    """What torch raises when memory runs out, by device."""
    error: RuntimeError = request.param
    return error


@pytest.fixture(scope="session")
def rationed() -> Callable[..., Callable[[Tensor], Tensor]]:
    """A network whose backward passes run out of memory above ``room`` rows at a time."""

    def ration(f: Callable[[Tensor], Tensor], room: int, error: RuntimeError) -> Callable[[Tensor], Tensor]:
        return lambda images: _Rationed.apply(f(images), room, error)

    return ration
