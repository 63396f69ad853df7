"""Turns the bytes of an uploaded file into an upright 8-bit RGB picture, or says in one sentence why it cannot.

Only numpy and Pillow are imported, never torch or streamlit: pages need this module for their first paint.
"""

import hashlib
import io
import math
import re
import threading
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, PLANAR_CONFIGURATION, TiffImageFile

from lab.photos import kinds
from lab.photos.kinds import BAD_DATA, CAMERAS, RAW, READ, REFUSED
from lab.photos.profiles import to_srgb

MAX_BYTES = 10 * 2**20
MAX_PIXELS = 50_000_000
MIN_SIDE = 16  # pixels
MAX_ASPECT = 20  # longer side over shorter side
MAX_PAINTED = 2_000_000_000  # pixels that decoding may paint, the same ones again included: about 2 s of work
MAX_PIECES = 100_000  # strips or tiles of a TIFF: more than rows of three planes of the longest picture; 0.6 s of work
MAX_NAME = 80  # characters

EXPECTED = "a PNG, JPEG, WebP, GIF, TIFF or BMP picture was expected"
LIMIT = f"at most {MAX_PIXELS // 10**6} megapixels are accepted"

FIRST_OF_MANY = {"TIFF": "first page of several", "MPO": "first picture of several"}  # all others: animations

ON_WHITE = "transparency laid on white"
UNSAFE = frozenset('<>[]|*`$&"\\')  # in a display name

