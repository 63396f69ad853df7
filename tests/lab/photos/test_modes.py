"""Uploads come out upright, in colours of 8 bits, and as one picture, with a note of what was done."""

import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from lab.photos.uploads import read_photo
from tests.lab.photos.files import (
    BLUE,
    GREEN,
    LOSSLESS,
    ORIENTATION,
    RED,
    WHITE,
    WIDE,
    corners,
    encode,
    noisy_gradient,
    png,
    quadrants,
    read,
    refusal,
    tiff,
)

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
