"""One tab on a desk and on a phone, in both colour schemes, without being loaded anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from playwright.sync_api import Page, TimeoutError, expect

WIDTHS = (1440, 380)
SCHEMES: tuple[Any, ...] = ("light", "dark")
LAID_OUT = 5_000
"""Milliseconds that charts may take to follow the window."""
BEYOND = """[document.scrollingElement, document.querySelector('[data-testid="stMain"]')]
    .map(part => Math.max(0, part.scrollWidth - part.clientWidth))"""
"""Pixels by which the page, and its scrolling part, are wider than what is seen of them."""


def looks(page: Page, widths: Sequence[int] = WIDTHS) -> Iterator[tuple[int, str]]:
    """Width and colour scheme, once the page has both."""
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            wear(page, scheme)
            yield width, scheme


def wear(page: Page, scheme: Any) -> None:
    """The device asks for another colour scheme."""
    page.emulate_media(color_scheme=scheme)
    expect(page.get_by_test_id("stApp")).to_have_css("color-scheme", scheme)


def assert_nothing_sticks_out(page: Page) -> None:
    with suppress(TimeoutError):
        page.wait_for_function(f"{BEYOND}.every(pixels => pixels === 0)", timeout=LAID_OUT)
    assert page.evaluate(BEYOND) == [0, 0]


def brightness(page: Page) -> float:
    """Of the background, from 0 to 1."""
    colour = page.evaluate("() => getComputedStyle(document.querySelector('[data-testid=\"stApp\"]')).backgroundColor")
    channels = [float(part) for part in colour.split("(")[1].rstrip(")").split(",")[:3]]
    return sum(channels) / 3 / 255


def assert_fits(page: Page, widths: Sequence[int] = WIDTHS) -> None:
    """In every width and scheme nothing sticks out, and the background is as light or dark as was asked for."""
    for _, scheme in looks(page, widths):
        assert_nothing_sticks_out(page)
        assert (brightness(page) > 0.5) == (scheme == "light")
