"""What an attack gives back: a Step for every iteration, and an AttackResult at the end.

Records hold numpy arrays on the CPU and need no torch, so that a stored attack can be shown before torch is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jma_core.dual import Certificate
from jma_core.metrics import Distortion

Floats = NDArray[np.floating]
FREE = -1
"""What a target says of a label that may be present or absent."""


def reads(decoded: Any, target: Any) -> bool:
    """Whether a decoder's answer is the target, free labels aside. Both are arrays, or both tensors on the CPU."""
    return bool(((decoded == target) | (target == FREE)).all())


class Thinned:
    """The steps of a long attack, ``kept`` >= 2 at most: all, or every second, fourth, ... of them, and the last."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._steps: list[Step] = []
        self._last: Step | None = None
        self._stride = 1
        self.added = 0

    def add(self, step: Step) -> None:
        """Take note of the next step."""
        if self.added % self._stride == 0:
            self._steps.append(step)
        self.added += 1
        self._last = step
        if len(self._steps) == self._kept:
            del self._steps[1::2]
            self._stride *= 2

    @property
    def steps(self) -> tuple[Step, ...]:
        """Those that are kept."""
        if self._last is None or self._steps[-1] is self._last:
            return tuple(self._steps)
        return (*self._steps, self._last)


class Phase(StrEnum):
    """What a step did."""

    WALK = "walk"
    """The image moved on: in JMA, the full step missed the target and it went ``step`` along it."""
    LEAP = "leap"
    """The full step landed in the target."""
    BISECT = "bisect"
    """The segment between the last miss and the nearest hit was halved."""
    SHRINK = "shrink"
    """The image moved on a sphere around the original, whose radius follows hits and misses."""
    ROUND = "round"
    """A point on a ray from the original was rounded to 8 bits."""


class StopReason(StrEnum):
    """Why an attack ended. Whether it succeeded is another matter: time may run out after the first hit."""

    SUCCESS = "success"
    NOTHING_TO_DO = "nothing to do"
    ITERATIONS = "iteration cap"
    TIME = "time cap"
    STOPPED = "stopped"
    NOT_FINITE = "not finite"
    ZERO_GRADIENT = "zero gradient"
    INFEASIBLE = "infeasible"
    UNSOLVED = "unsolved"
    STALLED = "stalled"
    OUT_OF_MEMORY = "out of memory"


ZERO_GRADIENT = "The network's gradient is zero here: no small change has an effect."


class Halt(Exception):
    """Ends an attack from anywhere inside it, with the reason and a sentence for people."""

    def __init__(self, reason: StopReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Step:
    """One update of the attacked image. n logits, p constraints, k of them active; images are (C, H, W) in [0, 1].

    ``values``, ``logits`` and ``decoded`` belong to ``image``. ``active``, ``multipliers``, ``predicted``, ``realised``
    and ``certificate`` belong to the linearised problem that the step came from: one at the previous image for WALK and
    LEAP, and the LEAP's own for BISECT. Steps that solve none have no certificate, and nan for its other figures.
    """

    iteration: int
    """v, the number of the for loop of Algorithm 1, from 1."""
    phase: Phase
    image: Floats
    logits: Floats
    decoded: NDArray[Any]
    """() int64 class, or (n,) bool labels: what the decoder says of ``image``."""
    success: bool
    values: Floats
    """(p,) A z - h: >= 0 where a constraint is satisfied; logit units."""
    active: NDArray[np.int64]
    """(k,) constraints with a positive multiplier; none without a linearised problem."""
    multipliers: Floats
    """(k,) lambda* of the active constraints."""
    predicted: Floats
    """(n,) d* = J delta*: where the linear model expects the full step to go."""
    realised: Floats
    """(n,) f(clip(x + delta*)) - f(x): where it went; nan where that image was not looked at."""
    full_length: float
    """||delta*||, the length of the full step in [0, 1] pixel units."""
    l2: float
    """Distance of ``image`` from the original."""
    moved: float
    """Distance of ``image`` from the image of the step before (for BISECT: from the last hit)."""
    forward: int
    """Forward passes so far, one an image; a forward-mode derivative counts as two."""
    backward: int
    """Backward passes so far, one a gradient row."""
    seconds: float
    """Time spent inside the attack so far; pauses between steps are not counted."""
    certificate: Certificate | None


@dataclass(frozen=True)
class AttackResult:
    """How an attack ended. Images are (C, H, W) float in [0, 1]."""

    original: Floats
    image: Floats
    """The successful image nearest to the original; if there is none, the image with the best worst constraint."""
    last: Floats
    """The last image whose logits are known: after a failure, the point where it failed."""
    target: NDArray[Any]
    """() int64 class, or (n,) int8 labels: 1 present, 0 absent, -1 free."""
    decoded_before: NDArray[Any]
    decoded: NDArray[Any]
    """What the decoder says of ``original`` and of ``image``."""
    success: bool
    """Whether ``decoded`` is ``target``, free labels aside."""
    reason: StopReason
    detail: str
    """One sentence for people."""
    logits_before: Floats
    logits: Floats
    """(n,) at ``image``."""
    fraction_right: float
    """Labels (bits for ECOC) of ``image`` that agree with the target, in [0, 1]: the paper's bASR."""
    distortion: Distortion
    n_it: int
    """Updates as the paper counts them: (v - 1) + n_bs. The leap that ends the walk is not an update."""
    forward: int
    backward: int
    seconds: float
    curve: Floats
    """(k, 2) backward passes so far and L2, at each success that was nearer than all before it."""
    steps: tuple[Step, ...]
    """All of them, or up to 256 evenly spread ones of a longer attack, and the last."""

    @property
    def best(self) -> Step | None:
        """The step whose image is the result, as far as lengths tell; None if that is the original."""
        return min((None, *self.steps), key=lambda step: abs((step.l2 if step else 0.0) - self.distortion.l2))
