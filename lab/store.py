"""Finished attacks, and comparisons, on disk: one SQLite file in the user's data folder. Needs no torch, no streamlit.

Each call has a connection of its own, and writes in one transaction: threads, tabs and servers may share the file, and
a process that is killed in the middle of a write leaves the file as it was before. Reading needs no room on the disk,
and no right to write.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from platformdirs import user_data_path

from jma_core.records import AttackResult, History, Step
from lab.archive import OtherVersion, pack, pack_comparison, unpack, unpack_comparison
from lab.comparison import Contender, best, called, verdict
from lab.pictures import as_png, perturbation_map, to_picture
from lab.request import Canvas, Request
from models.cards import ModelSpec

FOLDER = "jma-lab"
MAX_RUNS = 200
"""Attacks and comparisons that are kept; the oldest goes first."""
MAX_BYTES = 500 * 2**20
"""Bytes that they may take together, thumbnails aside; the oldest goes first."""
MOMENTS = 24
"""Updates that are kept of one attack, about evenly spread, beside the one that is its result."""
MOMENT_BYTES = 6 * 2**20
"""Bytes that these may take; of large pictures fewer are kept, but at least two. A comparison may take twice as many
for half as many updates of each attack."""
THUMBNAIL = 96  # pixels, the longer side
VERSION = 1
APPLICATION = int.from_bytes(b"JMAL", "big")
PATIENCE = 30.0
"""Seconds that an attack which has ended, in the background, waits for other writers."""
HASTE = 2.0
"""Seconds that a page waits for them."""
LOOKS = ("mode=rw", "NORMAL"), ("mode=rw", "EXCLUSIVE"), ("mode=ro&immutable=1", "NORMAL")
"""How to open a file to read it, and its locking mode. The first way takes 32 kB beside it, for which a full disk has
no room: alone with a file, SQLite does without. In a folder that cannot be written to it is only read as it lies,
which is wrong while somebody else writes."""
UNWRITABLE = sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL
"""Codes of errors after which the next way is tried."""
ASIDE = {
    "damaged": "was damaged",
    "foreign": "was not one of JMA Lab's",
    "misplaced": "was not a file, or a link to none",
    "newer": "was written by a newer version of JMA Lab",
}
"""Why a file was set aside: the word in its name, and what to say of it."""

SAID = {
    sqlite3.SQLITE_BUSY: "another program is using the file: wait until it is done, or close it",
    sqlite3.SQLITE_FULL: "the disk is full: this needs some room on it",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written, or is full: this needs some room on it",
    sqlite3.SQLITE_READONLY: "the file, or the folder that it is in, cannot be written to",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened, or the folder that it is in cannot be written to",
}
"""What to say of SQLite's errors, by their codes."""

T = TypeVar("T")
log = logging.getLogger(__name__)
_setting_aside = threading.Lock()


class DamagedRun(ValueError):
    """A stored attack cannot be read; the message says what to do."""


class _Unusable(sqlite3.DatabaseError):
    """What is there is no database, or not one of ours; the message is a word of ASIDE."""


@dataclass(frozen=True)
class Row:
    """What the list shows of one stored attack, or of a comparison of several."""

    id: int
    at: str
    """When it ended: UTC, in ISO 8601, to the second."""
    model: str
    title: str
    """The model's, as it was."""
    weights: str
    """sha256 of the model's weights, "" where its card names none."""
    before: str
    wanted: str
    after: str
    """What the original reads as, what was asked for, what the attacked image reads as; in words. Of a comparison, the
    image of the attack that came nearest, which is also that of the next lines."""
    success: bool
    reason: str
    """Why it ended; of a comparison, who came nearest, in a sentence."""
    l2: float
    n_it: int
    backward: int
    seconds: float
    """Of a comparison these three are sums."""
    attacks: int
    """How many are compared; 0 for an attack on its own."""
    original: bytes
    attacked: bytes
    change: bytes
    """Thumbnails, PNG, the last of them of the perturbation; it is empty in runs of earlier versions,"""
    asked: str
    """as are the attack, its settings and what may change, by name, as JSON; several attacks are called ``attacks``."""
    note: str
    """The user's own."""


