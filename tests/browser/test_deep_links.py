"""Every page by its address, as the first thing that a server is asked for; and what the pages ask of other hosts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.browser.conftest import Lab, Sight, Visit

PAGES = {
    "/": "Attack lab",
    "/geometry": "Mahalanobis against Euclid",
    "/learn": "What is a logit?",
    "/learn?step=4": "Why does the ellipse matter?",
    "/runs": "Runs",
    "/models": "Models",
}
NAMES = ["Attack lab", "Geometry", "Learn", "Runs", "Models"]


@pytest.mark.parametrize("path", PAGES)
def test_a_deep_link_to_a_cold_server_gives_the_page_in_its_frame(
    path: str, cold_server: str, visit: Callable[..., Visit], example: Sight
) -> None:
    begun = time.perf_counter()
    page = visit(path, host=cold_server).page
    expect(page.get_by_role("heading", level=1)).to_have_text(PAGES[path])
    print(f"{path}: heading after {time.perf_counter() - begun:.1f} s")
    navigation = page.get_by_role("navigation", name="App pages")
    for title in NAMES:
        expect(navigation.get_by_role("link", name=title)).to_be_visible()
    expect(page).to_have_title("JMA Lab")
    expect(page.get_by_role("dialog")).to_have_count(0, timeout=5_000)  # "Page not found", say
    if path == "/":
        picture = page.get_by_role("figure").filter(has_text="Original:").locator("img")
        expect(picture).to_be_visible()
        print(f"{path}: picture after {time.perf_counter() - begun:.1f} s")
        expect(page.get_by_text(f"Attacked: {example.wanted}", exact=True)).to_be_visible()


def test_no_page_asks_another_host_for_anything(lab: Lab) -> None:
    lab.page.get_by_role("link", name="Models").click()
    expect(lab.page.get_by_role("heading", level=1)).to_have_text("Models")
    lab.page.get_by_text("All 1000 labels").click()
    expect(lab.page.get_by_text("tiger cat").first).to_be_visible()
    lab.page.get_by_text("Codebook, 16 bits").first.click()
    expect(lab.page.locator(".js-plotly-plot").first).to_be_visible()
    lab.page.get_by_role("tab", name="From a file").click()
    expect(lab.page.get_by_role("region", name="Weights")).to_be_visible()
    assert lab.visit.abroad == []
