"""Linear networks of which the nearest image within the target is known, in L2 and in Linf."""

from __future__ import annotations

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
    """f(x) = W x on 48 values, and the constraints a delta >= missing on the perturbation."""

    w: Floats
    x: Floats
    encoding: Any
    target: Any
    a: Floats
    missing: Floats

    def __call__(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ torch.as_tensor(self.w).T

    def attacked(self, attack: Any, **settings: Any) -> AttackResult:
        return run(attack(self, torch.as_tensor(self.x).reshape(3, 4, 4), self.encoding, self.target, **settings))

    def optimum(self, norm: Norm) -> float:
        return self.linf if norm == Norm.LINF else self.l2

    @cached_property
    def l2(self) -> float:
        return shortest(self.a, self.missing, self.x)

    @cached_property
    def linf(self) -> float:
        return flattest(self.a, self.missing, self.x)


def shortest(a: Floats, missing: Floats, x: Floats) -> float:
    """The least L2 norm of a delta (m,) with a delta >= missing and x + delta in [0, 1], by DAQP."""
    p, m = a.shape
    upper, lower = np.append(1 - x, np.full(p, 1e30)), np.append(-x, missing)
    sense = np.zeros(m + p, dtype=np.int32)
    delta, _, flag, _ = daqp.solve(np.eye(m), np.zeros(m), np.ascontiguousarray(a), upper, lower, sense)
    assert flag == 1
    return float(np.linalg.norm(delta))


def flattest(a: Floats, missing: Floats, x: Floats) -> float:
    """The least largest change of such a delta, by HiGHS: the least t with |delta| <= t."""
    p, m = a.shape
    one, none = np.ones((m, 1)), np.zeros((p, 1))
    rows = np.block([[-a, none], [np.eye(m), -one], [-np.eye(m), -one]])
    bounds = [*zip(-x, 1 - x, strict=True), (0, None)]
    found = scipy.optimize.linprog(
        np.append(np.zeros(m), 1.0), rows, np.append(-missing, np.zeros(2 * m)), bounds=bounds
    )
    assert found.success
    return float(found.fun)


def classes(seed: int, count: int = 5) -> Linear:
    """Classes, of which the least likely is to win."""
    rng = np.random.default_rng(seed)
    w, x = rng.normal(size=(count, 48)), np.full(48, 0.5)
    z = w @ x
    target = int(z.argmin())
    rivals = [k for k in range(count) if k != target]
    return Linear(w, x, OneHot(count), target, w[target] - w[rivals], z[rivals] - z[target])


def labels(seed: int) -> Linear:
    """Six labels, of which the three least sure are to be others."""
    rng = np.random.default_rng(seed)
    w, x = rng.normal(size=(6, 48)), rng.uniform(0.2, 0.8, 48)
    z = w @ x
    flipped = np.abs(z).argsort()[:3]
    target = [int((value > 0) != (j in flipped)) for j, value in enumerate(z)]
    sign = np.where(target, 1.0, -1.0)
    return Linear(w, x, MultiLabel(6), target, sign[:, None] * w, -sign * z)


def norm_of(result: AttackResult, norm: Norm) -> float:
    return result.distortion.linf if norm == Norm.LINF else result.distortion.l2


def codewords(seed: int) -> Linear:
    """Six codewords of eight bits, of which the next best is to be read. The optimum is that of the linear constraints:
    a decoder that sees tanh of the logits may be content with less, or want more."""
    rng = np.random.default_rng(seed)
    w, x = rng.normal(size=(8, 48)) / 4, np.full(48, 0.5)
    codebook = hadamard_codebook(6, 8)
    z, codes = w @ x, codebook.astype(np.float64)
    target = int((codes @ np.tanh(z)).argsort()[-2])
    apart = codes[target] - np.delete(codes, target, axis=0)
    return Linear(w, x, ECOC(codebook), target, apart @ w, -apart @ z)


def order(seed: int) -> Linear:
    """Eight classes, of which three are to be the first, in order."""
    rng = np.random.default_rng(seed)
    w, x = rng.normal(size=(8, 48)), np.full(48, 0.5)
    z = w @ x
    target = tuple(int(k) for k in rng.permutation(8)[:3])
    others = [k for k in range(8) if k not in target]
    larger, smaller = [*target[:2], *[target[2]] * len(others)], [*target[1:], *others]
    return Linear(w, x, OneHot(8), target, w[larger] - w[smaller], z[smaller] - z[larger])
