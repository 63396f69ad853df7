"""What axe, the accessibility checker, finds on the pages. Without its package these tests are skipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.looks import SCHEMES, wear

if TYPE_CHECKING:
    from tests.browser.conftest import Visit

checker = pytest.importorskip("axe_playwright_python.sync_playwright")
OTHERS = ("/present", *(f"/learn?step={step}" for step in (2, 3, 5, 6, 7)))
SLOW = [pytest.param(path, marks=pytest.mark.slow) for path in OTHERS]
PAGES = ("/", "/compare", "/photos", "/benchmark", "/geometry", "/learn", "/learn?step=4", "/runs", "/models", *SLOW)


@pytest.mark.parametrize("path", PAGES)
def test_nothing_serious_keeps_anybody_out(path: str, visit: Callable[..., Visit]) -> None:
    opened = visit(path)
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
