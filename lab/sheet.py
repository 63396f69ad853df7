"""A contact sheet: what became of each picture of a sweep that has one block and keeps its pictures. Needs no torch."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from lab import benchmark
from lab.pictures import as_png
from lab.sweep.plan import SweepError
from lab.sweep.report import Table
from lab.sweep.store import Row, Sweep
from models.cards import ModelSpec

HEAD = (
    "picture", "status", "success", "before", "wanted", "read", "l2", "linf", "ssim", "flips_asked", "flips_made",
    "collateral", "forward", "backward", "seconds", "file_reads", "file_l2", "error",
)  # fmt: skip
"""Columns of the table, of those that rows have."""


class State(StrEnum):
    """What has become of a picture."""

    WAITING = "waiting"
    REACHED = "reached"
    MISSED = "missed"
    SKIPPED = "skipped"
    ERROR = "error"


@dataclass(frozen=True)
class Cell:
    """One picture of a sheet."""

    picture: str
    """Its name."""
    row: Row | None
    """None until its attack has ended."""

    @property
    def state(self) -> State:
        """What has become of it."""
        if self.row is None:
            return State.WAITING
        if self.row["status"] != "done":
            return State(self.row["status"])
        return State.REACHED if self.row["success"] else State.MISSED


class Sheet:
    """All pictures of a sweep, in its order, as far as it has come."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self.folder = sweep.folder
        self.cells = [cell for shard in range(sweep.shards) for cell in self._shard(shard)]

    def _shard(self, shard: int) -> list[Cell]:
        numbers = self._sweep.numbers(shard)
        path = self._sweep.path(shard)
        rows = _rows(path, path.stat().st_mtime_ns) if path.exists() else [None] * len(numbers)
        return [Cell(self._sweep.picture(n)[0], row) for n, row in zip(numbers, rows, strict=True)]

    @property
    def spec(self) -> ModelSpec:
        """The model that is attacked."""
        return self._sweep.specs[self._sweep.plan.models[0]]

    def kept(self, cell: Cell) -> Path | None:
        """The file of the attacked picture as the network sees it; None if there is none."""
        path = self.folder / "kept" / f"{cell.row['key']}.png" if cell.row else None
        return path if path and path.exists() else None

    def as_csv(self) -> str:
        """A line for each attack that has ended."""
        rows = [[cell.row[name] for name in HEAD] for cell in self.cells if cell.row]
        return Table("", HEAD, rows).as_csv()

    def bundle(self) -> bytes:
        """A ZIP file of the table and of the pictures that read as wanted when they are opened as a photo is.

        Such a file is the photo around what the network sees of it, as the lab saves it. Photos that are gone are left
        out.
        """
        file = io.BytesIO()
        with ZipFile(file, "w", ZIP_STORED) as bundle:
            bundle.writestr("attacks.csv", self.as_csv())
            for number, cell in enumerate(self.cells, 1):
                if (data := self._png(cell)) is not None:
                    name = re.sub(r"[^\w.-]+", "-", Path(cell.picture).stem)
                    bundle.writestr(f"{number:03}-{name}-attacked.png", data)
        return file.getvalue()

    def _png(self, cell: Cell) -> bytes | None:
        path = self.kept(cell)
        if path is None or not (cell.row and cell.row["file_reads"]):
            return None
        try:
            photo = benchmark.photo(self.folder, cell.row).image
        except SweepError:
            return None
        with Image.open(path) as kept:
            return as_png(self.spec.preprocessing.around(np.asarray(kept), photo))


@lru_cache(maxsize=4096)
def _rows(path: Path, written: int) -> list[Row]:
    """Those of a finished shard, read once for each time when it was ``written``."""
    return list(pq.read_table(path).to_pylist())
