"""Painting on the player's original where it may change: by mouse, keys and fingers, and zoomed, into the address."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import expect

from lab.stencil import PRESETS, written
from tests.browser.looks import assert_nothing_sticks_out

if TYPE_CHECKING:
    from tests.browser.conftest import Lab


def test_what_is_painted_is_in_the_address_and_comes_back(open_lab: Callable[..., Lab]) -> None:
    lab = open_lab().ready()
    page, brush = lab.page, lab.page.get_by_role("group", name="Where it may change")
    said, slider = brush.get_by_role("status"), brush.get_by_role("slider", name="Width")
    expect(said).to_have_text("")
    expect(slider).to_be_hidden()
    page.get_by_role("radio", name="Slider").check()
    opener = brush.get_by_role("button", name="Paint where it may change")
    opener.click()
    brush.get_by_role("button", name="Rectangle").click()
    expect(page.get_by_role("radio", name="Side by side")).to_be_checked()
    expect(said).to_have_text("All of the photo may change.")
    board = page.get_by_role("application", name="Original, to paint on")

    def expect_painted(part: str) -> None:
        expect(page).to_have_url(re.compile(rf"painted={re.escape(part)}(&|$)"))

    def drag(*cells: tuple[float, float], zoom: int = 1) -> None:
        """From one cell, across and down, to another, of a picture that is zoomed about its middle."""
        board.scroll_into_view_if_needed()
        box = board.bounding_box()
        assert box is not None
        (start, end) = [
            [box[at] + box["width"] * (0.5 + zoom * (cell / 64 - 0.5)) for at, cell in zip("xy", place, strict=True)]
            for place in cells
        ]
        page.mouse.move(*start)
        page.mouse.down()
        page.mouse.move(*end, steps=4)
        page.mouse.up()

    drag((10.5, 20.5), (29.5, 35.5))
    expect(said).to_have_text("7.8% of the photo may change.")
    expected = np.zeros((64, 64), dtype=bool)
    expected[20:36, 10:30] = True
    expect_painted(written(expected))
    expect(lab.button("Run")).to_be_enabled()  # another attack, which has not begun
    assert_nothing_sticks_out(page)

    brush.get_by_role("button", name="Eraser").click()
    board.press("Shift+ArrowLeft")
    board.press(" ")
    expect(said).to_have_text("6.8% of the photo may change.")  # 8 x 5 cells less
    brush.get_by_role("button", name="Undo").click()
    expect(said).to_have_text("7.8% of the photo may change.")

    page.mouse.move(5, 5)
    board.press("+")  # twice as large, about the middle
    brush.get_by_role("button", name="Rectangle").click()
    drag((40.5, 40.5), (43.5, 41.5), zoom=2)
    expected[40:42, 40:44] = True
    expect(said).to_have_text("8.0% of the photo may change.")
    expect_painted(written(expected))
    expect(page.get_by_role("toolbar", name="Zoom")).to_contain_text("× 2.0")  # as it was
    board.press("Escape")
    expect(board).to_have_count(0)

    page.get_by_text("What may change").click()
    page.get_by_role("button", name="Sticker").click()
    expect_painted(written(PRESETS["Sticker"]))
    expect(said).to_have_text(f"{PRESETS['Sticker'].mean():.1%} of the photo may change.")
    again = open_lab(urlsplit(page.url).query).page.get_by_role("group", name="Where it may change")
    expect(again.get_by_role("status")).to_have_text(said.inner_text())

    opener.click()
    brush.get_by_role("button", name="Whole photo").click()
    expect(page).not_to_have_url(re.compile("painted="))
    expect(page.get_by_role("radio", name="All")).to_be_checked()


@pytest.mark.slow
def test_a_finger_paints_and_does_not_scroll_and_a_second_one_takes_its_stroke_back_and_zooms(
    open_lab: Callable[..., Lab],
) -> None:
    lab = open_lab(width=380)
    page = lab.page
    brush = page.get_by_role("group", name="Where it may change")
    expect(page.get_by_text("The network is loading")).to_have_count(0)
    lab.idle()
    glass = page.context.new_cdp_session(page)
    glass.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
    brush.get_by_role("button", name="Paint where it may change").click()
    brush.get_by_role("button", name="Rectangle").click()
    board = page.get_by_role("application", name="Original, to paint on")
    board.scroll_into_view_if_needed()

    def touch(*fingers: tuple[float, float], begins: bool = False) -> None:
        """Fingers on cells of the picture, which all are lifted if there are none."""
        box = board.bounding_box()
        assert box is not None
        points = [
            {"id": i, "x": box["x"] + box["width"] * cell[0] / 64, "y": box["y"] + box["height"] * cell[1] / 64}
            for i, cell in enumerate(fingers)
        ]
        kind = "touchStart" if begins else "touchMove" if points else "touchEnd"
        glass.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    scrolled = page.get_by_test_id("stMain").evaluate("main => main.scrollTop")
    touch((10.5, 20.5), begins=True)
    touch((20.5, 30.5))
    touch((29.5, 35.5))
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollTop") == scrolled
    touch()
    expected = np.zeros((64, 64), dtype=bool)
    expected[20:36, 10:30] = True
    expect(brush.get_by_role("status")).to_have_text("7.8% of the photo may change.")
    expect(page).to_have_url(re.compile(rf"painted={re.escape(written(expected))}(&|$)"))
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()  # the page has been drawn for it
    lab.idle()

    touch((40.5, 40.5), begins=True)
    touch((45.5, 45.5))
    touch((45.5, 45.5), (55.5, 45.5), begins=True)
    touch((40.5, 45.5), (60.5, 45.5))
    touch()
    expect(page.get_by_role("toolbar", name="Zoom")).to_contain_text("× 2.0")
    expect(brush.get_by_role("status")).to_have_text("7.8% of the photo may change.")
