"""The engine's tasks unfold into plans; what comes of them is compared, told and handed on by the protocol."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.engine import DOCUMENT, SHIPPED, document, goal, ship, shown, summary, table, tune, wanted
from bench.linear import NETWORKS
from bench.protocol import GRADIENTS, ONCE, RIVALS, TASKS, TUNED_AT, candidates, forms, plan, rivals, tuned, tuning
from bench.standings import Standing, standings
from jma_core import find
from jma_core.attacks.registry import Norm, catalogue
from lab.sweep.plan import Block, Plan, spec_of
from lab.sweep.report import Results
from lab.sweep.store import SCHEMA, Sweep


def blocks(name: str, table: dict[str, Any]) -> list[Block]:
    every, left_out = Plan.of(table, Path()).blocks({TASKS[name].model: spec_of(TASKS[name].model)})
    assert not left_out
    return every


@pytest.mark.parametrize("name", TASKS)
def test_every_row_is_a_block_of_its_own_on_test_pictures(name: str) -> None:
    said = plan(name, tuned())
    assert said["pictures"]["part"] == "test"
    told = [{"attack": block.settings.attack} | dict(block.settings.own) for block in blocks(name, said)]
    every = forms(name, tuned())
    for form in every:
        for gradients in GRADIENTS:
            (own,) = (each for each in told if form.at(gradients).items() <= each.items())
            most = catalogue()[form.attack].iterations({k: v for k, v in own.items() if k != "attack"})
            assert form.once or gradients - 20 < most <= gradients
    assert len(told) == sum(1 if form.once else len(GRADIENTS) for form in every)


@pytest.mark.parametrize("name", TASKS)
def test_the_quick_plan_ends_soon_and_tuning_has_other_pictures(name: str) -> None:
    quick, on_tuning = plan(name, tuned(), quick=True), tuning(name)
    assert quick["pictures"]["take"] <= 2
    assert all(block.settings.max_seconds <= 3 for block in blocks(name, quick) if block.settings.attack in ONCE)
    assert on_tuning["pictures"]["part"] == "tuning"
    assert len(blocks(name, on_tuning)) == len(candidates(name))
    assert "refined" not in {form.attack for form in candidates(name)}


def test_all_that_look_for_the_nearest_image_are_rivals() -> None:
    nearest = {name for name, entry in catalogue().items() if entry.group == "Minimum norm" and entry.norm == Norm.L2}
    assert {rival.attack for rival in RIVALS} >= nearest | {"apgd_min", "quadattack", "cw_k", "ecoc", "lbfgs", "lazy"}


def test_what_was_chosen_had_been_tried() -> None:
    for name, chosen in tuned().items():
        tried = {rival.attack: rival.tried for rival in rivals(name)}
        for attack, own in chosen.items():
            assert all(value in tried[attack][setting] for setting, value in own.items())
            assert own.keys() == tried[attack].keys()


LONGER: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "quadattack": ({"searches": 1, "steps": 6}, {"searches": 2, "steps": 6}),
    "lbfgs": ({"searches": 1, "steps": 6}, {"searches": 3, "steps": 6}),
    "lazy": ({"max_iter": 2}, {"max_iter": 9}),
}


@pytest.mark.parametrize("attack", sorted({rival.attack for rival in RIVALS if "one-hot" in rival.encodings} | ONCE))
def test_what_is_run_once_does_not_depend_on_its_budget_and_the_rest_does(attack: str) -> None:
    network, entry = NETWORKS["one-hot"](0), catalogue()[attack]
    budgets = LONGER.get(attack, (entry.within(12), entry.within(40)))
    short, long = (network.attacked(find(attack), **each).steps for each in budgets)
    pairs = [*zip(short, long, strict=False)][:-1]  # the last one may be the halving of a way that is cut short
    same = all(np.array_equal(a.image, b.image) for a, b in pairs if a.phase == b.phase == "walk")
    assert same == (attack in ONCE)


def test_rows_are_asked_for_by_attack_and_gradients() -> None:
    every = blocks("gtsrb", plan("gtsrb", tuned()))
    asked = [block for block in every if wanted(block, ["ddn", "fab"], [300])]
    assert {block.settings.attack for block in asked} == {"ddn", "fab"}
    assert {dict(block.settings.own)["steps"] for block in asked if block.settings.attack == "ddn"} == {300}
    assert sum(wanted(block, [], GRADIENTS) for block in every) == len(every)


PICTURES = 8
Given = dict[tuple[str, int], list[float]]


def stored(folder: Path, given: Given, *, name: str = "gtsrb", table: dict[str, Any] | None = None) -> Results:
    """A task's sweep with these distances of forms (as ``title settings``) with so many gradients."""
    said = (table or plan(name, {})) | {"shard": 1, "pictures": {"samples": "gtsrb"}}
    sweep = Sweep.begin(said, folder, folder / name)
    every = {f"{form.title} {form.told}".strip(): form for form in [*forms(name, {}), *candidates(name)]}
    per_block = sweep.shards // len(sweep.blocks)
    for (title, gradients), distances in given.items():
        asked = every[title].at(gradients).items()
        settings = [{"attack": block.settings.attack} | dict(block.settings.own) for block in sweep.blocks]
        (place,) = (place for place, own in enumerate(settings) if asked <= own.items())
        for number, l2 in enumerate(distances):
            hit = math.isfinite(l2)
            row = sweep.row(sweep.blocks[place], number) | {"status": "done", "target": "0", "success": hit}
            row |= {"forward": gradients, "backward": gradients, "l2": l2 if hit else 9.0, "seconds": 1.0}
            row |= {"hits_forward": [], "hits_backward": [], "hits_l2": []}
            if title == "FAB":  # a hit before 100 gradients, a nearer one at 200
                row |= {"backward": 700, "hits_forward": [90, 300], "hits_backward": [40, 200], "hits_l2": [2 * l2, l2]}
            sweep.write(place * per_block + number, [{column: row[column] for column in SCHEMA.names}])
    return Results(sweep.folder)


