"""The Geometry page in a real browser: what a click in the figure and a drag of a slider do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.browser.conftest import Visit

WHERE = """name => {
    const figure = document.querySelector(".js-plotly-plot"), layout = figure?._fullLayout;
    const drawn = figure?.calcdata?.find(([first]) => first.trace.name === name);
    if (!drawn || !layout?.xaxis) return null;
    return {x: layout.xaxis._offset + layout.xaxis.l2p(drawn[0].x),
            y: layout.yaxis._offset + layout.yaxis.l2p(drawn[0].y)};
}"""
"""Where in the page's first plotly figure a named point is; null while it is not drawn."""


def test_circles_are_circles_targets_are_clicked_on_and_a_point_of_ones_own_is_moved_by_the_keyboard(
    visit: Callable[..., Visit],
) -> None:
    page = visit("/geometry").page
    expect(page.get_by_text("The logits in numbers")).to_be_visible()
    figure = page.locator(".js-plotly-plot").first
    expect(figure.locator(".scatterlayer")).to_be_visible()
    across, up = figure.evaluate("figure => ['xaxis', 'yaxis'].map(axis => Math.abs(figure._fullLayout[axis]._m))")
    assert across == pytest.approx(up, rel=1e-3)

    for name, said in (("r′, the nearest", "r′"), ("r∗, the cheapest", "r∗")):
        point = page.wait_for_function(WHERE, arg=name).json_value()
        figure.click(position=point)
        expect(page.get_by_text(f"Photo after the full step to {said}")).to_be_visible()

    price = page.get_by_text("Your point is")
    expect(price).to_contain_text("in the target region")
    slider = page.get_by_role("slider").last
    slider.focus()
    slider.press("Home")
    expect(price).to_contain_text("outside the target region")
