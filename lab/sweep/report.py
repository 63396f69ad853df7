"""What a sweep found, as tables: read by DuckDB, told by lab.sweep.statistics. Needs no torch.

A table is of one model and one rule, and an attack with its settings is a row. Distances of attacks that failed are
infinite; what the paper averages over successes is averaged over them here too, and headed so.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from lab import tables
from lab.sweep.plan import SweepError
from lab.sweep.statistics import Floats, Paired, budget_curve, optimality, paired, share_interval, success_curve
from lab.sweep.store import Sweep, written

Cell = str | int | float | None

POINTS = 50
"""Of a curve in a file, at most."""


@dataclass(frozen=True)
class Table:
    """Some columns under a title; what is not known is None."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def as_csv(self) -> str:
        """All digits."""
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([self.head, *self.rows])
        return file.getvalue()

    def as_markdown(self) -> str:
        """For a text, with few digits."""
        rows = [self.head, ["---"] * len(self.head), *([_short(cell) for cell in row] for row in self.rows)]
        return tables.markdown(rows)

    def as_latex(self) -> str:
        """A tabular of booktabs."""
        return tables.tabular([[tables.escaped(_short(cell)) for cell in row] for row in (self.head, *self.rows)])


def _short(cell: Cell) -> str:
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return "–"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


HEAD = {
    "n": "count(*)",
    "errors": "count(*) FILTER (status = 'error')",
    "skipped": "count(*) FILTER (status = 'skipped')",
    "tried": "count(*) FILTER (tried)",
    "reached": "count(*) FILTER (tried AND success)",
    "ASR": "avg(coalesce(success, false)::int) FILTER (tried)",
    "bASR": 'avg("right") FILTER (tried)',
    "bASR, clean": "avg(right_before) FILTER (tried)",
    "flips made": "sum(flips_made) / sum(flips_asked)",
    "collateral": "avg(collateral)",
    "median L2": "median(distance) FILTER (tried)",
    "MSE (successes)": "avg(mse) FILTER (success)",
    "SSIM (successes)": "avg(ssim) FILTER (success)",
    "PNG reads": "avg(png_reads::int) FILTER (success)",
    "n_it": "avg(n_it)",
    "forward": "median(forward)",
    "backward": "median(backward)",
    "seconds": "avg(seconds)",
}
"""Columns, and how DuckDB makes them. ``tried``: neither skipped nor without a picture, a model or a target."""
SEEN = """
CREATE VIEW seen AS SELECT *,
    status = 'done' OR (status = 'error' AND target IS NOT NULL) AS tried,
    CASE WHEN success THEN l2 ELSE 'inf'::double END AS distance
FROM read_parquet('{files}')
"""


