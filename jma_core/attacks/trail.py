"""Bookkeeping that every attack shares: the clock, the counts, the best iterate, the steps, the final result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jma_core.attacks.registry import Norm
from jma_core.encodings import Constraints, Encoding, Target, asked
from jma_core.linearise import Linearisation, Solution, tolerance
from jma_core.metrics import distortion
from jma_core.network import Classifier, Network, never
from jma_core.records import REACHED, ZERO_GRADIENT, AttackResult, Halt, History, Phase, Step, StopReason
from jma_core.subspace import Subspace

Attack = Generator[Step, None, AttackResult]
Ending = tuple[StopReason, str]
Walk = Generator[Step, None, Ending]
"""The body of an attack: its steps, and how it ends."""
SUCCESS: Ending = (StopReason.SUCCESS, REACHED)
KEPT = 256
ORDERS = {Norm.L2: 2, Norm.LINF: math.inf, Norm.L0: 0}
"""As torch counts norms."""


@dataclass(frozen=True, eq=False)
class Task:
    """What every attack is given, whichever it is. Raises ValueError for what is out of range."""

    f: Classifier
    """Maps images (N, C, H, W) in [0, 1] to logits (N, n); already on the device and in eval mode."""
    x: Tensor
    """The image (C, H, W), float32 or float64, in [0, 1]."""
    encoding: Encoding
    target: Target
    """What the encoding should decode: a class, n labels present (1), absent (0) or free (-1), or of a one-hot network
    several classes, in order or as a set."""
    kappa: float = 0.0
    """Margin that every constraint must keep, in logit units."""
    max_seconds: float = math.inf
    """Cap on the time spent inside the attack."""
    should_stop: Callable[[], bool] = never
    """Asked at every step and between chunks of gradient rows."""
    device: torch.device | str | None = None
    """Where to run: "cpu", "cuda", "mps"; the image's own by default."""
    memory: int | None = None
    """Bytes that a chunk of gradient rows may hold; see Network for the default."""
    kept: int = KEPT
    """Steps that the result holds at most: of a longer attack every second, fourth, ... one, and the last."""
    mask: Tensor | None = None
    """Bools (H, W) or (1, H, W), true where pixels may change; all may by default. Others keep every bit."""
    period: float = 0.0
    """Perturbations are made of waves of at least so many pixels (see Subspace), on a mask that is a rectangle."""
    host: Callable[..., Network] = Network
    """Makes the Network through which the attack sees f; ``run_batch`` has its own."""

    def __post_init__(self) -> None:
        if not (0 <= self.kappa < math.inf and self.max_seconds >= 0 and self.kept >= 2):
            expected = "a finite kappa >= 0, max_seconds >= 0 and kept >= 2"
            raise ValueError(f"expected {expected}, got {self.kappa}, {self.max_seconds} and {self.kept}")
        object.__setattr__(self, "encoding", asked(self.encoding, self.target))