_COLUMNS = [field.name for field in fields(Row)]
ADDED = {"attacks": "INTEGER", "change": "BLOB", "asked": "TEXT", "note": "TEXT"}
"""Columns, with their types, that files of earlier versions have not got: they are added when something is."""
EMPTY = {"INTEGER": "0", "BLOB": "x''", "TEXT": "''"}
_SCHEMA = f"""
CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, model TEXT NOT NULL, title TEXT NOT NULL,
    weights TEXT NOT NULL, before TEXT NOT NULL, wanted TEXT NOT NULL, after TEXT NOT NULL, success INTEGER NOT NULL,
    reason TEXT NOT NULL, l2 REAL NOT NULL, n_it INTEGER NOT NULL, backward INTEGER NOT NULL, seconds REAL NOT NULL,
    original BLOB NOT NULL, attacked BLOB NOT NULL, attack BLOB NOT NULL
);
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""
_ADD = f"INSERT INTO runs ({', '.join(_COLUMNS)}, attack) VALUES ({', '.join('?' * (len(_COLUMNS) + 1))})"
_TRIM = """
DELETE FROM runs WHERE id IN (
    SELECT id FROM (
        SELECT id, row_number() OVER newest AS place, sum(length(attack)) OVER newest AS held
        FROM runs WINDOW newest AS (ORDER BY id DESC)
    ) WHERE place > 1 AND (place > ? OR held > ?)
)
"""


def data_folder() -> Path:
    """Where the user's data are: $JMA_LAB_DATA, or jma-lab where this system has data.

    Once it was below $XDG_DATA_HOME or ~/.local/share on every system; a folder that is there goes on being used.
    """
    if chosen := os.getenv("JMA_LAB_DATA"):
        return Path(chosen).expanduser()
    before = Path(os.getenv("XDG_DATA_HOME") or "~/.local/share").expanduser() / FOLDER
    return before if before.exists() else user_data_path(FOLDER, appauthor=False)


def store() -> Store:
    """The user's own."""
    return Store(data_folder() / "runs.sqlite3")


