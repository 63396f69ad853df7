"""What the page Benchmark says of rows: against hand-made ones, and of those that ship."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lab.benchmark import HEAD, SHIPPED, Board, Field, changed, photo, request, shipped
from lab.photos.samples import samples
from lab.request import Settings
from lab.sweep.plan import SweepError, told
from lab.sweep.store import SCHEMA, Sweep
from models.registry import ASSETS, MODELS

MODEL, RULE = "gtsrb-onehot", "Random class"
NEAR, FAR = (json.dumps(told(Settings.of(name))) for name in ("ddn", "cw"))


def row(settings: str, case: str, l2: float | None, hits: tuple[tuple[int, float], ...] = (), **more: Any) -> Any:
    """A unit; ``l2``: None if it has failed."""
    of_hits = {
        "hits_forward": [passes // 2 for passes, _ in hits],
        "hits_backward": [passes - passes // 2 for passes, _ in hits],
        "hits_l2": [length for _, length in hits],
    }
    return dict.fromkeys(SCHEMA.names) | of_hits | {
        "key": case + settings, "case": case, "settings": settings, "model": MODEL, "rule": RULE,
        "picture": f"{case}.png", "wanted": "stop", "target": "14", "status": "done",
        "success": l2 is not None, "l2": l2 or 9.0, "seed": 0,
        "read": "yield", "reason": "iteration cap", "forward": 10, "backward": 20, "seconds": 0.5, "png_reads": True,
    } | more  # fmt: skip


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """Three cases of two attacks, and a fourth that one of them was not tried on."""
    rows = [
        row(NEAR, "a", 1.0, ((4, 2.0), (8, 1.0))), row(NEAR, "b", 2.0, ((8, 2.0),)),
        row(NEAR, "c", 4.0, ((8, 4.0),), picture="b.png", seed=1),
        row(FAR, "a", 2.0, ((6, 2.0),)), row(FAR, "b", 1.0, ((20, 1.0),), png_reads=False),
        row(FAR, "c", None, picture="b.png", seed=1),
        row(NEAR, "d", 1.0), row(FAR, "d", None, status="skipped", error="It reads so already."),
    ]  # fmt: skip
    (tmp_path / "shards").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), tmp_path / "shards" / "000000.parquet")
    return Board(tmp_path)


def test_only_cases_that_all_were_tried_on_count(board: Board) -> None:
    named = board.attacks(MODEL, RULE)
    assert named == {FAR: "C&W", NEAR: "DDN"}
    field = Field.of(board, MODEL, RULE, named)
    assert [*field.cases.values()] == ["a.png → stop", "b.png → stop, seed 0", "b.png → stop, seed 1"]
    assert field.distances.tolist() == [[2, 1, np.inf], [1, 2, 4]]
    alone = Field.of(board, MODEL, RULE, {NEAR: "DDN"})
    assert alone.distances.tolist() == [[1, 2, 4, 1]]
    assert board.tried(MODEL, RULE) == {FAR: 3, NEAR: 4}


def test_the_standings_are_those_that_one_counts_by_hand(board: Board) -> None:
    field = Field.of(board, MODEL, RULE, board.attacks(MODEL, RULE))
    table = field.standings(NEAR)
    far, near = (dict(zip(HEAD, line, strict=True)) for line in table.rows)
    assert (far["attack"], far["reached"], far["median L2"]) == ("C&W", pytest.approx(2 / 3), 2)
    assert (far["at least"], far["at most"]) == pytest.approx((0.2077, 0.9385), abs=5e-5)  # Wilson, 2 of 3, by hand
    assert (far["wins"], far["ties"], far["losses"]) == (1, 0, 2)
    assert far["ratio"] == pytest.approx(1.0)  # twice as far, and half as far
    assert (far["median passes"], far["PNG reads"], far["seconds"]) == (30, 0.5, 0.5)
    # Up to the farthest of the best, 4: C&W leaves 2 and 3 of the area, DDN 3 and 2, and the best of both 3 and 3.
    assert (far["optimality"], near["optimality"]) == pytest.approx((5 / 6, 5 / 6))
    assert [near[each] for each in ("ratio", "low", "high", "wins", "ties", "losses")] == [1, 1, 1, 0, 3, 0]


def test_the_curves_are_those_that_one_draws_by_hand(board: Board) -> None:
    field = Field.of(board, MODEL, RULE, board.attacks(MODEL, RULE))
    missed = field.missed
    assert missed["C&W"].ravel().tolist() == pytest.approx([1, 2 / 3, 2, 1 / 3])
    assert missed["DDN"].ravel().tolist() == pytest.approx([1, 2 / 3, 2, 1 / 3, 4, 0])
    budgets = {name: dict(points.tolist()) for name, points in field.budgets.items()}
    assert {each for each in budgets["C&W"] if each < 20} == set(), "two of three are reached after 20 passes"
    assert budgets["C&W"][20] == 2
    assert min(budgets["DDN"]) == 8
    assert budgets["DDN"][8] == 2


def test_failures_are_listed_with_what_was_read_instead(board: Board) -> None:
    table = board.failures(MODEL, RULE, board.attacks(MODEL, RULE))
    assert table.rows == [["C&W", "b.png", 1, "stop", "yield", "iteration cap"]]
    assert board.failures(MODEL, RULE, {NEAR: "DDN"}).rows == []


def test_attacks_that_nobody_knows_any_more_keep_the_names_of_their_rows(tmp_path: Path) -> None:
    old = json.dumps({"attack": "forgotten", "steps": 3})
    (tmp_path / "shards").mkdir()
    pq.write_table(pa.Table.from_pylist([row(old, "a", 1.0)], SCHEMA), tmp_path / "shards" / "0.parquet")
    board = Board(tmp_path)
    assert board.attacks(MODEL, RULE) == {old: "forgotten"}
    with pytest.raises(ValueError, match="no attack forgotten"):
        request(board.unit("a", old), MODELS[MODEL])


def test_a_folder_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="no rows of a sweep"):
        Board(tmp_path)
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "0.parquet").write_text("no")
    with pytest.raises(SweepError, match="no rows of a sweep"):
        Board(tmp_path)


def test_the_lab_is_asked_for_what_the_unit_was() -> None:
    settings = Settings.of("apgd", kappa=0.5)
    told_there = row(json.dumps(told(settings)), "a", 1.0, target="[1, 0, -1]", seed=7, picture_sha256="0" * 64)
    asked = request(told_there, MODELS["scenes"])
    assert (asked.model, asked.photo, asked.target) == ("scenes", "0" * 64, (1, 0, -1))
    assert asked.settings == Settings.of("apgd", kappa=0.5, seed=7)
    odd = row(json.dumps(told(settings) | {"kappa": 0.3}), "a", 1.0)
    with pytest.raises(ValueError, match=r"no margin of 0\.3"):
        request(odd, MODELS["scenes"])


def test_a_picture_is_found_where_the_sweep_has_found_it_unless_it_has_changed(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    stop = next(path for path in (ASSETS / "samples" / "gtsrb").iterdir() if path.name == "stop.png")
    (pictures / "mine.png").write_bytes(stop.read_bytes())
    plan = {"models": [MODEL], "targets": [{"rule": RULE}], "attacks": [{"attack": "ddn"}]}
    plan["pictures"] = {"folder": "pictures"}
    sweep = Sweep.begin(plan, tmp_path, tmp_path / "sweep")
    unit = sweep.row(sweep.blocks[0], 0)
    assert photo(sweep.folder, unit).digest in samples("gtsrb")
    assert not changed(unit, MODELS[MODEL])
    assert changed(unit, MODELS["gtsrb-ecoc32"])
    (pictures / "mine.png").write_bytes((stop.parent / "no_entry.png").read_bytes())
    with pytest.raises(SweepError, match=r"mine\.png has changed"):
        photo(sweep.folder, unit)
    (pictures / "mine.png").unlink()
    with pytest.raises(SweepError, match=r"mine\.png cannot be read"):
        photo(sweep.folder, unit)


@pytest.mark.parametrize("folder", [each for each in shipped().values() if each.parent == SHIPPED])
def test_all_that_ships_of_the_samples_can_be_opened_in_the_lab(folder: Path) -> None:
    board = Board(folder)
    assert board.groups()
    some = """SELECT any_value("case"), settings, model FROM seen WHERE tried GROUP BY picture, settings, model"""
    for case, settings, model in board.ask(some):
        unit, spec = board.unit(case, settings), MODELS[model]
        assert request(unit, spec).photo in samples(spec.samples)
        assert not changed(unit, spec)
    assert board.ask("SELECT count(*) FROM seen WHERE status = 'error'") == [(0,)]
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 300_000
