"""Embedded colour profiles against Pillow's own conversion, and profiles that are of no use."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from lab.photos.profiles import MAX_BYTES, MAX_NAME
from lab.photos.uploads import read_photo
from tests.lab.photos.files import encode, noisy_gradient

SWAPPED = Path(__file__).parents[2] / "cases" / "pictures" / "icc_swapped.png"
IGNORED = "Colour profile ignored, which is damaged or of another kind of colour."


def fixed(number: float) -> bytes:
    return struct.pack(">i", round(number * 65536))


def profile(space: bytes, tags: dict[bytes, bytes], name: str, seen: bytes = b"XYZ ") -> bytes:
    """An ICC profile of version 2 for a screen or a printer."""
    text = name.encode("ascii")
    tags |= {b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + bytes(79)}
    tags |= {b"cprt": b"text\0\0\0\0none\0", b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642) + fixed(1) + fixed(0.8249)}
    start, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for tag, value in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    head = struct.pack(
        ">I4sI4s4s4s12s4s", start + len(body), bytes(4), 0x02400000, kind, space, seen, bytes(12), b"acsp"
    )
    return (head + bytes(28) + fixed(0.9642) + fixed(1) + fixed(0.8249)).ljust(128, b"\0") + table + body


def gamma(power: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(power * 256)) + bytes(2)


def sampled() -> bytes:
    """The curve of sRGB in 1024 numbers of 16 bits, as most of its profiles have it."""
    x = np.linspace(0, 1, 1024)
    light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return b"curv\0\0\0\0" + struct.pack(">I", 1024) + np.round(65535 * light).astype(">u2").tobytes()


def rgb(matrix: list[list[float]], power: float = 2.2, name: str = "wide", curve: bytes = b"") -> bytes:
    """Of three primaries, the rows of a matrix, in XYZ under D50."""
    columns = {b"rXYZ": matrix[0], b"gXYZ": matrix[1], b"bXYZ": matrix[2]}
    tags = {tag: b"XYZ \0\0\0\0" + b"".join(map(fixed, column)) for tag, column in columns.items()}
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve or gamma(power))
    return profile(b"RGB ", tags | curves, name)


SRGB = [[0.4361, 0.2225, 0.0139], [0.3851, 0.7169, 0.0971], [0.1431, 0.0606, 0.7139]]
ADOBE = [[0.6097, 0.3111, 0.0195], [0.2053, 0.6257, 0.0609], [0.1492, 0.0632, 0.7446]]


def inks() -> bytes:
    """CMYK whose lightness is that of the paper less the ink: a table of two points a channel, to L*a*b* of 8 bits."""
    corners = [
        (round(255 * (1 - k) * (1 - 0.3 * c) * (1 - 0.3 * m) * (1 - 0.1 * y)), 128 - 40 * c + 40 * m, 128 + 60 * y)
        for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)
    ]  # fmt: skip
    identity = b"".join(fixed(1 if i % 4 == 0 else 0) for i in range(9))
    curve = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + curve * 4
    return profile(b"CMYK", {b"A2B0": table + bytes(v for c in corners for v in c) + curve * 3}, "press", b"Lab ")


def swapped() -> NDArray[np.uint8]:
    return np.asarray(Image.open(SWAPPED))


def test_red_and_blue_change_places() -> None:
    """In the profile of this file the primaries of red and blue are exchanged."""
    photo = read_photo(SWAPPED.read_bytes(), "a.png")
    assert photo.note == "Colours converted from sRGB built-in to sRGB."
    assert np.abs(np.asarray(photo.image).astype(int) - swapped()[..., ::-1]).max() <= 3


def test_a_wide_profile_against_the_textbook() -> None:
    """Adobe RGB (1998) by its published primaries: to XYZ, to linear sRGB, to its curve; inside of sRGB."""
    values = np.random.default_rng(0).integers(110, 150, (32, 32, 3))
    linear = (values / 255) ** 2.2 @ np.array(ADOBE) @ np.linalg.inv(SRGB)
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.clip(linear, 0, 1) ** (1 / 2.4) - 0.055)
    photo = read_photo(encode(Image.fromarray(values.astype(np.uint8)), "PNG", icc_profile=rgb(ADOBE)), "a.png")
    assert photo.note == "Colours converted from wide to sRGB."
    assert np.abs(np.asarray(photo.image) - expected).max() <= 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_every_kind_that_holds_profiles(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    plain = read_photo(encode(noisy_gradient(), kind, **options), "a")
    wide = read_photo(encode(noisy_gradient(), kind, icc_profile=rgb(ADOBE), **options), "a")
    assert wide.note == "Colours converted from wide to sRGB."
    assert np.abs(np.asarray(wide.image).astype(int) - np.asarray(plain.image)).max() > 10
    assert "icc_profile" not in wide.image.info


@pytest.mark.parametrize(
    "icc", [ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), rgb(SRGB, curve=sampled())]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_srgb_changes_nothing_and_is_not_mentioned(icc: bytes, mode: str) -> None:
    picture = noisy_gradient().convert(mode)
    photo = read_photo(encode(picture, "PNG", icc_profile=icc), "a.png")
    assert photo.note == ""
    assert np.array_equal(np.asarray(photo.image), np.asarray(picture.convert("RGB")))


def test_transparency_is_laid_on_white_after_the_conversion() -> None:
    picture = noisy_gradient().convert("RGBA")
    picture.putalpha(Image.new("L", (32, 48), 255).crop((0, 0, 64, 48)))
    photo = read_photo(encode(picture, "PNG", icc_profile=rgb(ADOBE)), "a.png")
    assert photo.note == "Colours converted from wide to sRGB; transparency laid on white."
    opaque = read_photo(encode(noisy_gradient(), "PNG", icc_profile=rgb(ADOBE)), "a.png")
    assert (np.asarray(photo.image)[:, 32:] == 255).all()
    assert np.array_equal(np.asarray(photo.image)[:, :32], np.asarray(opaque.image)[:, :32])


@pytest.mark.parametrize("deep", [False, True])
def test_grey(deep: bool) -> None:
    """Of gamma 1: half the light is 188 in sRGB."""
    icc = profile(b"GRAY", {b"kTRC": gamma(1)}, "linear grey")
    grey = Image.fromarray(np.full((32, 32), 128 * 257, np.uint16)) if deep else Image.new("L", (32, 32), 128)
    photo = read_photo(encode(grey, "PNG", icc_profile=icc), "a.png")
    assert photo.note.lower().endswith("colours converted from linear grey to srgb.")
    assert np.abs(np.asarray(photo.image).astype(int) - 188).max() <= 1


def test_grey_with_a_profile_of_rgb() -> None:
    """As editors leave it; grey stays grey."""
    photo = read_photo(encode(Image.new("L", (32, 32), 128), "JPEG", icc_profile=rgb(ADOBE, 1.0)), "a.jpg")
    assert np.abs(np.asarray(photo.image).astype(int) - 188).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind: str) -> None:
    paper = np.zeros((32, 32, 4), np.uint8)
    paper[:, 16:, 3] = 255
    photo = read_photo(encode(Image.fromarray(paper, "CMYK"), kind, icc_profile=inks()), "a")
    assert photo.note == "Colours converted from press to sRGB."
    pixels = np.asarray(photo.image)
    assert pixels[:, :8].min() >= 250
    assert pixels[:, 24:].max() <= 5
    cyan = Image.new("CMYK", (32, 32), (255, 0, 0, 0))
    with_profile, without = (read_photo(encode(cyan, kind, **each), "a") for each in ({"icc_profile": inks()}, {}))
    assert without.note == "CMYK colours converted to RGB."
    assert with_profile.image.getpixel((9, 9)) != without.image.getpixel((9, 9))


@pytest.mark.parametrize(
    ("mode", "icc"),
    [
        ("RGB", b"no profile"),
        ("RGB", rgb(ADOBE)[:200]),
        ("RGB", rgb(ADOBE).replace(b"mntr", b"link")),
        ("RGB", profile(b"GRAY", {b"kTRC": gamma(1)}, "grey")),
        ("RGB", inks()),
        ("L", inks()),
        ("CMYK", rgb(ADOBE)),
        ("RGB", profile(b"HSV ", {}, "odd")),
        ("RGB", rgb(ADOBE) + bytes(MAX_BYTES)),
    ],
)
def test_profiles_of_no_use_are_ignored_with_a_note(mode: str, icc: bytes) -> None:
    picture = noisy_gradient().convert(mode)
    photo, plain = (read_photo(encode(picture, "TIFF", **each), "a") for each in ({"icc_profile": icc}, {}))
    assert photo.note == (IGNORED if mode != "CMYK" else f"{IGNORED[:-1]}; CMYK colours converted to RGB.")
    assert np.array_equal(np.asarray(photo.image), np.asarray(plain.image))


def test_cut_and_changed_profiles_never_cost_the_picture() -> None:
    rng, icc = np.random.default_rng(0), bytearray(rgb(ADOBE))
    for _ in range(300):
        broken = icc.copy()
        for place in rng.integers(0, len(icc), 4):
            broken[place] = rng.integers(256)
        assert read_photo(encode(Image.new("RGB", (16, 16)), "PNG", icc_profile=bytes(broken)), "a").image.size == (
            16,
            16,
        )


@pytest.mark.parametrize(
    ("name", "said"),
    [("a\n\tb \x07c", "a b c"), ("x" * 500, "x" * MAX_NAME + "…"), ("", "its own colour profile")],
)
def test_a_profile_s_name_is_short_and_on_one_line(name: str, said: str) -> None:
    photo = read_photo(encode(noisy_gradient(), "PNG", icc_profile=rgb(ADOBE, name=name)), "a.png")
    assert photo.note == f"Colours converted from {said} to sRGB."


def test_as_pillow_converts() -> None:
    picture = noisy_gradient()
    made = ImageCms.profileToProfile(
        picture, ImageCms.ImageCmsProfile(io.BytesIO(rgb(ADOBE))), ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )  # fmt: skip
    assert made is not None
    photo = read_photo(encode(picture, "PNG", icc_profile=rgb(ADOBE)), "a.png")
    assert np.abs(np.asarray(photo.image).astype(int) - np.asarray(made)).max() <= 1