SPREAD = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]
DDN, FMN = "DDN logistic, 0.05", "FMN worst, 1"


def at(found: list[Standing], gradients: int) -> Standing:
    (one,) = (each for each in found if each.gradients == gradients)
    return one


def test_who_is_nearer_is_told_by_pairs_with_an_interval(tmp_path: Path) -> None:
    wavering = [d * (1.05 if number % 2 else 0.95) for number, d in enumerate(SPREAD)]
    given = {("refined", 300): SPREAD, (DDN, 300): [2 * d for d in SPREAD], (FMN, 300): wavering}
    (found,) = standings("gtsrb", stored(tmp_path, given))
    ddn, fmn = found.rivals
    assert (ddn.pair.ratio, ddn.pair.low, ddn.pair.high) == pytest.approx((0.5, 0.5, 0.5))
    assert (ddn.pair.wins, ddn.pair.ties, ddn.pair.losses, ddn.verdict) == (8, 0, 0, "nearer")
    assert fmn.pair.low < 1 < fmn.pair.high
    assert fmn.pair.ratio == pytest.approx((1.05 * 0.95) ** -0.5)
    assert fmn.verdict == "a tie"
    assert found.best is fmn
    assert not found.holds
    # The best of all is the less of ``refined`` and FMN; its curve ends at 0.95 times the last but one, or at the last.
    best = [min(a, b) for a, b in zip(SPREAD, wavering, strict=True)]
    area = sum(max(best) - d for d in best)
    assert found.ours.optimality == pytest.approx(sum(max(0, max(best) - d) for d in SPREAD) / area)
    assert "gtsrb: the goal does not hold. 300: a tie against FMN worst, 1, 1.001 [" in goal("gtsrb", [found])
    assert "not run: 50, 100, 600." in goal("gtsrb", [found])


def test_the_goal_holds_where_all_of_it_does(tmp_path: Path) -> None:
    farther = [1.1 * d for d in SPREAD]
    every: Given = {("refined", n): SPREAD for n in GRADIENTS} | {(DDN, n): farther for n in GRADIENTS}
    found = standings("gtsrb", stored(tmp_path, every))
    assert all(each.holds for each in found)
    assert goal("gtsrb", found[:3]).startswith("gtsrb: the goal holds so far. 50: nearer")
    assert goal("gtsrb", found).startswith("gtsrb: the goal holds. 50: nearer than DDN logistic, 0.05, 0.909")