UPRIGHT = {  # by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_one_at_a_time = threading.Lock()


class PhotoError(ValueError):
    """The upload cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class Photo:
    """An uploaded picture.

    name: for display and for the names of downloads: never a path, 1 to MAX_NAME characters.
    image: RGB, upright, 8 bits a channel, without the file's metadata.
    note: one sentence on what was converted, "" if nothing was.
    digest: SHA-256 of the uploaded bytes, in hexadecimal.
    """

    name: str
    image: Image.Image
    note: str
    digest: str


def read_photo(data: bytes, name: str) -> Photo:
    """Reads the bytes of an uploaded file; `name` is what the browser calls it.

    Colours are those of sRGB. Raises PhotoError if the file has more than MAX_BYTES, is no picture of a kind in READ or
    of one that Pillow lacks, is a camera's raw file, is outside MIN_SIDE, MAX_ASPECT or MAX_PIXELS (told from its
    header, before decoding), is damaged, or holds numbers without a fixed white. The mark at the end of a JPEG may be
    missing, as browsers have it.
    """
    kind = _kind(data)
    with _pillow(kind, data):
        if kind == "TIFF":
            _check_tiff(data)
        opened = Image.open(io.BytesIO(data), formats=[kind])  # reads the header only
        _check_size(*opened.size)
        _check_work(opened, data)
        frames = _frames(opened)
        bits = _bits(opened)
        covered = opened.tile[0].extents if kind == "GIF" else None
        try:
            opened.load()
        except OSError:
            if kind != "JPEG" or not (ended := _ended(data)):
                raise
            opened = ended
        rgb, conversions = _to_rgb(opened, bits, covered)
        rgb, warning = _turn_upright(rgb, opened)
    rgb.info.clear()  # or the old colour profile and transparent colour would go into every PNG saved from it
    note = "; ".join(frames + conversions + warning)
    return Photo(
        name=_display_name(name),
        image=rgb,
        note=f"{note[0].upper()}{note[1:]}." if note else "",
        digest=hashlib.sha256(data).hexdigest(),
    )


def _kind(data: bytes) -> str:
    """The Pillow format that the bytes begin as; raises PhotoError if there is none, or too many or too few bytes."""
    if not data:
        raise PhotoError(f"This file is empty: {EXPECTED}.")
    if len(data) > MAX_BYTES:
        raise PhotoError(
            f"This file has {math.ceil(10 * len(data) / 2**20) / 10} MB: at most {MAX_BYTES // 2**20} MB are accepted."
        )
    head = data[:4096]
    if re.match(CAMERAS, head, re.DOTALL):
        raise PhotoError(RAW)
    for kind, beginning in READ.items():
        if re.match(beginning, head, re.DOTALL):
            return kind
    for kind, beginning in REFUSED.items():
        if re.match(beginning, head, re.DOTALL | re.IGNORECASE):
            raise PhotoError(f"{kind} are not supported: please save it as JPEG or PNG.")
    came = "plain text" if head.isascii() and b"\0" not in head else "a file of an unknown kind"
    raise PhotoError(f"This is {came}: {EXPECTED}.")


@contextmanager
def _pillow(kind: str, data: bytes) -> Iterator[None]:
    """Around calls of Pillow: what it raises on bad data becomes PhotoError, and what it warns of stays unheard.

    One thread at a time, since the filters of `warnings` belong to the whole process, and to bound the memory.
    """
    with _one_at_a_time, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        try:
            yield
        except PhotoError:
            raise
        except Image.DecompressionBombError as error:
            raise PhotoError(f"This picture is far too large: {LIMIT}.") from error
        except BAD_DATA as error:
            if what := kinds.unread(kind, data):
                raise PhotoError(f"This is {what}, which is not read here: please save it as PNG.") from error
            raise PhotoError(f"This {kind} file is damaged or cut off: a complete picture was expected.") from error


def _check_size(width: int, height: int) -> None:
    """Raises PhotoError unless a picture of this many pixels can be used."""
    picture = f"This picture has {width} x {height} pixels"
    if width * height > MAX_PIXELS:
        raise PhotoError(f"{picture}, {math.ceil(width * height / 1e5) / 10} megapixels: {LIMIT}.")
    if min(width, height) < MIN_SIDE:
        raise PhotoError(f"{picture}: at least {MIN_SIDE} are needed on each side.")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise PhotoError(f"{picture}: the longer side may be at most {MAX_ASPECT} times the shorter.")


def _check_work(opened: ImageFile.ImageFile, data: bytes) -> None:
    """Raises PhotoError if decoding would paint the picture over and over: a small file could take hours that way."""
    pixels = math.prod(opened.size)
    if opened.format in ("JPEG", "MPO"):
        painted = pixels * data.count(b"\xff\xda")  # the marker that begins a scan, which compressed data never holds
    else:
        boxes = [tile.extents for tile in opened.tile if tile.extents]
        painted = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
    if painted > MAX_PAINTED:
        raise PhotoError(f"This file paints its picture {painted // pixels} times over: please save it as PNG.")


def _check_tiff(data: bytes) -> None:
    """Raises PhotoError for raw files and for those in too many pieces, and what Pillow would for signed bytes."""
    tags = kinds.directory(data)
    if kinds.is_raw(tags):
        raise PhotoError(RAW)
    if (pieces := kinds.pieces(tags)) > MAX_PIECES:
        raise PhotoError(f"This TIFF file is cut into {pieces:,} pieces: please save it as PNG.")
    if kinds.is_signed(tags):
        raise ValueError("signed bytes")


def _ended(data: bytes) -> ImageFile.ImageFile | None:
    """A JPEG that lacks nothing but the mark at its end, decoded; None for any other.

    Nothing else is missing if all scans are there and what follows the last one changes no pixel: neither some bits nor
    the opposite ones, be they taken for the rest of its interval or, after a restart, for the next one.
    """
    if not kinds.has_all_scans(data):
        return None
    restarts = re.findall(rb"\xff([\xd0-\xd7])", data)
    restart = bytes([0xFF, 0xD0 + (restarts[-1][0] - 0xD0 + 1) % 8 if restarts else 0xD0])
    bits = np.random.default_rng(0).integers(1, 255, 1024).astype(np.uint8)
    first, second = (
        Image.open(io.BytesIO(data.rstrip(b"\xff") + rest + restart + rest + b"\xff\xd9"), formats=["JPEG"])
        for rest in (bits.tobytes(), (~bits).tobytes())
    )
    return first if np.array_equal(np.asarray(first), np.asarray(second)) else None


def _frames(opened: ImageFile.ImageFile) -> list[str]:
    """The note to make if the file holds more than the picture that is read."""
    if not getattr(opened, "is_animated", False):
        return []
    return [FIRST_OF_MANY.get(opened.format or "", "first frame of an animation")]


def _bits(opened: ImageFile.ImageFile) -> int:
    """Bits a channel in a PNG or TIFF before it is decoded; Pillow's mode tells only how it will hold them."""
    if isinstance(opened, TiffImageFile):
        return int(max(opened.tag_v2.get(BITSPERSAMPLE, (1,))))
    depth = re.search(r";(\d+)", str(opened.tile[0].args)) if opened.format == "PNG" and opened.tile else None
    return int(depth[1]) if depth else 8


