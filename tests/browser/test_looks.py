"""Both colour schemes on a desk and on a phone: nothing sticks out, nothing is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from models.registry import ASSETS, MODELS
from ui.archive import unpack
from ui.lessons import LESSONS
from ui.store import store

if TYPE_CHECKING:
    from tests.browser.conftest import Lab, Sight, Visit

WIDTHS = [1440, 380]
SCHEMES = ["light", "dark"]


def sticks_out(page: Page) -> list[int]:
    """Pixels by which the page, and its scrolling part, are wider than what is seen of them."""
    return page.evaluate(
        """() => [document.scrollingElement, document.querySelector('[data-testid="stMain"]')]
               .map(part => Math.max(0, part.scrollWidth - part.clientWidth))"""
    )


def brightness(page: Page) -> float:
    """Of the background, from 0 to 1."""
    colour = page.evaluate("() => getComputedStyle(document.querySelector('[data-testid=\"stApp\"]')).backgroundColor")
    channels = [float(part) for part in colour.split("(")[1].rstrip(")").split(",")[:3]]
    return sum(channels) / 3 / 255


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_lab_fits_in_every_width_and_scheme(
    width: int, scheme: str, open_lab: Callable[..., Lab], example: Sight
) -> None:
    page = open_lab(width=width, scheme=scheme).page
    expect(page.get_by_text(f"Attacked: {example.wanted}")).to_be_visible()
    expect(page.get_by_role("heading", name="Take it with you")).to_be_visible()
    expect(page.get_by_text("JPEG, quality 90")).to_be_visible()
    assert sticks_out(page) == [0, 0]
    assert (brightness(page) > 0.5) == (scheme == "light")
    pictures = page.get_by_role("figure").get_by_role("img").all()
    assert len(pictures) == 3
    for picture in pictures:
        box = picture.bounding_box()
        assert box is not None
        assert 0 <= box["x"] < box["x"] + box["width"] <= width


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_models_fit_in_every_width_and_scheme(width: int, scheme: str, visit: Callable[..., Visit]) -> None:
    page = visit("/models", width=width, scheme=scheme).page
    expect(page.get_by_role("button", name="Open in the lab")).to_have_count(len(MODELS))
    page.get_by_text("All 1000 labels").click()
    expect(page.get_by_text("tiger cat").first).to_be_visible()
    assert sticks_out(page) == [0, 0]
    assert (brightness(page) > 0.5) == (scheme == "light")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_geometry_fits_in_every_width_and_scheme(width: int, scheme: str, visit: Callable[..., Visit]) -> None:
    page = visit("/geometry", width=width, scheme=scheme).page
    expect(page.get_by_text("The nearest point is not the cheapest.")).to_be_visible()
    expect(page.get_by_text("The logits in numbers")).to_be_visible()
    expect(page.locator(".js-plotly-plot .scatterlayer").first).to_be_visible()
    assert sticks_out(page) == [0, 0]
    assert (brightness(page) > 0.5) == (scheme == "light")


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


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_runs_fit_in_every_width_and_scheme(
    width: int, scheme: str, two_runs: None, visit: Callable[..., Visit]
) -> None:
    opened = visit("/runs", width=width, scheme=scheme)
    page = opened.page
    opened.idle()
    page.get_by_role("button", name="Compare").nth(0).click()
    expect(page.get_by_text("One run is chosen.")).to_be_visible()
    opened.idle()
    assert sticks_out(page) == [0, 0]
    page.get_by_role("button", name="Compare").nth(1).click()
    expect(page.get_by_text("B, perturbation: ×")).to_be_visible()
    expect(page.locator(".js-plotly-plot .scatterlayer")).to_have_count(2)
    page.get_by_role("button", name="Delete").first.click()
    expect(page.get_by_text("Delete this run for good?")).to_be_visible()
    assert sticks_out(page) == [0, 0]
    assert (brightness(page) > 0.5) == (scheme == "light")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_lecture_fits_in_every_width_and_scheme(width: int, scheme: str, visit: Callable[..., Visit]) -> None:
    page = visit("/learn", width=width, scheme=scheme).page
    for number, lesson in enumerate(LESSONS, start=1):
        expect(page.get_by_role("heading", level=1)).to_have_text(lesson.question)
        expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
        assert sticks_out(page) == [0, 0]
        assert (brightness(page) > 0.5) == (scheme == "light")
        if number < len(LESSONS):
            page.get_by_role("button", name="Next").click()


def test_on_a_phone_the_controls_open_beside_the_page_and_an_attack_succeeds(
    open_lab: Callable[..., Lab], sight: Callable[..., Sight]
) -> None:
    lab, bridge = open_lab(width=380), sight("bridge")
    expect(lab.page.get_by_text("JPEG, quality 90")).to_be_visible()
    lab.page.get_by_role("button", name="Expand sidebar").click()
    lab.photo("bridge", bridge.reads)
    assert sticks_out(lab.page) == [0, 0]
    lab.page.get_by_role("button", name="Collapse sidebar").click()
    lab.button("Run").click()
    expect(lab.success).to_contain_text(f"Reads as {bridge.wanted} now")
    assert sticks_out(lab.page) == [0, 0]
