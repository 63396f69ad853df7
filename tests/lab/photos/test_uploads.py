"""Uploads: ordinary pictures, what is not usable at all, sizes, names, and the rest of the process."""

import hashlib
import io
import struct
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from lab.photos.uploads import MAX_BYTES, MAX_NAME, MAX_PAINTED, MAX_PIXELS, MIN_SIDE, Photo, PhotoError, read_photo
from tests.lab.photos.files import (
    FORMATS,
    LOSSLESS,
    RED,
    corners,
    encode,
    noisy_gradient,
    outcome,
    png,
    quadrants,
    read,
    refusal,
    tiff,
)


def patched(data: bytes, offset: int, replacement: bytes) -> bytes:
    return data[:offset] + replacement + data[offset + len(replacement) :]


# --- ordinary pictures


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_keep_every_pixel(kind: str) -> None:
    photo = read(quadrants(), kind, **LOSSLESS[kind])
    assert np.array_equal(np.asarray(photo.image), np.asarray(quadrants()))
    assert type(photo.image) is Image.Image
    assert (photo.image.mode, photo.note) == ("RGB", "")


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_read(progressive: bool) -> None:
    photo = read(quadrants(), "JPEG", progressive=progressive)
    assert corners(photo.image) == ["red", "green", "blue", "yellow"]
    assert photo.note == ""


def test_content_decides_not_the_extension() -> None:
    data = encode(quadrants(), "PNG")
    photo = read_photo(data, "holiday.jpg")
    assert corners(photo.image) == ["red", "green", "blue", "yellow"]
    assert photo.name == "holiday.jpg"
    assert photo.digest == hashlib.sha256(data).hexdigest()


def test_nothing_of_the_file_but_its_pixels_is_kept() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    photo = read(quadrants(), "PNG", icc_profile=profile, exif=exif)
    assert photo.image.info == {}
    assert not photo.image.getexif()
    again = Image.open(io.BytesIO(encode(photo.image, "PNG")))
    assert again.info == {}


# --- not usable at all


def test_empty_file() -> None:
    assert refusal(b"") == "This file is empty: a PNG, JPEG, WebP, GIF, TIFF or BMP picture was expected."


@pytest.mark.parametrize(
    ("data", "came"),
    [
        (b"Dear all,\nplease find the picture attached.\n", "plain text"),
        (b"BMW, a maker of cars, and nothing of a bitmap", "plain text"),
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "plain text"),
        (b"PK\x03\x04" + bytes(60), "a file of an unknown kind"),
        (b"\x89PNX", "a file of an unknown kind"),
    ],
)
def test_not_a_picture(data: bytes, came: str) -> None:
    assert refusal(data) == f"This is {came}: a PNG, JPEG, WebP, GIF, TIFF or BMP picture was expected."


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "HEIC pictures"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(99), "HEIC pictures"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf" + bytes(99), "AVIF pictures"),
        (b"\xff\x0a\xfa\x1f" + bytes(99), "JPEG XL pictures"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99), "JPEG XL pictures"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG drawings"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- by hand -->\n<SVG/>", "SVG drawings"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF documents"),
    ],
)
def test_kinds_refused_by_name(data: bytes, what: str) -> None:
    assert refusal(data, "photo.jpg") == f"{what} are not supported: please save it as JPEG or PNG."


def test_real_avif_refused_by_name() -> None:
    assert refusal(encode(quadrants(), "AVIF")).startswith("AVIF pictures are not supported")


@pytest.mark.parametrize("kind", ["ICO", "PPM", "TGA", "PCX", "SGI", "JPEG2000", "DDS"])
def test_only_the_six_formats_are_tried(kind: str) -> None:
    assert "was expected" in refusal(encode(quadrants(), kind))


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("kind", FORMATS)
def test_truncated(kind: str, kept: float) -> None:
    data = encode(noisy_gradient(), kind)
    expected = f"This {kind} file is damaged or cut off: a complete picture was expected."
    assert refusal(data[: int(kept * len(data))]) == expected


