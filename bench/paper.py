"""The paper's tables, run again: python -m bench.paper TABLE... --data DIR [--quick]; ``--all`` for all of them

A table is a sweep (lab/sweep) of the attacks that the paper lists, at its settings, and of two that it does not list:
``refined`` and DDN, with 300 gradients; one for each of its models that the zoo has. Each row gets ``--seconds``, and
as many pictures as it can attack in these, at least ``--least``: n stands in every row. Rows that may take more than
``--passes`` gradients a picture are left out. The sweeps lie in the folder ``--out``, and the same command with other
limits goes on with them. ``--quick`` ends each attack after 2 seconds and each row after one: all tables in under ten
minutes on two cores. ``--ship`` puts the results under assets/paper; ``--document`` writes the tables of docs/PAPER.md
from there, and runs nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.rows import compute, filled, parsed, parser, share
from lab.request import Settings
from lab.sweep.plan import Block, Rule, SweepError
from lab.sweep.report import Results
from lab.sweep.report import Table as Figures
from lab.sweep.statistics import Paired, paired
from lab.sweep.store import Sweep, digest
from models.data import CACHE
from models.registry import ASSETS, MODELS

SHIPPED = ASSETS / "paper"
DOCUMENT = ASSETS.parent / "docs" / "PAPER.md"
PICTURES = 200
"""As many as the paper attacks; the first of them are the same for all rows."""
SECONDS, QUICK = 15.0, 1.0
"""For each row of a table, and with ``--quick``."""
LIMIT = 2.0
"""Seconds of an attack on a picture, with ``--quick``."""
LEAST = 1
"""Pictures of each row, whatever they take."""
PASSES = 10_000
SLOW = 5.0
"""Seconds of MLA-LP, which solves linear programs, on a picture: in place of the paper's hour."""


@dataclass(frozen=True)
class Row:
    """An attack at one setting."""

    attack: str
    parameters: str
    figures: tuple[float | str, ...] = ()
    """As published; none for a row that is only ours."""


BESIDE = (Row("refined", "300 gradients"), Row("DDN", "300 gradients"))
"""Rows that the paper does not have."""


@dataclass(frozen=True)
class Part:
    """Rows on one sort of targets."""

    name: str
    rows: tuple[Row, ...]
    models: tuple[str, ...]
    """What it is run on: those of these that the zoo has."""
    rule: dict[str, Any]
    """How its targets are drawn."""


@dataclass(frozen=True)
class Table:
    """One of the paper's, and what it is run on here."""

    number: str
    title: str
    theirs: str
    columns: tuple[str, ...]
    parts: tuple[Part, ...]
    why: str = ""
    """Why it is not run on a model that the zoo does not have."""
    right: bool = True
    """Whether pictures are skipped that the model does not read as they are labelled."""
    seed: int = 0
    limit: float = math.inf
    """Seconds of an attack on a picture; infinity where pictures are attacked in batches."""
    reference: str = ""
    """The parameters of the JMA that others are compared with."""
    differs: str = ""

    @property
    def several(self) -> bool:
        """Whether it is about several labels."""
        return "bASR" in self.columns

    @property
    def models(self) -> tuple[str, ...]:
        """What it is run on."""
        return tuple(dict.fromkeys(model for part in self.parts for model in part.models if model in MODELS))

    def rows(self, model: str) -> list[tuple[Part, Row]]:
        """All that are run on a model."""
        return [(part, row) for part in self.parts if model in part.models for row in (*part.rows, *BESIDE)]

    def plan(self, model: str, *, quick: bool = False) -> dict[str, Any]:
        """For Sweep.begin; relative to the folder of the image sets."""
        limit = min(self.limit, LIMIT) if quick else self.limit
        attacks = [_limited(settings(row, model), limit) for _, row in self.rows(model)]
        rules = [part.rule for part, _ in self.rows(model)]
        size = 1 if limit < math.inf else 3
        return {
            "models": [model],
            "pictures": self._pictures(model),
            "targets": _once(rules),
            "seeds": [self.seed],
            "attacks": _once(attacks),
            "shard": size,
            "batch": size,
        }

    def _pictures(self, model: str) -> dict[str, Any]:
        if model.startswith("imagenet"):  # whose test pictures are not here
            return {"samples": "photos"}
        return {"data": model, "folder": ".", "part": "test", "right": self.right, "take": PICTURES}


