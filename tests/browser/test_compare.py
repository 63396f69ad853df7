"""The page Compare: attacks run and are found again, its pictures move together, it fits a desk and a telephone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import CDPSession, expect

from lab.request import OFFERED
from tests.browser.looks import assert_fits

if TYPE_CHECKING:
    from tests.browser.conftest import Visit

NAMES = ["Original", "JMA", "Refined", "DDN", "FMN", "ML-C&W", "MLA-LP", "SemA"]
COLUMNS = {1440: 4, 1024: 3, 380: 2}
"""Of pictures, in windows so wide."""
ENDLESS = "model=gtsrb-onehot&attacks=fgsm,refined&fgsm.steps=2&refined.steps=1000"
"""A traffic sign, on which attacks last on the tests' server: see tests/browser/resting.py."""


class Touch:
    """Fingers on the page, by the browser's own protocol."""

    def __init__(self, session: CDPSession) -> None:
        self.session = session

    def drag(self, begin: list[tuple[float, float]], end: list[tuple[float, float]]) -> None:
        """Put fingers down, move them in a few steps, take them away."""
        self.tell("touchStart", begin)
        for part in (0.25, 0.5, 0.75, 1.0):
            at = [
                tuple(a + part * (b - a) for a, b in zip(old, new, strict=True))
                for old, new in zip(begin, end, strict=True)
            ]
            self.tell("touchMove", at)
        self.tell("touchEnd", [])

    def tell(self, kind: str, at: list[tuple[float, ...]]) -> None:
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(at)]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_the_page_fits_and_pictures_are_moved_zoomed_and_read_together(visit: Callable[..., Visit]) -> None:
    page = visit("/compare").page
    expect(page.get_by_role("heading", name="Angles between perturbations")).to_be_visible()
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    assert_fits(page, tuple(COLUMNS))
    for width, columns in reversed(COLUMNS.items()):
        page.set_viewport_size({"width": width, "height": 900})
        expect(page.locator(".grid")).to_have_css("grid-template-columns", re.compile(rf"^(\S+ ?){{{columns}}}$"))

    gallery = page.get_by_role("group", name="Pictures of all attacks")
    figures = gallery.get_by_role("figure")
    expect(figures.locator("b")).to_have_text(NAMES)
    refined = figures.nth(2)
    expect(refined).to_contain_text("reads as flowers")
    gallery.get_by_role("slider", name="Gradients spent").fill("0")
    expect(refined).to_contain_text("reads as cat")
    expect(refined).to_contain_text("not begun")
    gallery.get_by_role("slider", name="Gradients spent").fill("200")
    expect(refined).to_contain_text("L2 0.534, update 149")
    expect(figures.nth(1)).to_contain_text("result")

    gallery.get_by_role("combobox", name="Axis of the slider").select_option("Distance, L2")
    distance = gallery.get_by_role("slider", name="Distance, L2")
    expect(figures.nth(1)).to_contain_text("L2 0.845, result")  # who had come to the end of one axis is at the other's
    distance.fill("600")
    expect(refined).to_contain_text("L2 0.541, result")
    expect(figures.nth(1)).to_contain_text("L2 0.467, update 3")
    expect(figures.nth(1)).to_contain_text("no hit so far")
    expect(figures.nth(5)).to_contain_text("nothing so near")
    gallery.get_by_role("combobox", name="Axis of the slider").select_option("Gradients spent")
    expect(refined).to_contain_text("update 149")
    expect(refined).to_contain_text(re.compile(r"nearest hit so far: L2 0\.5\d\d"))

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


@pytest.mark.slow
def test_two_fingers_zoom_and_move_all_pictures_and_one_scrolls_or_moves(visit: Callable[..., Visit]) -> None:
    page = visit("/compare", width=380).page
    pane = page.get_by_role("figure").nth(1).locator(".pane").first
    pane.scroll_into_view_if_needed()
    box = pane.bounding_box()
    assert box is not None
    x, y, width = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["width"]
    touch = Touch(page.context.new_cdp_session(page))

    def moved() -> list[float]:
        """Of the last attack's picture: zoom, and the way to the right and down."""
        layer = page.get_by_role("figure").last.locator(".layer").first
        k, _, _, _, *way = layer.evaluate("layer => getComputedStyle(layer).transform").strip("matrix()").split(",")
        return [float(k), *map(float, way)]

    touch.drag([(x - 20, y), (x + 20, y)], [(x - 40, y), (x + 40, y)])
    assert moved() == pytest.approx([2, -width / 2, -width / 2], abs=1)
    touch.drag([(x - 20, y), (x + 20, y)], [(x + 10, y - 15), (x + 50, y - 15)])
    assert moved() == pytest.approx([2, 30 - width / 2, -15 - width / 2], abs=1)
    touch.drag([(x, y)], [(x - 40, y + 30)])
    assert moved() == pytest.approx([2, -10 - width / 2, 15 - width / 2], abs=1)
    touch.drag([(x - 40, y), (x + 40, y)], [(x - 20, y), (x + 20, y)])
    assert moved() == pytest.approx([1, 0, 0], abs=0.05)
    touch.drag([(x, y)], [(x, y - 100)])
    page.wait_for_function(
        "([pane, before]) => pane.getBoundingClientRect().top < before - 50", arg=[pane.element_handle(), box["y"]]
    )
    assert moved()[0] == pytest.approx(1, abs=0.05)


@pytest.mark.slow
def test_attacks_appear_as_they_end_outlive_a_reload_can_be_stopped_and_are_linked_to(
    visit: Callable[..., Visit],
) -> None:
    opened = visit(f"/compare?{ENDLESS}")
    page = opened.page
    expect(page.get_by_text("The network is loading")).to_have_count(0)
    page.get_by_role("button", name="Run", exact=True).click()
    running = page.get_by_text("Refined: Running: iteration")
    names = page.get_by_role("figure").locator("b")
    expect(running).to_be_visible()
    expect(names).to_have_text(["Original", "FGSM"])
    page.reload()
    expect(running).to_be_visible()
    expect(names).to_have_text(["Original", "FGSM"])
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("Refined: Paused")).to_be_visible()
    expect(page.get_by_role("button", name="Run 1 of 2")).to_be_enabled()
    opened.idle()
    assert page.url.endswith(f"/compare?{ENDLESS}")
    page.get_by_role("button", name="Link to this choice").click()
    link = page.get_by_test_id("stPopoverBody").get_by_test_id("stCode").inner_text()
    assert link.endswith(f"/compare?{ENDLESS}")
    other = visit(link).page
    for attack in ("fgsm", "refined"):
        expect(other.get_by_test_id("stMultiSelect")).to_contain_text(OFFERED[attack].title)
    expect(other).to_have_url(re.compile(re.escape(f"/compare?{ENDLESS}") + "$"))
    expect(other.get_by_text("Run begins with the first attack")).to_be_visible()
