"""Every row of "bad input" in the design that concerns a picture, with real files, then mutated ones."""

import hashlib
import io
import random
import struct
import subprocess
import sys
import time
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from ui.uploads import MAX_BYTES, MAX_NAME, MAX_PAINTED, MAX_PIXELS, MIN_SIDE, Photo, PhotoError, read_photo

RED, GREEN, BLUE, YELLOW, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 255, 255)
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")
LOSSLESS: dict[str, dict[str, Any]] = {"PNG": {}, "WEBP": {"lossless": True}, "GIF": {}, "TIFF": {}, "BMP": {}}
ORIENTATION = 0x0112


# --- files


def encode(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of a file; from a copy, because saving leaves traces in a picture that spoil the next saving."""
    file = io.BytesIO()
    picture.copy().save(file, kind, **options)
    return file.getvalue()


def quadrants(width: int = 64, height: int = 48) -> Image.Image:
    """Red above left, green above right, blue below left, yellow below right."""
    picture = Image.new("RGB", (width, height))
    for box, colour in (((0, 0), RED), ((width // 2, 0), GREEN), ((0, height // 2), BLUE)):
        picture.paste(colour, (*box, box[0] + width // 2, box[1] + height // 2))
    picture.paste(YELLOW, (width // 2, height // 2, width, height))
    return picture


def noisy_gradient(width: int = 64, height: int = 48) -> Image.Image:
    """Smooth under some noise, so that every byte of a file matters."""
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 16, (height, width, 3))
    return Image.fromarray((noise + np.stack([columns * 3, rows * 4, rows + columns], -1)).astype(np.uint8))


def corners(picture: Image.Image) -> list[str]:
    """Names of the colours above left, above right, below left, below right, forgiving JPEG."""
    right, below = picture.width - 4, picture.height - 4
    names = {RED: "red", GREEN: "green", BLUE: "blue", YELLOW: "yellow", WHITE: "white"}
    return [
        names.get(tuple(255 * (value > 127) for value in np.asarray(picture)[y, x].tolist()), "?")
        for x, y in ((3, 3), (right, 3), (3, below), (right, below))
    ]


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG written by hand: bits a channel, colour type 0 grey, 2 RGB, 3 palette; rows with their filter bytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, body) for name, body in parts)


def tiff(width: int, height: int, bits: int, strips: list[bytes], order: str = "<", **tags: int) -> bytes:
    """A grey TIFF written by hand, uncompressed; tags as T262=0 replace or add single numbers."""
    body = bytearray((b"II*\0" if order == "<" else b"MM\0*") + b"\0\0\0\0")
    offsets = []
    for strip in strips:
        offsets.append(len(body))
        body += strip
    entries = {256: [width], 257: [height], 258: [bits], 259: [1], 262: [1], 273: offsets, 277: [1], 278: [height]}
    entries[279] = [len(strip) for strip in strips]
    entries |= {int(name[1:]): [value] for name, value in tags.items()}
    entries[258] *= entries[277][0]
    directory = struct.pack(order + "H", len(entries))
    for tag, numbers in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            packed, body = struct.pack(order + "I", len(body)), body + packed
        directory += struct.pack(order + "HHI", tag, 4, len(numbers)) + packed
    struct.pack_into(order + "I", body, 4, len(body))
    return bytes(body) + directory + b"\0\0\0\0"


def patched(data: bytes, offset: int, replacement: bytes) -> bytes:
    return data[:offset] + replacement + data[offset + len(replacement) :]


def read(picture: Image.Image, kind: str, **options: Any) -> Photo:
    return read_photo(encode(picture, kind, **options), "photo")


def refusal(data: bytes, name: str = "photo.png") -> str:
    """The sentence with which the file is refused."""
    with pytest.raises(PhotoError) as caught:
        read_photo(data, name)
    message = str(caught.value)
    assert message.endswith((".", "!"))
    assert "\n" not in message
    return message


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


# --- upright


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [  # the EXIF standard: where row 0 and column 0 of the file are seen
        (1, ["red", "green", "blue", "yellow"]),  # top, left
        (2, ["green", "red", "yellow", "blue"]),  # top, right
        (3, ["yellow", "blue", "green", "red"]),  # bottom, right
        (4, ["blue", "yellow", "red", "green"]),  # bottom, left
        (5, ["red", "blue", "green", "yellow"]),  # left, top
        (6, ["blue", "red", "yellow", "green"]),  # right, top: the phone held upright
        (7, ["yellow", "green", "blue", "red"]),  # right, bottom
        (8, ["green", "yellow", "red", "blue"]),  # left, bottom
        (9, ["red", "green", "blue", "yellow"]),  # means nothing
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(kind: str, orientation: int, expected: list[str]) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"tiffinfo": {ORIENTATION: orientation}} if kind == "TIFF" else {"exif": exif}
    photo = read(quadrants(64, 48), kind, **options)
    assert corners(photo.image) == expected
    assert photo.image.size == ((48, 64) if 5 <= orientation <= 8 else (64, 48))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_damaged_exif_does_not_cost_the_picture(kind: str) -> None:
    photo = read(quadrants(), kind, exif=b"Exif\0\0nonsense from an editor")
    assert corners(photo.image) == ["red", "green", "blue", "yellow"]
    assert photo.note == "Damaged EXIF record ignored."


# --- modes


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind: str) -> None:
    photo = read(quadrants().convert("CMYK"), kind)
    assert corners(photo.image) == ["red", "green", "blue", "yellow"]
    assert photo.note == "CMYK colours converted to RGB."


def test_lab_and_ycbcr() -> None:
    assert read(quadrants().convert("LAB"), "TIFF").note == "LAB colours converted to RGB."
    for mode in ("LAB", "YCbCr"):
        assert corners(read(quadrants().convert(mode), "TIFF").image) == ["red", "green", "blue", "yellow"]


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_and_bilevel(kind: str, mode: str) -> None:
    grey = quadrants().convert("L").point(lambda value: 255 if value > 100 else 0)
    photo = read(grey.convert(mode), kind)
    assert np.array_equal(np.asarray(photo.image), np.asarray(grey.convert("RGB")))
    assert photo.note == ""


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_palette(kind: str) -> None:
    photo = read(quadrants().quantize(4), kind)
    assert np.array_equal(np.asarray(photo.image), np.asarray(quadrants()))
    assert photo.note == ""


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palette_with_one_transparent_colour(kind: str) -> None:
    palette = quadrants().quantize(4)
    photo = read(palette, kind, transparency=palette.getpixel((0, 0)))
    assert corners(photo.image) == ["white", "green", "blue", "yellow"]
    assert photo.note == "Transparency laid on white."


def test_palette_with_half_transparent_colours() -> None:
    palette = quadrants().quantize(4)
    alpha = bytearray([255] * 4)
    alpha[np.asarray(palette)[0, 0]] = 51  # red, a fifth of it
    photo = read(palette, "PNG", transparency=bytes(alpha))
    assert photo.image.getpixel((0, 0)) == (255, 204, 204)
    assert photo.image.getpixel((63, 0)) == GREEN
    assert photo.note == "Transparency laid on white."


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_laid_on_white(kind: str) -> None:
    picture = quadrants().convert("RGBA")
    picture.putalpha(Image.fromarray(np.repeat(np.array([0, 51, 255], np.uint8), [16, 16, 32])[None].repeat(48, 0)))
    photo = read(picture, kind, **LOSSLESS[kind])
    assert [photo.image.getpixel((x, 0)) for x in (0, 20, 63)] == [WHITE, (255, 204, 204), GREEN]
    assert photo.note == "Transparency laid on white."


def test_grey_with_alpha_is_laid_on_white() -> None:
    photo = read(Image.new("LA", (16, 16), (0, 51)), "PNG")
    assert photo.image.getpixel((0, 0)) == (204, 204, 204)
    assert photo.note == "Transparency laid on white."


def test_alpha_without_effect_is_not_noted() -> None:
    photo = read(quadrants().convert("RGBA"), "PNG")
    assert np.array_equal(np.asarray(photo.image), np.asarray(quadrants()))
    assert photo.note == ""


@pytest.mark.parametrize(
    ("bits", "colour", "row", "key", "seen"),
    [  # in each the left half has the transparent colour, the right half another
        (1, 0, b"\xff\x00", (1,), 0),
        (2, 0, b"\x55\x55\xaa\xaa", (1,), 170),
        (4, 0, b"\x33" * 4 + b"\x55" * 4, (3,), 85),
        (8, 0, b"\x33" * 8 + b"\x55" * 8, (0x33,), 0x55),
        (16, 0, b"\x12\x34" * 8 + b"\x80\x80" * 8, (0x1234,), 0x80),
        (8, 2, b"\x11\x22\x33" * 8 + b"\x55\x55\x55" * 8, (0x11, 0x22, 0x33), 0x55),
        (16, 2, b"\x12\x34\x56\x78\x9a\xbc" * 8 + b"\x55" * 48, (0x1234, 0x5678, 0x9ABC), 0x55),
    ],
)
def test_png_with_a_transparent_colour(bits: int, colour: int, row: bytes, key: tuple[int, ...], seen: int) -> None:
    photo = read_photo(
        png(16, 16, bits, colour, (b"\0" + row) * 16, (b"tRNS", struct.pack(f">{len(key)}H", *key))), "x"
    )
    assert [photo.image.getpixel((x, 0)) for x in (0, 15)] == [WHITE, (seen,) * 3]
    assert photo.note.lower().endswith("transparency laid on white.")


WIDE = np.arange(65536, dtype=np.uint16).reshape(256, 256)  # every value once
SCALED = np.rint(WIDE / 257).astype(np.uint8)


@pytest.mark.parametrize(
    ("make", "note"),
    [
        (lambda: encode(Image.fromarray(WIDE), "PNG"), "16-bit"),
        (lambda: encode(Image.fromarray(WIDE), "TIFF"), "16-bit"),
        (lambda: encode(Image.fromarray(WIDE), "TIFF", compression="tiff_lzw"), "16-bit"),
        (lambda: tiff(256, 256, 16, [WIDE.astype(">u2").tobytes()], order=">"), "16-bit"),
        (lambda: tiff(256, 256, 16, [(65535 - WIDE).tobytes()], T262=0), "16-bit"),  # white is zero
        (lambda: encode(Image.fromarray(WIDE.astype(np.int32)), "TIFF"), "32-bit"),
    ],
    ids=["png", "tiff", "tiff lzw", "tiff big-endian", "tiff white is zero", "tiff 32-bit"],
)
def test_deep_grey_is_scaled_not_clipped(make: Callable[[], bytes], note: str) -> None:
    photo = read_photo(make(), "scan")
    pixels = np.asarray(photo.image)
    assert np.array_equal(pixels, np.repeat(SCALED[..., None], 3, axis=2))
    assert np.array_equal(np.unique(pixels), np.arange(256))
    assert photo.note == f"{note} grey scaled to 8 bits."


def test_twelve_bit_grey() -> None:
    row = b"\0\0\0\xff\xff\xff\x80\x08\x00" + bytes(15)  # 0, 0, 4095, 4095, 2048, 2048, 0...
    photo = read_photo(tiff(16, 16, 12, [row * 16]), "x-ray.tif")
    assert [photo.image.getpixel((x, 0)) for x in (0, 2, 4)] == [(0, 0, 0), WHITE, (128, 128, 128)]
    assert photo.note == "12-bit grey scaled to 8 bits."


def test_sixteen_bit_colour() -> None:
    photo = read_photo(png(16, 16, 16, 2, (b"\0" + b"\xff\xff\x80\x80\x00\xff" * 16) * 16), "x")
    assert photo.image.getpixel((0, 0)) == (255, 128, 0)
    assert photo.note == "16-bit colour reduced to 8 bits."


def test_sixteen_bit_colour_in_planes_is_refused() -> None:
    """Pillow 13 returns rubbish for it without a word."""
    plane = b"\x34\x12" * 256
    assert "separate planes" in refusal(tiff(16, 16, 16, [plane] * 3, T262=2, T277=3, T284=2))
    eight_bits = read_photo(tiff(16, 16, 8, [bytes([value] * 256) for value in RED], T262=2, T277=3, T284=2), "x")
    assert eight_bits.image.getpixel((5, 5)) == RED


def test_numbers_without_a_fixed_white_are_refused() -> None:
    assert "floating-point" in refusal(encode(noisy_gradient().convert("F"), "TIFF"))
    for value in (-5, 70_000):
        data = encode(Image.fromarray(np.full((16, 16), value, np.int32)), "TIFF")
        assert f"from {value} to {value}: 0 to 65535" in refusal(data)


# --- more than one picture


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        ("GIF", "First frame of an animation."),
        ("WEBP", "First frame of an animation."),
        ("PNG", "First frame of an animation."),
        ("TIFF", "First page of several."),
        ("MPO", "First picture of several."),
    ],
)
def test_first_of_many(kind: str, note: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    photo = read(quadrants(), kind, save_all=True, append_images=[noisy_gradient(), noisy_gradient()], **options)
    assert corners(photo.image) == ["red", "green", "blue", "yellow"]
    assert photo.note == note


def test_notes_are_joined() -> None:
    frames = [Image.new("RGBA", (32, 32), (*colour, 0)) for colour in (RED, BLUE)]
    photo = read(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert photo.note == "First frame of an animation; transparency laid on white."
    assert photo.image.getpixel((0, 0)) == WHITE


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
    code = "import sys, ui.uploads; sys.exit(bool({'torch', 'streamlit', 'scipy', 'plotly'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- damage


def outcome(data: bytes) -> Photo | PhotoError:
    try:
        return read_photo(data, "photo")
    except PhotoError as error:
        return error


def test_damage_that_makes_pillow_raise_odd_errors() -> None:
    """Found by mutating some 800,000 files; one of each kind of exception that came out of Pillow."""
    gif = encode(noisy_gradient(), "GIF", save_all=True, append_images=[quadrants()], duration=100)
    second = gif.index(b"\x21\xf9", gif.index(b"\x21\xf9") + 2)
    bare = tiff(64, 48, 8, [bytes(64 * 48)])
    float_offset = bare.replace(struct.pack("<HHI", 273, 4, 1), struct.pack("<HHI", 273, 11, 1))
    damaged = {
        IndexError: gif[: second + 3],
        struct.error: gif[: gif.index(b"\x2c", second) + 5],
        TypeError: float_offset,
        AssertionError: png(16, 16, 8, 3, bytes(17 * 16)),  # a palette picture without a palette
    }
    for kind, data in damaged.items():
        error = outcome(data)
        assert isinstance(error, PhotoError), kind
        assert isinstance(error.__cause__, kind), (kind, error.__cause__)
        assert "damaged or cut off" in str(error)


def samples() -> list[bytes]:
    """Small files of the six formats, in several shapes each."""
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x010F], exif[0x8769] = 6, "a camera", {0x9003: "2020:01:01 00:00:00"}
    rgb = noisy_gradient()
    rgba = rgb.copy()
    rgba.putalpha(rgb.getchannel("R"))
    deep, palette = Image.fromarray(WIDE[:48, :64]), rgb.quantize(64)

    def several(picture: Image.Image, kind: str, **options: Any) -> bytes:
        return encode(picture, kind, save_all=True, append_images=[quadrants()], **options)

    return [encode(rgb, kind) for kind in FORMATS] + [
        encode(rgb, "PNG", exif=exif),
        encode(deep, "PNG"),
        encode(palette, "PNG", transparency=bytes(range(64))),
        several(rgba, "PNG"),
        encode(rgb, "JPEG", exif=exif, progressive=True),
        encode(rgb.convert("CMYK"), "JPEG"),
        several(rgb, "MPO", exif=exif),
        encode(rgba, "WEBP", exif=exif, lossless=True),
        several(rgba, "WEBP"),
        several(palette, "GIF", transparency=3),
        encode(rgb, "TIFF", compression="tiff_lzw", tiffinfo={ORIENTATION: 6}),
        several(deep, "TIFF"),
        encode(palette, "TIFF"),
        encode(rgb.convert("LAB"), "TIFF"),
        encode(palette, "BMP"),
        encode(rgba, "BMP"),
    ]


def with_checksums(data: bytes) -> bytes:
    """A mutated PNG with right checksums, or Pillow would look no further."""
    mended, at = bytearray(data[:8]), 8
    while at + 8 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        mended += data[at:end] + struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(mended)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to eight changes, more often near the header than elsewhere."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 3, 8])):
        at = rng.randrange(min(len(changed), 200) if rng.random() < 0.6 else len(changed))
        few = rng.choice([1, 2, 4, 20])
        match rng.randrange(6):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
            case 2:
                changed[at : at + 4] = rng.choice([bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x10\x27\0\0"])
            case 3:
                del changed[at : at + few]
            case 4:
                changed[at:at] = rng.randbytes(few)
            case 5:
                other = rng.randrange(len(changed))
                changed[at : at + few] = changed[other : other + few]
        if rng.random() < 0.03:
            del changed[at:]
        if not changed:
            break
    mutated = bytes(changed)
    return with_checksums(mutated) if mutated.startswith(b"\x89PNG") and rng.random() < 0.8 else mutated


def fuzz(count: int, seed: int) -> None:
    """Asserts that each mutated file becomes a valid photo or is refused, within 2 s."""
    rng, originals, read_well = random.Random(seed), samples(), 0
    for number in range(count):
        data = mutate(originals[number % len(originals)], rng)
        start = time.perf_counter()
        result = outcome(data)
        assert time.perf_counter() - start < 2, number
        if isinstance(result, Photo):
            read_well += 1
            width, height = result.image.size
            assert result.image.mode == "RGB"
            assert np.asarray(result.image).shape == (height, width, 3)
            assert min(width, height) >= MIN_SIDE
            assert width * height <= MAX_PIXELS
        else:
            assert str(result).endswith(".")
    assert 0.1 * count < read_well < 0.9 * count  # the mutations are neither deadly nor idle


def test_mutated_files() -> None:
    fuzz(count=300, seed=1)


MANY = """
import re
from pathlib import Path
from tests.ui.test_uploads import fuzz
fuzz(count=5000, seed=2)
print(*re.findall(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
def test_many_mutated_files() -> None:
    """In a process of its own, which therefore knows how much memory they took at the worst."""
    ran = subprocess.run(
        [sys.executable, "-c", MANY], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) * 1024 < 500e6
