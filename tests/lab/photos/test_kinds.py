"""Pictures of kinds that Pillow lacks are told from damaged ones, and raw files from photos."""

import io
import struct
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lab.photos.kinds import RAW, UNPACKED
from lab.photos.uploads import MAX_PIECES, Photo, PhotoError, read_photo
from tests.lab.photos.files import LOSSLESS, encode, noisy_gradient, outcome, png, quadrants, read, refusal, tiff

CASES = Path(__file__).parents[2] / "cases" / "pictures"
DAMAGED = "damaged or cut off"
SIDE = 32


def case(name: str) -> bytes:
    return (CASES / name).read_bytes()


def unread(data: bytes) -> str:
    """What is said of a picture of a kind that is not read."""
    said = refusal(data)
    assert said.startswith("This is a ")
    assert said.endswith(", which is not read here: please save it as PNG.")
    return said.removeprefix("This is a ").removesuffix(", which is not read here: please save it as PNG.")


def sheet(channels: int, bits: int, **tags: int) -> bytes:
    """A TIFF of as many bytes as its header promises."""
    return tiff(SIDE, SIDE, bits, [bytes(SIDE * SIDE * channels * max(8, bits) // 8)], T277=channels, **tags)


def bitmap(bits: int, packing: int = 0, size: int = 40, body: bytes = bytes(SIDE * SIDE * 8)) -> bytes:
    """A BMP with a header of a size, a palette if it is one that has one, and a body."""
    if size == 12:
        header = struct.pack("<IHHHH", size, SIDE, SIDE, 1, bits)
    else:
        header = struct.pack("<IiiHHIIiiII", size, SIDE, SIDE, 1, bits, packing, len(body), 0, 0, 0, 0)
        header = header[:size].ljust(size, b"\0")
    palette = bytes(4 << bits) if bits in (1, 2, 4, 8) else b""
    start = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + header + palette + body


# --- kinds that are not read


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (case("tiff_5band.tif"), "TIFF file of 5 channels of 8 bits"),
        (case("tiff_float_rgb.tif"), "TIFF file of 3 channels of 32 bits, floating-point"),
        (sheet(2, 16), "TIFF file of 2 channels of 16 bits"),
        (sheet(3, 32, T262=2), "TIFF file of 3 channels of 32 bits"),
        (sheet(1, 24), "TIFF file of 1 channel of 24 bits"),
        (sheet(1, 64, T339=3), "TIFF file of 1 channel of 64 bits, floating-point"),
        (sheet(1, 16, T339=3), "TIFF file of 1 channel of 16 bits, floating-point"),
        (sheet(1, 8, T339=2), "TIFF file of 1 channel of 8 bits, signed"),
        (sheet(1, 64, T339=6), "TIFF file of 1 channel of 64 bits, complex"),
        (sheet(12, 16, T262=1), "TIFF file of 12 channels of 16 bits"),
        (sheet(3, 16, T262=8), "TIFF file of 3 channels of 16 bits"),
        (sheet(5, 8, T262=5, T338=2), "TIFF file of 5 channels of 8 bits"),  # CMYK with alpha
        (sheet(3, 8, T262=9), "TIFF file of 3 channels of 8 bits, ICC's L*a*b*"),
        (sheet(1, 16, T262=32844, T259=34676), "TIFF file of 1 channel of 16 bits, luminance in logarithms, "
         "compressed as SGI's logarithms"),
        (sheet(3, 8, T262=2, T259=34712), "TIFF file of 3 channels of 8 bits, compressed as JPEG 2000"),
        (sheet(3, 8, T262=6, T259=6), "TIFF file of 3 channels of 8 bits, compressed as JPEG of the old style"),
        (sheet(3, 8, T262=2, T259=50001), "TIFF file of 3 channels of 8 bits, compressed as WebP"),
        (sheet(1, 1, T259=34661), "TIFF file of 1 channel of 1 bits, compressed as JBIG"),
        (sheet(3, 8, T262=2, T259=65000), "TIFF file of 3 channels of 8 bits, compressed as kind 65000"),
        (tiff(SIDE, SIDE, 8, [bytes(SIDE * SIDE * 3 // 2)], T277=3, T262=6),
         "TIFF file of 3 channels of 8 bits, with subsampled colours"),
        (bitmap(24, 4), "BMP file of 24 bits a pixel, compressed as JPEG"),
        (bitmap(32, 5), "BMP file of 32 bits a pixel, compressed as PNG"),
        (bitmap(0, 4), "BMP file of 0 bits a pixel, compressed as JPEG"),
        (bitmap(2), "BMP file of 2 bits a pixel"),
        (bitmap(64), "BMP file of 64 bits a pixel"),
        (bitmap(32, 11), "BMP file of 32 bits a pixel, compressed as CMYK"),
        (bitmap(16, 3, body=struct.pack("<III", 0xF00, 0xF0, 0xF) + bytes(2048)), "BMP file of 16 bits a pixel"),
    ],
)  # fmt: skip
def test_kinds_that_are_not_read_are_named(data: bytes, what: str) -> None:
    assert unread(data) == what


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"bits": 12}, "JPEG file of 3 channels of 12 bits"),
        ({"marker": 0xC3}, "lossless JPEG file of 3 channels of 8 bits"),
        ({"marker": 0xF7}, "lossless JPEG file of 3 channels of 8 bits"),
    ],
)
def test_jpegs_of_rare_kinds_are_named(change: dict[str, int], what: str) -> None:
    data = bytearray(encode(noisy_gradient(), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 1], data[frame + 4] = change.get("marker", 0xC0), change.get("bits", 8)
    assert unread(bytes(data)) == what


@pytest.mark.parametrize("data", [case("tiff_5band.tif"), case("tiff_float_rgb.tif"), sheet(5, 8), bitmap(24, 4)])
def test_of_a_kind_that_is_not_read_and_cut_off(data: bytes) -> None:
    """As long as the whole header is there it is named; a TIFF says besides how long it ought to be."""
    for kept in (0.02, 0.5, 0.95):
        said = refusal(data[: int(kept * len(data))])
        assert DAMAGED in said or (data.startswith(b"BM") and "compressed as JPEG" in said)


@pytest.mark.parametrize("offset", [14, 28, 30])
def test_a_damaged_bitmap_header_is_no_kind(offset: int) -> None:
    data = bytearray(bitmap(24))
    data[offset] = 77
    assert DAMAGED in refusal(bytes(data))


def test_damage_of_an_ordinary_tiff_is_damage() -> None:
    data = encode(noisy_gradient(), "TIFF", compression="tiff_lzw")
    assert DAMAGED in refusal(data[:-40])
    assert DAMAGED in refusal(sheet(3, 8, T262=2, T259=8))  # zeros are no deflated stream


# --- kinds that are


@pytest.mark.parametrize(("packing", "predictor"), [*product(["tiff_lzw", "tiff_adobe_deflate"], [1, 2]),
                                                    ("packbits", 1), ("lzma", 1), ("zstd", 1), ("raw", 1)])  # fmt: skip
def test_compressed_tiffs_are_read(packing: str, predictor: int) -> None:
    data = encode(noisy_gradient(), "TIFF", compression=packing, tiffinfo={317: predictor})
    assert np.array_equal(np.asarray(read_photo(data, "a.tif").image), np.asarray(noisy_gradient()))


@pytest.mark.parametrize("packing", ["group3", "group4", "tiff_ccitt"])
def test_faxes_are_read(packing: str) -> None:
    page = quadrants().convert("1")
    assert np.array_equal(np.asarray(read(page, "TIFF", compression=packing).image.convert("1")), np.asarray(page))


def test_every_compression_that_is_taken_for_readable_is() -> None:
    written = {
        "raw",
        "tiff_ccitt",
        "group3",
        "group4",
        "tiff_lzw",
        "jpeg",
        "tiff_adobe_deflate",
        "packbits",
        "lzma",
        "zstd",
    }
    found = set()
    for packing in written:
        page = quadrants().convert("1" if packing in ("tiff_ccitt", "group3", "group4") else "RGB")
        opened = Image.open(io.BytesIO(encode(page, "TIFF", compression=packing)))
        found.add(opened.tag_v2[259])  # type: ignore[attr-defined]
    assert found == UNPACKED - {32946}  # which is deflate by its older number


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (encode(noisy_gradient(), "WEBP", lossless=True, save_all=True, append_images=[quadrants()]), "WEBP"),
        (encode(noisy_gradient(), "PNG", save_all=True, append_images=[quadrants()]), "PNG"),
    ],
)
def test_the_first_frame_of_animations(data: bytes, kind: str) -> None:
    photo = read_photo(data, kind)
    assert photo.note == "First frame of an animation."
    assert np.array_equal(np.asarray(photo.image), np.asarray(noisy_gradient()))


