"""One's own photo through the real file input.

What is slow here has a twin in tests/pages/attack_lab, which asks the same of the page without a browser.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from playwright.sync_api import expect

from lab.photos.samples import samples

if TYPE_CHECKING:
    from tests.browser.conftest import Lab, Sight


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def sample(name: str) -> Image.Image:
    return next(photo.image for photo in samples("photos").values() if photo.name.startswith(name))


def phone_photo() -> bytes:
    """The espresso as a phone that was turned saves it: lying on its side, with a note to turn it upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = sample("espresso").transpose(Image.Transpose.ROTATE_90)
    return encoded(lying, "JPEG", quality=95, exif=exif)


def upload(lab: Lab, data: bytes, name: str) -> None:
    with lab.page.expect_file_chooser() as chooser:
        lab.page.get_by_role("region", name="Your own photo").get_by_role("button", name="Upload", exact=True).click()
    chooser.value.set_files({"name": name, "mimeType": "application/octet-stream", "buffer": data})
    expect(lab.page.get_by_text(name).first).to_be_visible()


@pytest.mark.slow
def test_a_phone_photo_stands_upright_and_can_be_attacked(lab: Lab, sight: Callable[..., Sight]) -> None:
    upload(lab, phone_photo(), "IMG_0001.jpg")
    expect(lab.thumbnail("yours")).to_be_visible()
    upright = sight(ImageOps.exif_transpose(Image.open(io.BytesIO(phone_photo()))))
    lab.reads_as(upright.reads)
    np.testing.assert_array_equal(lab.picture(f"Original: {upright.reads}"), upright.picture)
    lab.button("Run").click()
    expect(lab.success).to_contain_text(f"The result reads as {upright.wanted}")


@pytest.mark.slow
def test_a_grey_png_is_shown_grey(lab: Lab, example: Sight, sight: Callable[..., Sight]) -> None:
    grey = sample("rocket").convert("L")
    upload(lab, encoded(grey, "PNG"), "grey.png")
    expect(lab.thumbnail("yours")).to_be_visible()
    expect(lab.page.get_by_text(f"Original: {example.reads}", exact=True)).to_have_count(0)
    np.testing.assert_array_equal(lab.picture("Original:"), sight(grey).picture)
    expect(lab.button("Run")).to_be_enabled()


@pytest.mark.slow
def test_a_broken_file_is_explained_in_a_sentence_and_the_photo_stays(lab: Lab, sight: Callable[..., Sight]) -> None:
    flowers = sight("flowers")
    lab.photo("flowers", flowers.reads)
    before = lab.picture(f"Original: {flowers.reads}")
    upload(lab, phone_photo()[:3000], "cut off.jpg")
    expect(lab.page.get_by_role("alert")).to_have_text(
        "This JPEG file is damaged or cut off: a complete picture was expected."
    )
    np.testing.assert_array_equal(lab.picture(f"Original: {flowers.reads}"), before)
    expect(lab.thumbnail("yours")).to_have_count(0)
    lab.thumbnail("cat").click()
    expect(lab.page.get_by_role("alert")).to_have_count(0)


def test_a_photo_from_the_camera_can_be_attacked(lab: Lab) -> None:
    lab.page.get_by_text("Take a photo", exact=True).click()
    lab.page.wait_for_function("document.querySelector('video')?.readyState === HTMLMediaElement.HAVE_ENOUGH_DATA")
    lab.page.get_by_role("button", name="Take Photo", exact=True).click()
    expect(lab.thumbnail("yours")).to_be_visible()
    lab.idle()
    expect(lab.button("Run")).to_be_enabled()
