"""Attacks side by side, on records made by hand whose answers are known."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest

from jma_core.metrics import distortion
from jma_core.records import REACHED, AttackResult, StopReason, Trace
from lab.comparison import (
    COLUMNS,
    Contender,
    Saved,
    angles,
    approach,
    as_csv,
    as_latex,
    as_markdown,
    called,
    flips,
    hits,
    margins,
    table,
    telling,
    verdict,
    winners,
)
from lab.request import Request, Settings
from models.cards import ModelSpec
from models.encodings import MultiLabel, OneHot

SPEC = ModelSpec("m", "M", MultiLabel(("people", "cat", "sky", "sea")), "vgg")
TARGET = (1, 0, 1, -1)
GREY = np.full((3, 12, 12), 0.5)
BEFORE = np.array([-2.0, 3.0, 1.0, 0.5])


def trace(*rows: tuple[bool, float, int, int]) -> Trace:
    """Of updates of which each is (success, l2, forward, backward)."""
    count = range(1, len(rows) + 1)
    success, l2, forward, backward = (np.array(column) for column in zip(*rows, strict=True))
    nothing = np.zeros(len(rows))
    return Trace(
        np.array(count), np.array(count), np.array(["walk"] * len(rows)), success, nothing, nothing, l2, forward,
        backward, nothing,
    )  # fmt: skip


def contender(
    logits: Any,
    moved: float = 0.1,
    *,
    attack: str = "ddn",
    saved: Saved | None = None,
    past: Trace | None = None,
    detail: str = REACHED,
) -> Contender:
    """An attack that has changed one channel of the picture by so much, with these logits at the end."""
    image = GREY.copy()
    image[0] += moved
    z = np.array(logits)
    wanted = np.array(TARGET)
    decoded = z > 0
    right = (decoded == wanted)[wanted >= 0]
    result = AttackResult(
        original=GREY, image=image, update=1, last=image, target=wanted, decoded_before=BEFORE > 0, decoded=decoded,
        success=bool(right.all()), reason=StopReason.SUCCESS if right.all() else StopReason.ITERATIONS, detail=detail,
        logits_before=BEFORE, logits=z, fraction_right=float(right.mean()), distortion=distortion(GREY, image), n_it=2,
        forward=7, backward=5, seconds=1.5, curve=np.empty((0, 2)), trace=past or trace((True, 1.2, 3, 2)), steps=(),
    )  # fmt: skip
    return Contender(Request("m", "p", TARGET, Settings.of(attack)), result, saved)


HIT = [1.0, -1.0, 2.0, -9.0]
MISS = [-0.5, -1.0, -2.0, 4.0]


def test_labels_that_changed_as_asked_and_those_that_went_along_are_counted() -> None:
    assert flips(SPEC, contender(HIT)) == (2, 2, 0)
    assert flips(SPEC, contender(MISS)) == (1, 2, 1)


def test_of_one_class_the_old_one_goes_and_the_new_one_comes() -> None:
    spec = ModelSpec("m", "M", OneHot(("people", "cat", "sky")), "vgg")
    each = contender(HIT)
    made = {"decoded_before": np.array(0), "decoded": np.array(2)}
    there = Contender(Request("m", "p", 2, Settings()), AttackResult(**{**vars(each.result), **made}))
    assert flips(spec, there) == (2, 2, 0)
    elsewhere = AttackResult(**{**vars(each.result), **made, "decoded": np.array(1)})
    assert flips(spec, Contender(there.request, elsewhere)) == (1, 2, 1)


def test_the_table_has_what_the_results_say() -> None:
    told = table(SPEC, [contender(HIT, saved=Saved(1.25, True)), contender(MISS, 0.05)])
    by_title = {column.title: [column.written(value) for value in values] for column, values in told.items()}
    assert by_title["Reached"] == ["yes", "no"]
    assert by_title["Right, %"] == ["100.0", "33.3"]
    assert by_title["Flips made"] == ["2", "1"]
    assert by_title["Collateral"] == ["0", "1"]
    assert by_title["L2"] == ["1.200", "0.600"]
    assert by_title["L∞"] == ["0.1000", "0.0500"]
    assert by_title["L0"] == ["144", "144"]
    assert (by_title["Forward"], by_title["Backward"], by_title["n_it"]) == (["7", "7"], ["5", "5"], ["2", "2"])
    assert by_title["L2, 8 bits"] == ["1.250", "–"]
    assert by_title["Reads again"] == ["yes", "–"]


def test_the_distance_of_a_miss_is_never_the_best() -> None:
    l2 = next(column for column in COLUMNS if column.title == "L2")
    right = next(column for column in COLUMNS if column.title == "Right, %")
    assert winners(l2, [3.0, 2.0, 1.0], [True, True, False]) == [False, True, False]
    assert winners(right, [50.0, 50.0, 0.0], [False, False, False]) == [True, True, False]
    assert winners(l2, [1.0, 1.0], [True, True]) == [False, False]
    assert winners(l2, [None, 1.0, np.nan], [True, True, True]) == [False, False, False]
    assert winners(COLUMNS[0], [True, False], [True, False]) == [False, False]


def test_the_table_leaves_as_text() -> None:
    told = table(SPEC, [contender(HIT), contender(HIT, 0.05)])
    names = ["a|b", "c_d & e"]
    header, first, second = csv.reader(io.StringIO(as_csv(names, told)))
    assert header == ["Attack", *(column.title for column in COLUMNS)]
    assert first[0] == "a|b"
    assert float(second[header.index("L2")]) == pytest.approx(0.6)
    assert second[-1] == ""
    lines = as_markdown(names, told).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| a\\|b | yes | 100.0 |")
    assert "| **0.600** |" in lines[3]
    latex = as_latex(names, told)
    assert "c\\_d \\& e & yes" in latex
    assert "\\textbf{0.600}" in latex
    assert "L$\\infty$" in latex
    assert "n\\_it" in latex
    rows = [line for line in latex.splitlines() if line.endswith("\\\\")]
    assert {line.replace("\\&", "").count("&") for line in rows} == {len(COLUMNS)}


def test_names_are_short_and_told_apart_by_the_attack_or_by_what_differs() -> None:
    settings = [
        Settings.of("lazy"), Settings.of("boxed"), Settings.of("fmn"), Settings.of("ddn", steps=50),
        Settings.of("ddn", steps=20),
    ]  # fmt: skip
    assert called(settings) == ["JMA (lazy)", "JMA (boxed)", "FMN", "DDN (steps 50)", "DDN (steps 20)"]
    assert called([Settings.of("lazy"), Settings.of("cw")]) == ["JMA", "C&W"]


def test_the_nearest_hit_so_far_over_what_it_cost() -> None:
    past = trace((False, 0.1, 1, 1), (True, 2.0, 2, 2), (True, 3.0, 3, 3), (False, 0.5, 4, 3), (True, 1.0, 5, 3))
    np.testing.assert_array_equal(hits(past), [[4, 2.0], [8, 1.0]])
    np.testing.assert_array_equal(approach(contender(HIT, past=past)), [[4, 2.0], [8, 1.0], [12, 1.0]])
    assert len(approach(contender(MISS, past=trace((False, 1.0, 1, 1))))) == 0


def test_margins_are_the_labels_own_those_of_the_original_first() -> None:
    values = margins(SPEC, [contender(HIT), contender(MISS)])
    np.testing.assert_allclose(values, [[-2, -3, 1, 0.5], [1, 1, 2, 9], [-0.5, 1, -2, 4]])
    np.testing.assert_array_equal(telling(values, 2), [0, 1])
    np.testing.assert_array_equal(telling(values), [0, 1, 2, 3])


def test_angles_between_perturbations() -> None:
    one, other, none = contender(HIT, 0.1), contender(HIT, -0.2), contender(MISS, 0.0)
    across = contender(HIT)
    turned = np.roll(across.result.image, 1, axis=0)
    across = Contender(across.request, AttackResult(**{**vars(across.result), "image": turned}))
    found = angles([one, other, across, none])
    np.testing.assert_allclose(found[:3, :3], [[0, 180, 90], [180, 0, 90], [90, 90, 0]], atol=1e-6)
    assert np.isnan(found[3]).all()


def test_in_words_who_came_nearest_who_was_first_and_who_failed_on_what() -> None:
    early, late = trace((True, 5.0, 2, 1)), trace((False, 0.1, 2, 2), (True, 0.6, 4, 4))
    every = [contender(HIT, past=early), contender(HIT, 0.05, past=late), contender(MISS, detail="It got tired.")]
    assert verdict(SPEC, ["A", "B", "C"], every) == [
        "B came nearest, at L2 0.600 for 12 passes; A is next, at 1.200 (100.0 % farther).",
        "A was first to be read as wanted, after 3 passes, then at L2 5.000.",
        "C failed: at its best image 2 of 3 constraints do not hold, sky the least, by 2 logits. It got tired.",
    ]
    assert verdict(SPEC, ["A"], [contender(HIT, past=early)])[0] == "A came nearest, at L2 1.200 for 12 passes."
    assert verdict(SPEC, ["C"], [contender(MISS)])[0] == "No attack has reached the target."
    odd = verdict(SPEC, ["C"], [contender([np.nan, 1.0, 1.0, 1.0], detail="So it ends.")])[1]
    assert odd == "C failed: not all of its logits are finite. So it ends."


@pytest.mark.parametrize("detail", ["The time cap of 3 s was reached.", f"{REACHED} Its goal was made up."])
def test_what_else_is_to_be_said_of_who_got_there_is_said(detail: str) -> None:
    said = verdict(SPEC, ["A", "B"], [contender(HIT), contender(HIT, 0.05, detail=detail)])
    assert said[-1] == f"B: {detail.removeprefix(REACHED).strip()}"
    assert len(said) == 3
