"""Bookkeeping that every attack shares: the clock, the counts, the best iterate, the steps, the final result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from jma_core.encodings import Constraints, Encoding, Target
from jma_core.linearise import Linearisation, Solution
from jma_core.metrics import distortion
from jma_core.network import Classifier, Network, never
from jma_core.records import ZERO_GRADIENT, AttackResult, Halt, Phase, Step, StopReason, Thinned, reads

Attack = Generator[Step, None, AttackResult]
Ending = tuple[StopReason, str]
SUCCESS: Ending = (StopReason.SUCCESS, "The decoder reads the target labels.")
KEPT = 256


class Common(TypedDict, total=False):
    """The settings that every attack takes."""

    kappa: float
    """Margin that every constraint must keep, in logit units; 0."""
    max_seconds: float
    """Cap on the time spent inside the attack; none."""
    should_stop: Callable[[], bool]
    """Asked at every step and between chunks of gradient rows."""
    device: torch.device | str | None
    """Where to run: "cpu", "cuda", "mps"; the image's own by default."""
    memory: int | None
    """Bytes that a chunk of gradient rows may hold; see Network for the default."""
    kept: int
    """Steps that the result holds at most, 256: of a longer attack every second, fourth, ... one, and the last."""
    mask: Tensor | None
    """Bools (H, W) or (1, H, W), true where pixels may change; all may by default. Others keep every bit."""
    host: Callable[..., Network]
    """Makes the Network through which the attack sees f; ``run_batch`` has its own."""


def begin(
    f: Classifier,
    x: Tensor,
    encoding: Encoding,
    target: Target,
    *,
    kappa: float = 0.0,
    max_seconds: float = math.inf,
    should_stop: Callable[[], bool] = never,
    device: torch.device | str | None = None,
    memory: int | None = None,
    kept: int = KEPT,
    mask: Tensor | None = None,
    host: Callable[..., Network] = Network,
) -> Trail:
    """The trail of a new attack. Raises ValueError for an image, a target or a setting that is out of range."""
    if not (0 <= kappa < math.inf and max_seconds >= 0 and kept >= 2):
        expected = "a finite kappa >= 0, max_seconds >= 0 and kept >= 2"
        raise ValueError(f"expected {expected}, got {kappa:g}, {max_seconds:g} and {kept}")

    def interrupted() -> bool:  # asked between chunks of rows, for an iteration may take a minute
        trail.check_time()
        return should_stop()

    network = host(f, memory=memory, should_stop=interrupted)
    x0 = check_image(x, device)
    trail = Trail(network, x0, encoding, target, kappa=kappa, max_seconds=max_seconds, kept=kept, mask=mask)
    return trail


