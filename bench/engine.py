"""The refined attack against its rivals: python -m bench.engine --data DIR [--task TASK ...] [--quick]

A task is a sweep (lab/sweep) on pictures that no setting was chosen on: their hash says which these are. ``refined``
and every rival have the same pictures and targets, and 50, 100, 300 and 600 gradients. A rival is there at its
published settings and at the best of a few others, chosen for the task on tuning pictures by ``--tune``, which
writes bench/tuned.toml.

Most attacks have a schedule that depends on how many gradients they are given, and are run anew for each number:
``refined``, DDN, FMN, ALMA, PDGD, PDPGD, C&W and its forms, and APGD, whose checkpoints lie at parts of a search. The
others are run once, and read at each number: FAB, SuperDeepFool and JMA, whose settings only say where they end at the
latest, and QuadAttacK and L-BFGS, whose searches are as long whatever their number. A row keeps hits that are nearer by
1 %, so that what is read before their end may be too far by so much.

Each row of a table gets ``--seconds``, and attacks as many pictures as fit, at least some; ``--gradients`` and
``--attacks`` say which rows. The sweeps lie in the folder ``--out``, and the same command with more seconds or rows
goes on with them. ``--quick`` is a picture or two of each row with 50 gradients, and ends attacks after 3 seconds.
``--ship`` puts the results under assets/engine; ``--document`` prints the tables from there, and writes those of
docs/ENGINE.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w

from bench.protocol import (
    ATTACKS,
    GRADIENTS,
    ONCE,
    OURS,
    QUICK_AT,
    TASKS,
    TUNED,
    TUNED_AT,
    candidates,
    plan,
    tuned,
    tuning,
)
from bench.rows import compute, filled, parsed, parser, share
from bench.standings import GOAL_AT, Distances, Line, Standing, best_of, middle, near, reached, read, standings
from jma_core.attacks.registry import Value
from lab.sweep.plan import Block, SweepError
from lab.sweep.report import Cell, Results
from lab.sweep.report import Table as Figures
from lab.sweep.store import PACKED, Sweep
from models.data import CACHE
from models.registry import ASSETS

SHIPPED = ASSETS / "engine"
DOCUMENT = ASSETS.parent / "docs" / "ENGINE.md"
SECONDS = 1200.0
"""For each row."""
LEFT_OUT = ("before", "wanted", "read", "right_before", "right", "collateral", "l0", "mse", "psnr", "ssim", "png_l2")
"""Columns that do not ship, to keep it small."""

# --- running


def wanted(block: Block, attacks: Sequence[str], gradients: Sequence[int]) -> bool:
    """Whether a row is of one of these attacks, if any are named, and has one of these numbers of gradients."""
    entry = block.settings.entry
    most = entry.iterations(dict(block.settings.own))  # a little less than it might, where searches are of equal length
    given = min((each for each in GRADIENTS if each >= most), default=0)
    return (not attacks or entry.name in attacks) and (entry.name in ONCE or given in gradients)


def run(table: Mapping[str, Any], folder: Path, options: argparse.Namespace) -> Results:
    """Run a sweep, or go on with it. Raises SweepError, with what to do, where that cannot be done."""
    sweep = Sweep.begin(table, options.data.resolve(), folder.resolve())
    compute(sweep, options.seconds, lambda block: wanted(block, options.attacks, options.gradients))
    return Results(folder)


def tune(name: str, results: Results) -> tuple[dict[str, dict[str, Value]], Figures]:
    """Of each rival that was tried the settings that fail least, and of these of the largest optimality, by attack.

    And a table of all.
    """
    found, chosen = read(results), dict[str, dict[str, Value]]()
    rows: list[list[Cell]] = []
    tries = {form: d for form in candidates(name) if (d := reached(form, TUNED_AT, found))}
    best = best_of([*tries.values()])
    scores = {form: near(d, best) for form, d in tries.items()}
    for attack in dict.fromkeys(form.attack for form in scores):
        each = {form: score for form, score in scores.items() if form.attack == attack}
        failed = {form: sum(map(math.isinf, tries[form].values())) for form in each}
        chosen[attack] = dict(min(each, key=lambda form: (failed[form], -np.nan_to_num(each[form]))).settings)
        rows += [[form.title, form.told, len(tries[form]), score] for form, score in each.items()]
    return chosen, Figures(name, ["attack", "settings", "n", "optimality"], rows)


# --- telling

HEAD = (
    "attack", "settings", "n", "reached", "median L2", "with forward passes counted", "optimality", "forward",
    "backward", "refined's L2 over its", "nearer", "ties", "farther", "p", "refined is",
)  # fmt: skip


def table(standing: Standing) -> Figures:
    """All rows of a task with so many gradients."""
    return Figures(f"{standing.gradients} gradients", HEAD, [*map(_cells, [standing.ours, *standing.rivals])])


def _cells(line: Line) -> list[Cell]:
    said: list[Cell] = [line.form.title, line.form.told, line.n, share(line.hits, line.n), _median(line.distance)]
    said += [_median(line.frugal), _short(line.optimality), f"{line.forward:g}", f"{line.backward:g}"]
    return [*said, *([""] * 6 if line.form.attack == OURS else [_ratio(line), *_counts(line), _p(line), line.verdict])]


def _median(distance: Distances) -> str:
    return f"{middle(distance):.4f}".replace("inf", "∞")


def _ratio(line: Line) -> str:
    pair = line.pair
    return "–" if math.isnan(pair.low) else f"{pair.ratio:.3f} [{pair.low:.3f}, {pair.high:.3f}]"


def _counts(line: Line) -> list[str]:
    return [str(each) for each in (line.pair.wins, line.pair.ties, line.pair.losses)]


def _p(line: Line) -> str:
    return f"{line.pair.p:.2g}".replace("nan", "–")


def _short(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def goal(name: str, found: Sequence[Standing]) -> str:
    """A line: whether the goal holds on a task."""
    if not found:
        return f"{name}: `refined` was not run."
    said = "; ".join(f"{each.gradients}: {_so(each)}" for each in found)
    missing = [str(each) for each in GRADIENTS if each not in [one.gradients for one in found]]
    rest = f"; not run: {', '.join(missing)}" if missing else ""
    holds = f"holds{' so far' if missing else ''}" if all(each.holds for each in found) else "does not hold"
    return f"{name}: the goal {holds}. {said}{rest}."


def _so(standing: Standing) -> str:
    best = standing.best
    if best is None:
        return "no rival was run on half as many pictures"
    how = {"nearer": "nearer than", "farther": "farther than"}.get(best.verdict, f"{best.verdict} against")
    said = [f"{how} {best.form.title} {best.form.told}", _ratio(best), f"n = {best.pairs}"]
    if standing.fails_more:
        worst = max(standing.fails_more, key=lambda each: each.failed[0] - each.failed[1])
        said.append(f"fails on {worst.failed[0]} where {worst.form.title} fails on {worst.failed[1]}")
    if standing.gradients == GOAL_AT:
        said.append(f"optimality {_short(standing.ours.optimality)}")
    return ", ".join(said)


SUMMARY = (
    "task", "gradients", "n", "reached", "median L2", "optimality", "best rival", "its median L2", "its optimality",
    "refined's L2 over its", "nearer, ties, farther", "p", "refined is", "goal",
)  # fmt: skip


def summary(every: Mapping[str, Sequence[Standing]]) -> Figures:
    """A row for each task and number of gradients: ``refined`` and the best rival."""
    rows = [_summed(name, each) for name, found in every.items() for each in found]
    return Figures("", SUMMARY, rows)


def _summed(name: str, standing: Standing) -> list[Cell]:
    ours, best = standing.ours, standing.best
    near = [_median(ours.distance), _short(ours.optimality)]
    first: list[Cell] = [name, standing.gradients, ours.n, share(ours.hits, ours.n), *near]
    if best is None:
        return [*first, *["–"] * 8]
    its = [f"{best.form.title} {best.form.told}", _median(best.distance), _short(best.optimality)]
    pair = [_ratio(best), ", ".join(_counts(best)), _p(best), best.verdict]
    return [*first, *its, *pair, "holds" if standing.holds else "does not hold"]


def compact(found: Sequence[Standing]) -> Figures:
    """For the document: of each rival and number of gradients the median L2, failures, and the ratio."""
    every = dict.fromkeys(line.form for each in found for line in (each.ours, *each.rivals))
    rows: list[list[Cell]] = []
    for form in every:
        lines = [next((line for line in (each.ours, *each.rivals) if line.form == form), None) for each in found]
        rows.append([form.title, form.told, max(line.n for line in lines if line), *map(_brief, lines)])
    return Figures("", ["attack", "settings", "n", *(str(each.gradients) for each in found)], rows)


def _brief(line: Line | None) -> str:
    if line is None:
        return "–"
    failed = f" ({line.n - line.hits} fail)" if line.n > line.hits else ""
    return f"{_median(line.distance)}{failed}" + ("" if line.form.attack == OURS else f"; {_ratio(line)}")


def shown(name: str, found: Sequence[Standing]) -> Iterator[str]:
    """All that there is to say of a task, in Markdown."""
    yield f"## {name}: {TASKS[name].title}"
    for standing in found:
        figures = table(standing)
        yield f"**{figures.title}**\n\n{figures.as_markdown()}"
    yield goal(name, found)


def document(text: str) -> str:
    """docs/ENGINE.md with its tables made anew from the results that ship."""
    every = shipped()
    said = [summary(every).as_markdown(), "\n".join(f"- {goal(name, found)}" for name, found in every.items())]
    text = filled(text, "summary", "\n\n".join(said))
    told = [f"**{TASKS[name].title}** (`{name}`)\n\n{compact(found).as_markdown()}" for name, found in every.items()]
    return filled(text, "rivals", "\n\n".join(told))


def shipped() -> dict[str, list[Standing]]:
    """What the results that ship say, by task."""
    return {name: standings(name, Results(SHIPPED / name)) for name in TASKS if (SHIPPED / name).is_dir()}


def ship(name: str, folder: Path) -> None:
    """Put results under assets/engine, less what no table is made of."""
    Sweep(folder).pack(SHIPPED / name)
    path = SHIPPED / name / "shards" / PACKED
    rows = pq.read_table(path)
    for number, column in enumerate(rows.schema):
        told = column.name.startswith("hits_")
        if told or column.name in LEFT_OUT:
            pairs = zip(rows["attack"].to_pylist(), rows[column.name].to_pylist(), strict=True)
            kept = [value if told and attack in ONCE else None for attack, value in pairs]
            rows = rows.set_column(number, column, pa.array(kept, column.type))
    pq.write_table(rows, path, compression="zstd")


def main() -> None:
    """Run tasks and print them, tune rivals, or write the document."""
    made = parser("The refined attack against its rivals", CACHE / "engine", SECONDS)
    made.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS), help="these tasks")
    made.add_argument("--attacks", nargs="+", choices=[OURS, *ATTACKS], default=[], help="rows of these attacks")
    made.add_argument(
        "--gradients", nargs="+", type=int, choices=GRADIENTS, default=GRADIENTS, help="rows with so many"
    )
    made.add_argument("--tune", action="store_true", help="choose the rivals' settings on tuning pictures")
    options = parsed(made)
    if options.document:
        for name, found in shipped().items():
            print("\n\n".join(shown(name, found)), end="\n\n")
        DOCUMENT.write_text(document(DOCUMENT.read_text("utf-8")), "utf-8")
        return
    with TemporaryDirectory() as scratch:
        for name in options.task:
            try:
                (tuning_of if options.tune else results_of)(name, options, Path(scratch))
            except SweepError as error:
                print(f"{name} is not run here: {error}")


def tuning_of(name: str, options: argparse.Namespace, _: Path) -> None:
    """Tune the rivals of a task, print what was tried, and write what was chosen."""
    chosen, figures = tune(name, run(tuning(name), options.out / "tuning" / name, options))
    print(f"{figures.title}\n\n{figures.as_markdown()}", end="\n\n", flush=True)
    TUNED.write_text(tomli_w.dumps({**tuned(), name: chosen}), "utf-8")
    tuned.cache_clear()


def results_of(name: str, options: argparse.Namespace, scratch: Path) -> None:
    """Run a task as the command line wants it, and print it."""
    folder = (scratch if options.quick else options.out) / name
    results = run(plan(name, tuned(), quick=options.quick), folder, options)
    found = standings(name, results, (QUICK_AT,) if options.quick else GRADIENTS)
    print("\n\n".join(shown(name, found)), end="\n\n", flush=True)
    if options.ship:
        ship(name, folder)


if __name__ == "__main__":
    main()
