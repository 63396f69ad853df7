"""Sweeps of one's own: each is a process, which goes on without the page and the server, in a folder of its own.

    DATA/sweeps/NAME/plan.toml
    DATA/sweeps/NAME/pictures/     those that were uploaded
    DATA/sweeps/NAME/sweep/        what ``python -m lab.sweep run`` writes
    DATA/sweeps/NAME/run.txt, estimate.txt    what the process says
    DATA/sweeps/NAME/lock          held by the process, whose number is in it

The same plan with the same pictures is the same folder, so that what was stopped goes on. Needs no torch.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from jma_core.attacks.registry import Value
from lab.benchmark import title
from lab.photos.uploads import MAX_NAME
from lab.request import Settings
from lab.store import data_folder
from lab.sweep.pictures import SUFFIXES
from lab.sweep.plan import SweepError, told
from lab.sweep.store import ROOT, Sweep

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

UPLOADED = "pictures"
"""The folder of uploaded pictures, as plans name it."""
SHARD = 8
"""Units of a file: what is lost at most by a stop."""
NICE = 10
"""How much the server's own work goes before."""
RUN, ESTIMATE = "run", "estimate"
PROGRAM = (sys.executable, "-W", "ignore", "-m", "lab.sweep")


def plan(
    called: str,
    model: str,
    pictures: Mapping[str, Value],
    rule: tuple[str, int],
    attacks: Sequence[Settings],
    *,
    shard: int = SHARD,
    keep: int = 0,
) -> str:
    """A plan as TOML. ``pictures``: the entries of that table; ``rule``: of the targets, and its k.

    Of the attacks' settings it names those that are not as they are in every plan.
    """
    lines = [f"# {called}", f"models = {_toml([model])}", f"shard = {shard}", *[f"keep = {keep}"] * (keep > 0)]
    lines += ["", "[pictures]"]
    lines += [f"{name} = {_toml(value)}" for name, value in pictures.items()]
    lines += ["", "[[targets]]", f"rule = {_toml(rule[0])}", *[f"k = {rule[1]}"] * (rule[1] > 1), ""]
    for each in attacks:
        usual = told(Settings.of(each.attack, max_seconds=math.inf))
        own = {name: value for name, value in told(each).items() if value != usual.get(name)}
        lines += ["[[attacks]]", f"attack = {_toml(each.attack)}"]
        lines += [*(f"{name} = {_toml(value)}" for name, value in own.items()), ""]
    return "\n".join(lines)


def _toml(value: Value | list[str]) -> str:
    """JSON's strings, numbers and lists are TOML's, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


@dataclass(frozen=True)
class OwnSweep:
    """One that was planned here."""

    folder: Path

    @classmethod
    def of(cls, plan: str, files: Sequence[tuple[str, bytes]] = ()) -> OwnSweep:
        """That of a plan and of uploaded pictures, their names and what is in them, where the plan looks for them."""
        named = sha256("\n".join([plan, *(sha256(data).hexdigest() for _, data in files)]).encode()).hexdigest()[:12]
        folder = home() / named
        if not (folder / "plan.toml").exists():
            (folder / UPLOADED).mkdir(parents=True, exist_ok=True)
            for number, (name, data) in enumerate(files, 1):
                harmless = re.sub(r"[^\w. -]", "_", name)[-MAX_NAME:]
                ending = "" if Path(harmless).suffix.lower() in SUFFIXES else ".png"
                (folder / UPLOADED / f"{number:03} {harmless}{ending}").write_bytes(data)
            (folder / "plan.toml").write_text(plan, "utf-8")
        return cls(folder)

    @property
    def title(self) -> str:
        """What to call it: the first line of its plan, and the beginning of its name."""
        return f"{title(self.folder)} ({self.folder.name[:4]})"

    @property
    def plan(self) -> str:
        """As TOML."""
        return (self.folder / "plan.toml").read_text("utf-8")

    @property
    def results(self) -> Path:
        """The folder of the sweep."""
        return self.folder / "sweep"

    @property
    def done(self) -> tuple[int, int]:
        """Units that are finished, and all; 0, 0 before it has begun."""
        sweep = self.begun
        return (sweep.finished, sweep.units) if sweep else (0, 0)

    @property
    def begun(self) -> Sweep | None:
        """What there is of it; None before it has begun."""
        try:
            return _opened(self.results, (self.results / "sweep.json").stat().st_mtime_ns)
        except (OSError, SweepError):
            return None

    @property
    def running(self) -> bool:
        """Whether its process is there, whoever has started it."""
        try:
            with (self.folder / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def said(self, what: str) -> list[str]:
        """The lines that the process has printed: of RUN, or of ESTIMATE."""
        with suppress(OSError):
            return (self.folder / f"{what}.txt").read_text("utf-8", "replace").split("\n")[:-1]
        return []

    def start(self, what: str) -> None:
        """RUN it, go on with it, or ESTIMATE how long it will take; nothing while its process is there."""
        out = ["--out", str(self.results)] if what == RUN else []
        command = [*PROGRAM, what, str(self.folder / "plan.toml"), *out]
        with (self.folder / "lock").open("a") as lock, (self.folder / f"{what}.txt").open("w") as output:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                pass_fds=[lock.fileno()], start_new_session=True,
            )  # fmt: skip
            lock.truncate(0)
            lock.write(str(process.pid))  # whoever holds the lock: the process, once this server has closed the file
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, NICE)

    def stop(self) -> None:
        """End its process; all finished shards are kept."""
        if self.running:
            with suppress(OSError, ValueError):
                os.kill(int((self.folder / "lock").read_text()), signal.SIGTERM)

    def delete(self) -> None:
        """It and all that it has found, for good."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@lru_cache(maxsize=32)
def _opened(folder: Path, written: int) -> Sweep:
    """The sweep in a folder, opened once for each time when it was ``written``. Raises SweepError if there is none."""
    return Sweep(folder)


def home() -> Path:
    """The folder of all of them."""
    return data_folder() / "sweeps"


def own_sweeps() -> list[OwnSweep]:
    """All, the newest first."""
    plans = [path for path in home().glob("*/plan.toml") if path.is_file()]
    return [OwnSweep(path.parent) for path in sorted(plans, key=lambda path: -path.stat().st_mtime)]


def possible() -> bool:
    """Whether this system has what it takes to watch a process that another server has started."""
    return fcntl is not None
