"""Workers without attacks and without torch, which start at once: a shard's rows, and some that die."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

from lab.sweep.plan import SweepError
from lab.sweep.runner import Work
from lab.sweep.store import Sweep


def steady(folder: Path) -> Work:
    """Writes rows that say which process made them."""
    sweep = Sweep(folder)
    return lambda shard: sweep.lose(shard, f"by {os.getpid()}")


def mortal(folder: Path, shard: int, times: int) -> Work:
    """Dies so often over one shard, before it has written anything."""
    return partial(_work, steady(folder), folder, shard, times)


def _work(work: Work, folder: Path, fatal: int, times: int, shard: int) -> None:
    deaths = list(folder.parent.glob("death-*"))
    if shard == fatal and len(deaths) < times:
        (folder.parent / f"death-{len(deaths)}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    work(shard)


def late(folder: Path, shard: int) -> Work:
    """Dies over one shard when its rows are written, but nobody knows."""
    work = steady(folder)

    def late(given: int) -> None:
        work(given)
        if given == shard:
            os.kill(os.getpid(), signal.SIGKILL)

    return late


def faulty() -> Work:
    """Cannot be made."""
    raise ZeroDivisionError("division by zero")


def penniless(folder: Path) -> Work:
    """Cannot write."""

    def fail(shard: int) -> None:
        raise SweepError("The disk is full.")

    return fail
