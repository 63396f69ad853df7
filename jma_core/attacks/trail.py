"""Bookkeeping that every attack shares: the clock, the counts, the best iterate, the steps, the final result."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from typing import Any

import torch
from torch import Tensor

from jma_core.encodings import Encoding, Target
from jma_core.linearise import Solution
from jma_core.metrics import distortion
from jma_core.network import Classifier, Network
from jma_core.records import AttackResult, Halt, Phase, Step, StopReason

Attack = Generator[Step, None, AttackResult]


class Trail:
    """The past of one attack on the image ``x0`` (C, H, W)."""

    def __init__(
        self, network: Network, x0: Tensor, encoding: Encoding, target: Target, *, kappa: float, max_seconds: float
    ) -> None:
        self._network = network
        self._x0 = x0
        self._encoding = encoding
        self._target = encoding.check_target(target)
        self._goal = encoding.constraints(target, kappa)
        self._kappa = kappa
        self._max_seconds = max_seconds
        self._seconds = 0.0
        self._resumed = time.perf_counter()
        self._steps: list[Step] = []
        self._z0 = torch.full((encoding.n,), torch.nan)
        self._best = x0, self._z0
        self._last = x0

    def start(self, z0: Tensor) -> None:
        """Take note of the original's logits. Raises ValueError when they are not as many as the encoding's."""
        if len(z0) != self._encoding.n:
            raise ValueError(f"expected {self._encoding.n} logits, as the encoding has, got {len(z0)} from the network")
        self._z0 = z0
        self._best = self._x0, z0

    def hit(self, z: Tensor) -> bool:
        """Whether logits (n,) are where the attack wants them: decoded to the target, with the margin if one is set."""
        return self._decodes(z) and (self._kappa == 0 or bool((self._goal.values(z) >= 0).all()))

    def check_time(self) -> None:
        """Raises Halt when the time is up."""
        if self._clock() > self._max_seconds:
            raise Halt(StopReason.TIME, f"The time cap of {self._max_seconds:g} s was reached.")

    def emit(
        self, iteration: int, phase: Phase, x: Tensor, z: Tensor, solution: Solution, realised: Tensor
    ) -> Generator[Step]:
        """Record the step to image ``x`` with logits ``z``, and yield it while the clock stands still."""
        step = Step(
            iteration=iteration,
            phase=phase,
            image=_array(x),
            logits=_array(z),
            decoded=_array(self._encoding.decode(z)),
            success=self._decodes(z),
            values=_array(self._goal.values(z)),
            active=solution.index,
            multipliers=solution.multipliers,
            predicted=solution.displacement,
            realised=_array(realised),
            full_length=solution.length,
            l2=_distance(x, self._x0),
            moved=_distance(x, self._last),
            forward=self._network.forward,
            backward=self._network.backward,
            seconds=self._clock(),
            certificate=solution.certificate,
        )
        if self._rank(x, z) > self._rank(*self._best):
            self._best = x, z
        self._last = x
        self._steps.append(step)
        self._seconds = self._clock()
        yield step
        self._resumed = time.perf_counter()

    def result(self, reason: StopReason, detail: str) -> AttackResult:
        """The end of the attack, with the nearest hit, or the iterate that came closest to one."""
        x, z = self._best
        original, image = _array(self._x0), _array(x)
        return AttackResult(
            original=original,
            image=image,
            last=_array(self._last),
            target=_array(self._target),
            decoded_before=_array(self._encoding.decode(self._z0)),
            decoded=_array(self._encoding.decode(z)),
            success=self._decodes(z),
            reason=reason,
            detail=detail,
            logits_before=_array(self._z0),
            logits=_array(z),
            fraction_right=self._encoding.fraction_right(z, self._target) if z.isfinite().all() else 0.0,
            distortion=distortion(original, image),
            forward=self._network.forward,
            backward=self._network.backward,
            seconds=self._clock(),
            steps=tuple(self._steps),
        )

    def _clock(self) -> float:
        return self._seconds + time.perf_counter() - self._resumed

    def _decodes(self, z: Tensor) -> bool:
        """Whether the decoder, the only judge of success, says the target."""
        return bool(z.isfinite().all()) and torch.equal(self._encoding.decode(z).cpu(), self._target)

    def _rank(self, x: Tensor, z: Tensor) -> tuple[bool, bool, float]:
        """Hits above misses; among hits the nearest, among misses the one with the best worst constraint."""
        hit = self.hit(z)
        return hit, self._decodes(z), -_distance(x, self._x0) if hit else float(self._goal.values(z).min())


def run(attack: Attack) -> AttackResult:
    """Drain an attack to its end."""
    while True:
        try:
            next(attack)
        except StopIteration as end:
            result: AttackResult = end.value
            return result


def run_batch(
    attack: Callable[..., Attack],
    f: Classifier,
    images: Tensor,
    encoding: Encoding,
    targets: Iterable[Target],
    **settings: Any,
) -> list[AttackResult]:
    """Attack images (N, C, H, W) one after another, each with its own target: one AttackResult for each.

    ``settings`` are the attack's keywords, the same for all. Raises ValueError unless there are N targets.
    """
    targets = list(targets)
    if len(targets) != len(images):
        raise ValueError(f"expected {len(images)} targets, one for each image, got {len(targets)}")
    return [run(attack(f, x, encoding, t, **settings)) for x, t in zip(images, targets, strict=True)]


def check_image(x: Tensor, device: torch.device | str | None) -> Tensor:
    """The image (C, H, W) on ``device``; ValueError unless it is float32 or float64 and its pixels are in [0, 1]."""
    x = x.detach().to(device)
    if x.ndim != 3 or x.dtype not in (torch.float32, torch.float64) or x.numel() == 0:
        raise ValueError(f"expected one float32 or float64 image (C, H, W), got {x.dtype} of shape {tuple(x.shape)}")
    if not bool(((x >= 0) & (x <= 1)).all()):
        raise ValueError(f"expected pixels in [0, 1], got {float(x.min()):g} to {float(x.max()):g}")
    return x


def _array(tensor: Tensor) -> Any:
    return tensor.detach().cpu().numpy().copy()


def _distance(a: Tensor, b: Tensor) -> float:
    return float(torch.linalg.vector_norm((a - b).cpu().double()))