@pytest.mark.parametrize("interlace", [0, 1])
def test_gif_interlaced_or_not(interlace: int) -> None:
    assert np.array_equal(np.asarray(read(quadrants(), "GIF", interlace=interlace).image), np.asarray(quadrants()))


@pytest.mark.parametrize(
    ("bits", "size"), [(1, 40), (4, 40), (8, 40), (16, 40), (24, 40), (32, 40), (24, 12), (8, 124), (24, 64), (32, 108)]
)
def test_bitmaps_of_all_headers(bits: int, size: int) -> None:
    assert np.asarray(read_photo(bitmap(bits, size=size), "a.bmp").image).max() == 0


def test_a_bitmap_of_run_lengths() -> None:
    lines = b"".join(bytes([SIDE, 0, 0, 0]) for _ in range(SIDE)) + b"\0\1"
    assert read_photo(bitmap(8, 1, body=lines), "a.bmp").image.size == (SIDE, SIDE)


# --- raw files


@pytest.mark.parametrize(
    "data",
    [
        sheet(3, 8, T262=2, T254=1, T330=8),  # NEF, ARW and most DNG: a preview, and the photo below it
        sheet(1, 8, T50706=1),
        sheet(1, 16, T262=32803),
        sheet(3, 16, T262=34892),
        b"II*\0\x10\0\0\0CR\2\0" + bytes(64),
        b"II*\0\x10\0\0\0IIII" + bytes(64),
        b"IIU\0" + bytes(64),
        b"IIRO" + bytes(64),
        b"FUJIFILMCCD-RAW 0201" + bytes(64),
        b"\0MRM" + bytes(64),
        b"\0\0\0\x18ftypcrx " + bytes(64),
    ],
)
def test_raw_files_are_refused(data: bytes) -> None:
    assert refusal(data) == RAW


