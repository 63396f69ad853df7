"""The page Benchmark: results are filtered, a dot leads to its case, and to the lab, and sweeps are made and go on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from bench.browsing import serving
from models.registry import ASSETS, MODELS
from tests.browser.looks import assert_fits

if TYPE_CHECKING:
    from tests.browser.conftest import Visit

WHERE = """figure => {
    const dots = figure.calcdata?.find(([first]) => first.trace.mode === "markers"), axes = figure._fullLayout;
    const [dot] = dots.toSorted((one, other) => one.x - other.x);
    return {x: axes.xaxis._offset + axes.xaxis.c2p(dot.x), y: axes.yaxis._offset + axes.yaxis.c2p(dot.y),
            title: dot.tx.split("<br>")[0]};
}"""
"""Where in the figure the leftmost dot is, and what its case is called."""


def choose(page: Page, box: str, option: str) -> None:
    """Pick an option of the last select box that is called so."""
    combobox = page.get_by_role("combobox", name=box, exact=True).last
    combobox.click()
    combobox.press_sequentially(option)
    page.get_by_role("option", name=option, exact=True).click()
    expect(combobox).to_have_value(option)


def card(page: Page, state: str) -> Locator:
    """The card of the only sweep that was made here, once it is in a state."""
    told = page.get_by_text(re.compile(rf"\(\w{{4}}\): {state}$"))
    expect(told).to_have_count(1)
    return page.get_by_test_id("stVerticalBlock").filter(has=told).last


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


@pytest.mark.slow
def test_files_of_ones_own_become_a_sweep_which_a_reload_does_not_lose(
    visit: Callable[..., Visit], tmp_path: Path
) -> None:
    opened = visit("/benchmark")
    page = opened.page
    opened.idle()  # the form comes last, and has a box of the same name
    choose(page, "Model", MODELS["gtsrb-onehot"].title)
    choose(page, "Pictures", "Files")
    expect(page.get_by_text("Choose pictures and attacks.")).to_be_visible()
    signs = [ASSETS / "samples" / "gtsrb" / name for name in ("stop.png", "no_entry.png")]
    page.locator("input[type=file]").set_input_files(signs)
    expect(page.get_by_text('folder = "pictures"')).to_be_visible()
    opened.idle()
    press(page, "Start")
    expect(card(page, "at work").get_by_role("button", name="Stop")).to_be_enabled()
    opened.go("/benchmark")
    card(page, "at work").get_by_role("button", name="Stop").click()
    stopped = card(page, "(planned|stopped)")
    stopped.get_by_role("button", name="Delete").click()
    press(page, "Yes, delete it")
    expect(page.get_by_text(re.compile(r": (planned|stopped)$"))).to_have_count(0)


@pytest.mark.slow
def test_a_sweep_is_estimated_stopped_and_goes_on_after_a_restart(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JMA_LAB_DATA", str(tmp_path))
    with serving(tmp_path / "log.txt") as server:
        page = browser.new_page()
        page.goto(f"{server.address}/benchmark")
        choose(page, "Model", MODELS["gtsrb-onehot"].title)
        press(page, "Estimate")
        expect(page.get_by_text(re.compile(r"24 units, 3 for each of 8 pictures: about \d")).first).to_be_visible()
        press(page, "Start")
        expect(page.get_by_text(re.compile(r"(8|16) of 24 units are finished"))).to_be_visible()
        card(page, "at work").get_by_role("button", name="Stop").click()
        card(page, "stopped")
        page.close()
    with serving(tmp_path / "log.txt") as server:
        page = browser.new_page()
        page.goto(f"{server.address}/benchmark")
        card(page, "stopped").get_by_role("button", name="Go on").click()
        done = card(page, "finished")
        done.get_by_role("button", name="Show").click()
        expect(page.get_by_role("combobox", name="Results")).to_have_value(re.compile("Random class, Traffic signs"))
        expect(page.get_by_text("8 cases, on which all of these attacks were tried.")).to_be_visible()
        page.close()


def test_results_are_filtered_and_a_click_on_a_dot_shows_its_case_which_opens_in_the_lab(
    visit: Callable[..., Visit],
) -> None:
    opened = visit("/benchmark")
    page = opened.page
    lines = page.locator(".js-plotly-plot").first.locator(".scatterlayer path.js-line")
    model = page.get_by_role("combobox", name="Model", exact=True).first
    expect(model).to_have_value(MODELS["gtsrb-ecoc32"].title)
    expect(lines).to_have_count(5)
    choose(page, "Encoding", "one-hot")
    expect(model).to_have_value(MODELS["gtsrb-onehot"].title)
    opened.idle()
    page.get_by_test_id("stMultiSelect").first.get_by_role("button", name="FMN").click()  # which removes it
    expect(lines).to_have_count(4)
    medians = page.locator(".js-plotly-plot").nth(1).locator(".scatterlayer path.js-line")
    expect(medians).to_have_count(3)  # C&W reaches fewer than half of the cases, and so has no median

    figure = page.locator(".js-plotly-plot").nth(2)
    expect(figure.locator(".scatterlayer .point").first).to_be_visible()
    assert_fits(page, (1440, 1024, 380))
    page.set_viewport_size({"width": 1440, "height": 900})
    opened.idle()
    figure.scroll_into_view_if_needed()
    dot = figure.evaluate(WHERE)
    case = page.get_by_role("combobox", name="Case")
    expect(case).not_to_have_value(dot["title"])
    figure.click(position={"x": dot["x"], "y": dot["y"]})
    expect(case).to_have_value(dot["title"])
    wanted = dot["title"].split(" → ")[1]
    opened.idle()
    page.get_by_role("button", name="in the lab").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(f" → {wanted}")
