"""The paper's tables unfold into plans, say what the paper says, and are told from a stored result."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench.paper import (
    DOCUMENT,
    SHIPPED,
    Budget,
    Row,
    Table,
    compute,
    document,
    folder_of,
    most,
    settings,
    shipped,
    tables,
    told,
    wanted,
)
from lab.request import Settings
from lab.sweep import units
from lab.sweep.plan import Plan
from lab.sweep.report import Results
from lab.sweep.store import SCHEMA, Sweep
from models.registry import MODELS

TABLES = tables()
RUN = [(table, model) for table in TABLES.values() for model in table.models]
LATER = {
    "imagenet-lite1": "imagenet-onehot",
    "imagenet-lite2": "imagenet-onehot",
    "scenes-mlp": "scenes",
    "corel-words": "scenes",
    "clip-mlp": "scenes",
}
"""Models that the zoo may have one day, and one that has the same encoding."""


def test_there_are_fourteen_and_what_is_not_run_says_why() -> None:
    assert list(TABLES) == ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV"]
    for table in TABLES.values():
        for part in table.parts:
            assert part.models
            assert {*part.models} <= {*MODELS, *LATER}
            assert table.why or {*part.models} <= {*MODELS}
            assert all(len(row.figures) == len(table.columns) for row in part.rows)
            assert [row.attack for row in part.rows if row.parameters == table.reference].count("JMA") == 1 or (
                not table.reference
            )


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zoo with all of them."""
    for name, like in LATER.items():
        if name not in MODELS:
            monkeypatch.setitem(MODELS, name, replace(MODELS[like], name=name))


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.number)
def test_every_row_that_a_model_can_be_asked_for_is_a_block_of_its_plan(table: Table, quick: bool) -> None:
    assert {*table.models} == {model for part in table.parts for model in part.models}
    for model in table.models:
        blocks, left_out = Plan.of(table.plan(model, quick=quick), Path()).blocks({model: MODELS[model]})
        rows = len([block for block in blocks if wanted(block, table, model, Budget(passes=1e9))])
        every = len({(part.rule["rule"], row.attack, row.parameters) for part, row in table.rows(model)})
        assert (rows == every) == (not left_out)
        assert all(sentence.startswith(("MLA-LP", "SemA")) for sentence in left_out)
        assert all(block.settings.max_seconds <= 3 for block in blocks) or not quick


@pytest.mark.parametrize(
    ("number", "part", "attack", "parameters", "figures"),
    [
        ("I", 0, "JMA", "0.6, 200", (0.98, 4.3e-4, 16.2, 2.46)),
        ("I", 0, "C&W", "1e-1, 10, 5000", (0.82, 7.9e-5, 3577.5, 1884.59)),
        ("II", 0, "JMA", "1, 200", (1.0, 4.2e-5, 12.11, 160.06)),
        ("III", 0, "ECOC attack", "1e-4, 5, 100", (0.35, 4.5e-5, 71.22, 87.87)),
        ("III", 0, "C&W", "1e-1, 10, 2000", (0.31, 1.1e-4, 782.29, 1453.85)),
        ("IV", 0, "LOTS", "2000", (1.0, 2.6e-4, 38.85, 8.61)),
        ("V", 0, "MLA-LP", "3000", (0.0, "NA", "NA", "> 1 h")),
        ("VI", 0, "SemA-ML", "300", (0.12, 0.8742, 8.02e-5, 30.3, 6.55)),
        ("VIII", 0, "ML-C&W", "0.01, 2000", (0.4186, 0.9156, 3.6e-5, 451.78, 939.53)),
        ("IX", 0, "JMA", "0.5, 2000", (0.26, 0.6795, 1.1e-3, 1484.34, 1677.49)),
        ("X", 2, "LOTS", "2000", (0.97, 0.9818, 1.3e-2, 0.496, 19.59, 106.17)),
        ("XI", 1, "JMA", "0.05, 200", (0.65, 0.9073, 1.1e-4, 0.974, 154.64, 25.0)),
        ("XII", 1, "JMA", "0.05, 200", (0.46, 0.9177, 8.9e-6, 0.996, 149.17, 98.73)),
        ("XIV", 1, "SemA-ML", "300", (0.48, 0.9709, 5.8e-5, 0.975, 13.65, 4.2)),
    ],
)
def test_the_figures_are_those_of_the_paper(
    number: str, part: int, attack: str, parameters: str, figures: tuple[float | str, ...]
) -> None:
    assert Row(attack, parameters, figures) in TABLES[number].parts[part].rows


def test_what_an_attack_may_take_is_known_before() -> None:
    def taken(model: str, row: Row) -> int:
        return most(Settings.of(**settings(row, model)))

    assert taken("gtsrb-onehot", Row("C&W", "1e-1, 10, 5000", (0.82,))) == 50_000
    assert taken("scenes", Row("ML-C&W", "0.01, 1000", (1.0,))) == 10_000
    assert taken("scenes", Row("JMA", "0.1, 200", (1.0,))) == 2_000
    assert taken("scenes", Row("DDN", "300 gradients")) == 300


