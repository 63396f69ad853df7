"""The curves of an attack, for whatever draws them: points (x, y), the original first. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jma_core.records import Step, Trace
from models.encodings import Encoding, Target

Floats = NDArray[np.floating]
Points = NDArray[np.float64]
"""(k, 2)"""


@dataclass(frozen=True)
class Curves:
    """An attack over its updates. Update 0 is the original."""

    worst: Points
    """The decoder's least margin at every update: above 0 the image is read as wanted."""
    active: dict[str, Points]
    """By its name, the margin of each constraint that was active most recently, at the updates that are kept."""
    distance: Points
    """L2 from the original."""
    predicted: Points
    """Length of the full step that each linearised problem asked for; none for attacks that solve none."""


def curves(
    encoding: Encoding, target: Target, before: Floats, trace: Trace, steps: Sequence[Step], most: int = 6
) -> Curves:
    """Those of an attack from an original with logits ``before`` (n,), with ``most`` active constraints."""
    values = encoding.margins(np.array([before, *(step.logits for step in steps)]), target)
    kept = [0, *(step.number for step in steps)]
    recent = list(dict.fromkeys(int(i) for step in reversed(steps) for i in step.active))[:most]
    every = encoding.constraint_names(target)
    solved = np.isfinite(trace.full_length)
    return Curves(
        worst=_points([0, *trace.number], [values[0].min(), *trace.margin]),
        active={every[i]: _points(kept, values[:, i]) for i in recent},
        distance=distance(trace),
        predicted=_points(trace.number[solved], trace.full_length[solved]),
    )


def distance(trace: Trace) -> Points:
    """L2 from the original over the updates."""
    return _points([0, *trace.number], [0.0, *trace.l2])


def over_passes(points: Points, trace: Trace) -> Points:
    """What a curve says of the original and of every update, over the backward passes until then."""
    return _points([0, *trace.backward], points[:, 1])


def left_out(trace: Trace, steps: Sequence[Step]) -> str:
    """In a sentence, the updates of which pictures or numbers were not kept; empty where all were."""
    updates = int(trace.number[-1]) if len(trace) else 0
    if len(trace) < updates:
        return f"Pictures and numbers of {len(trace)} of {updates} updates were kept."
    if len(steps) < updates:
        return f"Pictures of {len(steps)} of {updates} updates were kept; the curves have all of them."
    return ""


def _points(x: ArrayLike, y: ArrayLike) -> Points:
    return np.column_stack([np.asarray(x, np.float64), np.asarray(y, np.float64)])
