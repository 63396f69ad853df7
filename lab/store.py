"""Finished attacks on disk: one SQLite file in the user's data folder. Needs neither torch nor streamlit.

Each call has a connection of its own, and writes in one transaction: threads, tabs and servers may share the file, and
a process that is killed in the middle of a write leaves the file as it was before.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from PIL import Image

from jma_core.metrics import Image as Pixels
from jma_core.records import AttackResult, Step, Thinned
from models.cards import ModelSpec
from ui.archive import pack, unpack
from ui.readout import names, wish
from ui.request import Request

MAX_RUNS = 200
"""Attacks that are kept; the oldest goes first."""
MAX_BYTES = 500 * 2**20
"""Bytes that they may take together, thumbnails aside; the oldest goes first."""
FRAMES = 24
"""Updates that are kept of one attack, about evenly spread, beside the one that is its result."""
FRAME_BYTES = 6 * 2**20
"""Bytes that these may take; of large pictures fewer are kept, but at least two."""
THUMBNAIL = 96  # pixels, the longer side
VERSION = 1
APPLICATION = int.from_bytes(b"JMAL", "big")
PATIENCE = 30.0  # seconds to wait for another writer
ASIDE = {
    "damaged": "was damaged",
    "foreign": "was not one of JMA Lab's",
    "newer": "was written by a newer version of JMA Lab",
}
"""Why a file was set aside: the word in its name, and what to say of it."""

T = TypeVar("T")
log = logging.getLogger(__name__)
_setting_aside = threading.Lock()


class DamagedRun(ValueError):
    """A stored attack cannot be read; the message says what to do."""


class _Unusable(sqlite3.DatabaseError):
    """The file is a database, but not one that can be written to; the message is a word of ASIDE."""


@dataclass(frozen=True)
class Row:
    """What the list shows of one stored attack."""

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
    """What the original reads as, what was asked for, what the attacked image reads as; in words."""
    success: bool
    reason: str
    l2: float
    n_it: int
    backward: int
    seconds: float
    original: bytes
    attacked: bytes
    """Thumbnails, PNG."""


_COLUMNS = [field.name for field in fields(Row)]
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
_LIST = f"SELECT {', '.join(_COLUMNS)} FROM runs ORDER BY id DESC"
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
    """Where the user's data are: $JMA_LAB_DATA, or jma-lab below $XDG_DATA_HOME or ~/.local/share."""
    if chosen := os.getenv("JMA_LAB_DATA"):
        return Path(chosen).expanduser()
    return Path(os.getenv("XDG_DATA_HOME") or "~/.local/share").expanduser() / "jma-lab"


def store() -> Store:
    """The user's own."""
    return Store(data_folder() / "runs.sqlite3")


