"""How much longer an attack will take, judged by how it went so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jma_core.records import Phase, Step
from ui.request import Settings


@dataclass(frozen=True)
class Remaining:
    """Seconds that are left."""

    most: float
    """What the settings' most iterations and most seconds still allow."""
    likely: float | None = None
    """At the recent rate; None when there is none yet, or when it leads away from the target."""

    def __str__(self) -> str:
        """In words. A rate is no promise: JMA's last constraints often take twice as long as it says."""
        at_most = f"at most {duration(self.most)}"
        if self.likely is None:
            return f"A{at_most[1:]} to go."
        return f"At this rate {duration(self.likely)}, {at_most}." if self.likely else "Any moment now."


def remaining(settings: Settings, steps: Sequence[Step], since: float = 0.0) -> Remaining:
    """What is left of an attack with these steps so far, so many seconds ``since`` the last of them.

    The refined attack takes all its iterations. JMA's walk ends when the worst constraint holds: that is as far away
    as it takes to get there at the rate of the second half of the steps. The halvings after it are done at once.
    """
    if not steps:
        return Remaining(max(0.0, settings.max_seconds - since))
    last = steps[-1]
    iterations = (settings.max_iter - last.iteration) * last.seconds / last.iteration
    most = max(0.0, min(iterations, settings.max_seconds - last.seconds) - since)
    likely = iterations if settings.level == "refined" else _walk(steps)
    return Remaining(most, None if likely is None else min(max(0.0, likely - since), most))


def _walk(steps: Sequence[Step]) -> float | None:
    last, before = steps[-1], steps[(len(steps) - 1) // 2]
    if last.phase != Phase.WALK:
        return 0.0
    missing, gained = -last.values.min(), last.values.min() - before.values.min()
    return float(missing / gained) * (last.seconds - before.seconds) if missing > 0 and gained > 0 else None


def duration(seconds: float) -> str:
    """Whole seconds, or minutes from two on, rounded up."""
    return f"{math.ceil(seconds)} s" if seconds <= 120 else f"{math.ceil(seconds / 60)} min"
