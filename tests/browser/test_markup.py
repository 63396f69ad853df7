"""Foreign text is seen letter for letter, whatever Streamlit or Plotly would make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, expect

from lab.markup import LONGEST
from tests.browser.conftest import serving
from tests.browser.hostile_page import HOSTILE, SINGLE, TOGETHER

if TYPE_CHECKING:
    from tests.browser.conftest import Visit

pytestmark = pytest.mark.xdist_group("markup")  # its server is started once
ACTS = "a[href], del, code, .katex, [class*=stMarkdownC], [class*=stMarkdownB], [role=img][translate=no]"
"""What foreign text must not become."""
OPTIONS = {
    "pills": "button p",
    "segments": "button p",
    "radio": "[role=radiogroup] label p",
    "multiselect": "[data-tag]",
    "table": "tbody td",
    "legend": ".legendtext",
}


@pytest.fixture(scope="module")
def hostile_server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of tests/browser/hostile_page.py."""
    log = tmp_path_factory.mktemp("hostile") / "log.txt"
    with serving(log, script="tests/browser/hostile_page.py") as server:
        yield server.address
    assert "Traceback" not in log.read_text(), log.read_text()


def test_text_is_seen_as_it_is(hostile_server: str, visit: Callable[..., Visit]) -> None:
    page = visit("/?show=single", host=hostile_server).page
    expect(page.locator("[class*=st-key-text-]")).to_have_count(len(HOSTILE) * len(SINGLE))
    for widget in SINGLE:
        shown = page.locator(f".st-key-shown-{widget}")
        if widget == "selectbox":
            expect(shown.locator("input").last).to_have_value(HOSTILE[-1])
            assert shown.locator("input").evaluate_all("all => all.map(each => each.value)") == list(HOSTILE)
            continue
        places = shown.locator("[class*=st-key-text-]")
        expect(places.last).to_contain_text(HOSTILE[-1])
        for text, seen in zip(HOSTILE, places.all_inner_texts(), strict=True):
            expected = f"“{text[:LONGEST]}{'…' * (len(text) > LONGEST)}”" if widget == "quoted" else text
            assert expected in [seen.strip(), *map(str.strip, seen.splitlines())], widget
        expect(shown.locator(ACTS)).to_have_count(0)


def test_options_rows_and_curves_are_seen_as_they_are(hostile_server: str, visit: Callable[..., Visit]) -> None:
    page = visit("/?show=together", host=hostile_server).page
    for widget in TOGETHER:
        shown = page.locator(f".st-key-shown-{widget}")
        expect(shown.locator(OPTIONS[widget])).to_have_text(list(HOSTILE))
        expect(shown.locator(ACTS)).to_have_count(0)
    expect(page.locator(".annotation-text")).to_have_text(list(HOSTILE))
    assert set(HOSTILE) <= {text.strip() for text in page.locator(".ytick text").all_text_contents()}