class Trail:
    """The past of one attack on the image ``x0`` (C, H, W)."""

    def __init__(self, task: Task, norm: Norm = Norm.L2) -> None:
        """``norm`` says which of two hits is nearer.

        Raises ValueError for a network in train mode, and for an image, a target or a mask that is out of range.
        """

        def interrupted() -> bool:  # asked between chunks of rows, for an iteration may take a minute
            self.check_time()
            return task.should_stop()

        self.network = task.host(task.f, memory=task.memory, should_stop=interrupted)
        with self.network.room():
            self.x0 = check_image(task.x, task.device)
            self.space = Subspace(check_mask(task.mask, self.x0), task.period)
            self.mask = self.space.mask
            self.encoding = task.encoding
            self.target = task.encoding.check_target(task.target)
            self.kappa = task.kappa
            self.goal = task.encoding.constraints(task.target, task.kappa)
            self._best = 0, self.x0, self.x0.new_full((self.encoding.n,), torch.nan)
        self.norm = norm
        self._max_seconds = task.max_seconds
        self._seconds = 0.0
        self._resumed = time.perf_counter()
        self._history, self._count, self._n_it = History(task.kept), 0, 0
        self._curve: list[tuple[int, float]] = []
        self._z0: Tensor | None = None
        self._sloped = False
        self._best_rank: tuple[bool, bool, float]
        self._judged: tuple[Tensor | None, bool] = None, False
        self._last = self.x0

    def follow(self, body: Walk) -> Attack:
        """The attack whose steps ``body`` makes, with whatever halts it as its end."""
        self._resumed = time.perf_counter()  # not before the first step is asked for
        while True:
            with self.network.room():  # never while the caller has the step
                try:
                    step = next(body)
                except StopIteration as end:
                    return self.result(*end.value)
                except Halt as halt:
                    return self.result(halt.reason, halt.detail)
            yield step

    def descend(self, x: Tensor, loss: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """f(x) (n,) and the gradient (C, H, W) at x of a loss of the constraints' values (p,).

        Raises ValueError when the logits are not as many as the encoding's.
        """
        return self.slope(x, lambda z: loss(self.goal.values(z)))

    def slope(self, x: Tensor, loss: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """The same for a loss of the logits (n,). Raises Halt when the first gradient of all is zero."""
        self.network.check_stop()
        z, gradient = self.network.descend(x, lambda z: loss(self._checked(z)))
        self.start(z)
        gradient = self.space.project(gradient)
        if not (self._sloped or gradient.any()):
            raise Halt(StopReason.ZERO_GRADIENT, ZERO_GRADIENT)
        self._sloped = True
        return z, gradient

    def linearise(self, x: Tensor, goal: Constraints) -> Linearisation:
        """The model at x of what perturbations that are allowed do."""
        return Linearisation(self.network, x, goal, self.space)

    def clamp(self, x: Tensor) -> Tensor:
        """The nearest image with a perturbation that is allowed, clipped to [0, 1]; outside the mask the original."""
        return self.space.nearest(x, self.x0).clamp(0, 1)

    def largest_norm(self) -> float:
        """L2 norm of the longest perturbation that is allowed."""
        return length(self.mask * torch.maximum(self.x0, 1 - self.x0))

    def start(self, z: Tensor) -> None:
        """Take note of the original's logits: the first that this is told; later ones are none of its business.

        Raises Halt when the original has the target labels, and ValueError when the logits are not as many as the
        encoding's.
        """
        if self._z0 is not None:
            return
        self._z0 = self._checked(z)
        self._best, self._best_rank = (0, self.x0, z), self._rank(z, 0.0)
        if self._best_rank[0]:
            raise Halt(StopReason.NOTHING_TO_DO, "The image already has the target labels.")

    def hit(self, z: Tensor) -> bool:
        """Whether logits (n,) are where the attack wants them: decoded to the target, with the margin if one is set."""
        return self._decodes(z) and (self.kappa == 0 or bool((self.goal.values(z) >= 0).all()))

    def judged(self, z: Tensor) -> Tensor:
        """(p,) what logits (n,) must have above 0 to be a hit: the decoder's margins, or with kappa the constraints'.

        They differ for ECOC only, whose decoder sees tanh of the logits.
        """
        return self.goal.values(z) if self.kappa else self.encoding.margins(z, self.target)

    def demand_more(self, margin: float, z: Tensor) -> tuple[float, Constraints]:
        """A larger margin and its constraints, for when all hold with this one, yet the decoder disagrees.

        That is rounding on the boundary, or ECOC's tanh. Asked for again and again until the decoder agrees.
        """
        if float(self.judged(z).min()) >= -tolerance(z):
            margin += tolerance(z)
        else:
            margin = max(2 * margin, 0.1 * float(z.abs().max()), 1e-3)
        return margin, self.encoding.constraints(self.target, margin)

    def check_time(self) -> None:
        """Raises Halt when the time is up."""
        if self._clock() > self._max_seconds:
            raise Halt(StopReason.TIME, f"The time cap of {self._max_seconds:g} s was reached.")

    def emit(
        self,
        iteration: int,
        phase: Phase,
        x: Tensor,
        z: Tensor,
        solution: Solution | None = None,
        realised: Tensor | None = None,
    ) -> Generator[Step]:
        """Record the step to image ``x`` with logits ``z``, and yield it while the clock stands still."""
        unknown = np.full(self.encoding.n, np.nan)
        self._count += 1
        step = Step(
            number=self._count,
            iteration=iteration,
            phase=phase,
            image=_array(x),
            logits=_array(z),
            decoded=_array(self.encoding.decode(z)),
            success=self._decodes(z),
            values=_array(self.goal.values(z)),
            margin=self._margin(z),
            active=solution.index if solution else np.empty(0, dtype=np.int64),
            multipliers=solution.multipliers if solution else np.empty(0),
            predicted=solution.displacement if solution else unknown,
            realised=unknown if realised is None else _array(realised),
            full_length=solution.length if solution else math.nan,
            l2=_distance(x, self.x0, Norm.L2),
            moved=_distance(x, self._last, Norm.L2),
            forward=self.network.forward,
            backward=self.network.backward,
            seconds=self._clock(),
            certificate=solution.certificate if solution else None,
        )
        self._note(step, x, z)
        self._seconds = self._clock()
        yield step
        self._resumed = time.perf_counter()

    def _note(self, step: Step, x: Tensor, z: Tensor) -> None:
        distance = _distance(x, self.x0, self.norm)
        rank = self._rank(z, distance)
        if best := rank > self._best_rank:
            self._best, self._best_rank = (step.number, x, z), rank
            if rank[0]:
                self._curve.append((step.backward, distance))
        self._last = x
        self._n_it += step.phase != Phase.LEAP
        self._history.add(step, best=best)

    def ending(self, iterations: int) -> Ending:
        """How an attack of a fixed number of iterations ends."""
        if self.hit(self._best[-1]):
            return SUCCESS
        return StopReason.ITERATIONS, f"The target was not reached in {iterations} iterations."

    def result(self, reason: StopReason, detail: str) -> AttackResult:
        """The end of the attack, with the nearest hit, or the iterate that came closest to one."""
        update, x, z = self._best
        z0 = torch.full_like(z, torch.nan) if self._z0 is None else self._z0
        original, image = _array(self.x0), _array(x)
        return AttackResult(
            original=original,
            image=image,
            update=update,
            last=_array(self._last),
            target=_array(self.target),
            decoded_before=_array(self._decoded(z0)),
            decoded=_array(self._decoded(z)),
            success=self._decodes(z),
            reason=reason,
            detail=detail,
            logits_before=_array(z0),
            logits=_array(z),
            fraction_right=self.encoding.fraction_right(z, self.target) if z.isfinite().all() else 0.0,
            distortion=distortion(original, image),
            n_it=self._n_it,
            forward=self.network.forward,
            backward=self.network.backward,
            seconds=self._clock(),
            curve=np.array(self._curve).reshape(-1, 2),
            trace=self._history.trace,
            steps=self._history.steps,
        )

    def _checked(self, z: Tensor) -> Tensor:
        if len(z) != self.encoding.n:
            raise ValueError(f"expected {self.encoding.n} logits, as the encoding has, got {len(z)} from the network")
        return z

    def _clock(self) -> float:
        return self._seconds + time.perf_counter() - self._resumed

    def _decodes(self, z: Tensor) -> bool:
        """Whether the decoder, the only judge of success, says the target. Asked several times of the same logits."""
        if z is not self._judged[0]:
            said = bool(z.isfinite().all()) and self.encoding.meets(z, self.target)
            self._judged = z, said
        return self._judged[1]

    def _decoded(self, z: Tensor) -> Tensor:
        """The decoder's answer; where logits are not finite no class (-1), or no label."""
        decoded = self.encoding.decode(z)
        if z.isfinite().all():
            return decoded
        return torch.full_like(decoded, False if decoded.dtype == torch.bool else -1)

    def _margin(self, z: Tensor) -> float:
        return float(self.encoding.margins(z, self.target).min())

    def _rank(self, z: Tensor, distance: float) -> tuple[bool, bool, float]:
        """Hits above misses; among hits the nearest, among misses the one with the best worst margin.

        The margin is the decoder's, or the constraints' where only kappa is missing.
        """
        hit, decodes = self.hit(z), self._decodes(z)
        return hit, decodes, -distance if hit else float(self.goal.values(z).min()) if decodes else self._margin(z)


def run(attack: Attack) -> AttackResult:
    """Drain an attack to its end."""
    while True:
        try:
            next(attack)
        except StopIteration as end:
            result: AttackResult = end.value
            return result


def check_image(x: Tensor, device: torch.device | str | None) -> Tensor:
    """A copy (C, H, W) on ``device``; ValueError unless it is float32 or float64 and its pixels are in [0, 1]."""
    kinds = torch.float32, torch.float64
    if not isinstance(x, Tensor) or x.ndim != 3 or x.dtype not in kinds or x.numel() == 0:
        got = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"expected one float32 or float64 image (C, H, W), a tensor, got {got}")
    x = x.detach().to(device, copy=True)
    outside = int((~((x >= 0) & (x <= 1))).sum())
    if outside:
        low, high = (str(end.cpu().numpy()) for end in (x.min(), x.max()))  # with all digits
        raise ValueError(f"expected pixels in [0, 1], got {low} to {high}: {outside} of {x.numel()} values are outside")
    return x


def check_mask(mask: Tensor | None, x: Tensor) -> Tensor:
    """The mask (1, H, W) of an image on its device, everything if None; ValueError unless it fits and has a pixel."""
    if mask is None:
        mask = torch.ones(x.shape[1:], dtype=torch.bool, device=x.device)
    if mask.dtype != torch.bool or mask.shape not in (x.shape[1:], (1, *x.shape[1:])):
        expected = f"a mask of bools {tuple(x.shape[1:])}, as high and wide as the image"
        raise ValueError(f"expected {expected}, got {mask.dtype} of shape {tuple(mask.shape)}")
    if not mask.any():
        raise ValueError("expected a mask with at least one true pixel, got none: nothing could change")
    return mask.reshape(1, *x.shape[1:]).to(x.device, copy=True)


def _array(tensor: Tensor) -> Any:
    return tensor.detach().cpu().numpy().copy()


def _distance(a: Tensor, b: Tensor, norm: Norm) -> float:
    """Of two images; in L0, the number of values that differ."""
    return float(torch.linalg.vector_norm((a - b).cpu().double(), ord=ORDERS[norm]))


def annealed(k: int, steps: int, first: float, last: float) -> float:
    """A rate that falls by half a cosine: from ``first`` at step 0 to ``last`` after so many steps."""
    return last + (first - last) * (1 + math.cos(math.pi * k / steps)) / 2


def length(delta: Tensor) -> float:
    """L2 norm."""
    return float(torch.linalg.vector_norm(delta))


def unit(delta: Tensor) -> Tensor:
    """The tensor at L2 norm 1, or zero if it is zero."""
    tiny = torch.finfo(delta.dtype).tiny
    scaled = delta / delta.abs().max().clamp_min(tiny)  # whose squares do not underflow
    shortened: Tensor = scaled / torch.linalg.vector_norm(scaled).clamp_min(tiny)
    return shortened
