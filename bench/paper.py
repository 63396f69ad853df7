"""The paper's tables, run again: python -m bench.paper TABLE... --data DIR [--quick]; ``--all`` for all of them

A table is a sweep (lab/sweep) of the attacks that the paper lists, at its settings, and of two that it does not list:
``refined`` and DDN, with 300 gradients. Each row gets ``--seconds``, and as many pictures as it can attack in these, at
least one: n stands in every row. Rows that may take more than ``--passes`` gradients a picture are left out. The
sweeps lie in the folder ``--out``, and the same command with more seconds or passes goes on with them. ``--quick``
ends each attack after 3 seconds and each row after one: all tables in under ten minutes on two cores. ``--ship`` puts
the results under assets/paper; ``--document`` writes the tables of docs/PAPER.md from there, and runs nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.rows import compute, filled, parsed, parser, share
from lab.request import Settings
from lab.sweep.plan import Rule, SweepError, spec_of
from lab.sweep.report import Results
from lab.sweep.report import Table as Figures
from lab.sweep.statistics import Paired, paired
from lab.sweep.store import Sweep
from models.data import CACHE
from models.registry import ASSETS

SHIPPED = ASSETS / "paper"
DOCUMENT = ASSETS.parent / "docs" / "PAPER.md"
PICTURES = 200
"""As many as the paper attacks; the first of them are the same for all rows."""
SECONDS, QUICK = 15.0, 1.0
"""For each row of a table, and with ``--quick``."""
LIMIT = 3.0
"""Seconds of an attack on a picture, with ``--quick``."""
PASSES = 10_000
BESIDE = (("refined", "300 gradients"), ("DDN", "300 gradients"))
"""Rows that the paper does not have."""
SLOW = 5.0
"""Seconds of MLA-LP, which solves linear programs, on a picture: in place of the paper's hour."""


@dataclass(frozen=True)
class Row:
    """An attack at one setting."""

    attack: str
    parameters: str
    figures: tuple[float | str, ...] = ()
    """As published; none for a row that is only ours."""


@dataclass(frozen=True)
class Part:
    """Rows on one network and one sort of targets."""

    name: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """One of the paper's, and what it is run on here."""

    number: str
    title: str
    theirs: str
    columns: tuple[str, ...]
    parts: tuple[Part, ...]
    model: str = ""
    """"": it is not run,"""
    why: str = ""
    """and why."""
    rules: tuple[dict[str, Any], ...] = ()
    """How each part's targets are drawn."""
    limit: float = math.inf
    """Seconds of an attack on a picture; infinity where pictures are attacked in batches."""
    reference: str = ""
    """The parameters of the JMA that others are compared with."""
    differs: str = ""

    @property
    def several(self) -> bool:
        """Whether it is about several labels."""
        return "bASR" in self.columns

    def settings(self, row: Row) -> dict[str, Any]:
        """A row's attack as plans have it, without a limit of its time."""
        numbers = [float(each) for each in row.parameters.split(",")] if row.figures else []
        return _attack(row.attack, numbers, several=self.several, ecoc="ecoc" in self.model)

    def plan(self, *, quick: bool = False) -> dict[str, Any]:
        """For Sweep.begin; relative to the folder of the image sets. Raises ValueError where it is not run."""
        if not self.model:
            raise ValueError(f"expected a table that is run here, got {self.number}: {self.why}")
        limit = min(self.limit, LIMIT) if quick else self.limit
        rows = [row for part in self.parts for row in part.rows] + [*beside(self)]
        attacks = [_limited(self.settings(row), limit) for row in rows]
        size = 1 if limit < math.inf else 5
        return {
            "models": [self.model],
            "pictures": self._pictures(),
            "targets": list(self.rules),
            "attacks": [each for place, each in enumerate(attacks) if each not in attacks[:place]],
            "shard": size,
            "batch": size,
        }

    def _pictures(self) -> dict[str, Any]:
        if self.model == "imagenet-onehot":
            return {"samples": "photos"}
        return {"data": self.model, "folder": ".", "part": "test", "right": True, "take": PICTURES}


def _limited(attack: dict[str, Any], limit: float) -> dict[str, Any]:
    limit = min(limit, SLOW) if attack["attack"] == "mla_lp" else limit
    return attack | ({"max_seconds": limit} if limit < math.inf else {})


