"""The dual of the linearised attack, three solvers for it, and a certificate for what they say.

    primal   min 1/2 ||delta||^2                        s.t.  B delta >= r
    dual     min 1/2 lambda' Q lambda - r' lambda       s.t.  lambda >= 0,     Q = B B'
    answer   delta* = B' lambda*

This is eq. (23) of the paper with (J J')^-1 mended to J J'. Everything here is float64 on the CPU: p constraints,
Q of shape (p, p), r and lambda of shape (p,). Multipliers need not be unique (duplicate rows); B' lambda is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Solver = Callable[[Array, Array], Array]

EPS = float(np.finfo(np.float64).eps)
UNREACHABLE = 1e7
"""A perturbation this many times longer than the hardest single constraint needs counts as infeasible.

Two unit rows that oppose each other to one part in 1e7 are one row in float32, where gradients are made."""


CONTRADICTION = "the linearised constraints contradict each other"


class InfeasibleError(ValueError):
    """No perturbation satisfies the linearised constraints."""


def solve_dual(gram: Array, r: Array, solver: Solver | None = None) -> Array:
    """The multipliers lambda* (p,) >= 0 of ``min 1/2 lambda' gram lambda - r' lambda``.

    ``gram`` is (p, p), symmetric and positive semidefinite of any rank; ``r`` is (p,). The solver is ``nnls`` up to 80
    constraints and ``daqp`` above unless one is given. Raises InfeasibleError when the dual is unbounded, that is when
    no delta has B delta >= r, and ValueError for numbers that are not finite.
    """
    if gram.shape != (len(r), len(r)) or not (np.isfinite(gram).all() and np.isfinite(r).all()):
        raise ValueError(f"expected finite gram (p, p) and r (p,), got shapes {gram.shape} and {r.shape}")
    norm = np.sqrt(np.maximum(gram.diagonal(), 0.0))
    live = norm > 0
    if (r[~live] > 0).any():
        raise InfeasibleError("a constraint that must change has a zero gradient")
    multipliers = np.zeros_like(r)
    needed = r[live] / norm[live]  # length that each constraint alone would need
    if needed.size and (scale := needed.max()) > 0:
        unit_gram = gram[np.ix_(live, live)] / np.outer(norm[live], norm[live])
        solver = solver or (nnls if needed.size <= 80 else daqp)
        multipliers[live] = scale * solver(unit_gram, needed / scale) / norm[live]
    return multipliers


# The solvers take what solve_dual hands them: a Gram matrix of unit rows, and r with maximum 1.


def coordinatewise(gram: Array, r: Array) -> Array:
    """The paper's sequential coordinate-wise algorithm (Franc, Hlavac and Navara 2005), with exact face steps.

    A sweep minimises over one multiplier at a time. Alone it only converges linearly, at a rate that ill-conditioned
    rows make useless; so each few sweeps are followed by a minimisation over the multipliers that are not zero, which
    ends the search once the sweeps have found the right ones (More and Toraldo 1991).
    """
    p = len(r)
    multipliers, slope = np.zeros(p), -r
    for _ in range(50 * p + 50):
        for _ in range(5):
            for k in range(p):
                moved = max(0.0, multipliers[k] - slope[k] / gram[k, k]) - multipliers[k]
                if moved:
                    multipliers[k] += moved
                    slope += moved * gram[:, k]
        multipliers = _minimise_on_face(gram, r, multipliers)
        slope = gram @ multipliers - r
        tolerance = 100 * EPS * p * max(1.0, float(multipliers.max()))
        if max(-slope.min(), np.abs(slope[multipliers > 0]).max(initial=0.0)) <= tolerance:
            return multipliers
    raise ArithmeticError(f"the coordinate-wise algorithm did not settle on {p} constraints")


def _minimise_on_face(gram: Array, r: Array, multipliers: Array) -> Array:
    """Minimise over the multipliers that are not zero, stopping at each that reaches zero on the way."""
    multipliers = multipliers.copy()
    while (free := np.flatnonzero(multipliers > 0)).size:
        face = gram[np.ix_(free, free)]
        values, vectors = np.linalg.eigh(face)
        keep = values > EPS * len(gram) * values[-1]
        slope = vectors.T @ (r[free] - face @ multipliers[free])
        flat = vectors[:, ~keep] @ slope[~keep]  # downhill without an end, unless a multiplier reaches zero
        endless = float(np.abs(flat).max(initial=0.0)) > 1 / UNREACHABLE
        direction = flat if endless else vectors[:, keep] @ (slope[keep] / values[keep])
        shrinking = direction < -EPS * np.abs(direction).max(initial=0.0)
        reach = -multipliers[free][shrinking] / direction[shrinking]
        if endless and not reach.size:
            raise InfeasibleError(CONTRADICTION)
        if not endless and (reach >= 1).all():
            multipliers[free] = np.maximum(multipliers[free] + direction, 0.0)
            return multipliers
        multipliers[free] = np.maximum(multipliers[free] + reach.min() * direction, 0.0)
        multipliers[free[shrinking][reach <= reach.min()]] = 0.0
    return multipliers


def nnls(gram: Array, r: Array) -> Array:
    """Least-distance programming by non-negative least squares (Lawson and Hanson 1974, chapter 23).

    With gram = R' R, the NNLS solution u of [R; r'] u ~ (0, ..., 0, 1) gives lambda = u / (1 - r' u), and a residual
    of zero tells an infeasible system. That residual is 1 / (1 + ||delta||^2), so r is scaled by the length found
    until it is near one and nothing cancels.
    """
    import scipy.optimize  # takes a fifth of a second, which those who only read records need not wait

    factor = _factor(gram)
    length = 1.0
    while length < UNREACHABLE:
        stacked = np.vstack([factor, r / length])
        u, _ = scipy.optimize.nnls(stacked, np.eye(len(stacked))[-1], maxiter=30 * len(r) + 100)
        residual = max(1 - float(r @ u) / length, EPS)
        found = length * (1 / residual - 1) ** 0.5
        if found <= 2 * length:
            multipliers: Array = length * u / residual
            return multipliers
        length = min(found, 100 * length)
    raise InfeasibleError(CONTRADICTION)


def daqp(gram: Array, r: Array) -> Array:
    """The primal in the coordinates of the factor, by DAQP's dual active set (Arnstrom, Bemporad and Axehill 2022)."""
    import daqp as library  # compiled, and needed for many constraints only

    factor = _factor(gram)
    k, p = factor.shape
    result = library.solve(
        np.eye(k),
        np.zeros(k),
        np.ascontiguousarray(factor.T),
        np.full(p, 1e30),
        np.ascontiguousarray(r),
        np.zeros(p, dtype=np.int32),
        primal_tol=1e-11,
    )
    flag, multipliers = result[2], np.maximum(-np.asarray(result[3]["lam"], dtype=np.float64), 0.0)
    if flag == -1 or np.linalg.norm(factor @ multipliers) > UNREACHABLE:
        raise InfeasibleError(CONTRADICTION)
    if flag != 1:
        raise ArithmeticError(f"DAQP gave up on {p} constraints with exit flag {flag}")
    return multipliers


def _factor(gram: Array) -> Array:
    """R (rank, p) with gram = R' R, directions below the rounding of the largest eigenvalue cut off."""
    values, vectors = np.linalg.eigh(gram)
    keep = values > EPS * len(gram) * values[-1]
    return np.ascontiguousarray((np.sqrt(values[keep]) * vectors[:, keep]).T)


@dataclass(frozen=True)
class Certificate:
    """How far a solution is from the optimum of the *linearised* problem. It says nothing about the network itself.

    Each residual is relative, and zero at the optimum: ``primal``, the worst violated constraint over the largest r;
    ``dual``, the most negative multiplier over the largest; ``gap``, the duality gap ||delta||^2 - r' lambda, and
    ``complementarity``, max |lambda o slack|, both over ||delta||^2. ``covered`` of ``total`` constraints were
    checked: below the total it certifies a part of the problem only.
    """

    primal: float
    dual: float
    gap: float
    complementarity: float
    covered: int
    total: int

    def holds(self, tolerance: float = 1e-4) -> bool:
        """Whether all constraints are covered and every residual is at most ``tolerance`` (float32 rows give 1e-5)."""
        residuals = self.primal, self.dual, self.gap, self.complementarity
        return self.covered == self.total and all(residual <= tolerance for residual in residuals)


def certify(slack: Array, r: Array, multipliers: Array, squared_length: float) -> Certificate:
    """Certificate of lambda (p,) whose perturbation B' lambda has ``squared_length`` and constraint values ``slack``.

    ``slack`` is B delta - r (p,), measured independently of the solver where possible; entries that were not measured
    are nan and not covered.
    """
    measured = ~np.isnan(slack)
    tiny = float(np.finfo(np.float64).tiny)
    energy = squared_length or tiny
    return Certificate(
        primal=float(np.maximum(-slack[measured], 0).max(initial=0.0)) / max(float(r.max(initial=0.0)), tiny),
        dual=float(np.maximum(-multipliers, 0).max(initial=0.0)) / max(float(np.abs(multipliers).max(initial=0)), tiny),
        gap=abs(squared_length - float(r @ multipliers)) / energy,
        complementarity=float(np.abs(multipliers * slack)[measured].max(initial=0.0)) / energy,
        covered=int(measured.sum()),
        total=len(r),
    )
