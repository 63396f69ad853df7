"""The Geometry page in a real browser: what a click, a drag, a key and time do to its drawing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from jma_core.geometry import section_through_points
from lab.runs.example import example_space

if TYPE_CHECKING:
    from tests.browser.conftest import Visit

RADII = "drawn => ['rx', 'ry'].map(each => +drawn.getAttribute(each))"


def test_points_are_chosen_and_one_is_dragged_and_moved_by_keys_and_the_address_has_it(
    visit: Callable[..., Visit],
) -> None:
    page = visit("/geometry").page
    for name, said in (("r′, the nearest", "r′"), ("r∗, the cheapest", "r∗")):
        page.get_by_role("button", name=f"{name}: show its photo").click()
        expect(page.get_by_text(f"Photo after the full step to {said}")).to_be_visible()
    price = page.get_by_text("Your point is")
    expect(price).to_contain_text("in the target region")
    point = page.get_by_role("button", name="Your point, at")
    box = point.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 60, steps=3)
    page.mouse.up()
    expect(price).to_contain_text("outside the target region")
    point.focus()
    for _ in range(8):
        page.keyboard.press("ArrowUp")
    expect(point).to_be_focused()
    expect(price).to_contain_text("in the target region")
    page.wait_for_url("**/geometry?at=*")
    left = price.text_content()
    page.reload()
    expect(price).to_have_text(left or "")


@pytest.mark.slow
def test_the_ellipse_grows_until_it_touches_and_stands_still_for_who_asks_for_that(
    visit: Callable[..., Visit],
) -> None:
    still = visit("/geometry").page.locator("ellipse.ellipse")
    expect(still).to_be_visible()
    full = still.evaluate(RADII)
    page = visit("/geometry", motion="no-preference").page
    grown = page.locator("ellipse.ellipse")
    level = section_through_points(example_space().space).level
    expect(page.get_by_text(f"{level:#.3g} in pixels", exact=True)).to_be_visible()
    assert grown.evaluate(RADII) == pytest.approx(full)
    page.get_by_role("button", name="Grow").click()
    assert grown.evaluate(RADII)[0] < full[0]
    effort = page.get_by_role("slider", name="Effort")
    effort.press("Home")
    assert grown.evaluate(RADII) == [0, 0]
