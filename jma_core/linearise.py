"""The linearised attack at one image: f(x + delta) ~ z + J delta, eq. (12), and its cheapest way into the target.

With B = A J and r = h - A z, the shortest delta with B delta >= r is B' lambda*, where lambda* solves the dual of
``jma_core.dual``. Two ways to it give the same optimum:

* ``solve_full`` takes the whole Jacobian, n backward passes, as the paper does;
* ``solve_lazy`` takes gradient rows of the constraints that matter only, and proves with one forward-mode derivative
  that the others are satisfied along delta*; ``solve_boxed`` does so with the pixels kept in [0, 1]. How far that
  derivative can be trusted is seen from the rows that are known; where it leaves a doubt, the row is taken.

Nothing else in the project knows how a gradient row is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jma_core.box import solve_boxed
from jma_core.chebyshev import lower_bound, solve_linf
from jma_core.dual import Array, Certificate, InfeasibleError, certify, solve_dual
from jma_core.encodings import Constraints
from jma_core.network import Network
from jma_core.records import ZERO_GRADIENT, Halt, StopReason
from jma_core.subspace import Subspace

WITHOUT_ANSWER = StopReason.INFEASIBLE, StopReason.UNSOLVED
"""Why a problem with a box halts where the one without it may yet have an answer."""
DOUBT = 3.0
"""Predictions of J delta may be off by this many times the largest error of those that known rows give exactly."""
SOLVED = 1e-9
"""Part of the largest logit to which linearised problems are solved; of those with a box the least exactly."""
BEYOND = 3e-8
"""Linear programs, which are solved to a part of the largest constraint, aim beyond all of them by a larger one."""


@dataclass(frozen=True)
class Solution:
    """The optimum of the linearised problem, and the proof."""

    delta: Tensor
    """(C, H, W) delta* = B' lambda*, of the image's dtype and device; clipped where the problem has a box."""
    index: NDArray[np.int64]
    """(k,) constraints with a positive multiplier."""
    multipliers: Array
    """(k,) lambda* > 0."""
    displacement: Array
    """(n,) d* = J delta*."""
    length: float
    """||delta*|| in the norm that was made small, from the origin if that is not this image."""
    certificate: Certificate


def tolerance(z: Tensor) -> float:
    """By so many logits a full step to logits ``z`` may miss its aim: rounding, or in float64 what solvers leave."""
    return max(100 * torch.finfo(z.dtype).eps, SOLVED) * max(1.0, float(z.abs().max()))


class Linearisation:
    """First-order model of a network at one image (C, H, W), with the constraints to be met.

    Perturbations outside ``space`` count as without effect.
    """

    def __init__(self, network: Network, x: Tensor, goal: Constraints, space: Subspace | None = None) -> None:
        self._network = network
        self._x = x
        self._goal = goal
        self._space = space
        self.z, self._rows_of = network.differentiate(x)
        """(n,) logits f(x)."""
        self._known: dict[int, NDArray[np.floating]] = {}
        self._z64 = self.z.cpu().double()

    @cached_property
    def required(self) -> Array:
        """(p,) r = h - A z: how far each constraint must move, positive where it is not satisfied yet."""
        required: Array = -self._goal.values(self._z64).numpy()
        return required

    @cached_property
    def noise(self) -> float:
        """Constraints that are missed by no more than this many logits count as satisfied: rounding of the network."""
        return 100 * torch.finfo(self.z.dtype).eps * max(1.0, float(self.z.abs().max()))

    def jacobian(self, index: NDArray[np.int64] | None = None) -> Tensor:
        """J = df/dx as (n, m) on the CPU, m = C H W, or rows ``index`` (k,) of it: a backward pass for each row."""
        every = torch.eye(len(self.z), device="cpu")
        return self._pull(every if index is None else every[index])

    def _pull(self, cotangents: Tensor) -> Tensor:
        rows = self._rows_of(cotangents)
        return self._space.project(rows.reshape(-1, *self._x.shape)).reshape(rows.shape) if self._space else rows

    def gradient(self, cotangent: Array) -> Tensor:
        """J' c (C, H, W) for a cotangent c (n,) of the logits: one backward pass."""
        (row,) = self._pull(torch.from_numpy(cotangent)[None].to("cpu", self.z.dtype))
        made: Tensor = row.reshape(self._x.shape).to(self._x)
        return made

    def solve_full(self) -> Solution:
        """The optimum from the full Jacobian, as Algorithm 1 has it. Raises Halt when there is none."""
        jacobian = self.jacobian()
        gram_j = gram(jacobian)  # J J'
        multipliers, cotangent = self.solve_in_logits(gram_j)
        rows = jacobian.numpy()  # where no autocast rounds the product
        displacement = gram_j @ cotangent
        delta = (rows.T @ cotangent.astype(rows.dtype)).astype(np.float64)  # delta* = J' (A' lambda*)
        return self._solution(delta, multipliers, displacement, self._change(displacement))

    def solve_in_logits(self, products: Array, most: int = 0) -> tuple[Array, Array]:
        """lambda* (p,) and A' lambda* (n,) where J J' is ``products`` (n, n). Raises Halt when there is no optimum.

        All constraints at once; or if they are more than the logits, or if ``most`` is given, the worst so many at a
        time, until none is violated.
        """
        every = np.arange(len(self.required))
        at_once = not most and len(every) <= len(products)
        most = most or len(products)
        index = every if at_once else _worst(self.required, self.noise, most)
        while True:
            a = self._goal.rows(torch.from_numpy(index)).double().numpy()
            multipliers = self._solve_dual(a @ products @ a.T, self.required[index])
            cotangent = a.T @ multipliers
            missing = self.required - self._change(products @ cotangent)
            missing[index] = 0.0
            new = _worst(missing, self.noise, most)
            if not len(new):
                multipliers_of_all = np.zeros_like(self.required)
                multipliers_of_all[index] = multipliers
                return multipliers_of_all, cotangent
            index = np.concatenate([index, new])

    def solve_lazy(self, start: Sequence[int] | NDArray[np.int64] = (), grow: int = 3) -> Solution:
        """The same optimum by constraint generation. Raises Halt when there is none.

        Solve with the rows of a few constraints (``start``, and the ``grow`` most violated), predict all others along
        the answer, add the ``grow`` worst of those that it violates, and repeat. A relaxation whose optimum is
        feasible for the whole problem is the optimum of the whole problem.
        """
        products = np.empty((0, 0))

        def solve(rows: Array, required: Array) -> tuple[Array, Array]:
            nonlocal products
            products = _extended(products, rows)
            multipliers = self._solve_dual(products, required)
            return multipliers, rows.T @ multipliers

        return self._generate(solve, start, grow)

    def solve_boxed(
        self, start: Sequence[int] | NDArray[np.int64] = (), grow: int = 3, origin: Tensor | None = None
    ) -> Solution:
        """The step to the image in [0, 1] nearest to ``origin`` (this image unless given) that satisfies everything.

        By constraint generation as well. Its length and its certificate are those of the way from ``origin``. Raises
        Halt when there is none.
        """
        x = self._x.cpu().double().numpy().ravel()
        centre = np.zeros_like(x) if origin is None else origin.cpu().double().numpy().ravel() - x

        def solve(rows: Array, required: Array) -> tuple[Array, Array]:
            check_gradient(rows, required)
            with solving():
                return solve_boxed(rows, required, -x, 1 - x, centre)

        return self._generate(solve, start, grow, centre)

    def solve_linf(self, start: Sequence[int] | NDArray[np.int64] = (), grow: int = 3, boxed: bool = True) -> Solution:
        """The step to the image in [0, 1], or anywhere, whose most changed pixel changes least.

        By constraint generation as well. Its length is that largest change; the certificate's gap is to the lower bound
        that the multipliers give. Raises Halt when there is none.
        """
        x = self._x.cpu().double().numpy().ravel()
        lower, upper = (-x, 1 - x) if boxed else (np.full_like(x, -np.inf), np.full_like(x, np.inf))
        bound = 0.0

        def solve(rows: Array, required: Array) -> tuple[Array, Array]:
            nonlocal bound
            check_gradient(rows, required)
            with solving():
                multipliers, delta = solve_linf(rows, required + BEYOND * np.abs(required).max(), lower, upper)
            bound = lower_bound(rows, required, lower, upper, multipliers)
            return multipliers, delta

        found = self._generate(solve, start, grow)
        largest, certificate = float(found.delta.abs().max()), found.certificate
        if largest == 0:
            return found
        certificate = replace(
            certificate,
            gap=abs(largest - bound) / largest,
            complementarity=certificate.complementarity * found.length**2 / largest,
        )
        return replace(found, length=largest, certificate=certificate)

    def _generate(
        self,
        solve: Callable[[Array, Array], tuple[Array, Array]],
        start: Sequence[int] | NDArray[np.int64],
        grow: int,
        centre: Array | None = None,
    ) -> Solution:
        index = np.union1d(np.asarray(start, dtype=np.int64), _worst(self.required, self.noise, grow))
        while True:
            rows = self._rows(index)
            multipliers, delta = solve(rows, self.required[index])
            displacement = self._network.push(self._x, self._shaped(delta)).cpu().double().numpy()
            change, exact = self._change(displacement), rows @ delta
            change -= DOUBT * float(np.abs(change[index] - exact).max(initial=0.0))
            change[index] = exact
            missing = self.required - change
            missing[index] = 0.0
            new = _worst(missing, self.noise, grow)
            if not len(new):
                every = np.zeros_like(self.required)
                every[index] = multipliers
                return self._solution(delta, every, displacement, change, centre)
            index = np.concatenate([index, new])

    def _rows(self, index: NDArray[np.int64]) -> Array:
        """Rows ``index`` of B = A J, (k, m): one backward pass for each that was not asked for before."""
        new = [i for i in index if i not in self._known]
        if new:
            made = self._pull(self._goal.rows(torch.tensor(new, device="cpu"))).numpy()
            self._known.update(zip(new, made, strict=True))
        return np.array([self._known[i] for i in index], dtype=np.float64).reshape(len(index), self._x.numel())

    def _change(self, displacement: Array) -> Array:
        """A d (p,) for a displacement d (n,) of the logits."""
        moved = self._goal.values(self._z64 + torch.from_numpy(displacement)).numpy()
        return np.asarray(moved + self.required)

    def _shaped(self, delta: Array) -> Tensor:
        shaped = torch.from_numpy(delta).to(self._x.dtype).reshape(self._x.shape)
        return shaped.to(self._x.device)  # not as float64, which MPS lacks

    def _solve_dual(self, gram: Array, required: Array) -> Array:
        check_gradient(gram, required)
        with solving():
            return solve_dual(gram, required)

    def _solution(
        self, delta: Array, multipliers: Array, displacement: Array, change: Array, centre: Array | None = None
    ) -> Solution:
        slack, away = change - self.required, delta if centre is None else delta - centre
        energy = float(away @ away)
        certificate = certify(slack, self.required, multipliers, energy)
        if centre is not None:  # within a box, what is left between primal and dual is what the slack costs
            certificate = replace(certificate, gap=abs(float(multipliers @ slack)) / (energy or 1.0))
        active = np.flatnonzero(multipliers > 0)
        return Solution(
            delta=self._shaped(delta),
            index=active,
            multipliers=multipliers[active],
            displacement=displacement,
            length=energy**0.5,
            certificate=certificate,
        )