def test_rows_of_error_patterns_have_the_papers_figures_of_their_attack() -> None:
    for number in ("III", "IV", "V"):
        uniform, released = TABLES[number].parts
        assert {*released.rows} < {*uniform.rows}
        assert released.rule == {"rule": "Error pattern", "k": 5}


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Of Table II: the JMA of (0.1, 200) on four pictures, which misses one; DDN on three of them, half as far."""
    table = TABLES["II"]
    sweep = Sweep.begin(table.plan("imagenet-onehot"), tmp_path, tmp_path / "II")
    given = {"status": "done", "target": "0", "mse": 2e-6, "n_it": 20, "seconds": 1.5}
    for attack, l2, count in (({"attack": "lazy", "step": 0.1}, 1.0, 4), ({"attack": "ddn"}, 0.5, 3)):
        (place,) = (
            place
            for place, block in enumerate(sweep.blocks)
            if attack.items() <= (dict(block.settings.own) | {"attack": block.settings.attack}).items()
        )
        first = place * sweep.shards // len(sweep.blocks)
        for number in range(count):
            row = sweep.row(sweep.block(first), number)
            row |= given | {"success": number > 0, "l2": l2, "reason": "success" if number else "time cap"}
            sweep.write(first + number, [{name: row[name] for name in SCHEMA.names}])
    return Results(sweep.folder)


def test_a_table_is_told_with_n_intervals_and_the_papers_figures(results: Results) -> None:
    shown = told(TABLES["II"], {"imagenet-onehot": results})
    assert (
        "| JMA | 0.1, 200 | 4 | 0.75 [0.30, 0.95] (0.99) | 2.0e-6 (3.8e-6) | 20.0 (26.6) | 1.50 (445.61) | 1 |" in shown
    )
    assert "| JMA | 0.2, 200 | 0 | – (1.00) | – (6.2e-6) | – (19.2) | – (297.00) |  |" in shown
    assert "| DDN | 300 gradients | 3 | 0.67" in shown
    assert "| DDN | 300 gradients | 3 | 0 | 1 | 2 | 2.00 [2.00, 2.00] | 0.5 | too few |" in shown


def test_a_part_that_is_not_run_shows_the_papers_figures_and_why() -> None:
    shown = told(TABLES["XII"], {})
    assert "**(b) CLIP+MLP.** Here: **not run**: the zoo has no such network yet." in shown
    assert "| JMA | 0.05, 200 | 0 | – (1.00) | – (1.000) | – (7.7e-6)" in shown


@pytest.mark.parametrize(
    ("budget", "pictures"),
    [
        (Budget(seconds=2.5), {"lazy": 3, "refined": 3, "ddn": 3}),
        (Budget(seconds=2.5, only=("DDN",)), {"ddn": 3}),
        (Budget(seconds=0, least=2, passes=300), {"refined": 2, "ddn": 2}),
    ],
)
def test_each_row_takes_what_its_budget_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: Budget, pictures: dict[str, int]
) -> None:
    """Of attacks that take a second a picture, the first of which cannot be attacked."""

    class Worker:
        def __init__(self, folder: Path) -> None:
            self.sweep = Sweep(folder)

        def __call__(self, shard: int) -> None:
            block, (number,) = self.sweep.block(shard), self.sweep.numbers(shard)
            made.append((block.settings.attack, number))
            self.sweep.write(shard, [self.sweep.row(block, number) | {"seconds": 1.0 if number else None}])

    made: list[tuple[str, int]] = []
    monkeypatch.setattr(units, "Worker", Worker)
    table = TABLES["II"]
    sweep = Sweep.begin(table.plan("imagenet-onehot"), tmp_path, tmp_path / "II")
    compute(sweep, budget.seconds, lambda block: wanted(block, table, "imagenet-onehot", budget), budget.least)
    steps = {"lazy": 4}  # its rows
    assert Counter(name for name, number in made if number) == {k: n * steps.get(k, 1) for k, n in pictures.items()}
    before = len(made)
    compute(sweep, budget.seconds, lambda block: wanted(block, table, "imagenet-onehot", budget), budget.least)
    assert len(made) == before


def test_what_was_found_with_other_weights_does_not_ship(monkeypatch: pytest.MonkeyPatch) -> None:
    table = TABLES["I"]
    assert [*shipped(table)] == ["gtsrb-onehot"]
    monkeypatch.setitem(MODELS, "gtsrb-onehot", replace(MODELS["gtsrb-onehot"], sha256="0" * 64))
    assert not shipped(table)
    assert "Here: **not run yet**." in told(table, shipped(table))


def test_the_document_holds_what_ships() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert document(text) == text
    assert {folder.name for folder in SHIPPED.iterdir()} <= {folder_of(*each) for each in RUN}
    assert all(shipped(table) for table in TABLES.values())
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*") if file.is_file()) < 5e6
