"""Who is nearer, by the protocol of the house: the rows of bench.engine's sweeps, compared. Needs no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.protocol import GRADIENTS, OURS, Form, forms, tuned
from lab.sweep.report import Results
from lab.sweep.statistics import Paired, optimality, paired, within

GOAL, GOAL_AT = 0.97, 300
"""The optimality that ``refined`` is to have, with so many gradients."""
ENOUGH = 6
"""Pictures of which something may be said."""
Distances = dict[str, float]
"""By case; infinite where the target was not reached."""


@dataclass(frozen=True)
class Ended:
    """How an attack with one choice of its settings ended on a case."""

    distance: float
    forward: int
    backward: int
    hits_forward: list[int]
    hits_backward: list[int]
    """Passes until each hit,"""
    hits: list[float]
    """and its distance."""

    def within(self, gradients: int, *, both: bool) -> float:
        """The distance of the nearest hit for so many gradients, or ``both`` for twice as many passes of both kinds."""
        if self.backward + both * self.forward <= (1 + both) * gradients:
            return self.distance
        spent = np.array(self.hits_backward) + both * np.array(self.hits_forward)
        return float(within([spent], [self.hits], [(1 + both) * gradients])[0, 0])


Rows = Mapping[str, Mapping[str, Ended]]
"""By settings, as results name them, and by case."""


def read(results: Results) -> Rows:
    """All that was tried."""
    query = """SELECT settings, "case", distance, coalesce(forward, 0), coalesce(backward, 0),
               coalesce(hits_forward, []), coalesce(hits_backward, []), coalesce(hits_l2, [])
               FROM seen WHERE tried ORDER BY settings, "case" """
    found: dict[str, dict[str, Ended]] = {}
    for settings, case, *rest in results.ask(query):
        found.setdefault(settings, {})[case] = Ended(*rest)
    return found


def row(form: Form, gradients: int, found: Rows) -> Mapping[str, Ended]:
    """How it ended on each case, whatever settings its attack has besides; empty if it was not run."""
    asked = form.at(gradients).items()
    return next((each for settings, each in found.items() if asked <= json.loads(settings).items()), {})


def reached(form: Form, gradients: int, found: Rows, *, both: bool = False) -> Distances:
    """Of the nearest hit with so many gradients, or ``both`` with twice as many passes of both kinds."""
    ended = row(form, gradients, found)
    if not form.once:
        return {case: each.distance for case, each in ended.items()}
    return {case: each.within(gradients, both=both) for case, each in ended.items()}


def best_of(every: Sequence[Distances]) -> Distances:
    """Of each case the least distance."""
    cases = {case for each in every for case in each}
    return {case: min(each.get(case, math.inf) for each in every) for case in cases}


def near(distance: Distances, best: Distances) -> float:
    """The optimality of an attack on its own cases; nan where there is nothing to tell."""
    return float(optimality([[*distance.values()], [best[case] for case in distance]])[0])


def middle(distance: Distances) -> float:
    """The median; failures are infinitely far."""
    return float(np.median([*distance.values()]))


@dataclass(frozen=True)
class Line:
    """A row of a table: an attack with so many gradients, and how ``refined`` with as many compares with it."""

    form: Form
    distance: Distances
    optimality: float
    frugal: Distances
    """The same, of twice as many passes of both kinds."""
    forward: float
    backward: float
    """Passes, medians; of an attack that is run once, all that it took."""
    pair: Paired
    """``refined`` against it, on the cases of both,"""
    failed: tuple[int, int]
    """and of these how many ``refined`` has not reached, and how many it."""

    @property
    def n(self) -> int:
        """Pictures."""
        return len(self.distance)

    @property
    def hits(self) -> int:
        """Pictures on which the target was reached."""
        return sum(map(math.isfinite, self.distance.values()))

    @property
    def pairs(self) -> int:
        """Pictures that both attacked."""
        return self.pair.wins + self.pair.ties + self.pair.losses

    @property
    def verdict(self) -> str:
        """What the interval of the ratio says of ``refined``."""
        if self.pairs < ENOUGH or math.isnan(self.pair.low):
            return "too few"
        return "nearer" if self.pair.high < 1 else "farther" if self.pair.low > 1 else "a tie"


@dataclass(frozen=True)
class Standing:
    """A task with so many gradients."""

    gradients: int
    ours: Line
    rivals: list[Line]

    @property
    def best(self) -> Line | None:
        """The rival of the largest optimality, of those that attacked half of the pictures or more."""
        known = [each for each in self.rivals if 2 * each.pairs >= self.ours.n and not math.isnan(each.optimality)]
        return max(known, key=lambda each: each.optimality, default=None)

    @property
    def fails_more(self) -> list[Line]:
        """The rivals that fail on fewer pictures than ``refined``."""
        return [each for each in self.rivals if each.failed[0] > each.failed[1]]

    @property
    def holds(self) -> bool:
        """Whether the goal does: nearer than the best rival, no more failures than any, and the optimality."""
        ahead = self.best is not None and self.best.verdict == "nearer" and not self.fails_more
        return ahead and (self.gradients != GOAL_AT or self.ours.optimality >= GOAL)


def standings(name: str, results: Results, budgets: Sequence[int] = GRADIENTS) -> list[Standing]:
    """Of a task, for each number of gradients with which ``refined`` was run."""
    found = read(results)
    distances = {(form, n): d for form in forms(name, tuned()) for n in budgets if (d := reached(form, n, found))}
    best = best_of([*distances.values()])
    made = []
    for gradients in budgets:
        forms_here = [form for form, n in distances if n == gradients]
        if forms_here and forms_here[0].attack == OURS:
            mine = distances[forms_here[0], gradients]
            first, *rest = (_line(form, gradients, found, mine, best) for form in forms_here)
            made.append(Standing(gradients, first, rest))
    return made


def _line(form: Form, gradients: int, found: Rows, mine: Distances, best: Distances) -> Line:
    own, ended = reached(form, gradients, found), row(form, gradients, found).values()
    common = sorted(own.keys() & mine.keys())
    a, b = (np.array([each[case] for case in common]) for each in (mine, own))
    return Line(
        form=form,
        distance=own,
        frugal=reached(form, gradients, found, both=True),
        optimality=near(own, best),
        forward=float(np.median([each.forward for each in ended])),
        backward=float(np.median([each.backward for each in ended])),
        pair=paired(a, b),
        failed=(int(np.isinf(a).sum()), int(np.isinf(b).sum())),
    )
