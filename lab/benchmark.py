"""What the page Benchmark says of a sweep's rows: some attacks, on the cases that all of them were tried on.

What ships is in assets/benchmark, a plan, which begins with its title, and the rows that came of it, and in
assets/paper, the paper's tables as ``python -m bench.paper`` makes them. Needs no torch.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from lab.comparison import called
from lab.curves import Points
from lab.photos.uploads import Photo, PhotoError
from lab.request import KAPPA_STEP, MAX_KAPPA, OFFERED, Request, Settings
from lab.sweep.pictures import DataSet, Folder
from lab.sweep.plan import SweepError
from lab.sweep.report import SEEN, Cell, Results, Table
from lab.sweep.statistics import Paired, budget_curve, optimality, paired, share_interval, success_curve
from lab.sweep.store import Row, Sweep, digest
from models.cards import ModelSpec
from models.registry import ASSETS

SHIPPED, PAPER = ASSETS / "benchmark", ASSETS / "paper"
TABLES = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV")
"""Of the paper, in its order."""
BUDGETS = 80
"""Points of a curve over passes."""
HEAD = (
    "attack", "reached", "at least", "at most", "optimality", "median L2", "ratio", "low", "high",
    "wins", "ties", "losses", "p", "median passes", "PNG reads", "seconds",
)  # fmt: skip
"""Columns of the standings; those from the ratio to p are of pairs."""


def shipped() -> dict[str, Path]:
    """The folders of the results that ship, by title."""
    own = {title(plan.parent): plan.parent for plan in sorted(SHIPPED.glob("*/plan.toml"))}
    paper = [folder for number in TABLES for folder in sorted(PAPER.glob(f"{number}-*"))]
    every = own | {f"The paper's table {each.name.replace('-', ', ', 1)}": each for each in paper}
    return {name: folder for name, folder in every.items() if (folder / "shards").is_dir()}


def title(folder: Path) -> str:
    """What the plan in a folder calls itself."""
    return (folder / "plan.toml").read_text("utf-8").partition("\n")[0].lstrip("# ")


class Board(Results):
    """The rows in a folder: of results that ship, or of the finished shards of a sweep."""

    def __init__(self, folder: Path) -> None:
        """Raises SweepError when there are none that can be read."""
        self.folder = folder
        files = str(folder / "shards" / "*.parquet").replace("'", "''")
        self._base = duckdb.connect()
        try:
            self.ask(SEEN.format(files=files))
            ((self.total, self.stamp),) = self.ask("""SELECT count(*), bit_xor(hash("key")) FROM seen""")
        except duckdb.Error as error:
            raise SweepError(f"There are no rows of a sweep in {folder} that can be read.") from error

    def attacks(self, model: str, rule: str) -> dict[str, str]:
        """The same, by the names that people know, if this version has all of them."""
        named = super().attacks(model, rule)
        try:
            return dict(zip(named, called([Settings.of(**json.loads(each)) for each in named]), strict=True))
        except (TypeError, ValueError):
            return named

    def tried(self, model: str, rule: str) -> dict[str, int]:
        """On how many cases each attack, by its settings, was tried."""
        query = "SELECT settings, count(*) FROM seen WHERE model = ? AND rule = ? AND tried GROUP BY 1 ORDER BY 1"
        return dict(self.ask(query, [model, rule]))

    def unit(self, case: str, settings: str) -> Row:
        """The row of an attack on a case."""
        found = self._base.execute('SELECT * FROM seen WHERE "case" = ? AND settings = ?', [case, settings])
        return dict(zip([each[0] for each in found.description], found.fetchall()[0], strict=True))

    def failures(self, model: str, rule: str, named: dict[str, str]) -> Table:
        """The units of these attacks that have not reached their target, and why."""
        query = """SELECT settings, picture, seed, wanted, "read", coalesce(nullif(error, ''), reason) FROM seen
                   WHERE model = ? AND rule = ? AND list_contains(?, settings) AND status <> 'skipped'
                   AND success IS NOT true ORDER BY settings, picture, seed"""
        rows = [[named[settings], *rest] for settings, *rest in self.ask(query, [model, rule, [*named]])]
        return Table("Failures", ["attack", "picture", "seed", "wanted", "read", "why"], rows)


class Try(NamedTuple):
    """What came of an attack on a case."""

    distance: float
    """L2 of the result; inf without one."""
    forward: list[int]
    """Passes until each hit that came nearer."""
    backward: list[int]
    nearer: list[float]
    """L2 of these hits."""
    passes: int | None
    seconds: float | None
    saved: bool | None
    """Whether the result reads as wanted in 8 bits."""

    @property
    def spent(self) -> NDArray[np.int64]:
        """Passes, forward and backward, until each hit."""
        return np.array(self.forward or [], np.int64) + np.array(self.backward or [], np.int64)


@dataclass(frozen=True)
class Field:
    """Attacks of one model and one rule on the cases that all of them were tried on."""

    named: dict[str, str]
    """Their short names by their settings, JSON."""
    cases: dict[str, str]
    """What to call each case, by its hash."""
    tries: tuple[tuple[Try, ...], ...]
    """(attacks, cases)"""

    @classmethod
    def of(cls, board: Board, model: str, rule: str, named: dict[str, str]) -> Field:
        """Those with these settings."""
        query = """SELECT "case", settings, picture, wanted, seed, distance, hits_forward, hits_backward, hits_l2,
                   forward + backward, seconds, png_reads FROM seen
                   WHERE model = ? AND rule = ? AND tried AND list_contains(?, settings) ORDER BY picture, seed"""
        found: dict[str, dict[str, Try]] = {}
        titles: dict[str, tuple[str, int]] = {}
        for case, settings, picture, wanted, seed, *rest in board.ask(query, [model, rule, [*named]]):
            found.setdefault(case, {})[settings] = Try(*rest)
            titles[case] = f"{picture} → {wanted}", seed
        often = Counter(title for title, _ in titles.values())
        cases = {
            case: title if often[title] == 1 else f"{title}, seed {seed}"
            for case, (title, seed) in titles.items()
            if len(found[case]) == len(named)
        }
        return cls(named, cases, tuple(tuple(found[case][settings] for case in cases) for settings in named))

    @cached_property
    def distances(self) -> NDArray[np.float64]:
        """(attacks, cases)"""
        return np.array([[each.distance for each in row] for row in self.tries]).reshape(len(self.named), -1)

    @cached_property
    def best(self) -> str:
        """The settings of the attack that is nearest on the whole."""
        return [*self.named][int(np.nan_to_num(optimality(self.distances)).argmax())]

    def standings(self, against: str) -> Table:
        """How each attack did, and against one of them, by its settings, case by case."""
        distances = self.distances
        rival = distances[[*self.named].index(against)]
        rows = [
            _standing(name, tries, d, best, paired(d, rival))
            for name, tries, d, best in zip(
                self.named.values(), self.tries, distances, optimality(distances), strict=True
            )
        ]
        return Table(f"{distances.shape[1]} cases, against {self.named[against]}", HEAD, rows)

    @cached_property
    def missed(self) -> dict[str, Points]:
        """Of each attack by name, (k, 2): distances, and the share of cases that are not reached within them."""
        curves = {name: success_curve(d) for name, d in zip(self.named.values(), self.distances, strict=True)}
        return {name: np.column_stack([curve[:, 0], 1 - curve[:, 1]]) for name, curve in curves.items()}

    @cached_property
    def budgets(self) -> dict[str, Points]:
        """Of each attack by name, (k, 2): passes, and the median distance that they get to, where half get anywhere."""
        spent = [[each.spent for each in row] for row in self.tries]
        every = np.array([*{int(each) for row in spent for passes in row for each in passes}] or [1])
        budgets = np.unique(np.geomspace(every.min(), every.max(), BUDGETS).round())
        curves = {}
        for name, passes, row in zip(self.named.values(), spent, self.tries, strict=True):
            medians = budget_curve(passes, [each.nearer or [] for each in row], budgets)
            curves[name] = np.column_stack([budgets, medians])[np.isfinite(medians)]
        return curves


def _standing(name: str, tries: Sequence[Try], distances: Any, best: float, pair: Paired) -> list[Cell]:
    reached = [each for each in tries if np.isfinite(each.distance)]
    known = [each for each in tries if each.passes is not None and each.seconds is not None]
    return [
        name,
        len(reached) / len(tries) if tries else None,
        *share_interval(len(reached), len(tries)),
        float(best),
        float(np.median(distances)) if tries else None,
        *(pair.ratio, pair.low, pair.high, pair.wins, pair.ties, pair.losses, pair.p),
        float(np.median([each.passes for each in known])) if known else None,
        sum(bool(each.saved) for each in reached) / len(reached) if reached else None,
        float(np.mean([each.seconds for each in known])) if known else None,
    ]


def request(row: Row, spec: ModelSpec) -> Request:
    """What the lab is to be asked for to do the same. Raises ValueError, in a sentence, for what it cannot do."""
    told, target = json.loads(row["settings"]), json.loads(row["target"])
    if told["attack"] not in OFFERED:
        raise ValueError(f"This version has no attack {told['attack']}.")
    if not 0 <= told["kappa"] <= MAX_KAPPA or told["kappa"] % KAPPA_STEP:
        raise ValueError(f"The lab has no margin of {told['kappa']:g}.")
    if any(setting.name == "seed" for setting in OFFERED[told["attack"]].settings):
        told["seed"] = row["seed"]
    try:
        settings = Settings.of(**told)
    except (TypeError, ValueError) as error:
        raise ValueError(f"This version's {told['attack']} has other settings.") from error
    return Request(spec.name, row["picture_sha256"], tuple(target) if isinstance(target, list) else target, settings)


def changed(row: Row, spec: ModelSpec) -> bool:
    """Whether a model is no longer the one that a row is of."""
    return str(row["weights"]) != digest(spec)


def data_set(folder: Path) -> str:
    """Whose data set the pictures of a sweep are of; "" if they are not of one, or nobody knows."""
    try:
        return Sweep(folder).plan.pictures.data
    except SweepError:
        return ""


def photo(folder: Path, row: Row, sets: str = "") -> Photo:
    """The picture of a row from where its sweep has found it; of a data set from the folder ``sets`` if that is given.

    Raises SweepError, in a sentence, if it is not there. For a data set it imports torch.
    """
    there, name = Sweep(folder).plan.pictures, str(row["picture"])
    place = Path(sets).expanduser() if there.data and sets else there.place
    called = f"{there.data} {there.split} {name}.png" if there.data else name
    try:
        source = _image_set(there.data, place, there.split) if there.data else Folder(place)
        found = source.photo(name)
    except (IndexError, OSError, PhotoError, SweepError) as error:
        why = f" {error}" if isinstance(error, SweepError) else ""
        raise SweepError(f"{called} cannot be read in {place}.{why}") from error
    if found.digest != row["picture_sha256"]:
        raise SweepError(f"{called} has changed in {place} since.")
    return replace(found, name=called)


_image_set = lru_cache(maxsize=2)(DataSet)
"""The sets read last: of GTSRB all pictures are held."""