def check_gradient(rows: Array, required: Array) -> None:
    """Raises Halt when something has to change and no pixel changes anything."""
    if required.max(initial=0.0) > 0 and not rows.any():
        raise Halt(StopReason.ZERO_GRADIENT, ZERO_GRADIENT)


@contextmanager
def solving() -> Iterator[None]:
    """Make what a solver says of the linearised problem a Halt."""
    try:
        yield
    except InfeasibleError as error:
        raise Halt(StopReason.INFEASIBLE, f"The linearised target cannot be reached: {error}.") from error
    except (ArithmeticError, RuntimeError) as error:  # the solvers give up after a number of iterations
        raise Halt(StopReason.UNSOLVED, f"The linearised problem was not solved: {error}.") from error


def _worst(missing: Array, noise: float, count: int) -> NDArray[np.int64]:
    """Indices of the ``count`` largest entries of those above ``noise``."""
    order = np.argsort(-missing, kind="stable")[:count]
    return order[missing[order] > noise]


def _extended(gram: Array, rows: Array) -> Array:
    """B B' (k, k) of ``rows`` (k, m), given that of the first few of them."""
    extended = np.empty((len(rows), len(rows)))
    known = len(gram)
    extended[:known, :known] = gram
    for k in range(known, len(rows)):
        extended[k, : k + 1] = extended[: k + 1, k] = rows[: k + 1] @ rows[k]
    return extended


def gram(jacobian: Tensor, columns: int = 16384) -> Array:
    """J J' (n, n) in float64, without a float64 copy of J."""
    products = torch.zeros(len(jacobian), len(jacobian), dtype=torch.float64, device="cpu")
    for part in torch.split(jacobian, columns, dim=1):
        wide = part.double()
        products += wide @ wide.T
    return products.numpy()
