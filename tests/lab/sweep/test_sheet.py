"""A contact sheet of a toy network's sweep, as it fills, and as files."""

from __future__ import annotations

import csv
import io
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from lab.photos.uploads import read_photo
from lab.sheet import HEAD, Sheet, State
from lab.sweep.runner import Here, run
from lab.sweep.store import Sweep
from models.loaders import load, predictions
from tests.lab.sweep.conftest import PHOTOS, rows


@pytest.fixture
def filling(begin: Callable[..., Sweep], place: Path) -> tuple[Sweep, Iterator[int]]:
    """A sweep that keeps all its pictures, one of which is none, and its shards as they are finished."""
    (place / "photos" / "00003.png").write_bytes(b"no picture")
    sweep = begin({"attack": "ddn", "steps": 20}, base=place, keep=PHOTOS, shard=4)
    return sweep, run(sweep, Here())


def test_a_sheet_fills_as_attacks_end_in_the_order_of_the_pictures(filling: tuple[Sweep, Iterator[int]]) -> None:
    sweep, shards = filling
    names = [sweep.picture(number)[0] for number in range(PHOTOS)]
    assert [cell.state for cell in Sheet(sweep).cells] == [State.WAITING] * PHOTOS
    next(shards)
    first = Sheet(sweep)
    assert [cell.picture for cell in first.cells] == names
    assert [cell.row is None for cell in first.cells] == [False] * 4 + [True] * (PHOTOS - 4)
    list(shards)
    full = Sheet(sweep)
    assert [cell.row["picture"] for cell in full.cells if cell.row] == names
    states = Counter(cell.state for cell in full.cells)
    assert states[State.ERROR] == 1
    assert states[State.REACHED] == sum(bool(row["success"]) for row in rows(sweep)) > 0
    assert all((full.kept(cell) is not None) == (cell.state in (State.REACHED, State.MISSED)) for cell in full.cells)


def test_the_bundle_holds_the_table_and_photos_that_read_as_wanted_when_they_are_opened(
    filling: tuple[Sweep, Iterator[int]], place: Path
) -> None:
    sweep, shards = filling
    list(shards)
    sheet, model = Sheet(sweep), load(sweep.specs[sweep.plan.models[0]])
    asked = {cell.picture: cell.row for cell in sheet.cells if cell.row and cell.row["file_reads"]}
    with ZipFile(io.BytesIO(sheet.bundle())) as bundle:
        table, *pictures = bundle.namelist()
        told = list(csv.DictReader(io.StringIO(bundle.read(table).decode())))
        assert tuple(told[0]) == HEAD
        assert [each["picture"] for each in told] == [cell.picture for cell in sheet.cells]
        assert {each["picture"] for each in told if each["file_reads"] == "True"} == asked.keys()
        assert len(pictures) == len(asked) > 0
        for name, row in zip(pictures, asked.values(), strict=True):
            assert name.endswith(f"{Path(row['picture']).stem}-attacked.png")
            opened = read_photo(bundle.read(name), name).image
            (seen,) = predictions(model, [model.spec.preprocessing(opened)])
            assert int(seen.decoded) == int(row["target"])
    (place / "photos" / next(iter(asked))).unlink()
    with ZipFile(io.BytesIO(sheet.bundle())) as bundle:
        assert len(bundle.namelist()) == len(asked), "a photo that is gone is left out"


def test_a_saved_photo_has_around_it_what_the_network_cuts_off(begin: Callable[..., Sweep], place: Path) -> None:
    for path in (place / "photos").iterdir():
        Image.open(path).resize((40, 30)).save(path)
    sweep = begin({"attack": "ddn", "steps": 20}, base=place, keep=PHOTOS)
    list(run(sweep, Here()))
    sheet = Sheet(sweep)
    with ZipFile(io.BytesIO(sheet.bundle())) as bundle:
        for name in bundle.namelist()[1:]:
            cell = sheet.cells[int(name[:3]) - 1]
            kept, made = sheet.kept(cell), Image.open(io.BytesIO(bundle.read(name)))
            assert kept is not None
            assert made.size[0] > made.size[1]
            np.testing.assert_array_equal(sheet.spec.preprocessing(made), np.asarray(Image.open(kept)))


def test_a_sheet_that_is_made_anew_in_the_same_folder_is_read_anew(begin: Callable[..., Sweep]) -> None:
    sweep = begin(keep=PHOTOS)
    list(run(sweep, Here()))
    assert all(cell.row for cell in Sheet(sweep).cells)
    shutil.rmtree(sweep.folder / "shards")
    for shard in sweep.missing():
        sweep.lose(shard, "lost")
    assert {cell.state for cell in Sheet(sweep).cells} == {State.ERROR}
