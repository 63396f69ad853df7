"""The lecture in a real browser: its steps are entries of the browser's history.

What is slow here has a twin in tests/pages/test_learn.py, which asks the same of the page without a browser.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from ui.parts.lessons import lessons

if TYPE_CHECKING:
    from tests.browser.conftest import Visit


def at(page: Page, number: int) -> None:
    """Wait until the page shows a step, and its address names it."""
    expect(page.get_by_role("heading", level=1)).to_have_text(lessons()[number - 1].question)
    assert page.evaluate("location.search") == f"?step={number}"


def click(page: Page, name: str) -> None:
    page.get_by_role("button", name=re.compile(f"^{name}")).click()  # its key is told behind it


def test_back_and_forward_go_one_step_and_a_reload_stays(visit: Callable[..., Visit]) -> None:
    opened = visit("/")
    page = opened.page
    page.get_by_role("link", name="Learn").click()
    page.wait_for_url("**/learn?step=1")
    before = page.evaluate("history.length")
    for number in (2, 3, 4):  # the third asks the network, and is redrawn when that answers
        click(page, "Next")
        at(page, number)
    click(page, "2 Target")
    at(page, 2)
    assert page.evaluate("history.length") == before + 4
    for go, number in ((page.go_back, 4), (page.go_back, 3), (page.go_forward, 4), (page.go_back, 3)):
        go()
        at(page, number)
    page.reload()
    at(page, 3)
    opened.idle()
    for number in (2, 1):
        page.go_back()
        at(page, number)
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_contain_text(" → ")


@pytest.mark.slow
def test_a_step_s_own_widgets_make_no_entries_and_the_way_back_from_a_page_has_the_step(
    visit: Callable[..., Visit],
) -> None:
    opened = visit("/learn?step=5")
    page = opened.page
    before = page.evaluate("history.length")
    page.get_by_role("slider", name="Update").press("Home")
    expect(page.get_by_text("Update 0 reads as")).to_be_visible()
    at(page, 5)
    assert page.evaluate("history.length") == before
    page.get_by_role("link", name="Models").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Models")
    page.get_by_role("link", name="Learn").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(lessons()[4].question)
    page.wait_for_url("**/learn?step=5")
    click(page, "Back")
    at(page, 4)


@pytest.mark.slow
def test_a_step_that_there_is_not_is_explained_until_another_is_chosen(visit: Callable[..., Visit]) -> None:
    page, last = visit("/learn?step=99").page, len(lessons())
    at_last = page.get_by_role("alert").filter(has_text=f"step is “99”, where a number from 1 to {last} was expected")
    expect(at_last).to_contain_text(f"The page shows {last}.")
    click(page, "Back")
    at(page, last - 1)
    expect(at_last).to_have_count(0)
