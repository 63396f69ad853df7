"""How much longer an attack will take, as far as that can be known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jma_core.records import Phase, Step
from lab.request import Settings


@dataclass(frozen=True)
class Remaining:
    """Seconds that are left."""

    most: float
    """What the settings' most iterations and most seconds still allow."""
    likely: float | None = None
    """Of an attack whose end is known; None of one that goes on for as long as it takes."""

    def __str__(self) -> str:
        """In words."""
        at_most = f"at most {duration(self.most)}"
        if self.likely is None:
            return f"A{at_most[1:]} to go."
        return f"About {duration(self.likely)}, {at_most}." if self.likely else "Any moment now."


def remaining(settings: Settings, steps: Sequence[Step], since: float = 0.0) -> Remaining:
    """What is left of an attack with these steps so far, so many seconds ``since`` the last of them.

    Most attacks take all their iterations. JMA's walk ends when the worst constraint holds, and the rate at which
    that comes nearer says nothing of when: it falls from step to step, and at the end several constraints take turns
    at being the worst. Of recorded walks it told a half to a ninth of what was left. The halvings after it are short.
    """
    if not steps:
        return Remaining(max(0.0, settings.max_seconds - since))
    last = steps[-1]
    entry, values = settings.entry, dict(settings.own)
    iterations = (entry.iterations(values) - last.iteration) * last.seconds / last.iteration
    most = max(0.0, min(iterations, settings.max_seconds - last.seconds) - since)
    if entry.exhaustive:
        return Remaining(most, most)
    return Remaining(most, None if last.phase == Phase.WALK else 0.0)


def duration(seconds: float) -> str:
    """Whole seconds, or minutes from two on, rounded up."""
    return f"{math.ceil(seconds)} s" if seconds <= 120 else f"{math.ceil(seconds / 60)} min"
