"""python -m lab.sweep run PLAN.toml --out DIR; estimate, status, report. See docs/SWEEPS.md."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.runs.remaining import duration
from lab.sweep.plan import SweepError, read_plan, told
from lab.sweep.runner import Executor, Here, OnRay, Processes, run
from lab.sweep.store import Sweep

WIDTH = 30
"""Characters of the bar."""
FEW = 4
"""Units of each attack that an estimate makes."""


def main(arguments: list[str] | None = None) -> int:
    """The command's exit code: 1 for what a sentence says, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except SweepError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab.sweep", description="Many attacks on many pictures")
    commands = parser.add_subparsers(required=True)
    planned = argparse.ArgumentParser(add_help=False)
    planned.add_argument("plan", type=Path, metavar="PLAN.toml")
    planned.add_argument("--folder", default="", help="of pictures, or of image sets, in place of the plan's")
    planned.add_argument("--workers", type=int, default=0, metavar="N", help="processes (with --ray: actors)")
    started = commands.add_parser("run", parents=[planned], help="start a sweep, or go on with it")
    started.add_argument("--out", type=Path, required=True, metavar="DIR")
    started.add_argument("--ray", nargs="?", const="", metavar="ADDRESS", help="on Ray: here, or on a cluster")
    started.set_defaults(command=_run)
    commands.add_parser("estimate", parents=[planned], help="how long it will take").set_defaults(command=_estimate)
    for name, command, purpose in (("status", _status, "how far it is"), ("report", _report, "tables of its results")):
        told = commands.add_parser(name, help=purpose)
        told.add_argument("out", type=Path, metavar="DIR")
        told.set_defaults(command=command)
    return parser


def _run(options: argparse.Namespace) -> None:
    sweep = _begun(options, options.out)
    executor: Executor = Here()
    if options.ray is not None:
        executor = OnRay(options.ray or None, options.workers)
    elif options.workers:
        executor = Processes(options.workers)
    try:
        for _ in _shown(run(sweep, executor), sweep):
            pass
    except KeyboardInterrupt:
        print("\nStopped. All finished shards are kept; the same command goes on.", file=sys.stderr)
        raise SystemExit(130) from None
    print(f"All {sweep.units} units are finished. Tables: python -m lab.sweep report {options.out}")


def _begun(options: argparse.Namespace, folder: Path) -> Sweep:
    table = read_plan(options.plan, options.folder)
    sweep = Sweep.begin(table, options.plan.resolve().parent, folder.resolve())
    for sentence in sweep.left_out:
        print(sentence)
    return sweep


def _shown(finished: Iterable[int], sweep: Sweep) -> Iterator[int]:
    """The shards as they are finished, with a bar on the terminal; elsewhere a line every half minute.

    The time left is told from the second shard on, by what was done since the first: that had to wait for a beginning.
    """
    first: tuple[float, int] | None = None
    done, shown, terminal = sweep.finished, 0.0, sys.stderr.isatty()
    for shard in finished:
        done += len(sweep.numbers(shard))
        yield shard
        now = time.monotonic()
        since, before = first = first or (now, done)
        if now - shown < (0.2 if terminal else 30) and done < sweep.units:
            continue
        shown = now
        left = f", {duration((sweep.units - done) * (now - since) / (done - before))} left" if done > before else ""
        bar = "#" * (WIDTH * done // sweep.units)
        line = f"[{bar:<{WIDTH}}] {done} of {sweep.units} units{left}"
        print(f"\r{line:<78}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)
    if terminal and shown:
        print(file=sys.stderr)


def _estimate(options: argparse.Namespace) -> None:
    start = time.perf_counter()
    from lab.sweep.units import Worker  # imports torch

    with TemporaryDirectory() as folder:
        sweep = _begun(options, Path(folder) / "sweep")
        work, each = Worker(sweep.folder), len(sweep.pictures)
        start = time.perf_counter() - start
        spent: dict[object, float] = {}
        for block in sweep.blocks:
            if (block.model, block.settings) not in spent:
                work.rows(block, range(1))  # loads the model; the first passes of all are slower
                few, began = range(min(FEW, each)), time.perf_counter()
                work.rows(block, few)
                spent[block.model, block.settings] = (time.perf_counter() - began) / len(few)
                name = f"{block.settings.entry.title} on {sweep.specs[block.model].name}"
                print(f"{spent[block.model, block.settings]:8.3f} s a unit: {name} {told(block.settings)}", flush=True)
        seconds = sum(each * spent[block.model, block.settings] for block in sweep.blocks)
    count = max(1, options.workers)
    print(
        f"{sweep.units} units, {len(sweep.blocks)} for each of {each} pictures: about "
        f"{duration(start + seconds / count)}, {duration(start)} of them to begin, if {count} at a time are as fast."
    )


def _status(options: argparse.Namespace) -> None:
    sweep = Sweep(options.out)
    print(
        f"{sweep.finished} of {sweep.units} units are finished, {sweep.shards - len(sweep.missing())} of "
        f"{sweep.shards} shards."
    )


def _report(options: argparse.Namespace) -> None:
    from lab.sweep.report import Results, write  # imports duckdb

    print(write(Results(options.out), options.out))


if __name__ == "__main__":
    sys.exit(main())