def _once(every: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for place, each in enumerate(every) if each not in every[:place]]


def settings(row: Row, model: str) -> dict[str, Any]:
    """A row's attack on a model as plans have it, without a limit of its time."""
    numbers = [float(each) for each in row.parameters.split(",")] if row.figures else []
    return _attack(row.attack, numbers, MODELS[model].encoding.name)


def _limited(attack: dict[str, Any], limit: float) -> dict[str, Any]:
    limit = min(limit, SLOW) if attack["attack"] == "mla_lp" else limit
    return attack | ({"max_seconds": limit} if limit < math.inf else {})


def _attack(name: str, numbers: Sequence[float], encoding: str) -> dict[str, Any]:
    """An attack of the paper with its parameters, as this project names both."""
    last = int(numbers[-1]) if numbers else 300
    match name:
        case "JMA":
            return {"attack": "lazy", "step": numbers[0], "max_iter": last, "bisections": 6}
        case "C&W" | "ECOC attack" | "ML-C&W":
            searches = int(numbers[1]) if len(numbers) == 3 else 10
            return _searching(name, encoding) | {"c": numbers[0], "searches": searches, "steps": last}
        case "LOTS":
            return {"attack": "lots", "steps": last, "pixels": "rounded"}
        case "MLA-LP":
            return {"attack": "mla_lp", "max_iter": last}
        case "SemA-ML":
            return {"attack": "sema", "steps": last}
    return {"attack": name.lower(), "steps": last}


def _searching(name: str, encoding: str) -> dict[str, Any]:
    if name == "ECOC attack":
        return {"attack": "ecoc"}
    if name == "C&W":
        return {"attack": "cw"} | ({"space": "score"} if encoding == "ECOC" else {})
    return {"attack": "ml_cw", "space": "logit"} if encoding == "multi-label" else {"attack": "cw", "hinge": "sum"}


def tables() -> dict[str, Table]:
    """All of them, by number."""
    content = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    return {number: _table(number, each) for number, each in content.items()}


def _table(number: str, said: dict[str, Any]) -> Table:
    """A part has the table's models and rule, if it has none of its own."""
    models, rule = said.pop("models", []), said.pop("rule", {})
    parts = tuple(
        Part(
            part.get("name", ""),
            tuple(Row(attack, parameters, tuple(rest)) for attack, parameters, *rest in part["rows"]),
            tuple(part.get("models", models)),
            part.get("rule", rule),
        )
        for part in said.pop("parts")
    )
    return Table(number, columns=tuple(said.pop("columns")), parts=parts, **said)


# --- running


@dataclass(frozen=True)
class Budget:
    """What each row of a table may take."""

    seconds: float = SECONDS
    passes: float = PASSES
    """Gradients a picture."""
    least: int = LEAST
    """Pictures, whatever they take."""
    only: tuple[str, ...] = ()
    """Attacks, as the paper names them; all if it is empty."""


def most(settings: Settings) -> int:
    """Gradients that an attack takes of a picture at most; ten for each update of those that take several."""
    return settings.entry.iterations(dict(settings.own)) * (10 if settings.attack in ("lazy", "mla_lp") else 1)


def wanted(block: Block, table: Table, model: str, budget: Budget) -> bool:
    """Whether a block is a row that the budget has room for."""
    if most(block.settings) > budget.passes:
        return False
    told = block.settings.told().items()
    return any(
        block.rule == Rule(**part.rule) and settings(row, model).items() <= told
        for part, row in table.rows(model)
        if row.attack in (budget.only or [row.attack])
    )


def run(table: Table, model: str, data: Path, folder: Path, *, quick: bool, budget: Budget) -> Results:
    """Run a table on a model, or go on with it. Raises SweepError, with what to do, where that cannot be done."""
    sweep = Sweep.begin(table.plan(model, quick=quick), data.resolve(), folder.resolve())
    compute(sweep, budget.seconds, lambda block: wanted(block, table, model, budget), budget.least)
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


def told(table: Table, found: Mapping[str, Results]) -> str:
    """A table in Markdown, ours beside the paper's: what was found on each model."""
    said = [f"## Table {table.number}: {table.title}"]
    said += [f"In the paper: {table.theirs}; n = 200. {table.differs}".strip()]
    for part in table.parts:
        there = [each for each in part.models if each in found]
        for model in there or [""]:
            said += [*_part(table, part, model, found.get(model))]
        said += [f"Not run on `{each}`: {table.why}." for each in part.models if there and each not in MODELS]
    return "\n\n".join(said)


