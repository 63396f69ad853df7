"""A show on stage, and what is taken from the lab to be shown elsewhere, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect

from tests.browser.looks import assert_nothing_sticks_out

if TYPE_CHECKING:
    from tests.browser.conftest import Visit


def test_a_show_is_stepped_through_by_keys_and_arrow_keys_go_through_a_lecture(visit: Callable[..., Visit]) -> None:
    opened = visit("/present")
    page = opened.page
    page.get_by_role("button", name="Start the show").click()
    heading = page.get_by_role("heading", level=1)
    expect(page.get_by_text("(1 of 4)")).to_be_visible()
    expect(page.get_by_role("link", name="Runs", exact=True)).to_be_hidden()
    opened.idle()
    page.keyboard.press("PageDown")
    expect(heading).to_have_text("Mahalanobis against Euclid")
    opened.idle()
    page.keyboard.press("PageDown")
    expect(heading).to_have_text("Why does the ellipse matter?")
    opened.idle()
    page.keyboard.press("ArrowRight")
    expect(heading).to_have_text("How does the attack get there?")
    opened.idle()
    page.get_by_role("slider", name="Update").press("ArrowLeft")  # a widget's own keys stay its own
    opened.idle()
    expect(heading).to_have_text("How does the attack get there?")
    assert_nothing_sticks_out(page)
    page.get_by_role("button", name="Full screen").click()
    page.wait_for_function("document.fullscreenElement !== null")
    page.keyboard.press("PageUp")
    expect(heading).to_have_text("Mahalanobis against Euclid")
    page.evaluate("document.exitFullscreen()")
    page.get_by_role("button", name="End the show").click()
    expect(page.get_by_role("link", name="Runs", exact=True)).to_be_visible()


def test_the_moving_report_plays_from_a_file_without_a_server(visit: Callable[..., Visit], tmp_path: Path) -> None:
    page: Page = visit("/").page
    page.get_by_text("Share what moves").click()
    with page.expect_download() as begun:
        page.get_by_role("button", name="Moving report").click()
    file = tmp_path / "report.html"
    begun.value.save_as(file)
    context = page.context.browser.new_context(offline=True)  # type: ignore[union-attr]
    alone, wrong = context.new_page(), []
    alone.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    alone.on("pageerror", lambda error: wrong.append(str(error)))
    alone.goto(file.as_uri())
    reading = alone.get_by_text("Reads as cat. L2 0.000.")
    expect(alone.get_by_role("button", name="Play")).to_be_visible()
    alone.get_by_role("button", name="First update").click()
    expect(reading).to_be_visible()
    assert wrong == []
    context.close()
