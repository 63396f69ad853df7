"""Every page by its address, as the first thing that a server is asked for; and what the pages ask of other hosts."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from models.registry import MODELS

if TYPE_CHECKING:
    from tests.browser.conftest import Lab, Sight, Visit

PAGES = {
    "/": "cat → flowers",
    "/compare": "Compare",
    "/photos": "Many photos",
    "/benchmark": "Benchmark",
    "/geometry": "Mahalanobis against Euclid",
    "/learn": "What is a logit?",
    "/learn?step=4": "Why does the ellipse matter?",
    "/runs": "Runs",
    "/models": "Models",
}
NAMES = ["Attack lab", "Compare", "Many photos", "Benchmark", "Geometry", "Learn", "Present", "Runs", "Models"]

OFTEN = ("/", "/learn?step=4", "/runs")


@pytest.mark.parametrize(
    "path", [path if path in OFTEN else pytest.param(path, marks=pytest.mark.slow) for path in PAGES]
)
def test_a_deep_link_to_a_cold_server_gives_the_page_in_its_frame(
    path: str, cold_server: str, visit: Callable[..., Visit], example: Sight
) -> None:
    begun = time.perf_counter()
    page = visit(path, host=cold_server).page
    expect(page.get_by_role("heading", level=1)).to_have_text(PAGES[path])
    print(f"{path}: heading after {time.perf_counter() - begun:.1f} s")
    navigation = page.get_by_role("navigation", name="App pages")
    for title in NAMES:
        expect(navigation.get_by_role("link", name=title)).to_be_visible()
    expect(page).to_have_title("JMA Lab")
    expect(page.get_by_role("dialog")).to_have_count(0, timeout=5_000)  # "Page not found", say
    if path == "/":
        picture = page.get_by_role("figure").filter(has_text="Original:").get_by_role("img")
        expect(picture).to_be_visible()
        print(f"{path}: picture after {time.perf_counter() - begun:.1f} s")
        expect(page.get_by_text(f"Attacked: {example.wanted}", exact=True)).to_be_visible()


SIGNS = "gtsrb-onehot"
CHOICE = f"model={SIGNS}&photo=no_entry&want=stop&step=0.5&kappa=0.5"


def address(lab: Lab, query: str) -> None:
    """Wait until the address is the lab's, with a query."""
    expect(lab.page).to_have_url(re.compile(rf"^http://[^/]+/{re.escape('?' * bool(query) + query)}$"))


def test_an_address_restores_a_choice_that_can_be_attacked_and_outlives_a_reload(open_lab: Callable[..., Lab]) -> None:
    lab = open_lab(query=CHOICE).reads_as("no entry").ready()
    address(lab, CHOICE)
    lab.page.reload()
    lab.reads_as("no entry").ready()
    address(lab, CHOICE)
    expect(lab.page.get_by_role("combobox", name="Model")).to_have_value(MODELS[SIGNS].title)
    expect(lab.page.get_by_role("combobox", name="Wanted class")).to_have_value("stop")
    lab.button("Run").click()
    expect(lab.success).to_contain_text("The result reads as stop")


def test_the_address_follows_each_click_and_the_way_back_from_a_page_has_the_choice(
    lab: Lab, sight: Callable[..., Sight]
) -> None:
    address(lab, "")
    before = lab.page.evaluate("history.length")
    lab.photo("bridge", sight("bridge").reads)
    lab.label("snow").click()
    lab.label("cars").click()
    wanted = re.compile(r"\?photo=bridge(&want=\w+)*&want=snow(&want=\w+)*&want=cars")
    expect(lab.page).to_have_url(wanted)
    chosen = lab.page.url
    assert lab.page.evaluate("history.length") == before
    lab.page.get_by_role("link", name="Models").click()
    expect(lab.page.get_by_role("heading", level=1)).to_have_text("Models")
    expect(lab.page).to_have_url(re.compile("/models$"))
    lab.page.go_back()
    lab.reads_as("bridge").ready()
    expect(lab.label("snow")).to_have_attribute("aria-pressed", "true")
    expect(lab.page).to_have_url(chosen)
    lab.label("flowers").focus()
    lab.page.keyboard.press("ArrowRight")
    expect(lab.label("snow")).to_be_focused()
    lab.page.keyboard.press("Enter")
    expect(lab.page).not_to_have_url(wanted)
    lab.page.get_by_role("link", name="Models").click()
    expect(lab.page).to_have_url(re.compile("/models$"))
    lab.page.get_by_role("link", name="Attack lab").click()
    expect(lab.label("snow")).to_have_attribute("aria-pressed", "mixed")
    expect(lab.label("cars")).to_have_attribute("aria-pressed", "true")


def test_an_address_that_makes_no_sense_is_explained(open_lab: Callable[..., Lab], example: Sight) -> None:
    lab = open_lab(query="model=%00%ff&photo=..%2F..%2Fetc%2Fpasswd&want=&step=-4&%3Cb%3E=1").ready()
    said = lab.page.get_by_role("alert").filter(has_text="Not everything that the address asks for can be shown.")
    for words in (
        "one of scenes, ",
        "Its photo and its labels are left out",
        "step is “-4”, where",
        "“<b>”: this page has",
    ):
        expect(said).to_contain_text(words)
    lab.reads_as(example.reads)
    address(lab, "")
    lab.button("Dismiss").click()
    expect(said).to_have_count(0)


def test_two_tabs_keep_to_their_own_addresses(open_lab: Callable[..., Lab], sight: Callable[..., Sight]) -> None:
    one, two = open_lab(query="photo=bridge&want=snow"), open_lab(query="photo=cars&want=bus")
    one.reads_as(sight("bridge").reads).ready()
    two.reads_as(sight("cars").reads).ready()
    one.label("cat").click()
    address(one, "photo=bridge&want=snow&want=cat")
    two.label("sun").click()
    address(two, "photo=cars&want=sun&want=bus")
    expect(one.label("bus")).to_have_attribute("aria-pressed", "false")
    address(one, "photo=bridge&want=snow&want=cat")


def test_no_page_asks_another_host_for_anything(lab: Lab) -> None:
    lab.page.get_by_role("link", name="Models").click()
    expect(lab.page.get_by_role("heading", level=1)).to_have_text("Models")
    lab.page.get_by_text("All 1000 labels").first.click()
    expect(lab.page.get_by_text("tiger cat").first).to_be_visible()
    lab.page.get_by_text("Codebook, 16 bits").first.click()
    expect(lab.page.locator(".js-plotly-plot").first).to_be_visible()
    lab.page.get_by_role("tab", name="From a file").click()
    expect(lab.page.get_by_role("region", name="Weights")).to_be_visible()
    assert lab.visit.abroad == []
