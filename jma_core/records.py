"""What an attack gives back: a Step for every iteration, and an AttackResult at the end.

Records hold numpy arrays on the CPU and need no torch, so that a stored attack can be shown before torch is imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
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
    PROJECT = "project"
    """The perturbation was drawn in after a hit, and projected onto constraints whose gradients are remembered."""
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


REACHED = "The decoder reads the target labels."
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

    ``values``, ``margin``, ``logits`` and ``decoded`` belong to ``image``. ``active``, ``multipliers``, ``predicted``,
    ``realised`` and ``certificate`` belong to the linearised problem that the step came from: one at the previous image
    for WALK and LEAP, and the LEAP's own for BISECT. Steps that solve none have no certificate, and nan for its other
    figures.
    """

    number: int
    """Which of all the attack's updates this is, from 1; those that are not kept count as well."""
    iteration: int
    """v, the number of the for loop of Algorithm 1, from 1."""
    phase: Phase
    image: Floats
    logits: Floats
    decoded: NDArray[Any]
    """() int64 class, (K,) classes in order, or (n,) bool labels: what the decoder says of ``image``."""
    success: bool
    values: Floats
    """(p,) A z - h: >= 0 where a constraint is satisfied; logit units."""
    margin: float
    """The decoder's least margin, without kappa: above 0 where ``image`` is read as wanted."""
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
class Trace:
    """The scalars of an attack's u updates, whose images need not be kept. Arrays (u,); each is a Step's field."""

    number: NDArray[np.int64]
    iteration: NDArray[np.int64]
    phase: NDArray[np.str_]
    success: NDArray[np.bool_]
    margin: Floats
    full_length: Floats
    l2: Floats
    forward: NDArray[np.int64]
    backward: NDArray[np.int64]
    seconds: Floats

    @classmethod
    def of(cls, steps: Iterable[Step]) -> Trace:
        """Those of these steps."""
        return cls.from_rows([cls.row(step) for step in steps])

    @classmethod
    def row(cls, step: Step) -> list[Any]:
        """The scalars of one step, in the order of the fields."""
        return [getattr(step, field.name) for field in fields(cls)]

    @classmethod
    def from_rows(cls, rows: Sequence[list[Any]]) -> Trace:
        """Of the ``row`` of each step."""
        columns = zip(*rows, strict=True) if rows else [()] * len(fields(cls))
        return cls(*map(np.array, columns))

    def __len__(self) -> int:
        return len(self.number)


class History:
    """The past of an attack: the scalars of all its updates, and the steps of some.

    ``kept`` >= 2 steps at most are spread evenly: all, or every second, fourth, ... of them; beside these the last, and
    the best.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._spread: list[Step] = []
        self._stride = 1
        self._others: dict[str, Step] = {}
        self._rows: list[list[Any]] = []

    def add(self, step: Step, *, best: bool = False) -> None:
        """Take note of the next step, which may be the best so far."""
        if len(self._rows) % self._stride == 0:
            self._spread.append(step)
        self._rows.append(Trace.row(step))
        self._others |= {"last": step} | ({"best": step} if best else {})
        if len(self._spread) == self._kept:
            del self._spread[1::2]
            self._stride *= 2

    @property
    def steps(self) -> tuple[Step, ...]:
        """Those that are kept, in order."""
        kept = {step.number: step for step in (*self._spread, *self._others.values())}
        return tuple(kept[number] for number in sorted(kept))

    @property
    def trace(self) -> Trace:
        """The scalars of all."""
        return Trace.from_rows(self._rows)


@dataclass(frozen=True)
class AttackResult:
    """How an attack ended. Images are (C, H, W) float in [0, 1]."""

    original: Floats
    image: Floats
    """The successful image nearest to the original, in the attack's norm; else the image with the best worst margin."""
    update: int
    """The number of the step whose image that is; 0 for the original."""
    last: Floats
    """The last image whose logits are known: after a failure, the point where it failed."""
    target: NDArray[Any]
    """() int64 class, (K,) classes in order, (n,) bool for a set of classes, or (n,) int8 labels: 1 present, 0 absent,
    -1 free."""
    decoded_before: NDArray[Any]
    decoded: NDArray[Any]
    """What the decoder says of ``original`` and of ``image``: -1, or no label, where logits are not finite."""
    success: bool
    """Whether ``decoded`` is ``target``, free labels aside."""
    reason: StopReason
    detail: str
    """One sentence for people."""
    logits_before: Floats
    logits: Floats
    """(n,) at ``image``."""
    fraction_right: float
    """Labels (bits for ECOC, places of an order) of ``image`` that agree with the target, in [0, 1]: the paper's
    bASR."""
    distortion: Distortion
    n_it: int
    """Updates as the paper counts them: (v - 1) + n_bs. The leap that ends the walk is not an update."""
    forward: int
    backward: int
    seconds: float
    curve: Floats
    """(k, 2) backward passes so far and distance in the attack's norm, at each success that was nearer than before."""
    trace: Trace
    """The scalars of all updates."""
    steps: tuple[Step, ...]
    """All of them, or up to 256 evenly spread ones of a longer attack, and with them the last and the best."""

    @property
    def besides(self) -> str:
        """What ``detail`` says beyond that the target was reached: that the time was up, say. Empty if that is all."""
        return self.detail.removeprefix(REACHED).strip()

    @property
    def best(self) -> Step | None:
        """The step whose image is the result; None if that is the original."""
        return next((step for step in self.steps if step.number == self.update), None)
