"""JMA: the Jacobian-induced Mahalanobis distance attack. Algorithm 1 of the paper (Tondi, Guo, Pancino and Barni)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jma_core.attacks.registry import Group, Norm, Setting, attack
from jma_core.attacks.trail import SUCCESS, Trail, Walk
from jma_core.linearise import WITHOUT_ANSWER, Linearisation, Solution, tolerance
from jma_core.records import Halt, Phase, Step, StopReason

Emit = Callable[[Phase, Tensor, Tensor], Generator[Step]]
Solve = Callable[[Linearisation, NDArray[np.int64]], Solution]
"""The optimum of a linearised problem, given the constraints that were active in the one before."""

HOVERS = 5
"""So many leaps that are shorter than a step may miss: the walk is where the linear model says that it has arrived."""
DEEPER, BACK = 1.5, 0.3
"""Factors of the margin from then on, after each such leap and after each longer one."""
FIRST = 0.01
"""That margin at first, as a part of the largest logit."""
SOURCE = "Tondi et al. 2024"
Epsilon = Annotated[
    float,
    Setting(
        "Step length ε",
        "L2 length of each step, for pixels from 0 to 1. Smaller steps end nearer to the original and take longer.",
        above=0,
        pixels=True,
        paper="0.05 to 1",
    ),
]
Iterations = Annotated[
    int, Setting("Most iterations", "Linearised problems that are solved at most.", at_least=1, budget=True)
]
Halvings = Annotated[
    int,
    Setting("Halvings", "Of the last step, between the last miss and the first hit.", at_least=0, at_most=60),
]


@attack("JMA, from the gradients that matter", name="lazy", group=Group.JMA, source=SOURCE, exhaustive=False)
def jma(trail: Trail, *, step: Epsilon = 0.2, max_iter: Iterations = 200, bisections: Halvings = 6) -> Walk:
    """The paper's path from a few gradients an iteration: those of the constraints that bind.

    Gradient rows are taken of the constraints that the solution would violate, until there are none: a few backward
    passes and forward-mode derivatives an iteration. ``step`` is epsilon, ``max_iter`` n_it,max, ``bisections`` n_bs.
    """
    return _walk(trail, Linearisation.solve_lazy, step, max_iter, bisections)


@attack("JMA, with the range of pixels in the problem", group=Group.JMA, source=SOURCE, exhaustive=False, waves=False)
def boxed(trail: Trail, *, step: Epsilon = 0.2, max_iter: Iterations = 200, bisections: Halvings = 6) -> Walk:
    """The same, but the linearised problem knows that pixels end at black and white, and need not be clipped.

    Where it has no solution in [0, 1], that of ``jma`` is taken.
    """
    return _walk(trail, _boxed_or_lazy, step, max_iter, bisections)


@attack("JMA, from all gradients, as published", group=Group.JMA, source=SOURCE, exhaustive=False)
def paper(trail: Trail, *, step: Epsilon = 0.2, max_iter: Iterations = 200, bisections: Halvings = 6) -> Walk:
    """Algorithm 1 as printed: a backward pass for every logit an iteration, about a minute with 1000 classes.

    Where it would hover, and where rounding alone makes it miss, the margin grows, as it does for ``jma``.
    It keeps the Jacobian, n m floats, besides a chunk of rows.
    """
    return _walk(trail, lambda local, _: local.solve_full(), step, max_iter, bisections)


@attack("JMA in the L∞ norm", group=Group.JMA, source="This project", norm=Norm.LINF, exhaustive=False)
def linf(
    trail: Trail,
    *,
    step: Annotated[float, Setting("Step length ε", "Largest change of a pixel in each step.", above=0)] = 0.003,
    max_iter: Iterations = 200,
    bisections: Halvings = 6,
) -> Walk:
    """The same path for the norm that counts the most changed pixel only: a small linear program an iteration.

    MLA-LP (Zhou et al. 2020) with the linear model where it is honest, of the logits. Where the linearised problem has
    no solution in [0, 1], that of the problem without a box is taken.
    """
    return _walk(trail, _linf_boxed_or_not, step, max_iter, bisections)


def _walk(trail: Trail, solve: Solve, step: float, max_iter: int, bisections: int) -> Walk:
    network, x, goal, margin = trail.network, trail.x0, trail.goal, trail.kappa
    active = np.empty(0, dtype=np.int64)
    local = trail.linearise(x, goal)  # eq. (12), (13)
    trail.start(local.z)
    hovered = 0
    for iteration in range(1, max_iter + 1):
        network.check_stop()
        solution = solve(local, active)  # eq. (23), (24)
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
            return (yield from bisect(trail, emit, full, x, bisections))
        missed = -float(trail.judged(z_full).min())
        if 0 <= missed <= tolerance(local.z):  # departs from the paper: rounding alone missed it
            margin += tolerance(local.z)
            goal, active = trail.encoding.constraints(trail.target, margin), solution.index
            local = trail.linearise(x, goal)
            continue
        short = solution.length < step
        hovered += short
        if hovered > HOVERS:  # departs from the paper, which would turn about a kink of the network for ever
            margin = max(DEEPER * margin, FIRST * float(local.z.abs().max())) if short else BACK * margin
            goal = trail.encoding.constraints(trail.target, max(margin, trail.kappa))
        before, x = x, trail.clamp(x + step / solution.length * solution.delta)
        if torch.equal(x, before):
            raise Halt(StopReason.STALLED, "The image cannot move on: the pixels that matter are at their limits.")
        local, active = trail.linearise(x, goal), solution.index
        yield from emit(Phase.WALK, x, local.z)
        if trail.hit(local.z):  # departs from the paper, which would leap by a delta of zero from here
            return (yield from bisect(trail, emit, x, before, bisections))
    return trail.ending(max_iter)


def _boxed_or_lazy(local: Linearisation, active: NDArray[np.int64]) -> Solution:
    try:
        return local.solve_boxed(active)
    except Halt as halt:
        if halt.reason not in WITHOUT_ANSWER:
            raise
    return local.solve_lazy(active)


def _linf_boxed_or_not(local: Linearisation, active: NDArray[np.int64]) -> Solution:
    try:
        return local.solve_linf(active)
    except Halt as halt:
        if halt.reason not in WITHOUT_ANSWER:
            raise
    return local.solve_linf(active, boxed=False)


def bisect(trail: Trail, emit: Emit, hit: Tensor, miss: Tensor, halvings: int) -> Walk:
    """Halve the segment from a hit to a miss, always keeping a hit that the decoder has confirmed."""
    for _ in range(halvings):
        trail.network.check_stop()
        middle = (hit + miss) / 2
        z = trail.network.logits(middle)
        hit, miss = (middle, miss) if trail.hit(z) else (hit, middle)
        yield from emit(Phase.BISECT, middle, z)
    return SUCCESS
