"""Attacks on one photo towards one target, side by side: as a table, as curves, as matrices, in words. Needs no torch.

The attacks differ in their settings only. What is said of all is measured alike, whatever norm each keeps small: L2
decides who is nearer, and forward and backward passes together are what it cost.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jma_core.records import FREE, AttackResult, Trace
from lab import tables
from lab.curves import Points
from lab.request import Request, Settings
from models.cards import ModelSpec

Floats = NDArray[np.floating]
Value = bool | int | float | None
"""Of one attack in one column; None: not known."""
MOST = 8
"""Attacks that are compared at once."""
MOST_LABELS = 24
"""Columns of the matrix of margins."""
FIRST = (
    Settings.of("lazy"),
    Settings.of("refined"),
    Settings.of("ddn"),
    Settings.of("fmn"),
    Settings.of("cw", searches=3, steps=100),
    Settings.of("ml_cw", searches=3, steps=100),
    Settings.of("mla_lp"),
    Settings.of("sema"),
)
"""With which the page begins, as far as they can be asked for its target: one way each to get there."""
STAR = " ★"
"""Behind what is best."""
AGAIN = "-"
"""In an entry's name, between the attack's and its number; no attack has it in its own."""


@dataclass(frozen=True)
class Saved:
    """The end of an attack as a picture file of 8 bits."""

    l2: float
    reads: bool
    """Whether the network reads the file, opened again, as wanted."""


@dataclass(frozen=True)
class Contender:
    """An attack that has ended."""

    request: Request
    result: AttackResult
    saved: Saved | None = None
    """None as long as nobody has looked."""

    @property
    def passes(self) -> int:
        """What it cost."""
        return self.result.forward + self.result.backward


@dataclass(frozen=True)
class Column:
    """One thing that is said of every attack."""

    title: str
    help: str
    value: Callable[[ModelSpec, Contender], Value]
    digits: str = "d"
    """How a number is written."""
    best: Callable[[Iterable[float]], float] | None = None
    """``min`` or ``max``; None: neither is better."""
    of_hits: bool = True
    """Whether only those that have reached the target can be the best: a small distance is no merit of a miss."""

    def written(self, value: Value) -> str:
        """A value for people."""
        if value is None:
            return "–"
        if isinstance(value, bool):
            return "yes" if value else "no"
        return f"{value:{self.digits}}"


def first_attacks(asked: str) -> list[Settings]:
    """Those of FIRST that can be asked for it: one-hot, top-K, ECOC or multi-label. Of two C&W the one for labels."""
    fits = [each for each in FIRST if asked in each.entry.encodings]
    labels = any(each.attack == "ml_cw" for each in fits)
    return [each for each in fits if not (labels and each.attack == "cw")]


def entries(attacks: Sequence[str]) -> list[str]:
    """A name for each of several attacks, all different: "ddn", and "ddn-2" where it stands there once more."""
    met: Counter[str] = Counter()
    named = []
    for attack in attacks:
        met[attack] += 1
        named.append(attack if met[attack] == 1 else f"{attack}{AGAIN}{met[attack]}")
    return named


def attack_of(entry: str) -> str:
    """The attack of an entry."""
    return entry.partition(AGAIN)[0]


def flips(spec: ModelSpec, contender: Contender) -> tuple[int, int, int]:
    """Labels that were to change and did; labels that were to change; and those that were as wanted and are not."""
    encoding, result, target = spec.encoding, contender.result, contender.request.target
    wanted = encoding.wishes(target)
    before, after = (encoding.placed(decoded, target) for decoded in (result.decoded_before, result.decoded))
    held, right = wanted != FREE, after == wanted
    asked = held & (before != wanted)
    return int((asked & right).sum()), int(asked.sum()), int((held & ~asked & ~right).sum())


COLUMNS = (
    Column("Reached", "Whether the network reads all that is wanted.", lambda _, c: c.result.success),
    Column(
        "Right, %",
        "Labels, or code bits, that agree with the target.",
        lambda _, c: 100 * c.result.fraction_right,
        ".1f",
        max,
        of_hits=False,
    ),
    Column("Flips made", "Labels that were to change and did.", lambda s, c: flips(s, c)[0], "d", max, of_hits=False),
    Column(
        "Collateral",
        "Labels that were as wanted and are not any more.",
        lambda s, c: flips(s, c)[2],
        "d",
        min,
        of_hits=False,
    ),
    Column(
        "L2", "Length of the perturbation; pixels run from 0 to 1.", lambda _, c: c.result.distortion.l2, ".3f", min
    ),
    Column("L∞", "Largest change of a value.", lambda _, c: c.result.distortion.linf, ".4f", min),
    Column("L0", "Values that differ.", lambda _, c: c.result.distortion.l0, "d", min),
    Column("MSE", "Mean squared change.", lambda _, c: c.result.distortion.mse, ".2e", min),
    Column("PSNR, dB", "Ratio of peak to noise.", lambda _, c: c.result.distortion.psnr, ".1f", max),
    Column("SSIM", "Structural similarity.", lambda _, c: c.result.distortion.ssim, ".4f", max),
    Column("n_it", "Updates, as the paper counts them.", lambda _, c: c.result.n_it, "d", min),
    Column("Forward", "Passes forward, one an image.", lambda _, c: c.result.forward, "d", min),
    Column("Backward", "Passes backward, one a gradient.", lambda _, c: c.result.backward, "d", min),
    Column("Seconds", "Time inside the attack.", lambda _, c: c.result.seconds, ".1f", min),
    Column(
        "L2, 8 bits",
        "Length of the perturbation of the nearest picture of 8 bits found.",
        lambda _, c: c.saved.l2 if c.saved else None,
        ".3f",
        min,
    ),
    Column(
        "Reads again",
        "Whether that picture, saved and opened again, is still read as wanted.",
        lambda _, c: c.saved.reads if c.saved else None,
    ),
)
Table = dict[Column, list[Value]]


def table(spec: ModelSpec, contenders: Sequence[Contender]) -> Table:
    """Every column, with a value for each attack."""
    return {column: [column.value(spec, each) for each in contenders] for column in COLUMNS}


def winners(column: Column, values: Sequence[Value], reached: Sequence[bool]) -> list[bool]:
    """Which of the values are the best; none where all are alike or none is better. ``reached``: who has the target."""
    nothing = [False] * len(values)
    if column.best is None:
        return nothing
    told = [
        float(value) if value is not None and not np.isnan(value) and (hit or not column.of_hits) else None
        for value, hit in zip(values, reached, strict=True)
    ]
    known = {value for value in told if value is not None}
    if len(known) < 2:
        return nothing
    best = column.best(known)
    return [value == best for value in told]


def as_csv(names: Sequence[str], told: Table) -> str:
    """The table with all digits; what is not known is empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["Attack", *(column.title for column in told)])
    for name, *values in zip(names, *told.values(), strict=True):
        writer.writerow([name, *("" if value is None else value for value in values)])
    return file.getvalue()