def _part(table: Table, part: Part, model: str, results: Results | None) -> Iterator[str]:
    """A part on a model, or if there are no results of it, what the paper says."""
    rows = part.rows + (BESIDE if results else ())
    found = {row: _found(part, row, model, results) for row in rows}
    flips = max(found.values(), key=lambda each: int(each["n"]))["flips"]
    about = [f"**{part.name}.**"] if part.name else []
    about += [_here(table, part, model)]
    about += [f"Flips asked for, on average: {flips:.2f}."] if table.several and flips else []
    yield " ".join(about)
    head = ["attack", "parameters", "n", *table.columns, *(["not attacked"] if table.several else []), "clock"]
    yield Figures("", head, [[*_cells(table, row, each)] for row, each in found.items()]).as_markdown()
    if results and (pairs := _pairs(table, part, rows, model, results)):
        yield pairs


def _here(table: Table, part: Part, model: str) -> str:
    if model:
        return f"Here: {MODELS[model].title}; {MODELS[model].data}."
    there = [each for each in part.models if each in MODELS]
    return "Here: **not run yet**." if there else f"Here: **not run**: {table.why}."


def _key(row: Row, model: str, results: Results) -> str:
    """A row's settings as results name them, whatever settings its attack has besides; "" if it was not run."""
    asked = settings(row, model).items()
    every = results.ask("SELECT DISTINCT settings FROM seen ORDER BY settings")
    return next((each for (each,) in every if asked <= json.loads(each).items()), "")


def _found(part: Part, row: Row, model: str, results: Results | None) -> dict[str, Any]:
    """What FOUND names; n is 0 where nothing was run."""
    if results is None:
        return dict.fromkeys(FOUND) | {"n": 0}
    (figures,) = results.ask(ASKED, [Rule(**part.rule).title, _key(row, model, results)])
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


def _pairs(table: Table, part: Part, rows: Sequence[Row], model: str, results: Results) -> str:
    """The reference JMA against all rivals, on the pictures that both attacked."""
    query = """SELECT "case", distance FROM seen WHERE rule = ? AND settings = ? AND tried"""
    rule = Rule(**part.rule).title
    distances = {row: dict(results.ask(query, [rule, _key(row, model, results)])) for row in rows}
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


def folder_of(table: Table, model: str) -> str:
    """The name of the folder of a sweep."""
    return f"{table.number}-{model}"


def shipped(table: Table) -> dict[str, Results]:
    """What ships of a table, by model, if that still has the weights with which it was found."""
    folders = {model: SHIPPED / folder_of(table, model) for model in table.models}
    found = {model: Results(folder) for model, folder in folders.items() if folder.is_dir()}
    return {
        model: results
        for model, results in found.items()
        if results.ask("SELECT DISTINCT weights FROM seen") == [(digest(MODELS[model]),)]
    }


def document(text: str) -> str:
    """docs/PAPER.md with its tables made anew from the results that ship."""
    for number, table in tables().items():
        _, _, body = told(table, shipped(table)).partition("\n\n")  # the headings are the document's own
        text = filled(text, number, body)
    return text


def main() -> None:
    """Run tables and print them, or write the document."""
    known = tables()
    made = parser("The paper's tables, run again", CACHE / "paper", SECONDS)
    made.add_argument("tables", nargs="*", metavar="TABLE", help=", ".join(known))
    made.add_argument("--all", action="store_true", help="all tables")
    made.add_argument("--least", type=int, default=LEAST, help="pictures of each row, whatever they take")
    made.add_argument("--only", default="", help="attacks as the paper names them, with commas between")
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
    only = tuple(filter(None, options.only.split(",")))
    seconds = QUICK if options.quick else options.seconds
    budget, found = Budget(seconds, options.passes, options.least, only), {}
    for model in table.models:
        folder = out / folder_of(table, model)
        try:
            found[model] = run(table, model, options.data, folder, quick=options.quick, budget=budget)
        except SweepError as error:
            print(f"Table {table.number} is not run on {model}: {error}")
            continue
        if options.ship:
            Sweep(folder).pack(SHIPPED / folder.name)
    print(told(table, found), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
