"""What a sweep depends on, what changes it, and what its files hold."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lab.sweep import store
from lab.sweep.plan import SweepError
from lab.sweep.store import COLUMNS, ROOT, SCHEMA, Sweep

Begin = Callable[..., Sweep]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seeds": 2}, "its pictures, targets or seeds differ"),
        ({"shard": 5}, "its shard, batch, keep, device or threads differ"),
        ({"pictures": {"folder": "photos", "take": 3}}, "its pictures, targets or seeds differ"),
    ],
)
def test_a_changed_plan_is_refused_in_the_same_folder(begin: Begin, change: dict[str, Any], said: str) -> None:
    begin()
    with pytest.raises(SweepError, match=f"was begun otherwise: {said}. Start this plan in another folder"):
        begin(**change)
    begin()


def test_changed_attacks_pictures_models_code_and_versions_are_refused(
    begin: Begin, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(base=place)
    with pytest.raises(SweepError, match="otherwise: its attacks differ"):
        begin({"attack": "ddn"}, base=place)
    (place / "photos" / "new.png").write_bytes(b"")
    (place / "toy.toml").write_text((place / "toy.toml").read_text().replace('"a"', '"A"'))
    monkeypatch.setattr(store, "code", lambda: "later")
    monkeypatch.setattr(store, "versions", lambda: "later")
    with pytest.raises(SweepError) as refused:
        begin(base=place)
    for why in (
        "its models, or their weights, differ",
        "pictures were added",
        "the code has changed",
        "another version",
    ):
        assert why in str(refused.value)


def test_other_files_and_folders_without_pictures_are_refused(begin: Begin, tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "thesis.tex").touch()
    with pytest.raises(SweepError, match="holds other files"):
        begin()
    with pytest.raises(SweepError, match="There are no such pictures in"):
        begin(out="new", pictures={"folder": str(tmp_path / "sweep")})
    with pytest.raises(SweepError, match="is not there"):
        begin(out="new", pictures={"folder": "none"})
    with pytest.raises(SweepError, match="There is no sweep in"):
        Sweep(tmp_path / "none")


def test_a_sweep_whose_beginning_was_killed_is_begun_again(begin: Begin) -> None:
    folder = begin().folder
    (folder / "sweep.json").unlink()
    assert begin().missing() == [0, 1, 2]


def test_what_a_killed_process_has_left_goes_when_it_is_old(begin: Begin) -> None:
    shards = begin().folder / "shards"
    shards.mkdir()
    for name, age in ((".000001.parquet.there-1", 3600), (".000001.parquet.there-2", 1)):
        (shards / name).touch()
        os.utime(shards / name, (time.time() - age,) * 2)
    begin()
    assert [path.name for path in shards.iterdir()] == [".000001.parquet.there-2"]


def test_weights_that_change_are_another_model(begin: Begin, place: Path) -> None:
    begin(base=place)
    (place / "toy.safetensors").write_bytes(b"other")
    with pytest.raises(SweepError, match="its models, or their weights, differ"):
        begin(base=place)


def test_shards_hold_each_unit_of_a_block_once(begin: Begin) -> None:
    sweep = begin({"attack": "fgsm"}, {"attack": "ddn"}, shard=5)
    assert (sweep.shards, sweep.units) == (6, 24)
    every = [(sweep.block(shard), number) for shard in range(sweep.shards) for number in sweep.numbers(shard)]
    assert len({(repr(block), number) for block, number in every}) == 24
    assert len({sweep.row(block, number)["key"] for block, number in every}) == 24


def test_the_key_depends_on_the_code(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [sweep.row(sweep.block(0), 0)["key"] for sweep in (begin(), begin(out="again"))]
    monkeypatch.setattr(store, "code", lambda: "later")
    other = begin(out="later")
    assert keys[0] == keys[1] != other.row(other.block(0), 0)["key"]


def test_a_file_tells_what_its_columns_mean(begin: Begin) -> None:
    sweep = begin()
    sweep.lose(0, "lost")
    read = pq.read_schema(sweep.path(0))
    assert read.equals(SCHEMA)
    assert read.field("l2").metadata[b"unit"] == b"values from 0 to 1"


def test_the_docs_list_every_column() -> None:
    told = re.findall(
        r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", (ROOT / "docs" / "SWEEPS.md").read_text("utf-8"), re.M
    )
    assert told == [(each.name, str(each.kind), each.unit, each.meaning) for each in COLUMNS]


def test_models_of_one_name_are_refused(begin: Begin, place: Path) -> None:
    (place / "other").mkdir()
    for suffix in (".toml", ".safetensors"):
        (place / "other" / f"toy{suffix}").write_bytes((place / f"toy{suffix}").read_bytes())
    with pytest.raises(SweepError, match="a name of its own"):
        begin(base=place, models=["toy.toml", "other/toy.toml"])


def test_a_packed_sweep_has_all_rows_in_one_file_and_names_no_computer(
    begin: Begin, toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = begin({"attack": "fgsm"}, {"attack": "ddn"})
    for shard in (0, 2):
        sweep.lose(shard, "for a test")
    sweep.pack(tmp_path / "packed")
    monkeypatch.chdir(toys)  # where its relative paths start from now
    packed = Sweep(tmp_path / "packed")
    assert [path.name for path in (packed.folder / "shards").iterdir()] == ["packed.parquet"]
    assert rows(packed) == [row | {"host": None} for row in rows(sweep)]
    assert packed.missing() == [], "it would be gone on with, and its rows would be there twice"
    assert str(toys) in (sweep.folder / "sweep.json").read_text()
    assert str(toys) not in (packed.folder / "sweep.json").read_text()


def rows(sweep: Sweep) -> list[dict[str, Any]]:
    paths = sorted((sweep.folder / "shards").iterdir())
    return [row for path in paths for row in pq.read_table(path).to_pylist()]