def as_markdown(names: Sequence[str], told: Table) -> str:
    """The table for a text in Markdown, the best of each column in bold."""
    head = ["Attack", *(column.title for column in told)]
    return tables.markdown([head, ["---", *["--:"] * len(told)], *_written(names, told, "**{}**".format)])


def as_latex(names: Sequence[str], told: Table) -> str:
    """The same for LaTeX, a tabular of booktabs."""
    head = [tables.escaped(text) for text in ("Attack", *(column.title for column in told))]
    rows = _written([tables.escaped(name) for name in names], told, r"\textbf{{{}}}".format)
    return tables.tabular([head, *rows])


def _written(names: Sequence[str], told: Table, marked: Callable[[str], str]) -> list[list[str]]:
    """The rows as texts, the best of each column ``marked``."""
    reached = [bool(value) for value in told[COLUMNS[0]]]
    columns = [
        [marked(column.written(v)) if best else column.written(v) for v, best in zip(values, bests, strict=True)]
        for column, values in told.items()
        for bests in [winners(column, values, reached)]
    ]
    return [list(row) for row in zip(names, *columns, strict=True)]


def called(asked: Sequence[Settings]) -> list[str]:
    """A short name for each attack, all different: "DDN"; if need be "JMA (boxed)", or "DDN (steps 50)"."""
    heads = [re.split("[:,]", each.entry.title)[0] for each in asked]
    attacks = {head: {each.attack for each, other in zip(asked, heads, strict=True) if other == head} for head in heads}
    names = [
        head if len(attacks[head]) == 1 else f"{head} ({each.attack})" for head, each in zip(heads, asked, strict=True)
    ]
    often = Counter(each.attack for each in asked)
    return [
        name if often[each.attack] == 1 else _told_apart(name, each, asked)
        for name, each in zip(names, asked, strict=True)
    ]


def _told_apart(name: str, settings: Settings, asked: Sequence[Settings]) -> str:
    """With those settings in which others of the same attack differ."""
    told, others = settings.told(), [each.told() for each in asked if each.attack == settings.attack]
    differ = [f"{key} {value}" for key, value in told.items() if any(other[key] != value for other in others)]
    return f"{name} ({', '.join(differ)})" if differ else name


