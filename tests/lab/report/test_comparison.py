"""The report of a comparison is what the page says, and nothing in it can become more than text."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from lab.comparison import COLUMNS, Contender, angles, approach, called, margins, table, verdict
from lab.pictures import common_gain, perturbation_map, to_picture
from lab.report.charts import log_ticks
from lab.report.comparison import comparison_report
from lab.report.report import POLICY
from lab.request import Settings
from lab.runs.example import example_comparison
from models.cards import ModelSpec
from models.registry import DEFAULT, MODELS
from tests.lab.report.test_report import HOSTILE, KNOWN, Tree

AT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
SPEC = MODELS[DEFAULT]
LINK = "http://localhost:8501/compare?photo=bridge&attacks=ddn"


def page(contenders: list[Contender], spec: ModelSpec = SPEC, names: list[str] | None = None, **told: str) -> Tree:
    names = names or called([each.request.settings for each in contenders])
    photo, versions = told.get("photo", "a photo"), {"torch": told.get("version", "2.0")}
    return Tree(comparison_report(spec, names, contenders, photo, versions, told.get("link", LINK), AT))


@pytest.fixture(scope="module")
def shipped() -> list[Contender]:
    return list(example_comparison().values())


@pytest.fixture(scope="module")
def tree(shipped: list[Contender]) -> Tree:
    return page(shipped)


def test_it_says_who_came_nearest_and_of_what(tree: Tree, shipped: list[Contender]) -> None:
    names = called([each.request.settings for each in shipped])
    assert tree.said("h1") == tree.said("title") == ["Comparison: cat → flowers"]
    assert tree.said("li") == verdict(SPEC, names, shipped)
    assert f"{SPEC.title} (multi-label), 2026-01-02 03:04 UTC. Photo: a photo." in tree.said("p")
    cells = tree.said("th", "td")
    assert cells[cells.index("link") + 1] == LINK
    assert cells[cells.index("weights") + 1] == f"sha256 {SPEC.sha256}"
    assert any("searches 3, steps 100" in cell for cell in cells)


def test_its_pictures_are_the_attacked_ones_and_all_changes_at_one_gain(tree: Tree, shipped: list[Contender]) -> None:
    gain = common_gain((each.result.original, each.result.image) for each in shipped)
    original, *rest = tree.pictures()
    np.testing.assert_array_equal(original, to_picture(shipped[0].result.original))
    for each, attacked, change in zip(shipped, rest[::2], rest[1::2], strict=True):
        np.testing.assert_array_equal(attacked, to_picture(each.result.image))
        np.testing.assert_array_equal(change, perturbation_map(each.result.original, each.result.image, gain)[0])


def test_its_tables_are_those_of_the_page_and_the_best_are_marked(tree: Tree, shipped: list[Contender]) -> None:
    cells, count = tree.said("th", "td", "strong"), len(shipped)
    told = table(SPEC, shipped)
    for column, values in told.items():
        row = cells.index(column.title)
        shown = [each.removesuffix(" ★") for each in cells[row + 1 : row + 1 + count]]
        assert shown == [column.written(value) for value in values], column.title
    l2 = next(column for column in COLUMNS if column.title == "L2")
    assert f"{l2.written(min(float(each or 0) for each in told[l2]))} ★" in tree.said("strong")
    cat = SPEC.encoding.labels.index("cat")
    row = len(cells) - 1 - cells[::-1].index("cat")
    assert cells[row + 1 : row + 2 + count] == [f"{each:.2f}" for each in margins(SPEC, shipped)[:, cat]]
    last = [f"{each:.0f}" for each in angles(shipped)[-1]]
    assert last in [cells[i : i + count] for i in range(len(cells))]


def test_its_curves_are_stairs_through_the_nearest_hits(tree: Tree, shipped: list[Contender]) -> None:
    curves = [approach(each) for each in shipped]
    lines = [each for each in tree.attributes("polyline") if str(each["class"]).startswith("c")][: len(curves)]
    drawn = [np.array([pair.split(",") for pair in str(each["points"]).split()], float) for each in lines]
    assert [len(each) for each in drawn] == [2 * len(points) - 1 for points in curves]
    exact, seen = np.concatenate(curves), np.concatenate([each[::2] for each in drawn])
    for axis in (0, 1):
        slope, offset = np.polyfit(np.log10(exact[:, axis]), seen[:, axis], 1)
        np.testing.assert_allclose(seen[:, axis], slope * np.log10(exact[:, axis]) + offset, atol=0.11)


def test_who_has_no_hit_is_named_and_without_any_there_is_no_chart(shipped: list[Contender]) -> None:
    def missed(each: Contender) -> Contender:
        trace = replace(each.result.trace, success=np.zeros_like(each.result.trace.success))
        return replace(each, result=replace(each.result, success=False, trace=trace))

    one = page([shipped[0], missed(shipped[2])])
    assert "Both axes are logarithmic. Without a hit: DDN." in one.said("p")
    none = page([missed(each) for each in shipped[:2]])
    assert none.attributes("svg") == []
    assert "No attack has reached the target." in none.said("li")


def test_hostile_text_stays_text(shipped: list[Contender]) -> None:
    labels = tuple(f"{HOSTILE[i % len(HOSTILE)]} {i}" for i in range(len(SPEC.encoding.labels)))
    spec = replace(SPEC, title=HOSTILE[1], encoding=replace(SPEC.encoding, labels=labels))
    asked = replace(
        shipped[0].request, model=HOSTILE[0], photo=HOSTILE[2], settings=Settings.of("lots", layer=HOSTILE[3])
    )
    tree = page(
        [replace(shipped[0], request=asked)], spec, [HOSTILE[4]], photo=HOSTILE[2], link=HOSTILE[1], version=HOSTILE[3]
    )
    assert {name for name, _ in tree.elements} <= KNOWN
    for _, attributes in tree.elements:
        assert not any(name.startswith("on") or name in ("href", "style", "srcset", "action") for name in attributes)
        assert str(attributes.get("src", "data:image/png;base64,")).startswith("data:image/png;base64,")
    everything = "\n".join(text for _, text in tree.texts)
    assert all(text in everything for text in HOSTILE)
    (policy,) = [each for each in tree.attributes("meta") if each.get("http-equiv")]
    assert policy["content"] == POLICY


def test_ticks_of_a_logarithmic_axis_enclose_it() -> None:
    assert log_ticks(3, 450) == [2, 5, 10, 20, 50, 100, 200, 500]
    assert log_ticks(20, 20) == [20, 50]
    assert log_ticks(1.0, 2.0) == pytest.approx([1.0, 1.2, 1.4, 1.6, 1.8, 2.0])
