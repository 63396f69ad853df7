"""Painting where a picture may change: by mouse and by keyboard, into the address and back."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import numpy as np
from playwright.sync_api import expect

from lab.stencil import PRESETS, read, written
from tests.browser.looks import assert_nothing_sticks_out

if TYPE_CHECKING:
    from tests.browser.conftest import Lab


def test_what_is_painted_is_in_the_address_and_comes_back(open_lab: Callable[..., Lab]) -> None:
    page = open_lab().ready().page
    page.get_by_text("What may change").click()
    page.get_by_role("radio", name="Painted").click()
    expect(page.get_by_text("Nothing is painted: nothing could change.")).to_be_visible()
    brush = page.get_by_role("group", name="What may change, painted")
    board, said = brush.get_by_role("application"), brush.get_by_role("status")

    def painted() -> np.ndarray:
        expect(page).to_have_url(re.compile("painted="))
        return read(parse_qs(urlsplit(page.url).query)["painted"][0])

    board.scroll_into_view_if_needed()
    box = board.bounding_box()
    assert box is not None
    cell = box["width"] / 64
    brush.get_by_role("radio", name="Rectangle").check()
    page.mouse.move(box["x"] + 10.5 * cell, box["y"] + 20.5 * cell)
    page.mouse.down()
    page.mouse.move(box["x"] + 29.5 * cell, box["y"] + 35.5 * cell, steps=4)
    page.mouse.up()
    expect(said).to_have_text("7.8% of the picture may change.")
    expected = np.zeros((64, 64), dtype=bool)
    expected[20:36, 10:30] = True
    np.testing.assert_array_equal(painted(), expected)
    assert_nothing_sticks_out(page)

    brush.get_by_role("radio", name="Eraser").check()
    board.press("Shift+ArrowLeft")
    board.press(" ")
    expect(said).to_have_text("6.8% of the picture may change.")  # 8 x 5 cells less
    brush.get_by_role("button", name="Undo").click()
    expect(said).to_have_text("7.8% of the picture may change.")
    brush.get_by_role("button", name="Sticker").click()
    expect(page).to_have_url(re.compile(re.escape(f"painted={written(PRESETS['Sticker'])}")))
    again = open_lab(urlsplit(page.url).query).page
    again.get_by_text("What may change").click()
    expect(again.get_by_role("group", name="What may change, painted").get_by_role("status")).to_have_text(
        said.inner_text()
    )