def hits(trace: Trace) -> Points:
    """L2 of the nearest image so far that is read as wanted, over passes: a point where it has come nearer."""
    away = np.where(trace.success, trace.l2, np.inf).astype(np.float64)
    nearest = np.minimum.accumulate(away)
    nearer = np.flatnonzero(nearest < np.concatenate([[np.inf], nearest[:-1]]))
    return np.column_stack([(trace.forward + trace.backward)[nearer], nearest[nearer]]).astype(np.float64)


def approach(contender: Contender) -> Points:
    """The same up to the end of the attack; empty for one that has no hit."""
    points = hits(contender.result.trace)
    return np.vstack([points, [contender.passes, points[-1, 1]]]) if len(points) else points


def margins(spec: ModelSpec, contenders: Sequence[Contender]) -> Floats:
    """(attacks + 1, labels): how far each label is on the side where it is wanted; first of the original."""
    encoding, first = spec.encoding, contenders[0]
    every = [first.result.logits_before, *(each.result.logits for each in contenders)]
    return np.array([encoding.clearances(z, first.request.target) for z in every])


def telling(values: Floats, most: int = MOST_LABELS) -> NDArray[np.int64]:
    """Of the labels in these margins those that say most, in their order: on the wrong side anywhere, or nearest it."""
    least = np.where(np.isfinite(values), values, np.inf).min(0)
    return np.sort(np.argsort(least, kind="stable")[:most])


def angles(contenders: Sequence[Contender]) -> Floats:
    """(attacks, attacks) degrees between the perturbations; nan where there is none."""
    moved = [(each.result.image.astype(np.float64) - each.result.original).ravel() for each in contenders]
    lengths = np.array([np.linalg.norm(each) for each in moved])
    units = np.stack(
        [each / length if length else np.full_like(each, np.nan) for each, length in zip(moved, lengths, strict=True)]
    )
    degrees: Floats = np.degrees(np.arccos(np.clip(units @ units.T, -1, 1)))
    degrees[np.diag_indices_from(degrees)] = np.where(lengths > 0, 0.0, np.nan)
    return degrees


def best(contenders: Sequence[Contender]) -> Contender:
    """Who came nearest of those that reached the target; if none did, who has most labels right."""

    def rank(each: Contender) -> tuple[bool, float]:
        result = each.result
        return not result.success, float(result.distortion.l2) if result.success else -result.fraction_right

    return min(contenders, key=rank)


def verdict(spec: ModelSpec, names: Sequence[str], contenders: Sequence[Contender]) -> list[str]:
    """Who came nearest, who was first, what else is to be said of who got there, and who failed on which constraint."""
    every = list(zip(names, contenders, strict=True))
    reached = [(name, each) for name, each in every if each.result.success]
    missed = [failure(spec, name, each) for name, each in every if not each.result.success]
    said = [nearest(reached), first(reached)] if reached else ["No attack has reached the target."]
    besides = [f"{name}: {each.result.besides}" for name, each in reached if each.result.besides]
    return [sentence for sentence in (*said, *besides, *missed) if sentence]


def nearest(reached: Sequence[tuple[str, Contender]]) -> str:
    """Who ended closest to the original, and by how much."""
    (name, best), *others = sorted(reached, key=lambda pair: pair[1].result.distortion.l2)
    l2 = best.result.distortion.l2
    sentence = f"{name} came nearest, at L2 {l2:.3f} for {best.passes} passes"
    if not others:
        return f"{sentence}."
    second, other = others[0]
    farther = other.result.distortion.l2 / l2 - 1
    return f"{sentence}; {second} is next, at {other.result.distortion.l2:.3f} ({100 * farther:.1f} % farther)."


def first(reached: Sequence[tuple[str, Contender]]) -> str:
    """Who read as wanted after the fewest passes."""
    met = {name: points[0] for name, each in reached if len(points := hits(each.result.trace))}
    if not met:
        return ""
    name = min(met, key=lambda each: met[each][0])
    return f"{name} was first to be read as wanted, after {met[name][0]:.0f} passes, then at L2 {met[name][1]:.3f}."


def failure(spec: ModelSpec, name: str, contender: Contender) -> str:
    """What an attack lacks that has not reached the target."""
    encoding, asked, result = spec.encoding, contender.request, contender.result
    values = encoding.margins(result.logits, asked.target)
    if not np.isfinite(values).all():
        return f"{name} failed: not all of its logits are finite. {result.detail}"
    worst, short = int(values.argmin()), int((values <= 0).sum())
    constraint = encoding.constraint_names(asked.target)[worst]
    return (
        f"{name} failed: at its best image {short} of {len(values)} constraints do not hold, "
        f"{constraint} the least, by {-values[worst]:.2g} {encoding.unit}. {result.detail}"
    )
