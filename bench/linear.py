"""Linear networks of which the nearest image within the target is known, in L2 and in Linf."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import daqp
import numpy as np
import scipy.optimize
import torch
from numpy.typing import NDArray
from torch import Tensor

from jma_core import ECOC, MultiLabel, Norm, OneHot, hadamard_codebook, run
from jma_core.records import AttackResult

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Linear:
    """f(x) = W x on 48 values, which is read as the target where a z >= 0, or where a tanh(z) >= 0."""

    w: Floats
    x: Floats
    encoding: Any
    target: Any
    a: Floats
    squashed: bool = False
    """Whether the decoder sees tanh of the logits; attacks, whose constraints are linear, aim beside it."""

    def __call__(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ torch.as_tensor(self.w).T

    def attacked(self, attack: Any, **settings: Any) -> AttackResult:
        return run(attack(self, torch.as_tensor(self.x).reshape(3, 4, 4), self.encoding, self.target, **settings))

    @property
    def z(self) -> Floats:
        """The image's logits."""
        return np.asarray(self.w @ self.x)

    def optimum(self, norm: Norm) -> float:
        """How far the nearest image is that the decoder reads as the target."""
        return self.linf if norm == Norm.LINF else self.l2

    @cached_property
    def l2(self) -> float:
        return float(np.linalg.norm(self._nearest(shortest)))

    @cached_property
    def linf(self) -> float:
        return float(np.abs(self._nearest(flattest)).max())

    def _nearest(self, solve: Callable[[Floats, Floats, Floats], Floats]) -> Floats:
        """The optimum of the decoder's margins, made linear where the last one ended until it stays there."""
        delta = np.zeros_like(self.x)
        for _ in range(100):
            z, before = self.z + self.w @ delta, delta
            seen, slope = (np.tanh(z), 1 - np.tanh(z) ** 2) if self.squashed else (z, np.ones_like(z))
            rows = self.a * slope @ self.w
            delta = solve(rows, rows @ before - self.a @ seen, self.x)
            if np.abs(self.w @ (delta - before)).max() < 1e-9:
                return delta
        raise ArithmeticError("expected programs that settle on one image, got 100 that do not")


def shortest(a: Floats, missing: Floats, x: Floats) -> Floats:
    """The delta (m,) of least L2 norm with a delta >= missing and x + delta in [0, 1], by DAQP."""
    p, m = a.shape
    upper, lower = np.append(1 - x, np.full(p, 1e30)), np.append(-x, missing)
    sense = np.zeros(m + p, dtype=np.int32)
    delta, _, flag, _ = daqp.solve(np.eye(m), np.zeros(m), np.ascontiguousarray(a), upper, lower, sense)
    assert flag == 1
    return np.asarray(delta)


def flattest(a: Floats, missing: Floats, x: Floats) -> Floats:
    """Such a delta whose largest change is least, by HiGHS: the least t with |delta| <= t."""
    p, m = a.shape
    one, none = np.ones((m, 1)), np.zeros((p, 1))
    rows = np.block([[-a, none], [np.eye(m), -one], [-np.eye(m), -one]])
    bounds = [*zip(-x, 1 - x, strict=True), (0, None)]
    found = scipy.optimize.linprog(
        np.append(np.zeros(m), 1.0), rows, np.append(-missing, np.zeros(2 * m)), bounds=bounds
    )
    assert found.x is not None
    return np.asarray(found.x[:m])


def norm_of(result: AttackResult, norm: Norm) -> float:
    return result.distortion.linf if norm == Norm.LINF else result.distortion.l2


def classes(seed: int, count: int = 5) -> Linear:
    """Classes, of which the least likely is to win."""
    rng = np.random.default_rng(seed)
    w, x = rng.normal(size=(count, 48)), np.full(48, 0.5)
    target = int((w @ x).argmin())
    return Linear(w, x, OneHot(count), target, np.eye(count)[target] - np.delete(np.eye(count), target, axis=0))


def labels(seed: int) -> Linear:
    """Six labels, of which the three least sure are to be others."""
    rng = np.random.default_rng(seed)
    w, x = rng.normal(size=(6, 48)), rng.uniform(0.2, 0.8, 48)
    z = w @ x
    flipped = np.abs(z).argsort()[:3]
    target = [int((value > 0) != (j in flipped)) for j, value in enumerate(z)]
    return Linear(w, x, MultiLabel(6), target, np.diag(np.where(target, 1.0, -1.0)))


def codewords(seed: int, scale: float = 0.25) -> Linear:
    """Six codewords of eight bits, of which the next best is to be read. Of a small scale, tanh is the identity."""
    rng = np.random.default_rng(seed)
    w, x = scale * rng.normal(size=(8, 48)), np.full(48, 0.5)
    codebook = hadamard_codebook(6, 8)
    codes = codebook.astype(np.float64)
    target = int((codes @ np.tanh(w @ x)).argsort()[-2])
    apart = codes[target] - np.delete(codes, target, axis=0)
    return Linear(w, x, ECOC(codebook), target, apart, squashed=True)


def order(seed: int, count: int = 8, first: int = 3) -> Linear:
    """Classes, of which some are to be the first, in order."""
    rng = np.random.default_rng(seed)
    w, x, eye = rng.normal(size=(count, 48)), np.full(48, 0.5), np.eye(count)
    target = tuple(int(k) for k in rng.permutation(count)[:first])
    others = [k for k in range(count) if k not in target]
    larger, smaller = [*target[:-1], *[target[-1]] * len(others)], [*target[1:], *others]
    return Linear(w, x, OneHot(count), target, eye[larger] - eye[smaller])


NETWORKS: dict[str, Callable[[int], Linear]] = {
    "one-hot": classes,
    "top-K": order,
    "ECOC": codewords,
    "multi-label": labels,
}
"""One for each seed, by encoding."""
