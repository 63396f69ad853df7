"""The linearised attack in the L-infinity norm: the least change that some pixel has to take, within a box.

    primal   min t                       s.t.  B delta >= r,   -t <= delta <= t,   lower <= delta <= upper
    bound    T(lambda) = the least t     s.t.  lambda' r <= sum_i |b_i| min(t, room_i),   b = B' lambda

where room_i is how far pixel i may go the way of b_i. Each lambda >= 0 gives a lower bound T(lambda) of the optimum
and the best one gives the optimum; where T is infinite there is no delta (duality, and Farkas' lemma). Without a box
T(lambda) = lambda' r / ||B' lambda||_1. Float64, CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from jma_core.dual import UNREACHABLE, Array, InfeasibleError

ITERATIONS = 100
TOLERANCE = 1e-8
"""Of the duality gap, relative to t, and of the constraints, relative to the largest r."""
FAR = 1e100
"""As good as no bound."""
OUT_OF_RANGE = "the constraints cannot all be met within the range of the pixels"
NEAR = 4.0
"""Bounds farther away than so many times what the hardest constraint alone needs are left out at first."""


def solve_linf(rows: Array, r: Array, lower: Array, upper: Array) -> tuple[Array, Array]:
    """The multipliers lambda* (k,) >= 0 and delta* (m,), for ``rows`` B (k, m), ``r`` (k,) and bounds (m,).

    The bounds are ``lower`` <= 0 <= ``upper``, and may be infinite. Multipliers are scaled such that t = lambda' r
    without a box. An interior point method, and where that does not settle the simplex method, which takes long. Raises
    InfeasibleError when no delta within the box has B delta >= r, and ArithmeticError when neither ends.
    """
    multipliers, delta = np.zeros_like(r), np.zeros(rows.shape[1])
    size = np.abs(rows).sum(1)
    if (r[size == 0] > 0).any():
        raise InfeasibleError("a constraint that must change has a zero gradient")
    live, moving = size > 0, rows.any(0)
    alone = r[live] / size[live]  # the t that each constraint alone needs without a box
    unit = float(alone.max(initial=0.0))
    if unit == 0:
        return multipliers, delta
    rows = rows[np.ix_(live, moving)] / size[live, None]
    low, high = (np.clip(bound[moving] / unit, -UNREACHABLE, UNREACHABLE) for bound in (lower, upper))
    try:
        for near in (NEAR, UNREACHABLE):
            found, scaled, t = _interior_point(_Program(rows, alone / unit, low, high, near))
            if t <= near:
                break
    except ArithmeticError:
        found, scaled = _simplex(rows, alone / unit, low, high)
    found[found < TOLERANCE * found.max()] = 0.0
    multipliers[live], delta[moving] = found / size[live], np.clip(unit * scaled, lower[moving], upper[moving])
    return multipliers, delta


def _simplex(rows: Array, r: Array, lower: Array, upper: Array) -> tuple[Array, Array]:
    """Multipliers and delta by HiGHS with one unknown a pixel: slow, but degenerate problems do not stop it."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_array, eye_array, hstack, vstack

    k, m = rows.shape
    eye, one = eye_array(m), csr_array(np.ones((m, 1)))
    upright = vstack([csr_array(np.c_[-rows, np.zeros(k)]), hstack([eye, -one]), hstack([-eye, -one])])
    bounds = np.c_[np.append(lower, 0.0), np.append(upper, UNREACHABLE)]
    cost, right = np.append(np.zeros(m), 1.0), np.append(-r, np.zeros(2 * m))
    answer = linprog(cost, upright, right, bounds=bounds, method="highs-ds")  # type: ignore[call-overload]  # the stubs know no sparse matrices
    if answer.status == 2:
        raise InfeasibleError(OUT_OF_RANGE)
    if answer.status != 0:
        raise ArithmeticError(f"HiGHS gave up on {k} constraints with status {answer.status}")
    return -answer.ineqlin.marginals[:k], answer.x[:m]


def lower_bound(rows: Array, r: Array, lower: Array, upper: Array, multipliers: Array) -> float:
    """T(lambda) of ``multipliers`` (k,): no delta within the box that has B delta >= r has a smaller norm."""
    summed, needed = multipliers @ rows, float(multipliers @ r)
    room = np.minimum(np.where(summed > 0, upper, -lower), FAR)
    order = np.argsort(room)
    weight, room = np.abs(summed)[order], room[order]
    ended = np.concatenate([[0.0], np.cumsum(weight * room)])
    moving = np.append(np.cumsum(weight[::-1])[::-1], 0.0)  # the weight of the pixels that are not at their ends yet
    first = int(np.argmax(np.append(ended[:-1] + moving[:-1] * room >= needed, True)))
    if moving[first] > 0:
        return (needed - float(ended[first])) / float(moving[first])
    return np.inf if needed > ended[first] else 0.0