def test_a_failure_where_a_rival_has_none_is_told_and_the_goal_does_not_hold(tmp_path: Path) -> None:
    missed = [*SPREAD[:-1], math.inf]
    (found,) = standings("gtsrb", stored(tmp_path, {("refined", 100): missed, (DDN, 100): [1.1 * d for d in SPREAD]}))
    assert found.rivals[0].failed == (1, 0)
    assert not found.holds
    assert "fails on 1 where DDN fails on 0" in goal("gtsrb", [found])
    shown_ours = table(found).as_markdown().splitlines()[2]
    assert shown_ours.startswith("| refined |  | 8 | 0.88 [0.53, 0.98] |")  # Wilson's interval of 7 of 8


def test_what_is_run_once_is_read_at_each_number_of_gradients(tmp_path: Path) -> None:
    given = {("refined", n): SPREAD for n in (50, 100, 300)} | {("FAB", 50): SPREAD}
    found = standings("gtsrb", stored(tmp_path, given))
    assert [each.rivals[0].pair.ratio for each in found] == pytest.approx([0.5, 0.5, 1.0])
    assert at(found, 300).rivals[0].verdict == "a tie"
    # 90 forward passes and 40 gradients are more than 100 passes, and 300 and 200 are less than 600
    assert [np.isinf([*each.rivals[0].frugal.values()]).all() for each in found] == [True, False, False]
    assert sorted(at(found, 300).rivals[0].frugal.values()) == pytest.approx(sorted(SPREAD), rel=1e-6)


def test_of_few_pictures_nothing_is_said(tmp_path: Path) -> None:
    few = SPREAD[:5]
    (found,) = standings("gtsrb", stored(tmp_path, {("refined", 50): few, (DDN, 50): [2 * d for d in few]}))
    assert found.rivals[0].verdict == "too few"
    assert not found.holds


def test_a_rival_that_attacked_fewer_pictures_is_compared_on_those(tmp_path: Path) -> None:
    given = {("refined", 50): SPREAD, (DDN, 50): [2 * d for d in SPREAD], (FMN, 50): [0.1, 0.1]}
    (found,) = standings("gtsrb", stored(tmp_path, given))
    ddn, fmn = found.rivals
    assert (ddn.pairs, fmn.pairs) == (8, 2)
    assert found.best is ddn  # a rival on fewer than half of the pictures is not the best


def test_tuning_chooses_what_is_nearest(tmp_path: Path) -> None:
    given = {(f"DDN worst, {gamma}", TUNED_AT): [(1 + gamma) * d for d in SPREAD[:5]] for gamma in (0.02, 0.05, 0.1)}
    given |= {("FMN worst, 0.3", TUNED_AT): [*SPREAD[:4], math.inf], ("FMN logistic, 0.3", TUNED_AT): SPREAD[:5]}
    chosen, figures = tune("gtsrb", stored(tmp_path, given, table=tuning("gtsrb")))
    assert chosen == {
        "ddn": {"surrogate": "worst", "gamma": 0.02},
        "fmn": {"surrogate": "logistic", "rate": 0.3},
    }
    assert len(figures.rows) == len(given)


def test_what_ships_tells_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {("refined", n): SPREAD for n in GRADIENTS} | {(DDN, n): [1.1 * d for d in SPREAD] for n in GRADIENTS}
    before = stored(tmp_path, given | {("FAB", 50): SPREAD})
    monkeypatch.setattr("bench.engine.SHIPPED", tmp_path / "shipped")
    ship("gtsrb", tmp_path / "gtsrb")
    after = Results(tmp_path / "shipped" / "gtsrb")
    told = ["\n".join(shown("gtsrb", standings("gtsrb", each))) for each in (before, after)]
    assert told[0] == told[1]
    assert after.ask("SELECT DISTINCT attack FROM seen WHERE hits_l2 IS NOT NULL") == [("fab",)]
    assert summary({"gtsrb": standings("gtsrb", after)}).rows[0][:2] == ["gtsrb", 50]


def test_the_document_holds_what_ships() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert document(text) == text
    assert {folder.name for folder in SHIPPED.iterdir()} <= set(TASKS)
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*") if file.is_file()) < 2 * 2**20
    for folder in SHIPPED.iterdir():
        assert json.loads((folder / "sweep.json").read_text())["plan"]["pictures"]["part"] == "test"
        assert Results(folder).ask("SELECT DISTINCT part FROM seen") == [("test",)]