def _attack(name: str, numbers: Sequence[float], *, several: bool, ecoc: bool) -> dict[str, Any]:
    """An attack of the paper with its parameters, as this project names both."""
    last = int(numbers[-1]) if numbers else 300
    match name:
        case "JMA":
            return {"attack": "lazy", "step": numbers[0], "max_iter": last, "bisections": 6}
        case "C&W" | "ECOC attack" | "ML-C&W":
            searches = int(numbers[1]) if len(numbers) == 3 else 10
            return _searching(name, several=several, ecoc=ecoc) | {"c": numbers[0], "searches": searches, "steps": last}
        case "LOTS":
            return {"attack": "lots", "steps": last, "pixels": "rounded"}
        case "MLA-LP":
            return {"attack": "mla_lp", "max_iter": last}
        case "SemA-ML":
            return {"attack": "sema", "steps": last}
    return {"attack": name.lower(), "steps": last}


def _searching(name: str, *, several: bool, ecoc: bool) -> dict[str, Any]:
    if name == "ECOC attack":
        return {"attack": "ecoc"}
    if name == "C&W":
        return {"attack": "cw"} | ({"space": "score"} if ecoc else {})
    return {"attack": "ml_cw", "space": "logit"} if several else {"attack": "cw", "hinge": "sum"}


def beside(table: Table) -> tuple[Row, ...]:
    """The rows that are only ours, of a table that is run."""
    return tuple(Row(*each) for each in BESIDE) if table.model else ()


def tables() -> dict[str, Table]:
    """All of them, by number."""
    content = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    return {number: _table(number, each) for number, each in content.items()}


def _table(number: str, said: dict[str, Any]) -> Table:
    parts = tuple(
        Part(
            part.get("name", ""),
            tuple(Row(attack, parameters, tuple(rest)) for attack, parameters, *rest in part["rows"]),
        )
        for part in said["parts"]
    )
    values: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in said.items()}
    return Table(number, **values | {"parts": parts})


# --- running


def most(settings: Settings) -> int:
    """Gradients that an attack takes of a picture at most; ten for each update of those that take several."""
    return settings.entry.iterations(dict(settings.own)) * (10 if settings.attack in ("lazy", "mla_lp") else 1)


def run(table: Table, data: Path, folder: Path, *, quick: bool, seconds: float, passes: float) -> Results:
    """Run a table, or go on with it. Raises SweepError, with what to do, where that cannot be done."""
    sweep = Sweep.begin(table.plan(quick=quick), data.resolve(), folder.resolve())
    compute(sweep, seconds, lambda block: most(block.settings) <= passes)
    return Results(folder)


# --- telling

ASKED = """
SELECT count(*) FILTER (tried), count(*) FILTER (success), avg("right") FILTER (tried),
    avg(right_before) FILTER (tried), avg(flips_asked) FILTER (tried), avg(mse) FILTER (success),
    avg(ssim) FILTER (success), avg(n_it) FILTER (success), avg(seconds) FILTER (tried),
    count(*) FILTER (reason = 'time cap')
FROM seen WHERE rule = ? AND settings = ?
"""
FOUND = ("n", "hits", "bASR", "before", "flips", "MSE", "SSIM", "n_it", "seconds", "clock")
"""What it answers."""
SURE, ENOUGH = 0.05, 6
"""A difference of which Wilcoxon's test says less is one, else it is a tie; of fewer pictures it can never say so."""


def told(table: Table, results: Results | None) -> str:
    """A table in Markdown, ours beside the paper's."""
    said = [
        f"## Table {table.number}: {table.title}",
        f"In the paper: {table.theirs}; n = 200. {_here(table, results)}",
    ]
    for part, rule in zip(table.parts, table.rules or [{}] * len(table.parts), strict=True):
        rows = part.rows + (beside(table) if results else ())
        found = {row: _found(table, row, rule, results) for row in rows}
        head = ["attack", "parameters", "n", *table.columns, *(["not attacked"] if table.several else []), "clock"]
        cells = [[*_cells(table, row, each)] for row, each in found.items()]
        flips = max(found.values(), key=lambda each: int(each["n"]))["flips"]
        said += [f"**{part.name}**"] if part.name else []
        said += [f"Flips asked for here, on average: {flips:.2f}."] if table.several and flips else []
        said += [Figures("", head, cells).as_markdown()]
        if results:
            said += [_pairs(table, rows, rule, results)]
    return "\n\n".join(each for each in said if each)


def _here(table: Table, results: Results | None) -> str:
    if not table.model:
        return f"**Not run here**: {table.why}."
    spec = spec_of(table.model)
    return f"Here: {spec.title}; {spec.data}.{'' if results else ' **Not run yet.**'} {table.differs}".strip()


def _key(table: Table, row: Row, results: Results) -> str:
    """A row's settings as results name them, whatever settings its attack has besides; "" if it was not run."""
    asked = table.settings(row).items()
    every = results.ask("SELECT DISTINCT settings FROM seen ORDER BY settings")
    return next((each for (each,) in every if asked <= json.loads(each).items()), "")


