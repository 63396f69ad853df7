"""The attack lab in Streamlit's own simulator: what it shows first, and after a change of page."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.registry import DEFAULT, MODELS
from tests.pages.attack_lab.driving import ONE_HOT, check_success, choose, choose_model, reading, seen, swap, words
from tests.pages.page import PATIENCE, WAITING, Page, came_true

# --- first load


def test_the_first_paint_shows_a_finished_attack_and_needs_no_torch(first_paint: dict[str, Any]) -> None:
    page = first_paint["attack_lab"]
    assert page["heavy"] == []
    assert page["exceptions"] == []
    _, _, wanted = swap(DEFAULT, seen(DEFAULT, "cat"))
    before = words(reading(DEFAULT, seen(DEFAULT, "cat")))
    assert page["titles"] == [f"{before} → {words(wanted)}"]
    first, *_, last = (page["player"]["parcels"][each["parcel"]] for each in page["player"]["film"])
    assert (first["reads"], last["reads"]) == (before, words(wanted))
    assert page["player"]["shown"] == page["player"]["film"][-1]["update"]
    assert first["change"] is None
    assert last["change"]["scale"] > 0
    assert page["success"][0].startswith(f"The result reads as **{words(wanted)}**")
    assert page["downloads"] == 1  # what holds the picture in 8 bits waits for the network
    assert page["enabled"] == ["Run again", "Reset", "Go closer"]
    assert any(WAITING.search(info) for info in page["info"])


def test_the_stored_example_is_what_an_attack_gives_now(lab: Page, started: list[dict[str, Any]]) -> None:
    stored = lab.shown()
    assert stored.result is not None
    picture = seen(DEFAULT, "cat")
    assert "cat" in reading(DEFAULT, picture)
    np.testing.assert_array_equal(stored.result.original, picture.transpose(2, 0, 1).astype(np.float32) / 255)
    swapped = swap(DEFAULT, picture)[2]
    assert stored.request.target == tuple(label in swapped for label in MODELS[DEFAULT].encoding.labels)
    lab.press("Run again").settle()
    assert len(started) == 1
    fresh = lab.shown()
    assert fresh is not stored
    assert fresh.request == stored.request
    assert fresh.result is not None
    assert fresh.result.success
    assert fresh.result.n_it == pytest.approx(stored.result.n_it, abs=3)
    assert fresh.result.distortion.l2 == pytest.approx(stored.result.distortion.l2, rel=0.05)


# --- page changes


def test_everything_survives_a_change_of_page_and_a_run_goes_on_meanwhile(lab: Page) -> None:
    choose_model(lab, ONE_HOT)
    lab.press("espresso").settle()
    choose(lab, "cup")
    lab.widget("number_input", "Step length ε").set_value(0.5).run()
    lab.widget("slider", "Margin κ").set_value(1.0).run()
    lab.press("Run")
    attack = lab.shown()
    lab.switch_page("pages/models.py").run()
    assert lab.title[0].value == "Models"
    assert attack.busy
    assert came_true(PATIENCE, lambda: not attack.busy)
    lab.run()
    lab.switch_page("pages/attack_lab.py").run()
    lab.settle()
    assert lab.widget("selectbox", "Model").value == ONE_HOT
    assert MODELS[ONE_HOT].encoding.labels[lab.widget("selectbox", "Wanted class").value] == "cup"
    assert lab.widget("number_input", "Step length ε").value == 0.5
    assert lab.widget("slider", "Margin κ").value == 1.0
    assert lab.says("espresso → cup")
    assert lab.shown() is attack
    check_success(lab)