@pytest.mark.parametrize("kind", FORMATS)
def test_cut_anywhere_no_pixel_is_made_up(kind: str) -> None:
    """The last bytes may be missing if they hold no pixels."""
    data = encode(noisy_gradient(), kind)
    whole, refused = np.asarray(read_photo(data, "whole").image), 0
    for length in [*range(1, len(data), max(1, len(data) // 60)), *range(len(data) - 30, len(data))]:
        result = outcome(data[:length])
        if isinstance(result, Photo):
            assert np.array_equal(np.asarray(result.image), whole), length
        else:
            refused += 1
    assert refused >= 58


def test_the_cause_is_chained() -> None:
    data = encode(noisy_gradient(), "JPEG")
    for bad, cause in ((data[: len(data) // 2], OSError), (claims("PNG", 60_000), Image.DecompressionBombError)):
        error = outcome(bad)
        assert isinstance(error, PhotoError)
        assert isinstance(error.__cause__, cause)


@pytest.mark.parametrize("kind", FORMATS)
def test_pillow_tries_one_format_only(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[list[str]] = []
    pillow_open = Image.open

    def watched(file: io.BytesIO, formats: list[str]) -> ImageFile.ImageFile:
        tried.append(formats)
        return pillow_open(file, formats=formats)

    monkeypatch.setattr(Image, "open", watched)
    read(quadrants(), kind)
    assert tried == [[kind]]


# --- too large, too small, too long


def test_too_many_bytes_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(quadrants(), "PNG")
    data += bytes(MAX_BYTES - len(data))
    assert read_photo(data, "just small enough.png").note == ""
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("Pillow saw a file that is too large"))
    assert refusal(data + b"\0") == "This file has 10.1 MB: at most 10 MB are accepted."


def claims(kind: str, side: int) -> bytes:
    """A small file whose header claims a picture of side x side pixels."""
    animation = {"save_all": True, "append_images": [noisy_gradient()]} if kind == "WEBP" else {}
    small = encode(quadrants(), kind, **animation)
    match kind:
        case "PNG":
            return png(side, side, 8, 2, bytes(1000))
        case "JPEG":
            return patched(small, small.index(b"\xff\xc0") + 5, struct.pack(">HH", side, side))
        case "WEBP":
            return patched(small, 24, struct.pack("<I", side - 1)[:3] * 2)
        case "GIF":
            return patched(small, 6, struct.pack("<HH", side, side))
        case "TIFF":
            return tiff(side, side, 8, [bytes(1000)])
        case _:
            return patched(small, 18, struct.pack("<ii", side, side))


@pytest.mark.parametrize("side", [7072, 10_000, 16_000, 60_000])
@pytest.mark.parametrize("kind", FORMATS)
def test_too_many_pixels_are_refused_before_decoding(kind: str, side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 is where Pillow itself would only warn, 16,000 and 60,000 where it raises."""
    if (kind, side) == ("WEBP", 60_000):
        side = 16_384  # no more bits in a WebP
    data = claims(kind, side)
    assert len(data) < 50_000
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decoded"))
    message = refusal(data)
    assert "at most 50 megapixels are accepted" in message
    if side <= 10_000:
        assert f"{side} x {side} pixels, {'50.1' if side == 7072 else '100.0'} megapixels" in message


def test_as_many_pixels_as_allowed_are_decoded() -> None:
    assert MAX_PIXELS == 10_000 * 5000
    assert "damaged or cut off" in refusal(png(10_000, 5000, 1, 0, bytes(100)))
    assert "megapixels" in refusal(png(10_000, 5001, 1, 0, bytes(100)))


@pytest.mark.parametrize("size", [(MIN_SIDE - 1, 40), (40, MIN_SIDE - 1), (1, 1)])
def test_too_small(size: tuple[int, int]) -> None:
    message = refusal(encode(Image.new("RGB", size), "PNG"))
    assert message == f"This picture has {size[0]} x {size[1]} pixels: at least 16 are needed on each side."


def test_too_long() -> None:
    assert read(Image.new("RGB", (16, 320)), "PNG").image.size == (16, 320)
    for size in ((16, 321), (321, 16)):
        message = refusal(encode(Image.new("RGB", size), "PNG"))
        assert message.startswith(f"This picture has {size[0]} x {size[1]} pixels: the longer side may be at most 20")


def test_jpeg_of_endless_scans() -> None:
    """Some 11 bytes a scan: 10 MB of them would take hours for 50 megapixels."""
    data = encode(Image.new("RGB", (1000, 1000), RED), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    scans = data.count(b"\xff\xda")
    assert corners(read_photo(data[:-2] + scan * 50 + data[-2:], "odd.jpg").image)[0] == "red"
    allowed = MAX_PAINTED // 1000**2
    message = refusal(data[:-2] + scan * (allowed + 1 - scans) + data[-2:])
    assert message == f"This file paints its picture {allowed + 1} times over: please save it as PNG."


def test_tiff_of_endless_strips() -> None:
    """Strips may share their bytes, so that a few bytes of file paint the whole picture once more."""
    shared, allowed = [bytes(500 * 3999), bytes(500)], MAX_PAINTED // 4000**2
    assert read_photo(tiff(4000, 4000, 1, shared, T278=3999), "scan").image.size == (4000, 4000)
    assert "times over" in refusal(tiff(4000, 4000, 1, shared + [b"", b""] * allowed, T278=3999))


# --- names


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("cat.png", "cat.png"),
        ("../../etc/passwd", "passwd"),
        (r"C:\Users\me\cat.png", "cat.png"),
        ("<script>alert(1)</script>.png", "script.png"),
        ("<script>.png", "script.png"),
        ("[x](http:evil)![y].png", "x(http:evil)!y.png"),
        ("a\0b\x1b[31m\u202egnp.exe\n.png", "ab31mgnp.exe .png"),
        ("  my   cat .png ", "my cat .png"),
        ("Zoe\u0308 и कुत्ता 猫.jpg", "Zoë и कुत्ता 猫.jpg"),
        ("..", "photo"),
        ("", "photo"),
        ("folder/", "photo"),
    ],
)
def test_display_name(given: str, shown: str) -> None:
    assert read_photo(encode(quadrants(), "PNG"), given).name == shown


def test_long_name_keeps_its_beginning_and_end() -> None:
    name = read_photo(encode(quadrants(), "PNG"), "x" * 500 + "-last.jpeg").name
    assert len(name) == MAX_NAME
    assert name.startswith("xxx")
    assert name.endswith("ast.jpeg")


# --- the rest of the process


def test_warnings_stay_inside() -> None:
    warned = [
        claims("PNG", 10_000),  # DecompressionBombWarning
        encode(quadrants(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0"),  # "Corrupt EXIF data"
    ]
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        filters = list(warnings.filters)
        for data in warned:
            outcome(data)
        assert heard == []
        assert warnings.filters == filters
    assert Image.MAX_IMAGE_PIXELS == 1024**3 // 4 // 3  # as Pillow sets it


def test_two_sessions_at_once_leave_the_warning_filters_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a lock the second to leave would put back the filters of the first."""
    pillow_open, delays = Image.open, iter([0.05, 0.1])

    def slow_open(*given: Any, **options: Any) -> ImageFile.ImageFile:
        time.sleep(next(delays))
        return pillow_open(*given, **options)

    monkeypatch.setattr(Image, "open", slow_open)
    filters = list(warnings.filters)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(outcome, [encode(quadrants(), "PNG")] * 2))
    assert all(isinstance(result, Photo) for result in results)
    assert warnings.filters == filters


def test_light_to_import() -> None:
    heavy = "{'torch', 'streamlit', 'scipy', 'plotly'}"
    code = f"import sys, lab.photos.uploads; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