class Store:
    """The attacks in one file, which is made when it is first asked for.

    A file that is damaged, or no database of JMA Lab's, is renamed and a new one begun: see ``aside``. What else may go
    wrong, such as a full disk or a folder that cannot be written to, raises sqlite3.Error or OSError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, spec: ModelSpec, request: Request, result: AttackResult) -> None:
        """Keep an attack that has ended, thinned to FRAMES; of more than MAX_RUNS or MAX_BYTES the oldest go."""
        row = Row(
            id=0,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            model=spec.name,
            title=spec.title,
            weights=spec.sha256,
            before=names(spec, result.decoded_before),
            wanted=wish(spec, request.target),
            after=names(spec, result.decoded),
            success=result.success,
            reason=str(result.reason),
            l2=float(result.distortion.l2),
            n_it=result.n_it,
            backward=result.backward,
            seconds=float(result.seconds),
            original=_thumbnail(result.original),
            attacked=_thumbnail(result.image),
        )
        values = (None, *astuple(row)[1:], pack(request, replace(result, steps=_thinned(result))))

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(_ADD, values)
            connection.execute(_TRIM, (MAX_RUNS, MAX_BYTES))

        self._do(insert)

    def rows(self) -> list[Row]:
        """What is known of each attack without opening it; the newest first."""
        found = self._do(lambda connection: connection.execute(_LIST).fetchall())
        return [replace(row, success=bool(row.success)) for row in (Row(*values) for values in found)]

    def get(self, run: int) -> tuple[Request, AttackResult]:
        """One attack. Raises LookupError when it is not there (any more), and DamagedRun when it cannot be read."""
        found = self._do(lambda c: c.execute("SELECT attack FROM runs WHERE id = ?", (run,)).fetchone())
        if found is None:
            raise LookupError("This run is not there any more: it was deleted, or made room for newer ones.")
        try:
            return unpack(found[0])
        except Exception as error:  # of a dozen kinds, from zipfile, zlib and numpy: seen when changing bytes at random
            log.exception("A stored attack cannot be read")
            raise DamagedRun(
                "This run is damaged and cannot be opened: delete it, and run the attack again."
            ) from error

    def delete(self, run: int) -> None:
        """Let go of an attack; nothing happens when it is gone already."""
        self._do(lambda connection: connection.execute("DELETE FROM runs WHERE id = ?", (run,)))

    def aside(self) -> dict[str, str]:
        """Files that could not be used and were set aside, by name, and what was wrong with each, for people."""
        found = {word: self.path.parent.glob(f"{self.path.stem}-{word}-*{self.path.suffix}") for word in ASIDE}
        return {path.name: ASIDE[word] for word, paths in found.items() for path in sorted(paths)}

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Work in one transaction, if need be on a new file."""
        try:
            return self._attempt(work)
        except sqlite3.DatabaseError as error:
            if not _wrong(error):
                raise
        with _setting_aside:
            try:
                return self._attempt(work)  # another thread may have begun a new file meanwhile
            except sqlite3.DatabaseError as error:
                if not (wrong := _wrong(error)):
                    raise
                self._set_aside(wrong)
                return self._attempt(work)

    def _attempt(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)) as connection:
            version = _version(connection)
            if version == 0:
                connection.execute("PRAGMA auto_vacuum = FULL")  # what is deleted gives its room on the disk back
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                if _version(connection) == 0:  # and no other process has been faster
                    for statement in filter(str.strip, _SCHEMA.split(";")):
                        connection.execute(statement)
                done = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # a full disk makes SQLite end it by itself
                    connection.execute("ROLLBACK")
                raise
            return done

    def _set_aside(self, wrong: str) -> None:
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        aside = self.path.with_stem(f"{self.path.stem}-{wrong}-{moment}")
        for end in ("-wal", "-shm", ""):
            if (part := Path(f"{self.path}{end}")).exists():
                part.rename(f"{aside}{end}")


def _version(connection: sqlite3.Connection) -> int:
    """The schema's version; 0 for an empty file. Raises _Unusable for a database that is not ours to write to."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if (application, version, tables) == (0, 0, 0):
        return 0
    if application != APPLICATION:
        raise _Unusable("foreign")
    if version != VERSION:
        raise _Unusable("newer")
    return VERSION


def _wrong(error: sqlite3.DatabaseError) -> str:
    """What is wrong with the file, a word of ASIDE; empty if the fault lies elsewhere."""
    if isinstance(error, _Unusable):
        return str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # what is above tells more of the same
    return "damaged" if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT) else ""


def _thinned(result: AttackResult) -> tuple[Step, ...]:
    """About evenly spread steps, the last, and the one that is the result."""
    kept = Thinned(max(2, min(FRAMES, FRAME_BYTES // (2 * result.original.size))))
    for step in result.steps:
        kept.add(step)
    few = {id(step) for step in (*kept.steps, result.best)}
    return tuple(step for step in result.steps if id(step) in few)


def _thumbnail(image: Pixels) -> bytes:
    from ui.images import as_png, to_picture  # imports streamlit

    picture = Image.fromarray(to_picture(image))
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return as_png(picture)
