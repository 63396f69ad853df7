"""Attacks by clicks and keys, from the first visit to the downloaded files.

What is slow here has a twin in tests/pages/attack_lab, which asks the same of the page without a browser.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from lab.photos.samples import samples
from models.registry import DEFAULT, MODELS

if TYPE_CHECKING:
    from tests.browser.conftest import Lab, Sight

CODE = "cifar10-ecoc16"


@pytest.mark.slow
def test_an_attack_adds_one_label_to_several(lab: Lab, sight: Callable[..., Sight]) -> None:
    cars, labels = sight("cars"), MODELS[DEFAULT].encoding.labels
    lab.photo("cars", cars.reads)
    before, proposed = set(cars.reads.split(", ")), set(cars.wanted.split(", "))
    (gone,), (new,) = before - proposed, proposed - before
    lab.label(gone).click()
    expect(lab.page.get_by_text(f"Flips 1 of 24: add {new}.")).to_be_visible()
    lab.button("Run").click()
    wanted = ", ".join(label for label in labels if label in before | {new})
    expect(lab.success).to_contain_text(f"The result reads as {wanted}")

    np.testing.assert_array_equal(lab.picture(f"Original: {cars.reads}"), cars.picture)


@pytest.mark.slow
def test_a_small_picture_is_attacked_by_one_click_and_shown_pixel_by_pixel(
    lab: Lab, sight: Callable[..., Sight]
) -> None:
    cat = sight("cat", CODE)
    assert cat.picture.shape == (32, 32, 3)
    lab.model(CODE).reads_as(cat.reads)
    original = lab.picture(f"Original: {cat.reads}")
    np.testing.assert_array_equal(original, cat.picture)
    expect(lab.figure("Original:")).to_have_css("image-rendering", "pixelated")
    box = lab.figure("Original:").bounding_box()
    assert box is not None
    assert box["width"] > 200
    lab.button("Run").click()
    expect(lab.success).to_contain_text(f"The result reads as {cat.wanted}")
    attacked = lab.picture(f"Attacked: {cat.wanted}")
    assert attacked.shape == original.shape
    assert not np.array_equal(attacked, original)
    png = Image.open(io.BytesIO(lab.download("Picture (PNG)")))
    assert png.size == (32, 32)  # as large as the network's picture
    assert sight(png, CODE).reads == cat.wanted


@pytest.mark.slow
def test_a_photo_keeps_its_size_and_its_saved_file_is_read_as_wanted(lab: Lab, sight: Callable[..., Sight]) -> None:
    bridge = sight("bridge")
    size = next(photo.image.size for photo in samples("photos").values() if photo.name.startswith("bridge"))
    assert size != (224, 224)
    lab.photo("bridge", bridge.reads)
    lab.page.get_by_text("What may change").click()
    lab.page.get_by_text("Attack the photo at its own size").click()
    expect(lab.page.get_by_text(f"{size[0]} x {size[1]} pixels.")).to_be_visible()
    lab.button("Run").click()
    expect(lab.success).to_contain_text(f"The result reads as {bridge.wanted}")
    png = Image.open(io.BytesIO(lab.download("Picture (PNG)")))
    assert png.size == size
    assert sight(png).reads == bridge.wanted


@pytest.mark.slow
def test_another_model_brings_its_own_photos_and_the_photo_before_comes_back(
    lab: Lab, sight: Callable[..., Sight]
) -> None:
    bridge, cat = sight("bridge"), sight("cat", CODE)
    lab.photo("bridge", bridge.reads)
    lab.model(CODE).reads_as(cat.reads)
    for photo in samples("cifar10").values():
        expect(lab.thumbnail(photo.name.rpartition(".")[0])).to_be_visible()
    expect(lab.thumbnail("bridge")).to_have_count(0)
    lab.model(DEFAULT).reads_as(bridge.reads)
    np.testing.assert_array_equal(lab.picture(f"Original: {bridge.reads}"), bridge.picture)
    expect(lab.thumbnail("frog")).to_have_count(0)


CLICK_ON_STATUE = """
([seen, delay]) => {
    const text = element => element.textContent.trim()
    let clicked = false
    new MutationObserver(() => {
        const statue = [...document.querySelectorAll("button")].find(button => text(button) === "statue")
        const there = [...document.querySelectorAll("label, p")].some(element => text(element) === seen)
        if (statue && there && !clicked) {
            clicked = true
            setTimeout(() => statue.click(), delay)
        }
    }).observe(document, { childList: true, subtree: true })
}
"""


LABELS, SETTINGS = "Wanted labels", "Attack settings"
MORE = (pytest.param(*more, marks=pytest.mark.slow) for more in ((SETTINGS, 6), (LABELS, 9), (LABELS, 3)))


@pytest.mark.parametrize(("seen", "delay"), [(SETTINGS, 0), (LABELS, 6), *MORE])
def test_a_click_while_the_page_is_still_drawn_leaves_the_settings_alone(
    seen: str, delay: int, open_lab: Callable[..., Lab], sight: Callable[..., Sight]
) -> None:
    """Streamlit drops what it has not sent yet; a widget that loses its value so must keep what the address has set.

    So many milliseconds after that was seen: one of them hits the moment when the settings are drawn.
    """
    statue = sight("statue")
    page = open_lab(
        "attack=boxed&max_iter=150&step=0.5&seconds=200",
        prepare=lambda page: page.add_init_script(f"({CLICK_ON_STATUE})({json.dumps([seen, delay])})"),
    ).page
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{statue.reads} → {statue.wanted}")
    page.get_by_text("Attack settings", exact=True).click()
    expect(page.get_by_role("spinbutton", name="Most iterations")).to_have_value("150")
    expect(page.get_by_role("spinbutton", name="Most seconds")).to_have_value("200.00")
    expect(page.get_by_role("spinbutton", name="Step length ε")).to_have_value("0.5")
