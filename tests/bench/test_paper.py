"""The paper's tables unfold into plans, say what the paper says, and are told from a stored result."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.paper import DOCUMENT, SHIPPED, Row, Table, beside, document, most, tables, told
from lab.request import Settings
from lab.sweep.plan import Plan, spec_of
from lab.sweep.report import Results
from lab.sweep.store import SCHEMA, Sweep

TABLES = tables()
RUN = [table for table in TABLES.values() if table.model]


def test_there_are_fourteen_and_what_is_not_run_says_why() -> None:
    assert list(TABLES) == ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV"]
    assert {table.number for table in TABLES.values() if table.why} == {"X", "XI", "XII", "XIII"}
    for table in TABLES.values():
        assert bool(table.model) != bool(table.why)
        assert all(len(row.figures) == len(table.columns) for part in table.parts for row in part.rows)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("table", RUN, ids=lambda table: table.number)
def test_every_row_is_a_block_of_the_plan(table: Table, quick: bool) -> None:
    plan = Plan.of(table.plan(quick=quick), Path())
    blocks, left_out = plan.blocks({table.model: spec_of(table.model)})
    rows = {row for part in table.parts for row in part.rows} | {*beside(table)}
    assert not left_out
    assert len(table.rules) == len(table.parts)
    assert len(blocks) == len(table.rules) * len({(row.attack, row.parameters) for row in rows})
    assert all(block.settings.max_seconds <= 3 for block in blocks) or not quick


def test_a_table_that_is_not_run_has_no_plan() -> None:
    with pytest.raises(ValueError, match="MS-COCO"):
        TABLES["XII"].plan()


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
    def taken(number: str, row: Row) -> int:
        return most(Settings.of(**TABLES[number].settings(row)))

    assert taken("I", Row("C&W", "1e-1, 10, 5000", (0.82,))) == 50_000
    assert taken("VI", Row("ML-C&W", "0.01, 1000", (1.0,))) == 10_000
    assert taken("VI", Row("JMA", "0.1, 200", (1.0,))) == 2_000
    assert taken("VI", Row("DDN", "300 gradients")) == 300


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Of Table II: the JMA of (0.1, 200) on four pictures, which misses one; DDN on three of them, half as far."""
    table = TABLES["II"]
    sweep = Sweep.begin(table.plan(), tmp_path, tmp_path / "II")
    given = {"status": "done", "target": "0", "mse": 2e-6, "n_it": 20, "seconds": 1.5}
    for settings, l2, units in (({"attack": "lazy", "step": 0.1}, 1.0, 4), ({"attack": "ddn"}, 0.5, 3)):
        (place,) = (
            place
            for place, block in enumerate(sweep.blocks)
            if settings.items() <= (dict(block.settings.own) | {"attack": block.settings.attack}).items()
        )
        first = place * sweep.shards // len(sweep.blocks)
        for number in range(units):
            row = sweep.row(sweep.block(first), number)
            row |= given | {"success": number > 0, "l2": l2, "reason": "success" if number else "time cap"}
            sweep.write(first + number, [{name: row[name] for name in SCHEMA.names}])
    return Results(sweep.folder)


def test_a_table_is_told_with_n_intervals_and_the_papers_figures(results: Results) -> None:
    shown = told(TABLES["II"], results)
    assert (
        "| JMA | 0.1, 200 | 4 | 0.75 [0.30, 0.95] (0.99) | 2.0e-6 (3.8e-6) | 20.0 (26.6) | 1.50 (445.61) | 1 |" in shown
    )
    assert "| JMA | 0.2, 200 | 0 | – (1.00) | – (6.2e-6) | – (19.2) | – (297.00) |  |" in shown
    assert "| DDN | 300 gradients | 3 | 0.67" in shown
    assert "| DDN | 300 gradients | 3 | 0 | 1 | 2 | 2.00 [2.00, 2.00] | 0.5 | too few |" in shown


def test_a_table_that_is_not_run_shows_the_papers_figures() -> None:
    shown = told(TABLES["XIII"], None)
    assert "**Not run here**: as for Table XII" in shown
    assert "| JMA | 0.05, 200 | 0 | – (0.99)" in shown


def test_the_document_holds_what_ships() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert document(text) == text
    assert {folder.name for folder in SHIPPED.iterdir()} == {table.number for table in RUN}
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*") if file.is_file()) < 2**20
