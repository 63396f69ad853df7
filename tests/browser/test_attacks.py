"""Attacks by clicks and keys, from the first visit to the downloaded files."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from models.registry import DEFAULT, MODELS
from ui.archive import unpack
from ui.state import samples

if TYPE_CHECKING:
    from tests.browser.conftest import Lab, Sight

CODE = "cifar10-ecoc16"


def test_two_clicks_on_a_fresh_page_are_a_first_attack(lab: Lab, sight: Callable[..., Sight]) -> None:
    bridge = sight("bridge")
    lab.thumbnail("bridge").click()
    lab.button("Run").click()
    expect(lab.success).to_contain_text(f"Reads as {bridge.wanted} now")
    np.testing.assert_array_equal(lab.picture(f"Original: {bridge.reads}"), bridge.picture)
    change = lab.picture(f"Attacked: {bridge.wanted}").astype(int) - bridge.picture
    assert 1 <= np.abs(change).max() < 64
    assert lab.update() >= 2


def test_an_attack_on_several_labels_can_be_taken_home(lab: Lab, sight: Callable[..., Sight]) -> None:
    cars, labels = sight("cars"), MODELS[DEFAULT].labels
    lab.photo("cars", cars.reads)
    before, proposed = set(cars.reads.split(", ")), set(cars.wanted.split(", "))
    (gone,), (new,) = before - proposed, proposed - before
    lab.label(gone).click()
    expect(lab.page.get_by_text(f"Flips 1 of 24: add {new}.")).to_be_visible()
    lab.button("Run").click()
    wanted = ", ".join(label for label in labels if label in before | {new})
    expect(lab.success).to_contain_text(f"Reads as {wanted} now")

    attacked = lab.picture(f"Attacked: {wanted}")
    np.testing.assert_array_equal(lab.picture(f"Original: {cars.reads}"), cars.picture)

    png = Image.open(io.BytesIO(lab.download("Picture (PNG)")))
    assert (png.format, png.size, png.mode) == ("PNG", (224, 224), "RGB")
    assert sight(png).reads == wanted

    request, result = unpack(lab.download("Arrays (NPZ)"))
    assert request.model == DEFAULT
    assert 0 < result.distortion.l2 == pytest.approx(np.linalg.norm(result.image - result.original), rel=1e-4)
    np.testing.assert_array_equal(np.rint(result.image.transpose(1, 2, 0) * 255).astype(np.uint8), attacked)

    record = json.loads(lab.download("Record (JSON)"))
    assert record["success"] is True
    assert record["names"] == record["target_names"] == wanted
    assert record["weights_sha256"] == MODELS[DEFAULT].sha256
    assert {"torch", "timm", "numpy", "scipy"} <= set(record["versions"])
    for verdict in ("PNG, 8 bits:.*still read as wanted", "JPEG, quality 90:.*read as wanted when opened again"):
        expect(lab.page.get_by_text(re.compile(verdict))).to_be_visible()


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
    expect(lab.success).to_contain_text(f"Reads as {cat.wanted} now")
    attacked = lab.picture(f"Attacked: {cat.wanted}")
    assert attacked.shape == original.shape
    assert not np.array_equal(attacked, original)
    png = Image.open(io.BytesIO(lab.download("Picture (PNG)")))
    assert png.size == (32, 32)  # as large as the network's picture
    assert sight(png, CODE).reads == cat.wanted


def test_a_photo_keeps_its_size_and_its_saved_file_is_read_as_wanted(lab: Lab, sight: Callable[..., Sight]) -> None:
    bridge = sight("bridge")
    size = next(photo.image.size for photo in samples("photos").values() if photo.name.startswith("bridge"))
    assert size != (224, 224)
    lab.photo("bridge", bridge.reads)
    lab.page.get_by_text("What may change").click()
    lab.page.get_by_text("Attack the photo at its own size").click()
    expect(lab.page.get_by_text(f"{size[0]} x {size[1]} pixels.")).to_be_visible()
    lab.button("Run").click()
    expect(lab.success).to_contain_text(f"Reads as {bridge.wanted} now")
    png = Image.open(io.BytesIO(lab.download("Picture (PNG)")))
    assert png.size == size
    assert sight(png).reads == bridge.wanted


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


CLICK_ON_ROCKET = """
([seen, delay]) => {
    const text = element => element.textContent.trim()
    let clicked = false
    new MutationObserver(() => {
        const rocket = [...document.querySelectorAll("button")].find(button => text(button) === "rocket")
        const there = [...document.querySelectorAll("label, p")].some(element => text(element) === seen)
        if (rocket && there && !clicked) {
            clicked = true
            setTimeout(() => rocket.click(), delay)
        }
    }).observe(document, { childList: true, subtree: true })
}
"""


def test_a_click_while_the_page_is_still_drawn_leaves_the_settings_alone(lab: Lab, sight: Callable[..., Sight]) -> None:
    """Streamlit drops what it has not sent yet; a widget that loses its value so must not fall to its minimum."""
    rocket, labels, settings = sight("rocket"), "Wanted labels", "Attack settings"
    for seen, delay in ((settings, 0), (labels, 6), (settings, 6), (labels, 9), (labels, 3)):
        # so many milliseconds after that was seen: one of them hits the moment when the settings are drawn
        page = lab.page.context.new_page()
        page.add_init_script(f"({CLICK_ON_ROCKET})({json.dumps([seen, delay])})")
        page.goto("/")
        expect(page.get_by_text(f"Reads as {rocket.reads}. Wanted: {rocket.wanted}.")).to_be_visible()
        page.get_by_text("Attack settings", exact=True).click()
        expect(page.get_by_role("spinbutton", name="Most iterations")).to_have_value("200", timeout=3_000)
        expect(page.get_by_role("spinbutton", name="Most seconds")).to_have_value("300.00")
        expect(page.get_by_role("slider", name="Step length ε")).to_have_attribute("aria-valuetext", "0.2")
        page.close()