class Trail:
    """The past of one attack on the image ``x0`` (C, H, W)."""

    def __init__(
        self,
        network: Network,
        x0: Tensor,
        encoding: Encoding,
        target: Target,
        *,
        kappa: float,
        max_seconds: float,
        kept: int = KEPT,
        mask: Tensor | None = None,
    ) -> None:
        self.network = network
        self.x0 = x0
        self.mask = check_mask(mask, x0)
        self.encoding = encoding
        self.target = encoding.check_target(target)
        self.goal = encoding.constraints(target, kappa)
        self.kappa = kappa
        self._max_seconds = max_seconds
        self._seconds = 0.0
        self._resumed = time.perf_counter()
        self._steps, self._updates = Thinned(kept), 0
        self._curve: list[tuple[int, float]] = []
        self._z0: Tensor | None = None
        self._best = x0, torch.full((encoding.n,), torch.nan)
        self._best_rank: tuple[bool, bool, float]
        self._judged: tuple[Tensor | None, bool] = None, False
        self._last = x0

    def follow(self, body: Generator[Step, None, Ending]) -> Attack:
        """The attack whose steps ``body`` makes, with whatever halts it as its end."""
        self._resumed = time.perf_counter()  # not before the first step is asked for
        try:
            reason, detail = yield from body
        except Halt as halt:
            reason, detail = halt.reason, halt.detail
        return self.result(reason, detail)

    def descend(self, x: Tensor, loss: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """f(x) (n,) and the gradient (C, H, W) at x of a loss of the constraints' values (p,).

        Raises ValueError when the logits are not as many as the encoding's.
        """
        self.network.check_stop()
        z, gradient = self.network.descend(x, lambda z: loss(self.goal.values(self._checked(z))))
        first = self._z0 is None
        self.start(z)
        gradient = gradient * self.mask
        if first and not gradient.any():
            raise Halt(StopReason.ZERO_GRADIENT, ZERO_GRADIENT)
        return z, gradient

    def linearise(self, x: Tensor, goal: Constraints) -> Linearisation:
        """The model at x of what the pixels that may change do."""
        return Linearisation(self.network, x, goal, self.mask)

    def clamp(self, x: Tensor) -> Tensor:
        """The nearest image that is allowed: in [0, 1], and bit for bit the original outside the mask."""
        return torch.where(self.mask, x.clamp(0, 1), self.x0)

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
        self._best, self._best_rank = (self.x0, z), self._rank(z, 0.0)
        if self._best_rank[0]:
            raise Halt(StopReason.NOTHING_TO_DO, "The image already has the target labels.")

    def hit(self, z: Tensor) -> bool:
        """Whether logits (n,) are where the attack wants them: decoded to the target, with the margin if one is set."""
        return self._decodes(z) and (self.kappa == 0 or bool((self.goal.values(z) >= 0).all()))

    def demand_more(self, margin: float, z: Tensor) -> tuple[float, Constraints]:
        """A larger margin and its constraints, for when all hold with this one, yet the decoder disagrees.

        That is ECOC's tanh, or rounding on the boundary. Asked for again and again until the decoder agrees.
        """
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
        step = Step(
            iteration=iteration,
            phase=phase,
            image=_array(x),
            logits=_array(z),
            decoded=_array(self.encoding.decode(z)),
            success=self._decodes(z),
            values=_array(self.goal.values(z)),
            active=solution.index if solution else np.empty(0, dtype=np.int64),
            multipliers=solution.multipliers if solution else np.empty(0),
            predicted=solution.displacement if solution else unknown,
            realised=unknown if realised is None else _array(realised),
            full_length=solution.length if solution else math.nan,
            l2=_distance(x, self.x0),
            moved=_distance(x, self._last),
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
        rank = self._rank(z, step.l2)
        if rank > self._best_rank:
            self._best, self._best_rank = (x, z), rank
            if rank[0]:
                self._curve.append((step.backward, step.l2))
        self._last = x
        self._updates += step.phase != Phase.LEAP
        self._steps.add(step)

    def ending(self, iterations: int) -> Ending:
        """How an attack of a fixed number of iterations ends."""
        if self.hit(self._best[1]):
            return SUCCESS
        return StopReason.ITERATIONS, f"The target was not reached in {iterations} iterations."

    def result(self, reason: StopReason, detail: str) -> AttackResult:
        """The end of the attack, with the nearest hit, or the iterate that came closest to one."""
        x, z = self._best
        z0 = torch.full_like(z, torch.nan) if self._z0 is None else self._z0
        original, image = _array(self.x0), _array(x)
        return AttackResult(
            original=original,
            image=image,
            last=_array(self._last),
            target=_array(self.target),
            decoded_before=_array(self.encoding.decode(z0)),
            decoded=_array(self.encoding.decode(z)),
            success=self._decodes(z),
            reason=reason,
            detail=detail,
            logits_before=_array(z0),
            logits=_array(z),
            fraction_right=self.encoding.fraction_right(z, self.target) if z.isfinite().all() else 0.0,
            distortion=distortion(original, image),
            n_it=self._updates,
            forward=self.network.forward,
            backward=self.network.backward,
            seconds=self._clock(),
            curve=np.array(self._curve).reshape(-1, 2),
            steps=self._steps.steps,
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
            said = bool(z.isfinite().all()) and reads(self.encoding.decode(z).cpu(), self.target)
            self._judged = z, said
        return self._judged[1]

    def _rank(self, z: Tensor, l2: float) -> tuple[bool, bool, float]:
        """Hits above misses; among hits the nearest, among misses the one with the best worst constraint."""
        hit = self.hit(z)
        return hit, self._decodes(z), -l2 if hit else float(self.goal.values(z).min())


def run(attack: Attack) -> AttackResult:
    """Drain an attack to its end."""
    while True:
        try:
            next(attack)
        except StopIteration as end:
            result: AttackResult = end.value
            return result


def check_image(x: Tensor, device: torch.device | str | None) -> Tensor:
    """The image (C, H, W) on ``device``; ValueError unless it is float32 or float64 and its pixels are in [0, 1]."""
    x = x.detach().to(device)
    if x.ndim != 3 or x.dtype not in (torch.float32, torch.float64) or x.numel() == 0:
        raise ValueError(f"expected one float32 or float64 image (C, H, W), got {x.dtype} of shape {tuple(x.shape)}")
    if not bool(((x >= 0) & (x <= 1)).all()):
        raise ValueError(f"expected pixels in [0, 1], got {float(x.min()):g} to {float(x.max()):g}")
    return x


def check_mask(mask: Tensor | None, x: Tensor) -> Tensor:
    """The mask (1, H, W) of an image on its device, everything if None; ValueError unless it fits and has a pixel."""
    if mask is None:
        mask = torch.ones(x.shape[1:], dtype=torch.bool)
    if mask.dtype != torch.bool or mask.shape not in (x.shape[1:], (1, *x.shape[1:])):
        expected = f"a mask of bools {tuple(x.shape[1:])}, as high and wide as the image"
        raise ValueError(f"expected {expected}, got {mask.dtype} of shape {tuple(mask.shape)}")
    if not mask.any():
        raise ValueError("expected a mask with at least one true pixel, got none: nothing could change")
    return mask.reshape(1, *x.shape[1:]).to(x.device)


def _array(tensor: Tensor) -> Any:
    return tensor.detach().cpu().numpy().copy()


def _distance(a: Tensor, b: Tensor) -> float:
    return float(torch.linalg.vector_norm((a - b).cpu().double()))


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
