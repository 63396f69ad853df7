"""Both colour schemes on a desk and on a phone: nothing sticks out, nothing is broken."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page, TimeoutError, expect

from lab.archive import unpack
from lab.store import store
from models.registry import ASSETS, MODELS
from tests.browser.looks import LAID_OUT, SCHEMES, WIDTHS, assert_fits, assert_nothing_sticks_out, looks, wear
from ui.parts.lessons import lessons

if TYPE_CHECKING:
    from tests.browser.conftest import Lab, Sight, Visit

PROJECTOR: Any = {"width": 1024, "height": 768}
CONTRASTS = """() => {
    const channels = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((each) => each / 255);
    const linear = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const light = (colour) => {
        const [red, green, blue] = channels(colour).map(linear);
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05;
    };
    const page = document.querySelector('[data-testid="stApp"]');
    const ground = light(getComputedStyle(page).backgroundColor);
    const texts = [...page.querySelectorAll(".js-plotly-plot .main-svg text")];
    const lights = texts.filter((each) => each.textContent.trim()).map((each) => light(getComputedStyle(each).fill));
    return lights.map((each) => Math.max(each, ground) / Math.min(each, ground));
}"""
"""Of the texts of charts to the page's background, as WCAG has it."""


def assert_charts_can_be_read(page: Page) -> None:
    expect(page.locator(".js-plotly-plot .xtitle")).not_to_have_count(0)
    expect(page.locator(".js-plotly-plot .ytick").first).to_be_visible()
    for scheme in SCHEMES:
        wear(page, scheme)
        with suppress(TimeoutError):
            page.wait_for_function(f"Math.min(...({CONTRASTS})()) >= 4.5", timeout=LAID_OUT)
        assert min(page.evaluate(CONTRASTS)) >= 4.5


def test_the_lab_fits_in_every_width_and_scheme_and_its_charts_can_be_read(
    open_lab: Callable[..., Lab], example: Sight
) -> None:
    page = open_lab().page
    expect(page.get_by_text(f"Attacked: {example.wanted}")).to_be_visible()
    expect(page.get_by_role("heading", name="Take it with you")).to_be_visible()
    expect(page.get_by_text("JPEG, quality 90")).to_be_visible()
    for tab, question, answer in (
        ("Saliency", "Show where it looks", "Attacked: Grad-CAM"),
        ("Survival", "Try 17 transformations", "of 17 transformations the attacked picture is read as wanted"),
    ):
        page.get_by_role("tab", name=tab).click()
        page.get_by_role("button", name=question).click()
        expect(page.get_by_text(answer).first).to_be_visible()
    page.get_by_role("heading", level=1).evaluate("heading => heading.scrollIntoView({block: 'end'})")
    assert_fits(page)
    for width, _ in looks(page):
        pictures = page.get_by_role("figure").get_by_role("img").all()
        assert len(pictures) == 3
        for picture in pictures:
            box = picture.bounding_box()
            assert box is not None
            assert 0 <= box["x"] < box["x"] + box["width"] <= width
    page.set_viewport_size(PROJECTOR)
    for caption in (f"Original: {example.reads}", f"Attacked: {example.wanted}"):
        box = page.get_by_role("figure").filter(has_text=caption).get_by_role("img").bounding_box()
        assert box is not None
        assert box["width"] >= 300
    bars = page.get_by_role("list", name="Labels asked for").get_by_role("listitem")
    expect(bars).to_have_count(5)
    assert [bars.nth(i).inner_text().split("\n")[0] for i in range(2)] == [f"+ {example.wanted}", f"− {example.reads}"]
    for bar in bars.all():
        expect(bar).to_be_in_viewport(ratio=1)
    page.set_viewport_size({"width": 1440, "height": 900})
    assert_charts_can_be_read(page)
    page.get_by_role("img", name="The photo bridge.jpg").click(force=True)  # its button lies over it
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"^bridge → "))