class Results:
    """The rows of the finished shards of a sweep."""

    def __init__(self, folder: Path) -> None:
        """Raises SweepError when there is no sweep, or nothing is finished."""
        sweep = Sweep(folder)
        if len(sweep.missing()) == sweep.shards:
            raise SweepError(f"Nothing is finished in {folder} yet.")
        self.total = sweep.units
        self._base = duckdb.connect()
        files = str(folder / "shards" / "*.parquet").replace("'", "''")
        self.ask("SET preserve_insertion_order = false")
        self.ask(SEEN.format(files=files))

    def ask(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What DuckDB answers; the rows are the view ``seen``."""
        return self._base.execute(query, values).fetchall()

    def groups(self) -> list[tuple[str, str]]:
        """Models and rules."""
        return [(row[0], row[1]) for row in self.ask("SELECT DISTINCT model, rule FROM seen ORDER BY ALL")]

    def attacks(self, model: str, rule: str) -> dict[str, str]:
        """By their settings in JSON, short names of a group's attacks."""
        query = "SELECT DISTINCT settings FROM seen WHERE model = ? AND rule = ? ORDER BY settings"
        told = [json.loads(row[0]) for row in self.ask(query, [model, rule])]
        return {json.dumps(each): _named(each, told) for each in told}

    def distances(self, model: str, rule: str) -> tuple[list[str], Floats]:
        """Settings of a group's attacks, and (attacks, cases) distances on the cases that all of them were tried on."""
        names = [*self.attacks(model, rule)]
        query = """SELECT distance FROM seen WHERE model = ? AND rule = ? AND tried
                   QUALIFY count(*) OVER (PARTITION BY "case") = ? ORDER BY settings, "case" """
        found = self._base.execute(query, [model, rule, len(names)]).fetchnumpy()["distance"]
        return names, np.asarray(found, np.float64).reshape(len(names), -1)

    def tables(self) -> Iterator[Table]:
        """All that there is to say."""
        for model, rule in self.groups():
            named, (names, distances) = self.attacks(model, rule), self.distances(model, rule)
            yield self._overview(model, rule, named, dict(zip(names, optimality(distances), strict=True)))
            if len(names) > 1 and distances.size:
                rows = [
                    _pair(named[a], named[b], paired(x, y))
                    for (a, x), (b, y) in combinations(zip(names, distances, strict=True), 2)
                ]
                title = f"{model}, {rule}: pairs, {distances.shape[1]} cases"
                yield Table(title, ["attack", "against", "wins", "ties", "losses", "ratio", "low", "high", "p"], rows)
        failures = self.ask("""SELECT status, error, count(*) FROM seen WHERE error <> '' GROUP BY ALL
                               ORDER BY count(*) DESC LIMIT 20""")
        if failures:
            yield Table("Units without a result", ["status", "why", "units"], failures)

    def curves(self, model: str, rule: str) -> Table:
        """Points of each attack's curves: the share reached within an L2, and the median L2 within a number of passes.

        Passes are counted backward alone, and forward and backward together.
        """
        named, (names, distances) = self.attacks(model, rule), self.distances(model, rule)
        rows: list[list[Cell]] = []
        for name, reached in zip(names, distances, strict=True):
            points = success_curve(reached)
            places = np.linspace(0, len(points) - 1, min(POINTS, len(points))).round().astype(int)
            every = {"share within L2": points[places]} | self._over_passes(model, rule, name)
            rows += [[named[name], curve, *map(float, point)] for curve, points in every.items() for point in points]
        return Table(f"{model}, {rule}: curves", ["attack", "curve", "at", "value"], rows)

    def _over_passes(self, model: str, rule: str, settings: str) -> dict[str, Floats]:
        query = """SELECT coalesce(hits_forward, []), coalesce(hits_backward, []), coalesce(hits_l2, []) FROM seen
                   WHERE model = ? AND rule = ? AND settings = ? AND tried"""
        if not (rows := self.ask(query, [model, rule, settings])):
            return {}
        forward, backward, l2 = zip(*rows, strict=True)
        both = [np.add(*pair) for pair in zip(forward, backward, strict=True)]
        found = {}
        for kind, spent in {"backward": backward, "passes": both}.items():
            most = max((each[-1] for each in spent if len(each)), default=1)
            budgets = np.unique(np.geomspace(1, most, POINTS).round())
            found[f"median L2 within {kind}"] = np.column_stack([budgets, budget_curve(spent, l2, budgets)])
        return found

    def _overview(self, model: str, rule: str, named: dict[str, str], best: dict[str, float]) -> Table:
        columns = ", ".join(HEAD.values())
        found = self.ask(
            f"SELECT settings, {columns} FROM seen WHERE model = ? AND rule = ? GROUP BY 1 ORDER BY 1", [model, rule]
        )
        rows = []
        for settings, *figures in found:
            told = dict(zip(HEAD, figures, strict=True))
            low, high = share_interval(told["reached"], told["tried"])
            rows.append([named[settings], *figures, low, high, float(best[settings])])
        return Table(f"{model}, {rule}", ["attack", *HEAD, "ASR, low", "ASR, high", "optimality"], rows)


def _pair(first: str, second: str, found: Paired) -> list[Cell]:
    return [first, second, found.wins, found.ties, found.losses, found.ratio, found.low, found.high, found.p]


def _named(settings: dict[str, Any], others: Sequence[dict[str, Any]]) -> str:
    """An attack, with those settings in which others of its name differ."""
    same = [each for each in others if each["attack"] == settings["attack"]]
    differ = [f"{name} {value}" for name, value in settings.items() if any(each.get(name) != value for each in same)]
    return " ".join([settings["attack"], *([f"({', '.join(differ)})"] if differ else [])])


def write(results: Results, folder: Path) -> str:
    """Write report.md, report.tex, and a CSV file for each table and for the curves of each group; the Markdown."""
    every = list(results.tables())
    ((done,),) = results.ask("SELECT count(*) FROM seen")
    said = f"{done} of {results.total} units are finished. Failures count as infinitely far.\n"
    markdown = "\n\n".join([said, *(f"## {table.title}\n\n{table.as_markdown()}" for table in every)])
    latex = "\n\n".join(f"% {table.title}\n{table.as_latex()}" for table in every)
    files = {"report.md": markdown, "report.tex": latex}
    files |= {f"report-{number}.csv": table.as_csv() for number, table in enumerate(every, 1)}
    for number, group in enumerate(results.groups(), 1):
        files[f"curves-{number}.csv"] = results.curves(*group).as_csv()
    for name, content in files.items():
        written(folder / name, lambda part, content=content: part.write_text(content + "\n", "utf-8"))  # type: ignore[misc]
    return markdown