def test_a_photo_that_a_camera_or_an_editor_saved_as_tiff_is_read() -> None:
    """With other sizes of it below: those are not the photo, but the page is."""
    assert read_photo(sheet(3, 8, T262=2, T330=8), "layers.tif").image.size == (SIDE, SIDE)
    assert read(noisy_gradient(), "TIFF", tiffinfo={271: "NIKON", 50827: "a.nef"}).image.size == (64, 48)


# --- what is handed on by others


def test_heic_under_another_name() -> None:
    assert (
        refusal(case("heic_as.jpg"), "photo.jpg") == "HEIC pictures are not supported: please save it as JPEG or PNG."
    )


def test_what_a_gif_leaves_uncovered_is_transparent() -> None:
    photo = read_photo(case("gif_partial.gif"), "a.gif")
    assert photo.note == "Transparency laid on white."
    pixels = np.asarray(photo.image)
    painted = np.zeros(pixels.shape[:2], dtype=bool)
    painted[28:92, 32:128] = True
    assert (pixels[~painted] == 255).all()
    first = Image.open(io.BytesIO(case("gif_partial.gif"))).convert("RGB")
    assert np.array_equal(pixels[painted], np.asarray(first)[painted])


def gif(palette: bytes, pixels: bytes, box: tuple[int, int, int, int], *control: bytes) -> bytes:
    """A GIF of SIDE x SIDE that paints a box, with codes of three bits each, cleared before every pixel."""
    left, top, width, height = box
    codes = [code for index in pixels for code in (4, index)] + [5]
    stream = sum(code << (3 * i) for i, code in enumerate(codes)).to_bytes((3 * len(codes) + 7) // 8, "little")
    blocks = b"".join(bytes([len(stream[i : i + 255])]) + stream[i : i + 255] for i in range(0, len(stream), 255))
    screen = b"GIF89a" + struct.pack("<HHBBB", SIDE, SIDE, 0x81, 1, 0) + palette
    return (
        screen + b"".join(control) + b"," + struct.pack("<HHHHB", left, top, width, height, 0) + b"\2" + blocks + b"\0;"
    )


def test_what_a_gif_leaves_uncovered_beside_a_transparent_colour() -> None:
    """Whatever its background colour is: browsers do not heed it."""
    colours = bytes([255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0])
    control = b"!\xf9\4\1\0\0\2\0"  # colour 2 is transparent
    pixels = np.array(read_photo(gif(colours, bytes([0, 2] * 32), (8, 8, 8, 8), control), "a.gif").image)
    assert (pixels[8:16, 8:16:2] == (255, 0, 0)).all()
    assert (pixels[8:16, 9:16:2] == 255).all()
    pixels[8:16, 8:16] = 255
    assert (pixels == 255).all()


# --- the mark at the end of a JPEG

CODINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True},
    "restarts": {"restart_marker_rows": 1},
    "many restarts": {"restart_marker_blocks": 1},
    "full colour": {"subsampling": 0},
    "grey": {},
    "flat": {"optimize": True},
}


