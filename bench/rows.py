"""What benchmarks that are plans of sweeps share: rows that are run with a time each, and told in documents."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from lab.sweep.plan import Block
from lab.sweep.statistics import share_interval
from lab.sweep.store import Sweep


def parser(description: str, out: Path, seconds: float) -> argparse.ArgumentParser:
    """The options of all of them."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--data", type=Path, help="the folder that holds the image sets")
    made.add_argument("--quick", action="store_true", help="a picture or two of each row, 3 seconds an attack")
    made.add_argument("--out", type=Path, default=out, help="the folder of the sweeps")
    made.add_argument("--seconds", type=float, default=seconds, help="for each row")
    made.add_argument("--ship", action="store_true", help="put the results under assets")
    made.add_argument("--document", action="store_true", help="write the document's tables, and run nothing")
    return made


def parsed(made: argparse.ArgumentParser) -> argparse.Namespace:
    """The command line; it ends the program for options that do not go together."""
    options = made.parse_args()
    if not options.document and not options.data:
        made.error("expected --data DIR, or --document")
    if options.ship and options.quick:
        made.error("expected --ship without --quick, whose results are too few to be handed on")
    return options


def compute(sweep: Sweep, seconds: float, wanted: Callable[[Block], bool], least: int = 1) -> None:
    """Attack picture after picture by each attack that is wanted, until its time is spent and so many are done.

    What was done before counts.
    """
    from lab.sweep.units import Worker  # imports torch

    work, per_block = Worker(sweep.folder), sweep.shards // len(sweep.blocks)
    for number, block in enumerate(sweep.blocks):
        spent: list[float] = []
        for shard in range(number * per_block, (number + 1) * per_block if wanted(block) else 0):
            if sum(spent) >= seconds and len(spent) >= least:
                break
            if not sweep.path(shard).exists():
                work(shard)
            taken = pq.read_table(sweep.path(shard), columns=["seconds"])[0].to_pylist()
            spent += [each for each in taken if each is not None]


def share(hits: int | None, n: int) -> str:
    """A part of n, with its 95 % interval by Wilson."""
    if not n or hits is None:
        return "–"
    low, high = share_interval(hits, n)
    return f"{hits / n:.2f} [{low:.2f}, {high:.2f}]"


def filled(text: str, name: str, body: str) -> str:
    """A document with other tables between the marks of this name. Raises ValueError where it has no such marks."""
    begin, end = f"<!-- table {name} -->\n", f"\n<!-- end {name} -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"expected a document with marks of table {name}, got none")
    return f"{before}{begin}\n{body}\n{end}{after}"
