"""JMA: the Jacobian-induced Mahalanobis distance attack. Algorithm 1 of the paper (Tondi, Guo, Pancino and Barni)."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from enum import StrEnum
from functools import partial
from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jma_core.attacks.trail import SUCCESS, Attack, Common, Ending, Trail, begin
from jma_core.encodings import Encoding, Target
from jma_core.linearise import Linearisation, Solution
from jma_core.network import Classifier
from jma_core.records import Halt, Phase, Step, StopReason

Emit = Callable[[Phase, Tensor, Tensor], Generator[Step]]


class Level(StrEnum):
    """Which optimum of each linearised problem is taken, and how it is found. That of the first two is the same."""

    PAPER = "paper"
    """From the full Jacobian: n backward passes an iteration."""
    LAZY = "lazy"
    """From the gradient rows that matter: a few backward passes and forward-mode derivatives an iteration."""
    BOXED = "boxed"
    """As lazy, with x + delta kept in [0, 1] inside the problem, where that has a solution, not clipped after it."""


def jma(
    f: Classifier,
    x: Tensor,
    encoding: Encoding,
    target: Target,
    *,
    level: Level | str = Level.LAZY,
    step: float = 0.2,
    max_iter: int = 200,
    bisections: int = 6,
    **common: Unpack[Common],
) -> Attack:
    """Attack one image: yields a Step for every update and returns an AttackResult.

    f            maps images (N, C, H, W) in [0, 1] to logits (N, n); already on the device and in eval mode
    x            image (C, H, W), float32 or float64, in [0, 1]
    target       what the encoding should decode: a class index, or n labels present (1), absent (0) or free (-1)
    step         epsilon, L2 length of a walking step in pixel units; the paper uses 0.05 to 1
    max_iter     n_it,max, cap on linearisations
    bisections   n_bs, halvings of the last segment once it crosses into the target
    common       see Common; ``paper`` keeps the Jacobian, n m floats, besides a chunk of rows

    Raises ValueError for an image, a target or a setting that is out of range. Whatever goes wrong later ends the
    attack with a StopReason and the best iterate.
    """
    if level not in list(Level):
        raise ValueError(f"expected level {', '.join(Level)}, got {level!r}")
    if not (0 < step < math.inf and max_iter >= 1 and bisections >= 0):
        expected = "a finite step > 0, max_iter >= 1 and bisections >= 0"
        raise ValueError(f"expected {expected}, got {step:g}, {max_iter} and {bisections}")
    trail = begin(f, x, encoding, target, **common)
    return trail.follow(_walk(trail, Level(level), step, max_iter, bisections))


def _walk(trail: Trail, level: Level, step: float, max_iter: int, bisections: int) -> Generator[Step, None, Ending]:
    network, x, goal, margin = trail.network, trail.x0, trail.goal, trail.kappa
    active = np.empty(0, dtype=np.int64)
    local = trail.linearise(x, goal)  # eq. (12), (13)
    trail.start(local.z)
    for iteration in range(1, max_iter + 1):
        network.check_stop()
        solution = _solve(local, level, active)  # eq. (23), (24)
        if solution.length == 0:
            margin, goal = trail.demand_more(margin, local.z)  # departs from the paper, which has no delta to take
            local = trail.linearise(x, goal)
            continue
        full = trail.clamp(x + solution.delta)
        z_full = network.logits(full)
        emit: Emit = partial(trail.emit, iteration, solution=solution, realised=z_full - local.z)
        if trail.hit(z_full):
            del local  # and with it the graph
            yield from emit(Phase.LEAP, full, z_full)
            return (yield from _bisect(trail, emit, full, x, bisections))
        before, x = x, trail.clamp(x + step / solution.length * solution.delta)
        if torch.equal(x, before):
            raise Halt(StopReason.STALLED, "The image cannot move on: the pixels that matter are at their limits.")
        local, active = trail.linearise(x, goal), solution.index
        yield from emit(Phase.WALK, x, local.z)
        if trail.hit(local.z):  # departs from the paper, which would leap by a delta of zero from here
            return (yield from _bisect(trail, emit, x, before, bisections))
    return trail.ending(max_iter)


def _solve(local: Linearisation, level: Level, active: NDArray[np.int64]) -> Solution:
    match level:
        case Level.PAPER:
            return local.solve_full()
        case Level.LAZY:
            return local.solve_lazy(active)
        case Level.BOXED:
            try:
                return local.solve_boxed(active)
            except Halt as halt:
                if halt.reason != StopReason.INFEASIBLE:
                    raise
            return local.solve_lazy(active)


def _bisect(trail: Trail, emit: Emit, hit: Tensor, miss: Tensor, halvings: int) -> Generator[Step, None, Ending]:
    """Halve the segment from a hit to a miss, always keeping a hit that the decoder has confirmed."""
    for _ in range(halvings):
        trail.network.check_stop()
        middle = (hit + miss) / 2
        z = trail.network.logits(middle)
        hit, miss = (middle, miss) if trail.hit(z) else (hit, middle)
        yield from emit(Phase.BISECT, middle, z)
    return SUCCESS
