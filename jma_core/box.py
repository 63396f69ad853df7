"""The linearised attack with the box of pixels inside it: a projection onto a polytope within a box.

    primal   min 1/2 ||delta - centre||^2     s.t.  B delta >= r,   lower <= delta <= upper
    answer   delta* = clip(centre + B' lambda*, lower, upper)

The dual in lambda >= 0 is concave, with the piecewise linear gradient r - B delta(lambda). Clipping the answer to the
problem without a box instead leaves constraints unsatisfied wherever many pixels are black or white. Float64, CPU.
"""

from __future__ import annotations

import numpy as np

from jma_core.dual import CONTRADICTION, UNREACHABLE, Array, InfeasibleError, solve_dual

ITERATIONS = 100
TOLERANCE = 1e-10
ENOUGH = 1e-4
"""The part of what the slope at its start promises that a step must gain."""
STEEPEST = 1 - 2 * ENOUGH


def solve_boxed(rows: Array, r: Array, lower: Array, upper: Array, centre: Array | None = None) -> tuple[Array, Array]:
    """The multipliers lambda* (k,) >= 0 and delta* (m,), for ``rows`` B (k, m), ``r`` (k,) and bounds (m,).

    A semismooth Newton method on the dual: with the pixels that are at their bounds held there, what remains is the
    problem without a box, whose multipliers are the next iterate, or the far end of a line search (Qi and Sun 1993;
    Li, Sun and Toh 2020 for projections onto polytopes). It ends after finitely many steps, usually below ten.
    Raises InfeasibleError when no delta within the box has B delta >= r, and ArithmeticError when it does not end.

    Where there is none the dual is unbounded, and the multipliers grow in a direction that proves it (Farkas): their
    sum of the constraints asks for more than the whole box can give.
    """
    centre = np.zeros(rows.shape[1]) if centre is None else centre
    scale = np.sqrt(np.einsum("km,km->k", rows, rows))
    tolerance = TOLERANCE * np.maximum(scale, np.abs(r))
    if (np.maximum(rows * lower, rows * upper).sum(1) < r - tolerance).any():
        raise InfeasibleError("a constraint cannot be met within the range of the pixels")
    multipliers = np.zeros_like(r)
    delta = np.clip(centre, lower, upper)
    for _ in range(ITERATIONS):
        summed = multipliers @ rows
        if np.maximum(summed * lower, summed * upper).sum() < multipliers @ (r - tolerance):
            raise InfeasibleError("the constraints cannot all be met within the range of the pixels")
        slack = rows @ delta - r
        if (slack >= -tolerance).all() and (multipliers * slack <= tolerance * multipliers.max(initial=0.0)).all():
            return multipliers, delta
        free = (delta > lower) & (delta < upper)
        inner = rows[:, free]
        gram = inner @ inner.T
        gram[np.diag_indices_from(gram)] += 1e-12 * scale**2  # bounded below even where every pixel is held
        step = solve_dual(gram, gram @ multipliers - slack) - multipliers
        multipliers, delta = _search(rows, r, lower, upper, centre, multipliers, step)
        if np.abs(multipliers * scale).max() > UNREACHABLE * max(1.0, float(np.abs(upper - lower).max())):
            raise InfeasibleError(CONTRADICTION)
    raise ArithmeticError(f"the projection did not settle in {ITERATIONS} iterations")


def _search(
    rows: Array, r: Array, lower: Array, upper: Array, centre: Array, start: Array, step: Array
) -> tuple[Array, Array]:
    """The first of start + step, start + step / 2, ... that ascends the dual enough, with its delta.

    Near the end the dual's values agree in all digits that they have; then its slopes decide, which on a parabola is
    the same test (Hager and Zhang 2005).
    """

    def at(multipliers: Array) -> tuple[Array, float, float]:
        delta = np.clip(centre + multipliers @ rows, lower, upper)
        away, missing = delta - centre, r - rows @ delta
        return delta, float(away @ away / 2 + multipliers @ missing), float(step @ missing)

    _, value, slope = at(start)
    for halving in range(80):
        multipliers = start + step / 2**halving
        delta, found, left = at(multipliers)
        gained = found - value
        if gained >= ENOUGH * slope / 2**halving or (abs(gained) <= 1e-12 * abs(value) and left >= -STEEPEST * slope):
            break
    return multipliers, delta
