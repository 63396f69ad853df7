"""Turns the bytes of an uploaded file into an upright 8-bit RGB picture, or says in one sentence why it cannot.

Only numpy and Pillow are imported, never torch or streamlit: pages need this module for their first paint.
"""

import hashlib
import io
import math
import re
import struct
import threading
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, PLANAR_CONFIGURATION, TiffImageFile

MAX_BYTES = 10 * 2**20
MAX_PIXELS = 50_000_000
MIN_SIDE = 16  # pixels
MAX_ASPECT = 20  # longer side over shorter side
MAX_PAINTED = 2_000_000_000  # pixels that decoding may paint, the same ones again included: about 2 s of work
MAX_NAME = 80  # characters

EXPECTED = "a PNG, JPEG, WebP, GIF, TIFF or BMP picture was expected"
LIMIT = f"at most {MAX_PIXELS // 10**6} megapixels are accepted"

# How each kind of file begins. The content decides what a file is, never its extension.
READ = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "WEBP": rb"RIFF.{4}WEBP",
    "GIF": rb"GIF8[79]a",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "BMP": rb"BM.{12}.\0\0\0",
}
REFUSED = {
    "AVIF pictures": rb".{4}ftyp(avi[fs]|mi[af]1.{0,64}avi[fs])",
    "HEIC pictures": rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)",
    "JPEG XL pictures": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "SVG drawings": rb"(\xef\xbb\xbf)?\s*(<svg|<(\?xml|!--|!DOCTYPE svg).*<svg)",
    "PDF documents": rb"\s*%PDF-",
}
FIRST_OF_MANY = {"TIFF": "first page of several", "MPO": "first picture of several"}  # all others: animations

ON_WHITE = "transparency laid on white"
UNSAFE = frozenset('<>[]|*`$&"\\')  # in a display name

# What Pillow raises on bad data beside DecompressionBombError: each was seen when mutating a million files.
BAD_DATA = (OSError, SyntaxError, ValueError, TypeError, IndexError, AssertionError, struct.error)

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

    Colour profiles are ignored. Raises PhotoError if the file has more than MAX_BYTES, is no picture of a kind in READ,
    is outside MIN_SIDE, MAX_ASPECT or MAX_PIXELS (told from its header, before decoding), is damaged, or holds numbers
    without a fixed white.
    """
    kind = _kind(data)
    with _pillow(kind):
        opened = Image.open(io.BytesIO(data), formats=[kind])  # reads the header only
        _check_size(*opened.size)
        _check_work(opened, data)
        frames = _frames(opened)
        bits = _bits(opened)
        opened.load()
        rgb, conversions = _to_rgb(opened, bits)
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
    for kind, beginning in READ.items():
        if re.match(beginning, head, re.DOTALL):
            return kind
    for kind, beginning in REFUSED.items():
        if re.match(beginning, head, re.DOTALL | re.IGNORECASE):
            raise PhotoError(f"{kind} are not supported: please save it as JPEG or PNG.")
    came = "plain text" if head.isascii() and b"\0" not in head else "a file of an unknown kind"
    raise PhotoError(f"This is {came}: {EXPECTED}.")


@contextmanager
def _pillow(kind: str) -> Iterator[None]:
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


def _to_rgb(opened: ImageFile.ImageFile, bits: int) -> tuple[Image.Image, list[str]]:
    """The decoded picture in RGB, and the notes to make; raises PhotoError for numbers without a fixed white."""
    if opened.mode == "F":
        raise PhotoError("This picture holds floating-point numbers, which have no fixed white: please save it as PNG.")
    if isinstance(opened, TiffImageFile) and bits == 16 and opened.tag_v2.get(PLANAR_CONFIGURATION) == 2:
        # Pillow would read the low and the high bytes as pixels beside each other
        raise PhotoError("This TIFF file keeps 16-bit colours in separate planes: please save it as PNG.")
    if opened.mode.startswith("I"):
        return _grey_to_rgb(opened, bits)
    notes = ["16-bit colour reduced to 8 bits"] if bits == 16 else []
    if opened.mode in ("CMYK", "LAB"):
        notes.append(f"{opened.mode} colours converted to RGB")
    if not opened.has_transparency_data:
        return opened.convert("RGB"), notes
    _scale_transparent_colour(opened, bits)
    rgba = opened.convert("RGBA")
    alpha = rgba.getchannel("A")
    if alpha.getextrema() != (255, 255):
        notes.append(ON_WHITE)
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=alpha)
    return white, notes


def _grey_to_rgb(opened: ImageFile.ImageFile, bits: int) -> tuple[Image.Image, list[str]]:
    """The same for grey of more than 8 bits, which Pillow would clip at 255; 32-bit files are taken to hold 16 bits."""
    values = np.asarray(opened)
    white = 4095 if bits == 12 else 65535
    if values.min() < 0 or values.max() > white:
        raise PhotoError(f"This grey picture has values from {values.min()} to {values.max()}: 0 to {white} expected.")
    grey = ((values.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)  # v / 257, rounded, for 16 bits
    if isinstance(opened, TiffImageFile) and opened.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0:
        grey = 255 - grey  # white is zero: Pillow heeds that up to 8 bits only
    notes = [f"{bits}-bit grey scaled to 8 bits"]
    transparent = values == opened.info.get("transparency", -1)
    if transparent.any():
        grey[transparent] = 255
        notes.append(ON_WHITE)
    return Image.fromarray(grey).convert("RGB"), notes


def _scale_transparent_colour(opened: ImageFile.ImageFile, bits: int) -> None:
    """Pillow scales the pixels of a PNG to 8 bits, but leaves its one transparent colour in the depth of the file."""
    if opened.format == "PNG" and opened.mode == "L":
        opened.info["transparency"] = opened.info["transparency"] * 255 // (2**bits - 1)
    elif opened.format == "PNG" and opened.mode == "RGB" and bits == 16:
        opened.info["transparency"] = tuple(value >> 8 for value in opened.info["transparency"])


def _turn_upright(rgb: Image.Image, opened: ImageFile.ImageFile) -> tuple[Image.Image, list[str]]:
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
