"""The list of stored runs: what a click does is seen from where it was done."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from lab.archive import unpack
from lab.store import store
from models.registry import ASSETS, MODELS

if TYPE_CHECKING:
    from tests.browser.conftest import Visit


@pytest.fixture
def many_runs() -> Iterator[None]:
    """More than fit on the screen."""
    before = {row.id for row in store().rows()}
    request, result = unpack((ASSETS / "example.npz").read_bytes())
    for _ in range(12):
        store().add(MODELS[request.model], request, result)
    yield
    for row in store().rows():
        if row.id not in before:
            store().delete(row.id)


def test_the_comparison_is_seen_from_wherever_the_second_run_is_chosen(
    many_runs: None, visit: Callable[..., Visit]
) -> None:
    opened = visit("/runs")
    page, compare = opened.page, opened.page.get_by_role("button", name="Compare")
    comparison = page.get_by_role("dialog", name="Comparison")
    for width in (1280, 380):
        page.set_viewport_size({"width": width, "height": 900})
        opened.idle()
        compare.nth(10).click()
        expect(page.get_by_text("This run is chosen.")).to_be_in_viewport()
        opened.idle()
        compare.nth(8).click()
        expect(comparison.get_by_text("Comparison", exact=True)).to_be_in_viewport()
        expect(comparison.get_by_role("heading", name="A: ")).to_be_in_viewport()
        expect(comparison.get_by_text(re.compile(r"^update (\d+) of \1$"))).to_have_count(2)
        comparison.get_by_role("button", name="Close").click()
        expect(comparison).to_have_count(0)
    opened.idle()
    compare.nth(8).click()
    expect(page.get_by_text("This run is chosen.")).to_be_visible()
    expect(comparison).to_have_count(0)