def coded(coding: str) -> bytes:
    picture = noisy_gradient() if coding != "flat" else Image.new("RGB", (64, 48), "teal")
    return encode(picture.convert("L") if coding == "grey" else picture, "JPEG", **CODINGS[coding])


def test_a_jpeg_without_its_end() -> None:
    data = case("jpeg_no_eoi.jpg")
    assert not data.rstrip(b"\xff").endswith(b"\xff\xd9")
    whole = Image.open(io.BytesIO(data + b"\xff\xd9"))
    assert np.array_equal(np.asarray(read_photo(data, "a.jpg").image), np.asarray(whole))


@pytest.mark.parametrize("coding", CODINGS)
def test_only_the_end_of_a_jpeg_may_be_missing(coding: str) -> None:
    """Cut anywhere else it is refused, or, where that took no pixel, read as it was."""
    data = coded(coding)
    whole = np.asarray(read_photo(data, "whole").image)
    for rest in (b"", b"\xff", b"\0" * 512, b"\xff\xff"):
        assert np.array_equal(np.asarray(read_photo(data[:-2] + rest, "cut").image), whole), rest
    cuts = [outcome(data[:length]) for length in range(1, len(data) - 3)]
    kept = [cut for cut in cuts if isinstance(cut, Photo)]
    assert all(np.array_equal(np.asarray(cut.image), whole) for cut in kept)
    assert len(kept) <= 1  # a last byte may hold nothing but padding


def test_a_progressive_jpeg_without_its_last_scan() -> None:
    """Its picture is whole, but rougher than it was meant to be."""
    data = coded("progressive")
    assert DAMAGED in refusal(data[: data.rindex(b"\xff\xda")])
    assert DAMAGED in refusal(data[: data.rindex(b"\xff\xc4")])


# --- pieces


def pieced(count: int) -> bytes:
    """A grey TIFF of 1000 x 1000 pixels in tiles of one, which share their byte."""
    start = 8 + 2 + 10 * 12 + 4
    entries = [(256, 1000), (257, 1000), (258, 8), (259, 1), (262, 1), (277, 1), (322, 1), (323, 1)]
    body = struct.pack("<4sIH", b"II*\0", 8, 10)
    body += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    body += struct.pack("<HHII", 324, 4, count, start) + struct.pack("<HHII", 325, 4, count, start + 4 * count)
    return body + bytes(4) + struct.pack("<I", start) * count + struct.pack("<I", 1) * count


def test_a_tiff_of_a_million_tiles_is_refused_before_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pieced(1_000_000)
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("was opened"))
    assert refusal(data) == "This TIFF file is cut into 1,000,000 pieces: please save it as PNG."
    assert isinstance(outcome(pieced(MAX_PIECES + 1)), PhotoError)


def test_a_tiff_of_one_row_a_strip_is_read() -> None:
    strips = [bytes(SIDE)] * SIDE
    assert read_photo(tiff(SIDE, SIDE, 8, strips, T278=1), "rows.tif").image.size == (SIDE, SIDE)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_ordinary_pictures_are_no_kind_of_their_own(kind: str) -> None:
    data = encode(noisy_gradient(), kind, **LOSSLESS[kind])
    assert isinstance(outcome(data), Photo)
    assert DAMAGED in refusal(data[: len(data) // 3])


def test_a_png_with_an_impossible_header_is_damaged() -> None:
    assert DAMAGED in refusal(png(SIDE, SIDE, 3, 2, bytes(100)))
