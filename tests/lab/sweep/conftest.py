"""A sweep of a toy network on pictures of noise."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from bench.sweep import planned, toy
from lab.sweep.store import Row, Sweep

PHOTOS = 12


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toys")
    toy(folder, PHOTOS)
    return folder


@pytest.fixture
def place(toys: Path, tmp_path: Path) -> Path:
    """The toys, to be changed."""
    return Path(shutil.copytree(toys, tmp_path / "toys"))


@pytest.fixture
def begin(toys: Path, tmp_path: Path) -> Callable[..., Sweep]:
    """Begin a sweep of attacks, ``fgsm`` if none are named, in shards of 4, or open it."""

    def begin(*attacks: dict[str, Any], out: str = "sweep", base: Path = toys, **more: Any) -> Sweep:
        table = planned(*(attacks or [{"attack": "fgsm"}]), **{"shard": 4, "batch": 3} | more)
        return Sweep.begin(table, base, tmp_path / out)

    return begin


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def rows(sweep: Sweep) -> list[Row]:
    """All rows, in the order of shards."""
    paths = sorted((sweep.folder / "shards").glob("*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def untimed(found: list[Row]) -> list[Row]:
    """The rows without their seconds, and without nan, which equals nothing."""
    return [{k: repr(v) for k, v in row.items() if k != "seconds"} for row in found]
