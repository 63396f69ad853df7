"""The page Benchmark: a dot leads to its case, and to the lab; it fits a desk and a telephone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from playwright.sync_api import expect

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


def test_a_click_on_a_dot_shows_its_case_which_opens_in_the_lab(visit: Callable[..., Visit]) -> None:
    opened = visit("/benchmark")
    page = opened.page
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
    expect(page.get_by_role("heading", level=1)).to_have_text("Attack lab")
    expect(page.get_by_text(f"Wanted: {wanted}.")).to_be_visible()