def test_the_models_fit_in_every_width_and_scheme(visit: Callable[..., Visit]) -> None:
    page = visit("/models").page
    expect(page.get_by_role("button", name="Open in the lab")).to_have_count(len(MODELS))
    page.get_by_text("All 1000 labels").first.click()
    expect(page.get_by_text("tiger cat").first).to_be_visible()
    assert_fits(page)


def test_the_geometry_fits_in_every_width_and_scheme_and_its_charts_can_be_read(visit: Callable[..., Visit]) -> None:
    page = visit("/geometry").page
    expect(page.get_by_text("The nearest point is not the cheapest.")).to_be_visible()
    expect(page.get_by_text("The logits in numbers")).to_be_visible()
    expect(page.locator(".js-plotly-plot .scatterlayer").first).to_be_visible()
    assert_fits(page)
    page.set_viewport_size({"width": 1440, "height": 900})
    assert_charts_can_be_read(page)


@pytest.fixture
def two_runs() -> Iterator[None]:
    """The example, stored twice in the data folder that the servers share with the tests."""
    request, result = unpack((ASSETS / "example.npz").read_bytes())
    before = {row.id for row in store().rows()}
    for _ in range(2):
        store().add(MODELS[request.model], request, result)
    yield
    for row in store().rows():
        if row.id not in before:
            store().delete(row.id)


def test_the_runs_fit_in_every_width_and_scheme(two_runs: None, visit: Callable[..., Visit]) -> None:
    opened = visit("/runs")
    page = opened.page
    opened.idle()
    page.get_by_role("button", name="Compare").nth(0).click()
    expect(page.get_by_text("This run is chosen.")).to_be_visible()
    opened.idle()
    assert_fits(page)
    opened.idle()
    page.get_by_role("button", name="Compare").nth(1).click()
    expect(page.get_by_text("B, perturbation: ×")).to_be_visible()
    expect(page.locator(".js-plotly-plot .scatterlayer")).to_have_count(2)
    assert_fits(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Comparison")).to_have_count(0)
    page.get_by_role("button", name="Delete", exact=True).first.click()
    expect(page.get_by_text("Delete this run for good?")).to_be_visible()
    assert_fits(page)


@pytest.mark.slow
def test_the_lecture_fits_in_every_width_and_scheme(visit: Callable[..., Visit]) -> None:
    page = visit("/learn").page
    for number, lesson in enumerate(lessons(), start=1):
        expect(page.get_by_role("heading", level=1)).to_have_text(lesson.question)
        expect(page.locator(".js-plotly-plot .main-svg, .plane > svg").first).to_be_visible()
        assert_fits(page)
        if number < len(lessons()):
            page.get_by_role("button", name="Next").click()


def test_on_a_phone_the_controls_open_beside_the_page_and_an_attack_succeeds(
    open_lab: Callable[..., Lab], sight: Callable[..., Sight]
) -> None:
    lab, bridge = open_lab(width=380), sight("bridge")
    expect(lab.page.get_by_text("JPEG, quality 90")).to_be_visible()
    lab.page.get_by_role("button", name="Expand sidebar").click()
    lab.photo("bridge", bridge.reads)
    assert_nothing_sticks_out(lab.page)
    lab.page.get_by_role("button", name="Collapse sidebar").click()
    lab.button("Run").click()
    expect(lab.success).to_contain_text(f"The result reads as {bridge.wanted}")
    assert_nothing_sticks_out(lab.page)


def test_a_link_of_the_navigation_shows_that_it_has_the_keyboard(visit: Callable[..., Visit]) -> None:
    page = visit("/runs", width=min(WIDTHS)).page
    page.get_by_test_id("stExpandSidebarButton").click()
    link = page.get_by_role("link", name="Compare", exact=True)
    for width in sorted(WIDTHS):
        page.set_viewport_size({"width": width, "height": 900})
        page.get_by_role("link", name="Attack lab", exact=True).focus()
        expect(link).not_to_have_css("outline-style", "solid")
        page.keyboard.press("Tab")
        expect(link).to_be_focused()
        expect(link).to_have_css("outline-style", "solid")
