"""The page Compare: its pictures move together, and it fits a desk and a telephone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.browser.looks import assert_fits

if TYPE_CHECKING:
    from tests.browser.conftest import Visit

NAMES = ["Original", "JMA", "Refined", "DDN", "FMN", "ML-C&W", "MLA-LP", "SemA"]


def test_pictures_are_moved_zoomed_and_read_together(visit: Callable[..., Visit]) -> None:
    page = visit("/compare").page
    gallery = page.get_by_role("group", name="Pictures of all attacks")
    figures = gallery.get_by_role("figure")
    expect(figures.locator("b")).to_have_text(NAMES)
    refined = figures.nth(2)
    expect(refined).to_contain_text("reads as flowers")
    gallery.get_by_role("slider", name="Gradients spent").fill("0")
    expect(refined).to_contain_text("reads as cat")
    expect(refined).to_contain_text("not begun")
    gallery.get_by_role("slider", name="Gradients spent").fill("200")
    expect(refined).to_contain_text("update 149")
    expect(figures.nth(1)).to_contain_text("result")

    gallery.get_by_role("button", name="Zoom in").click()
    gallery.get_by_role("button", name="Zoom in").click()
    expect(gallery.get_by_role("toolbar", name="Zoom")).to_contain_text("× 4.0")
    layers = gallery.locator(".layer").evaluate_all("all => all.map(each => getComputedStyle(each).transform)")
    assert len(layers) == 15
    assert len(set(layers)) == 1
    assert layers[0].startswith("matrix(4, 0, 0, 4, ")

    refined.locator(".pane").first.hover(position={"x": 100, "y": 90})
    values = figures.locator(".value").all_inner_texts()
    pixel = re.fullmatch(r"\((\d+), (\d+)\): (\d+) (\d+) (\d+)", values[0])
    assert pixel, values[0]
    for value in values[1:]:
        numbers = [float(each.replace("−", "-")) for each in re.findall(r"[-−+]?\d+\.\d", value)]
        after, change = numbers[:3], numbers[3:]
        for channel in range(3):
            assert abs(int(pixel[3 + channel]) + change[channel] - after[channel]) < 0.11
    gallery.get_by_role("button", name="All of it").click()
    expect(gallery.get_by_role("toolbar", name="Zoom")).to_contain_text("× 1.0")


def test_the_page_fits(visit: Callable[..., Visit]) -> None:
    page = visit("/compare").page
    expect(page.get_by_role("heading", name="Angles between perturbations")).to_be_visible()
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    assert_fits(page)