class Store:
    """The attacks in one file, which is made when it is first asked for.

    A file that is damaged, or no database of JMA Lab's, is renamed and a new one begun: see ``aside``. What else may go
    wrong, such as a full disk or a folder that cannot be written to, raises sqlite3.Error or OSError, which say so.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, spec: ModelSpec, request: Request, result: AttackResult) -> None:
        """Keep an attack that has ended, thinned to MOMENTS; of more than MAX_RUNS or MAX_BYTES the oldest go."""
        steps = _thinned(result, min(MOMENTS, MOMENT_BYTES // (2 * result.original.size)))
        self._add(_row(spec, request, result), pack(request, replace(result, steps=steps)))

    def add_comparison(self, spec: ModelSpec, contenders: Sequence[Contender]) -> None:
        """Keep attacks on one photo towards one target as one entry, in the same way."""
        names = called([each.request.settings for each in contenders])
        nearest, results = best(contenders), [each.result for each in contenders]
        row = replace(
            _row(spec, nearest.request, nearest.result),
            reason=verdict(spec, names, contenders)[0],
            n_it=sum(each.n_it for each in results),
            backward=sum(each.backward for each in results),
            seconds=float(sum(each.seconds for each in results)),
            attacks=len(contenders),
            asked=json.dumps({"attacks": ", ".join(names)}),
        )
        self._add(row, comparison_file(spec, contenders))

    def _add(self, row: Row, data: bytes) -> None:
        values = (None, *astuple(row)[1:], data)

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(_ADD, values)
            connection.execute(_TRIM, (MAX_RUNS, MAX_BYTES))

        self._do(lambda: self._change(insert, PATIENCE))

    def rows(self) -> list[Row]:
        """What is known of each attack without opening it; the newest first."""
        found = self._do(lambda: self._look(_listed)) or []
        return [replace(row, success=bool(row.success)) for row in (Row(*values) for values in found)]

    def get(self, run: int) -> tuple[Request, AttackResult]:
        """One attack.

        Raises LookupError when it is not there (any more), DamagedRun when it cannot be read, and OtherVersion when it
        can, but not with all that it holds.
        """
        return self._get(run, unpack)

    def comparison(self, run: int) -> tuple[Contender, ...]:
        """The attacks of a comparison; raises the same."""
        return self._get(run, unpack_comparison)[0]

    def file(self, run: int) -> bytes:
        """One of both as it is stored. Raises LookupError when it is not there (any more)."""
        return self._get(run, bytes)

    def _get(self, run: int, made: Callable[[bytes], T]) -> T:
        one = "SELECT attack FROM runs WHERE id = ?"
        found = self._do(lambda: self._look(lambda connection: connection.execute(one, (run,)).fetchone()))
        if found is None:
            raise LookupError("This run is not there any more: it was deleted, or made room for newer ones.")
        try:
            return made(found[0])
        except OtherVersion:
            raise
        except Exception as error:  # of a dozen kinds, from zipfile, zlib and numpy: seen when changing bytes at random
            log.exception("A stored attack cannot be read")
            raise DamagedRun(
                "This run is damaged and cannot be opened: delete it, and run the attack again."
            ) from error

    def delete(self, *runs: int) -> None:
        """Let go of attacks; nothing happens when one is gone already."""
        self._write("DELETE FROM runs WHERE id = ?", [(run,) for run in runs])

    def write_down(self, run: int, note: str) -> None:
        """Keep a note with a run, instead of the one before."""
        self._write("UPDATE runs SET note = ? WHERE id = ?", [(note, run)])

    def _write(self, statement: str, values: Sequence[tuple[str | int, ...]]) -> None:
        self._do(lambda: self._change(lambda connection: connection.executemany(statement, values), HASTE))

    def aside(self) -> dict[str, str]:
        """Files that could not be used and were set aside, by name, and what was wrong with each, for people."""
        found = {word: self.path.parent.glob(f"{self.path.stem}-{word}-*{self.path.suffix}") for word in ASIDE}
        return {path.name: ASIDE[word] for word, paths in found.items() for path in sorted(paths)}

    def _do(self, work: Callable[[], T]) -> T:
        """Work on the file, if need be a new one after what was there has been set aside."""
        try:
            try:
                return work()
            except sqlite3.DatabaseError as error:
                if not _wrong(error):
                    raise
            with _setting_aside:
                try:
                    return work()  # another thread may have begun a new file meanwhile
                except sqlite3.DatabaseError as error:
                    if not (wrong := _wrong(error)):
                        raise
                    self._set_aside(wrong)
                    return work()
        except sqlite3.OperationalError as error:
            raise sqlite3.OperationalError(SAID.get(_code(error), str(error))) from error

    def _there(self) -> bool:
        """Whether there is a file. A pipe, a folder or a link to nothing is _Unusable."""
        try:
            self.path.lstat()
        except FileNotFoundError:
            return False
        if not self.path.is_file():
            raise _Unusable("misplaced")
        return True

    def _look(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Read in one transaction, which changes nothing; None without a file, or from an empty one."""
        if not self._there():
            return None
        refused: list[sqlite3.OperationalError] = []
        for mode, locking in LOOKS:
            before = self._at_rest()
            if "immutable" in mode and not before:
                break
            try:
                address = f"{self.path.absolute().as_uri()}?{mode}"
                with closing(sqlite3.connect(address, timeout=HASTE, isolation_level=None, uri=True)) as connection:
                    connection.execute(f"PRAGMA locking_mode = {locking}")
                    connection.execute("BEGIN")
                    found = work(connection) if _version(connection) else None
            except sqlite3.OperationalError as error:
                refused.append(error)
                if _code(refused[0]) not in UNWRITABLE:
                    break
            else:
                if "immutable" not in mode or before == self._at_rest():
                    return found
        raise refused[0]

    def _at_rest(self) -> tuple[int, int] | None:
        """Size and time of the file; None while a part of it is in the log beside it."""
        file = self.path.resolve()
        log = Path(f"{file}-wal")
        if log.exists() and log.stat().st_size:
            return None
        return file.stat().st_size, file.stat().st_mtime_ns

    def _change(self, work: Callable[[sqlite3.Connection], object], patience: float) -> None:
        """Write in one transaction, into a new file if there is none."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._there()
        with closing(sqlite3.connect(self.path, timeout=patience, isolation_level=None)) as connection:
            version = _version(connection)
            if version == 0:
                connection.execute("PRAGMA auto_vacuum = FULL")  # what is deleted gives its room on the disk back
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                if _version(connection) == 0:  # and no other process has been faster
                    for statement in filter(str.strip, _SCHEMA.split(";")):
                        connection.execute(statement)
                for name in ADDED.keys() - _columns(connection):
                    kind = ADDED[name]
                    connection.execute(f"ALTER TABLE runs ADD COLUMN {name} {kind} NOT NULL DEFAULT {EMPTY[kind]}")
                work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # a full disk makes SQLite end it by itself
                    connection.execute("ROLLBACK")
                raise

    def _set_aside(self, wrong: str) -> None:
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        aside = self.path.with_stem(f"{self.path.stem}-{wrong}-{moment}")
        try:
            for end in ("-wal", "-shm", ""):
                if os.path.lexists(part := Path(f"{self.path}{end}")):
                    part.rename(f"{aside}{end}")
        except OSError as error:
            raise OSError(f"what is there {ASIDE[wrong]}, and cannot be renamed ({error.strerror})") from error


def _version(connection: sqlite3.Connection) -> int:
    """The schema's version; 0 for an empty file. Raises _Unusable for a database that is not ours to write to."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if (application, version, tables) == (0, 0, 0):
        return 0
    if application != APPLICATION:
        raise _Unusable("foreign")
    if version > VERSION:
        raise _Unusable("newer")
    if version < VERSION or {*_COLUMNS, "attack"} - {*_columns(connection), *ADDED}:
        raise _Unusable("damaged")
    return VERSION


