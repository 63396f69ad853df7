"""What a page says to strangers when it breaks, and what it makes of file names that are markup."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import Browser, expect

from bench.browsing import ROOT, serving
from tests.browser.test_uploads import encoded, sample

if TYPE_CHECKING:
    from tests.browser.conftest import Lab

BREAKS = """
import streamlit as st

def secret_function():
    raise RuntimeError("secret words")

st.title("Breaks")
secret_function()
"""
MARKUP = '<img src=x onerror="window.owned = 1">.png'


def test_a_page_that_breaks_shows_neither_code_nor_paths_nor_the_error_itself(browser: Browser, tmp_path: Path) -> None:
    script, log = tmp_path / "breaks.py", tmp_path / "log.txt"
    script.write_text(BREAKS)
    with serving(log, script=str(script)) as server:
        page = browser.new_page()
        page.goto(server.address)
        expect(page.get_by_test_id("stException")).to_be_visible()
        shown = page.content()
        page.close()
    for secret in ("secret", "RuntimeError", "Traceback", "breaks.py", str(tmp_path), str(ROOT)):
        assert secret not in shown
    assert "RuntimeError: secret words" in log.read_text()  # where whoever runs the server looks


def test_a_file_name_that_is_markup_stays_text(lab: Lab) -> None:
    photo = encoded(sample("rocket").resize((64, 64)), "PNG")
    lab.page.locator("input[type=file]").first.set_input_files(
        {"name": MARKUP, "mimeType": "image/png", "buffer": photo}
    )
    expect(lab.thumbnail("yours")).to_be_visible()
    expect(lab.page.get_by_role("button", name=f"Remove {MARKUP}")).to_be_visible()
    lab.idle()
    assert lab.page.evaluate("window.owned") is None
    assert lab.page.locator("img[src=x]").count() == 0
