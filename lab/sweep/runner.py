"""Running a sweep: one loop over an executor, which is this process, several, or Ray. Needs no torch.

An executor hands shards to workers and tells what became of each. A worker writes a shard's rows itself: between it and
the executor only numbers go to and fro.
"""

from __future__ import annotations

import os
import signal
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol, cast

from lab.sweep.plan import SweepError
from lab.sweep.store import ROOT, Sweep
from models.cards import said

Work = Callable[[int], None]
"""Computes a shard, and writes its rows."""
Make = Callable[[], Work]
"""Makes a worker, in the process where it will work."""
STRIKES = 2
"""A shard that has cost so many workers their life is given up."""
IN_FLIGHT = 2
"""Shards that an actor of Ray is given at most: the next one is there when it has done one."""

HERE = {"address": "local", "include_dashboard": False, "object_store_memory": 2**27}
"""Ray on this computer: its own, or it would join what it finds there, and no larger than numbers of shards need."""

PATIENCE = 10.0
"""Seconds that a cluster has to answer."""
TOKEN = "If the cluster asks for a token, set RAY_AUTH_MODE=token, and have the token where Ray looks for it."


class Executor(Protocol):
    """Where shards are computed."""

    def run(self, make: Make, todo: deque[int]) -> Iterator[tuple[int, str]]:
        """Take shards from ``todo`` until it is empty and all are back: each with "", or with how its worker was lost.

        What the caller puts into ``todo`` meanwhile is taken as well. Raises SweepError for what no worker can mend.
        """


class Here:
    """This process."""

    def run(self, make: Make, todo: deque[int]) -> Iterator[tuple[int, str]]:
        work = make()
        while todo:
            shard = todo.popleft()
            work(shard)
            yield shard, ""


@dataclass(frozen=True)
class Processes:
    """So many processes on this computer."""

    count: int

    def run(self, make: Make, todo: deque[int]) -> Iterator[tuple[int, str]]:
        busy: dict[Connection, tuple[BaseProcess, int]] = {}
        idle: list[tuple[Connection, BaseProcess]] = []
        try:
            while todo or busy:
                while todo and len(busy) < self.count:
                    line, process = idle.pop() if idle else _started(make)
                    shard = todo.popleft()
                    busy[line] = process, shard
                    with suppress(OSError):  # it has died idle: reading will tell
                        line.send(shard)
                for line in cast("list[Connection]", wait([*busy])):
                    process, shard = busy.pop(line)
                    try:
                        problem = line.recv()
                    except (EOFError, OSError):
                        process.join()
                        yield shard, f"Its process ended with exit code {process.exitcode}."
                        continue
                    if problem:
                        raise SweepError(problem)
                    idle.append((line, process))
                    yield shard, ""
        finally:
            for process in [process for process, _ in busy.values()] + [process for _, process in idle]:
                process.terminate()
                process.join()


def _started(make: Make) -> tuple[Connection, BaseProcess]:
    context = get_context("spawn")  # a fork of a process that has torch may hang
    line, its_end = context.Pipe()
    process = context.Process(target=_serve, args=(make, its_end), daemon=True)
    process.start()
    its_end.close()  # or the end of the process would not be seen
    return line, process


def _serve(make: Make, line: Connection) -> None:
    """A worker's process: shards come in, "" or what is wrong goes out. Ends with the process that started it.

    What attacks raise is in their rows: all else is wrong for any worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the executor's
    with suppress(EOFError, OSError):
        try:
            work = make()
            while True:
                work(line.recv())
                line.send("")
        except Exception as error:
            line.send(_told(error))


@dataclass(frozen=True)
class OnRay:
    """Actors of Ray, one for each GPU or else for each core, unless it is told how many: they share the GPUs evenly."""

    address: str | None = None
    """Of a cluster; None: Ray is started on this computer."""
    count: int = 0

    def run(self, make: Make, todo: deque[int]) -> Iterator[tuple[int, str]]:
        if self.address:
            _find(self.address)
        try:
            import ray
        except ImportError as error:
            raise SweepError("Ray is not installed: pip install -r requirements-ray.txt.") from error
        given: dict[str, Any] = {"address": self.address} if self.address else HERE | {"num_cpus": self.count or None}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
        try:
            ray.init(**given, runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}}, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise SweepError(f"Ray cannot be reached or started: {said(error)}. {TOKEN}") from error
        try:
            yield from self._drive(ray, make, todo)
        finally:
            ray.shutdown()

    def _drive(self, ray: Any, make: Make, todo: deque[int]) -> Iterator[tuple[int, str]]:
        there = ray.cluster_resources()
        gpus = there.get("GPU", 0)
        count = self.count or int(gpus or there.get("CPU", 1))
        hire = ray.remote(**{"num_gpus": min(1, gpus / count)} if gpus else {"num_cpus": 1})(_Actor).remote
        actors: dict[Any, deque[int]] = {}
        asked: dict[Any, tuple[Any, int]] = {}
        while todo or asked:
            while todo and len(actors) < count:
                actors[hire(make)] = deque()
            while todo:
                actor = min(actors, key=lambda each: len(actors[each]))
                if len(actors[actor]) == IN_FLIGHT:
                    break
                shard = todo.popleft()
                actors[actor].append(shard)
                asked[actor.work.remote(shard)] = actor, shard
            for done in ray.wait([*asked])[0]:
                if done not in asked:  # was its actor's, which is lost
                    continue
                actor, shard = asked.pop(done)
                try:
                    problem = ray.get(done)
                except ray.exceptions.RayActorError:
                    at_work, *waiting = actors.pop(actor)
                    asked = {ask: each for ask, each in asked.items() if each[0] is not actor}
                    todo.extendleft(reversed(waiting))
                    yield at_work, "Its actor of Ray was lost."
                    continue
                if problem:
                    raise SweepError(problem)
                actors[actor].remove(shard)
                yield shard, ""


def _find(address: str) -> None:
    """Raises SweepError if nobody is at HOST:PORT, where Ray itself would go on looking for an hour."""
    host, _, port = address.rpartition(":")
    if port.isdigit() and "/" not in host:
        try:
            socket.create_connection((host, int(port)), PATIENCE).close()
        except OSError as error:
            raise SweepError(f"No cluster of Ray answers at {address}: {said(error)}.") from error


class _Actor:
    """A worker of Ray's, which makes itself when it is first asked: what goes wrong is then told."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._work: Work | None = None

    def work(self, shard: int) -> str:
        """Compute a shard; "", or what is wrong."""
        try:
            self._work = self._work or self._make()
            self._work(shard)
        except Exception as error:
            return _told(error)
        return ""


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, SweepError) else f"A worker broke off: {type(error).__name__}: {said(error)}"


def worker(folder: Path) -> Work:
    """The one that makes attacks, for the sweep in a folder."""
    from lab.sweep.units import Worker  # imports torch

    return Worker(folder)


def run(sweep: Sweep, executor: Executor, make: Make | None = None) -> Iterator[int]:
    """Compute what is missing: each shard, once it is finished.

    A shard whose worker was lost is given to another one; after STRIKES of them its units are failures. Raises
    SweepError when there is no going on; all finished shards are kept.
    """
    todo, lost = deque(sweep.missing()), Counter[int]()
    for shard, how in executor.run(make or partial(worker, sweep.folder), todo):
        if how and not sweep.path(shard).exists():
            lost[shard] += 1
            if lost[shard] < STRIKES:
                todo.append(shard)
                continue
            sweep.lose(shard, f"Its shard was given up after {STRIKES} workers were lost over it. {how}")
        yield shard