def _found(table: Table, row: Row, rule: dict[str, Any], results: Results | None) -> dict[str, Any]:
    """What FOUND names; n is 0 where nothing was run."""
    if results is None:
        return dict.fromkeys(FOUND) | {"n": 0}
    (figures,) = results.ask(ASKED, [Rule(**rule).title, _key(table, row, results)])
    return dict(zip(FOUND, figures, strict=True))


def _cells(table: Table, row: Row, found: dict[str, Any]) -> Iterator[str]:
    """A row: what was found here and, in brackets, what the paper says."""
    yield from (row.attack, row.parameters, str(found["n"]))
    for column, published in zip_longest(table.columns, row.figures, fillvalue=""):
        ours = share(found["hits"], found["n"]) if column == "ASR" else _short(column, found.get(column))
        yield f"{ours} ({_short(column, published)})" if row.figures else ours
    if table.several:
        yield _short("bASR", found["before"])
    yield str(found["clock"] or "") if found["n"] else ""


def _short(column: str, value: float | str | None) -> str:
    if isinstance(value, str) or value is None:
        return value or "–"
    form = {"MSE": ".1e", "bASR": ".3f", "SSIM": ".3f", "ASR": ".2f", "n_it": ".1f"}.get(column, ".2f")
    return format(value, form).replace("e-0", "e-")


def _pairs(table: Table, rows: Sequence[Row], rule: dict[str, Any], results: Results) -> str:
    """The reference JMA against all rivals, on the pictures that both attacked."""
    query = """SELECT "case", distance FROM seen WHERE rule = ? AND settings = ? AND tried"""
    distances = {row: dict(results.ask(query, [Rule(**rule).title, _key(table, row, results)])) for row in rows}
    (ours,) = (row for row in rows if row.attack == "JMA" and row.parameters == table.reference)
    cells = []
    for row, theirs in distances.items():
        common = sorted(distances[ours].keys() & theirs.keys())
        if row.attack != "JMA" and common:
            cells.append(_pair(row, paired([distances[ours][c] for c in common], [theirs[c] for c in common])))
    if not cells:
        return ""
    head = ["against", "parameters", "pictures", "nearer", "ties", "farther", "L2 over the rival's", "p", "so it is"]
    return f"JMA ({table.reference}) against:\n\n{Figures('', head, cells).as_markdown()}"


def _pair(row: Row, found: Paired) -> list[str]:
    counts = (found.wins, found.ties, found.losses)
    ratio = f"{found.ratio:.2f} [{found.low:.2f}, {found.high:.2f}]" if found.low == found.low else "–"
    verdict = "too few" if sum(counts) < ENOUGH else "a tie"
    if found.p < SURE:
        verdict = "nearer" if found.wins > found.losses else "farther"
    return [row.attack, row.parameters, str(sum(counts)), *map(str, counts), ratio, f"{found.p:.2g}", verdict]


def document(text: str) -> str:
    """docs/PAPER.md with its tables made anew from the results that ship."""
    for number, table in tables().items():
        folder = SHIPPED / number
        shown = told(table, Results(folder) if folder.is_dir() else None)
        _, _, body = shown.partition("\n\n")  # the headings are the document's own
        text = filled(text, number, body)
    return text


def main() -> None:
    """Run tables and print them, or write the document."""
    known = tables()
    made = parser("The paper's tables, run again", CACHE / "paper", SECONDS)
    made.add_argument("tables", nargs="*", metavar="TABLE", help=", ".join(known))
    made.add_argument("--all", action="store_true", help="all tables")
    made.add_argument(
        "--passes", type=float, default=PASSES, help="gradients a picture; rows that take more are left out"
    )
    options = parsed(made)
    if options.document:
        DOCUMENT.write_text(document(DOCUMENT.read_text("utf-8")), "utf-8")
        return
    chosen = list(known) if options.all else options.tables
    if not chosen or not known.keys() >= set(chosen):
        made.error("expected --all or some of the tables")
    with TemporaryDirectory() as scratch:
        for number in chosen:
            show(known[number], options, Path(scratch) if options.quick else options.out)


def show(table: Table, options: argparse.Namespace, out: Path) -> None:
    """Run a table as the command line wants it, and print it."""
    results, folder = None, out / table.number
    if table.model:
        seconds = QUICK if options.quick else options.seconds
        try:
            results = run(table, options.data, folder, quick=options.quick, seconds=seconds, passes=options.passes)
        except SweepError as error:
            print(f"Table {table.number} is not run here: {error}")
    print(told(table, results), end="\n\n", flush=True)
    if options.ship and results:
        Sweep(folder).pack(SHIPPED / table.number)


if __name__ == "__main__":
    main()