def _to_rgb(opened: Image.Image, bits: int, covered: tuple[int, int, int, int] | None) -> tuple[Image.Image, list[str]]:
    """The decoded picture in sRGB on white, and the notes to make; raises PhotoError for numbers without a fixed white.

    covered: the part that is painted, if not all; the rest is transparent.
    """
    if opened.mode == "F":
        raise PhotoError("This picture holds floating-point numbers, which have no fixed white: please save it as PNG.")
    if isinstance(opened, TiffImageFile) and bits == 16 and opened.tag_v2.get(PLANAR_CONFIGURATION) == 2:
        # Pillow would read the low and the high bytes as pixels beside each other
        raise PhotoError("This TIFF file keeps 16-bit colours in separate planes: please save it as PNG.")
    deep = opened.mode.startswith("I")
    colours, alpha, notes = _grey(opened, bits) if deep else _colours(opened, bits)
    rgb, conversion = to_srgb(colours, opened.info.get("icc_profile"))
    notes += [conversion] if conversion else []
    if colours.mode in ("CMYK", "LAB") and not conversion.startswith("colours converted"):
        notes.append(f"{colours.mode} colours converted to RGB")
    if covered:
        painted = Image.new("L", rgb.size)
        painted.paste(alpha.crop(covered), covered)
        alpha = painted
    if alpha.getextrema() == (255, 255):
        return rgb, notes
    white = Image.new("RGB", rgb.size, "white")
    white.paste(rgb, mask=alpha)
    return white, [*notes, ON_WHITE]


def _colours(opened: Image.Image, bits: int) -> tuple[Image.Image, Image.Image, list[str]]:
    """A picture of 8 bits in L, RGB, CMYK or LAB, its opacity, and the notes to make."""
    notes = ["16-bit colour reduced to 8 bits"] if bits == 16 else []
    grey = opened.mode in ("1", "L", "LA", "La")
    if not opened.has_transparency_data:
        plain = opened if opened.mode in ("CMYK", "LAB") else opened.convert("L" if grey else "RGB")
        return plain, Image.new("L", plain.size, 255), notes
    _scale_transparent_colour(opened, bits)
    rgba = opened.convert("RGBA")
    return rgba.getchannel("R") if grey else rgba.convert("RGB"), rgba.getchannel("A"), notes


def _grey(opened: Image.Image, bits: int) -> tuple[Image.Image, Image.Image, list[str]]:
    """The same for grey of more than 8 bits, which Pillow would clip at 255; 32-bit files are taken to hold 16 bits."""
    values = np.asarray(opened)
    white = 4095 if bits == 12 else 65535
    if values.min() < 0 or values.max() > white:
        raise PhotoError(f"This grey picture has values from {values.min()} to {values.max()}: 0 to {white} expected.")
    grey = ((values.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)  # v / 257, rounded, for 16 bits
    if isinstance(opened, TiffImageFile) and opened.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0:
        grey = 255 - grey  # white is zero: Pillow heeds that up to 8 bits only
    opaque = np.where(values == opened.info.get("transparency", -1), 0, 255).astype(np.uint8)
    return Image.fromarray(grey), Image.fromarray(opaque), [f"{bits}-bit grey scaled to 8 bits"]


def _scale_transparent_colour(opened: Image.Image, bits: int) -> None:
    """Pillow scales the pixels of a PNG to 8 bits, but leaves its one transparent colour in the depth of the file."""
    if opened.format == "PNG" and opened.mode == "L":
        opened.info["transparency"] = opened.info["transparency"] * 255 // (2**bits - 1)
    elif opened.format == "PNG" and opened.mode == "RGB" and bits == 16:
        opened.info["transparency"] = tuple(value >> 8 for value in opened.info["transparency"])


def _turn_upright(rgb: Image.Image, opened: Image.Image) -> tuple[Image.Image, list[str]]:
    """The picture as its camera was held, and the note to make if that is unreadable."""
    try:  # not ImageOps.exif_transpose, which also writes the record anew and fails on odd ones
        orientation = opened.getexif().get(ExifTags.Base.Orientation)
    except BAD_DATA:
        return rgb, ["damaged EXIF record ignored"]
    return (rgb.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else rgb), []


def _display_name(name: str) -> str:
    """The last part of a path, without what could act in a terminal, in HTML or in Markdown."""
    last = " ".join(re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1].split())
    kept = "".join(char for char in last if unicodedata.category(char)[0] != "C" and char not in UNSAFE).strip(" .")
    if len(kept) > MAX_NAME:
        kept = f"{kept[: MAX_NAME - 11]}...{kept[-8:]}"
    return kept or "photo"
