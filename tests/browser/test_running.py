"""Attacks under way: step by step, stopped, looked away from, in two tabs at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from playwright.sync_api import expect

from models.registry import ASSETS
from ui.archive import unpack

if TYPE_CHECKING:
    from tests.browser.conftest import Lab, Sight

RUNNING = re.compile(r"Running: iteration (\d+)\.")
ONE_HOT = "imagenet-onehot"


def test_steps_are_taken_one_by_one_and_reset_goes_back_to_the_original(lab: Lab) -> None:
    lab.model(ONE_HOT).want("Persian cat")
    original = lab.picture("Original:")
    np.testing.assert_array_equal(lab.picture("Attacked:"), original)
    for number in (1, 2, 3):
        lab.button("Step").click()
        expect(lab.slider).to_have_attribute("max", str(number))
        expect(lab.slider).to_have_value(str(number))
    assert not np.array_equal(lab.picture("Attacked:"), original)
    lab.button("Run").click()
    expect(lab.success).to_contain_text("Reads as Persian cat now")
    expect(lab.slider).not_to_have_value("3")
    lab.button("Reset").click()
    expect(lab.success).to_have_count(0)
    expect(lab.slider).to_have_count(0)
    np.testing.assert_array_equal(lab.picture("Attacked:"), original)


def test_a_running_attack_can_be_stopped_and_goes_on_when_asked(lab: Lab) -> None:
    lab.model(ONE_HOT).photo("espresso", "espresso").want("Persian cat")
    lab.button("Run").click()
    expect(lab.page.get_by_text(RUNNING)).to_be_visible()
    lab.button("Stop").click()
    expect(lab.page.get_by_text("Paused.")).to_be_visible()
    expect(lab.button("Stop")).to_be_disabled()
    halted = lab.updates()
    assert halted >= 1
    lab.button("Step").click()
    expect(lab.slider).to_have_attribute("max", str(halted + 1))
    expect(lab.page.get_by_text("Paused.")).to_be_visible()
    expect(lab.button("Run")).to_be_enabled()


def test_the_slider_follows_the_arrow_keys_to_the_original(lab: Lab, example: Sight) -> None:
    _, stored = unpack((ASSETS / "example.npz").read_bytes())
    attacked = lab.picture(f"Attacked: {example.wanted}")
    last = lab.update()
    lab.slider.focus()
    lab.slider.press("ArrowLeft")
    expect(lab.page.get_by_text(re.compile(rf"^{last - 1}: (step|full step|halving)")).first).to_be_visible()
    lab.slider.press("Home")
    expect(lab.page.get_by_text("Perturbation: none yet")).to_be_visible()
    expect(lab.page.get_by_role("row", name="L2 0.000")).to_be_visible()
    np.testing.assert_array_equal(lab.picture(f"Attacked: {example.reads}"), example.picture)
    lab.slider.press("ArrowRight")
    expect(lab.page.get_by_role("row", name=f"L2 {stored.steps[0].l2:.3f}")).to_be_visible()
    lab.slider.press("End")
    expect(lab.page.get_by_text(f"Attacked: {example.wanted}", exact=True)).to_be_visible()
    expect(lab.slider).to_have_value(str(len(stored.steps)))
    assert not np.array_equal(attacked, example.picture)


def test_a_double_click_on_run_is_one_attack_that_succeeds(lab: Lab) -> None:
    lab.model(ONE_HOT).want("Persian cat")
    lab.button("Run").dblclick()
    expect(lab.success).to_contain_text("Reads as Persian cat now")
    updates = lab.updates()
    lab.button("Run again").dblclick()
    expect(lab.page.get_by_text(RUNNING)).to_be_visible()
    expect(lab.success).to_contain_text("Reads as Persian cat now")
    assert lab.updates() == updates


def test_a_run_goes_on_while_another_page_is_looked_at(lab: Lab) -> None:
    lab.model(ONE_HOT).photo("rocket", "missile").want("espresso")
    lab.button("Run").click()
    expect(lab.page.get_by_text(RUNNING)).to_be_visible()
    lab.page.get_by_role("link", name="Models").click()
    expect(lab.page.get_by_role("heading", level=1)).to_have_text("Models")
    lab.page.get_by_role("link", name="Attack lab").click()
    expect(lab.page.get_by_role("heading", level=1)).to_have_text("Attack lab")
    expect(lab.page.get_by_text("Original: missile")).to_be_visible()
    expect(lab.page.get_by_text(RUNNING).or_(lab.success)).to_be_visible()  # not the caption of an attack to begin
    lab.page.get_by_role("link", name="Models").click()
    expect(lab.page.get_by_role("heading", level=1)).to_have_text("Models")
    lab.page.go_back()
    expect(lab.page.get_by_role("heading", level=1)).to_have_text("Attack lab")
    expect(lab.success).to_contain_text("Reads as espresso now")


def test_an_attack_in_a_second_tab_waits_for_the_first_and_both_succeed(
    lab: Lab, open_lab: Callable[..., Lab], sight: Callable[..., Sight]
) -> None:
    bridge = sight("bridge")
    other = open_lab().ready().photo("bridge", bridge.reads)
    lab.model(ONE_HOT).photo("rocket", "missile").want("espresso")
    lab.button("Run").click()
    expect(lab.page.get_by_text(RUNNING)).to_be_visible()
    other.button("Run").click()
    expect(other.page.get_by_text("Waiting for 1 other attack on this computer to finish.")).to_be_visible()
    expect(other.success).to_contain_text(f"Reads as {bridge.wanted} now")
    expect(lab.success).to_contain_text("Reads as espresso now")


def test_the_page_wakes_up_when_another_attack_of_the_session_has_ended(lab: Lab) -> None:
    lab.model(ONE_HOT).photo("rocket", "missile").want("espresso")
    lab.button("Run").click()
    expect(lab.page.get_by_text(RUNNING)).to_be_visible()
    lab.photo("cat", "tiger cat")
    expect(lab.page.get_by_text("Another attack of yours is running.")).to_be_visible()
    expect(lab.button("Run")).to_be_disabled()
    expect(lab.page.get_by_text("Another attack of yours is running.")).to_have_count(0, timeout=40_000)
    expect(lab.button("Run")).to_be_enabled()
    lab.photo("rocket", "missile")
    expect(lab.success).to_contain_text("Reads as espresso now")