@dataclass(frozen=True)
class _Program:
    """min t s.t. G (delta, t) >= g, where G (delta, t) is t - delta, t + delta, delta at its near bounds, B delta.

    Rows are of L1 norm 1, the largest r is 1.
    """

    rows: Array
    r: Array
    lower: Array
    upper: Array
    near: float

    @cached_property
    def low(self) -> NDArray[np.int64]:
        """Pixels with a near lower bound."""
        return np.flatnonzero(-self.lower < self.near)

    @cached_property
    def high(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.upper < self.near)

    @cached_property
    def g(self) -> Array:
        return np.concatenate([np.zeros(2 * len(self.lower)), self.lower[self.low], -self.upper[self.high], self.r])

    def split(self, stacked: Array) -> list[Array]:
        """The parts of something that has an entry for every row of G."""
        m = len(self.lower)
        return np.split(stacked, np.cumsum([m, m, len(self.low), len(self.high)]))

    def forth(self, delta: Array, t: float) -> Array:
        """G (delta, t)."""
        return np.concatenate([t - delta, t + delta, delta[self.low], -delta[self.high], self.rows @ delta])

    def back(self, y: Array) -> tuple[Array, float]:
        """G' y."""
        above, below, low, high, kept = self.split(y)
        return self.spread(below - above, low, -high) + kept @ self.rows, float(above.sum() + below.sum())

    def spread(self, every: Array, low: Array, high: Array) -> Array:
        every[self.low] += low
        every[self.high] += high
        return every

    def start(self) -> tuple[Array, float, Array, Array]:
        """delta and t, slack and y > 0, of which y is feasible: G' y = (0, 1)."""
        m, k = self.rows.shape[1], len(self.r)
        low, high, kept = np.full(len(self.low), 0.1 / m), np.full(len(self.high), 0.1 / m), np.full(k, 0.5 / k)
        pull, _ = self.back(np.concatenate([np.zeros(2 * m), low, high, kept]))
        spare = (1 - np.abs(pull).sum()) / (2 * m)
        y = np.concatenate([np.maximum(pull, 0) + spare, np.maximum(-pull, 0) + spare, low, high, kept])
        delta, t = np.clip(np.sign(pull), 0.9 * self.lower, 0.9 * self.upper), 2.0
        return delta, t, np.maximum(self.forth(delta, t) - self.g, 0.1), y

    def is_hopeless(self, y: Array) -> bool:
        """Whether the multipliers' sum of the constraints asks for more than the whole box can give."""
        kept = self.split(y)[-1]
        summed = kept @ self.rows
        ends = np.where(summed > 0, self.upper, self.lower)
        return float(summed @ ends) < float(kept @ self.r)


class _Normal:
    """G' W G for the weights y / slack of its rows, made small: with delta eliminated it has k + 1 unknowns."""

    def __init__(self, program: _Program, slack: Array, y: Array, missing: Array) -> None:
        self._program, self._slack, self._y, self._missing = program, slack, y, missing
        self._weight = weight = y / slack
        above, below, low, high, kept = program.split(weight)
        bound = program.spread(np.zeros_like(above), low, high)
        self._rows, self._curvature, self._lean = program.rows, above + below + bound, below - above
        self._inverse = program.rows / self._curvature
        gram = self._inverse @ program.rows.T
        gram[np.diag_indices_from(gram)] *= 1 + 1e-14
        gram += np.diag(1 / kept)
        across = self._inverse @ self._lean
        own = float(((4 * above * below + (above + below) * bound) / self._curvature).sum())
        self._scale = np.append(1 / np.sqrt(gram.diagonal()), 1.0)
        small = np.block([[-gram, -across[:, None]], [-across, own]])
        self._small = small * np.outer(self._scale, self._scale)

    def newton(self, wanted: Array) -> tuple[Array, float, Array, Array]:
        """The step to where G' y = (0, 1), G (delta, t) - slack = g and, to first order, slack y = wanted."""
        aimed = wanted / self._slack + self._weight * self._missing
        right, last = self._program.back(aimed)
        delta, t, kept = self._solve(right, last - 1)
        moved = self._program.forth(delta, t)
        pulled = self._weight * moved
        pulled[-len(kept) :] = kept
        return delta, t, moved - self._missing, aimed - self._y - pulled

    def _solve(self, right: Array, last: float) -> tuple[Array, float, Array]:
        """(delta, t) with G' W G (delta, t) = (right, last), and the last k entries of W G (delta, t).

        Those cannot be had from delta near the end, where their weights are huge.
        """
        reached = np.append(-(self._inverse @ right), last - float(self._lean @ (right / self._curvature)))
        solved = self._scale * np.linalg.solve(self._small, self._scale * reached)
        kept, t = solved[:-1], float(solved[-1])
        return (right - t * self._lean - kept @ self._rows) / self._curvature, t, kept


def _interior_point(program: _Program) -> tuple[Array, Array, float]:
    """Multipliers, delta and t, by a primal-dual interior point method (Mehrotra 1992): some fifteen iterations.

    Each takes k^2 m operations.
    """
    delta, t, slack, y = program.start()
    missing = program.g + slack - program.forth(delta, t)
    for _ in range(ITERATIONS):
        gap = float(slack @ y)
        if max(gap / t, float(np.abs(missing).max())) <= TOLERANCE:
            return program.split(y)[-1], delta, t
        if program.is_hopeless(y):
            raise InfeasibleError(OUT_OF_RANGE)
        normal = _Normal(program, slack, y, missing)

        _, _, d_slack, d_y = normal.newton(np.zeros_like(y))
        left = float((slack + _reach(slack, d_slack) * d_slack) @ (y + _reach(y, d_y) * d_y)) / gap
        d_delta, d_t, d_slack, d_y = normal.newton(left**3 * gap / len(y) - d_slack * d_y)
        far, high = 0.995 * _reach(slack, d_slack), 0.995 * _reach(y, d_y)
        delta, t, slack, missing = delta + far * d_delta, t + far * d_t, slack + far * d_slack, (1 - far) * missing
        y = y + high * d_y
    raise ArithmeticError(f"the interior point method did not settle in {ITERATIONS} iterations")


def _reach(values: Array, change: Array) -> float:
    """The part, at most 1, of a change that keeps positive values from becoming negative."""
    return 1 / max(1.0, float((-change / values).max()))