def _columns(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM pragma_table_info('runs')")}


def _listed(connection: sqlite3.Connection) -> list[Any]:
    known = _columns(connection)
    shown = ", ".join(name if name in known else f"{EMPTY[ADDED[name]]} AS {name}" for name in _COLUMNS)
    return connection.execute(f"SELECT {shown} FROM runs ORDER BY id DESC").fetchall()


def _wrong(error: sqlite3.DatabaseError) -> str:
    """What is wrong with the file, a word of ASIDE; empty if the fault lies elsewhere."""
    if isinstance(error, _Unusable):
        return str(error)
    return "damaged" if _code(error) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT) else ""


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # what is above tells more of the same


def comparison_file(spec: ModelSpec, contenders: Sequence[Contender]) -> bytes:
    """A comparison as it is stored, and as it can be taken elsewhere: with fewer updates of each attack."""
    most = min(MOMENTS // 2, 2 * MOMENT_BYTES // (len(contenders) * contenders[0].result.original.size))
    thinned = [replace(each, result=replace(each.result, steps=_thinned(each.result, most))) for each in contenders]
    return pack_comparison(thinned, spec.sha256)


def _row(spec: ModelSpec, request: Request, result: AttackResult) -> Row:
    return Row(
        id=0,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        model=spec.name,
        title=spec.title,
        weights=spec.sha256,
        before=spec.encoding.names(result.decoded_before),
        wanted=spec.encoding.wish(request.target),
        after=spec.encoding.names(result.decoded),
        success=result.success,
        reason=str(result.reason),
        l2=float(result.distortion.l2),
        n_it=result.n_it,
        backward=result.backward,
        seconds=float(result.seconds),
        attacks=0,
        original=_thumbnail(to_picture(result.original)),
        attacked=_thumbnail(to_picture(result.image)),
        change=_thumbnail(perturbation_map(result.original, result.image)[0]),
        asked=json.dumps(request.settings.told() | _canvas(request.canvas)),
        note="",
    )


def _canvas(canvas: Canvas) -> dict[str, str]:
    """What may change, where that is not all of the picture that the network sees."""
    told = {"size": "the photo's own"} if canvas.native else {}
    if canvas.region:
        told["part"] = ", ".join(f"{side:.0%}" for side in canvas.region)
    if canvas.painted:
        told["part"] = canvas.told
    if canvas.period:
        told["waves"] = f"of at least {canvas.period:g} pixels"
    return told


def _thinned(result: AttackResult, most: int) -> tuple[Step, ...]:
    """So many steps, but at least two, about evenly spread, the last, and the one that is the result."""
    kept = History(max(2, most))
    for step in result.steps:
        kept.add(step, best=step.number == result.update)
    return kept.steps


def _thumbnail(pixels: NDArray[np.uint8]) -> bytes:
    """Of a picture (H, W, 3)."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return as_png(picture)
