"""Photos of one's own in the attack lab."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from lab.photos.samples import samples
from models.registry import DEFAULT, MODELS
from tests.pages.attack_lab.driving import (
    CODE,
    check_success,
    choose_model,
    encoded,
    gallery,
    reading,
    sample,
    seen,
    words,
)
from tests.pages.page import Page
from tests.sessions import session_of


def phone_photo() -> bytes:
    """The cat as a phone that was turned saves it: lying on its side, with a note to turn it upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = sample("cat").image.transpose(Image.Transpose.ROTATE_90)
    return encoded(lying, "JPEG", quality=95, exif=exif)


def upload(at: Page, data: bytes, name: str) -> Page:
    return at.file_uploader[0].set_value((name, data, "application/octet-stream")).run().settle()


def test_a_phone_photo_is_turned_upright_and_attacked(lab: Page) -> None:
    offered = gallery(lab)
    assert {"cat", "coral", "flowers"} <= set(offered)
    upload(lab, phone_photo(), "IMG_0001.jpg")
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(phone_photo()))).convert("RGB")
    assert upright.size == sample("cat").image.size
    np.testing.assert_array_equal(np.asarray(session_of(lab).lasting.upload.image), np.asarray(upright))
    picture = MODELS[DEFAULT].preprocessing(upright)
    assert lab.says(f"{words(reading(DEFAULT, picture))} → ")
    assert not lab.error
    assert gallery(lab) == [*offered, "yours"]
    lab.press("Run").settle()
    result = check_success(lab)
    np.testing.assert_allclose(result.original * 255, picture.transpose(2, 0, 1), atol=1e-3)


def test_ones_own_photo_is_offered_to_every_model_in_the_size_that_it_takes(lab: Page) -> None:
    upload(lab, phone_photo(), "IMG_0001.jpg")
    choose_model(lab, CODE)
    assert gallery(lab)[-1] == "yours"
    picture = MODELS[CODE].preprocessing(session_of(lab).lasting.upload.image)
    assert picture.shape == (32, 32, 3)
    assert lab.says(f"{words(reading(CODE, picture))} → ")
    lab.press("Run").settle()
    result = check_success(lab)
    np.testing.assert_array_equal(result.original, picture.transpose(2, 0, 1).astype(np.float32) / 255)


def test_a_grey_png_is_read_and_a_sample_can_be_chosen_again(lab: Page) -> None:
    grey = sample("espresso").image.convert("L")
    upload(lab, encoded(grey, "PNG"), "grey.png")
    before = words(reading(DEFAULT, MODELS[DEFAULT].preprocessing(grey.convert("RGB"))))
    assert lab.says(f"{before} → ")
    assert not lab.error
    lab.press("coral").settle()
    other = words(reading(DEFAULT, seen(DEFAULT, "coral")))
    assert other != before
    assert lab.says(f"{other} → ")
    lab.press("yours").settle()
    assert lab.says(f"{before} → ")


def test_a_broken_file_gets_one_sentence_and_the_photo_before_it_stays(lab: Page) -> None:
    lab.press("flowers").settle()
    before = lab.texts()
    upload(lab, phone_photo()[:2000], "cut off.jpg")
    assert [error.value for error in lab.error] == [
        "This JPEG file is damaged or cut off: a complete picture was expected."
    ]
    assert lab.texts()[: len(before)] == before
    assert session_of(lab).lasting.upload is None
    lab.press("cat").settle()
    assert not lab.error
    upload(lab, b"no picture at all", "notes.png")
    assert len(lab.error) == 1
    upload(lab, phone_photo(), "whole.jpg")
    assert not lab.error


def photo_line(at: Page) -> str:
    """What the page says of the photo that it shows, if that is none of the samples."""
    return next((each.value for each in at.caption if each.value.startswith("Photo: ")), "")


def test_a_photo_goes_with_its_file_and_the_one_before_it_comes_back(lab: Page) -> None:
    lab.press("flowers").settle()
    before = lab.texts()
    for name in ("grey.png", "again.png"):
        upload(lab, encoded(sample("rocket").image.convert("L"), "PNG"), name)
        assert photo_line(lab) == f"Photo: {name}"
    lab.file_uploader[0].clear().run().settle()
    assert lab.texts() == before
    assert photo_line(lab) == ""
    assert "yours" not in gallery(lab)
    assert not lab.error


def test_a_photo_that_was_left_for_a_sample_goes_with_its_file_and_the_sample_stays(lab: Page) -> None:
    upload(lab, phone_photo(), "whole.jpg")
    lab.press("flowers").settle()
    lab.file_uploader[0].clear().run().settle()
    assert photo_line(lab) == ""
    assert "yours" not in gallery(lab)


def test_a_refused_file_takes_its_message_along_and_leaves_the_photo_with_its_note(lab: Page) -> None:
    clear = sample("rocket").image.copy()
    clear.putalpha(128)
    upload(lab, encoded(clear, "PNG"), "clear.png")
    shown = lab.texts()
    upload(lab, b"no picture at all", "notes.png")
    assert len(lab.error) == 1
    assert [info.value for info in lab.info] == ["Transparency laid on white."]
    assert photo_line(lab) == "Photo: clear.png"
    lab.file_uploader[0].clear().run().settle()
    assert not lab.error
    assert lab.texts() == shown
    assert "yours" in gallery(lab)


def test_of_a_photo_that_a_network_was_not_made_for_the_page_says_so(lab: Page) -> None:
    assert photo_line(lab) == ""
    upload(lab, phone_photo(), "IMG_0001.jpg")
    assert photo_line(lab) == "Photo: IMG&#95;0001.jpg"
    choose_model(lab, "mnist-ecoc16")
    said = photo_line(lab)
    assert said.startswith("Photo: IMG&#95;0001.jpg. This network knows one kind of picture, and names something of it")
    assert said.endswith(MODELS["mnist-ecoc16"].summary)
    digit = next(iter(samples("mnist").values()))
    lab.button(key=f"photo-{digit.digest}").click().run().settle()
    assert photo_line(lab) == ""


@pytest.mark.parametrize("native", [True, False])
def test_a_part_is_previewed_in_the_shape_of_what_is_attacked(
    native: bool, lab: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, ...]] = []
    monkeypatch.setattr("ui.parts.controls.show", lambda picture, alt: shapes.append(picture.shape[:2]))
    upload(lab, encoded(Image.new("RGB", (400, 100), "teal"), "PNG"), "wide.png")
    if native:
        lab.widget("checkbox", "Attack the photo at its own size").check().run()
    lab.widget("segmented_control", "Which pixels").set_value("Rectangle").run()
    height, width = shapes[-1]
    assert width / height == pytest.approx(4 if native else 1, abs=0.01)
