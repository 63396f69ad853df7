"""What axe, the accessibility checker, finds on the pages. Without its package these tests are skipped."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from lab.runs.sweeps import OwnSweep
from tests.browser.looks import SCHEMES, wear

if TYPE_CHECKING:
    from tests.browser.conftest import Visit

checker = pytest.importorskip("axe_playwright_python.sync_playwright")
OTHERS = ("/present", *(f"/learn?step={step}" for step in (2, 3, 5, 6, 7)))
SLOW = [pytest.param(path, marks=pytest.mark.slow) for path in OTHERS]
PAGES = ("/", "/compare", "/photos", "/benchmark", "/geometry", "/learn", "/learn?step=4", "/runs", "/models", *SLOW)

ANSWERED = {
    "Survival": "transformations the attacked picture",
    "Transfer": "it reads all wanted labels",
    "Saliency": "attacked: ",
}
"""What is said in each tab below a result once its question is answered."""


@pytest.mark.parametrize("path", PAGES)
def test_nothing_serious_keeps_anybody_out(path: str, visit: Callable[..., Visit]) -> None:
    assert_open_to_all(visit(path))


@pytest.mark.slow
def test_nor_from_a_contact_sheet(half: OwnSweep, visit: Callable[..., Visit]) -> None:
    opened = visit("/photos")
    expect(opened.page.get_by_text("1 of 2 targets reached")).to_be_visible()
    assert_open_to_all(opened)


@pytest.mark.slow
@pytest.mark.parametrize("step", range(1, 9))
def test_nor_from_the_answers_of_the_lecture(step: int, visit: Callable[..., Visit]) -> None:
    opened = visit(f"/learn?step={step}")
    opened.page.get_by_text("Show the answer").click()
    opened.idle()
    expect(opened.page.get_by_label("Show the answer")).to_be_checked()
    assert_open_to_all(opened)


@pytest.mark.slow
@pytest.mark.parametrize("tab", ANSWERED)
def test_nor_from_what_is_asked_of_a_result(tab: str, visit: Callable[..., Visit]) -> None:
    opened = visit("/")
    page = opened.page
    expect(page.get_by_text("The network is loading")).to_have_count(0)
    page.get_by_role("tab", name=tab).click()
    opened.idle()
    panel = page.get_by_role("tabpanel").filter(visible=True)
    panel.get_by_role("button").first.click()
    expect(panel.get_by_text(ANSWERED[tab]).first).to_be_visible()
    expect(panel.get_by_text("Asking the network")).to_have_count(0)
    opened.idle()
    assert_open_to_all(opened)


@pytest.mark.slow
def test_nor_from_a_models_labels_and_codebook(visit: Callable[..., Visit]) -> None:
    opened = visit("/models")
    for title in (re.compile("^All 32 labels"), re.compile("^Codebook, 32 bits")):
        opened.page.get_by_text(title).first.click()
        opened.idle()
    assert_open_to_all(opened)


def assert_open_to_all(opened: Visit) -> None:
    """What the page shows has no violation that axe calls serious or critical, in both schemes."""
    page = opened.page
    expect(page.get_by_text("The network is loading")).to_have_count(0)
    page.set_viewport_size({"width": 1440, "height": 3000})  # axe gives up on contrast where tables are scrolled away
    opened.idle()
    expect(page.get_by_test_id("stMainBlockContainer")).to_have_css("padding-top", "68px")  # the app's style has come
    page.wait_for_load_state("networkidle")
    page.evaluate("document.fonts.ready")
    for scheme in SCHEMES:
        wear(page, scheme)
        opened.idle()
        options = {"resultTypes": ["violations"]} | ({"runOnly": ["color-contrast"]} if scheme == "dark" else {})
        response = checker.Axe().run(page, options=options).response  # all else is the same in the dark
        assert "color-contrast" in {each["id"] for each in response["passes"]}
        assert [
            (each["id"], each["nodes"]) for each in response["violations"] if each["impact"] in ("serious", "critical")
        ] == []
