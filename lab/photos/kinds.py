"""What the header of a picture file says: its kind, and whether that is one that Pillow decodes. Decodes nothing."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator

from PIL import Image
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    COMPRESSION,
    PHOTOMETRIC_INTERPRETATION,
    SAMPLEFORMAT,
    SAMPLESPERPIXEL,
    STRIPBYTECOUNTS,
    STRIPOFFSETS,
    TILEBYTECOUNTS,
    TILEOFFSETS,
    YCBCRSUBSAMPLING,
    ImageFileDirectory_v2,
)

# How each kind of file begins. The content decides what a file is, never its extension.
READ = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "WEBP": rb"RIFF.{4}WEBP",
    "GIF": rb"GIF8[79]a",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "BMP": rb"BM.{12}.\0\0\0",
}
RAW = "This is a camera's raw file, and the preview in it is not the photo: please export it as JPEG."
REFUSED = {
    "AVIF pictures": rb".{4}ftyp(avi[fs]|mi[af]1.{0,64}avi[fs])",
    "HEIC pictures": rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)",
    "JPEG XL pictures": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "SVG drawings": rb"(\xef\xbb\xbf)?\s*(<svg|<(\?xml|!--|!DOCTYPE svg).*<svg)",
    "PDF documents": rb"\s*%PDF-",
}
CAMERAS = rb"II\*\0.{4}(CR|II)|IIU\0|IIR[OS]|MMOR|FUJIFILMCCD-RAW|\0MRM|FOVb|.{4}ftypcrx"
"""How raw files of Canon, Phase One, Panasonic, Olympus, Fujifilm, Minolta and Sigma begin."""

# What Pillow raises on bad data beside DecompressionBombError: each was seen when mutating a million files.
BAD_DATA = (OSError, SyntaxError, ValueError, TypeError, IndexError, AssertionError, struct.error)

NEW_SUBFILE_TYPE, SUB_IFDS, DNG_VERSION = 254, 330, 50706
MOSAIC = {32803, 34892}
"""TIFF's kinds of colour that only raw files have."""
YCBCR, USUAL = 6, range(9)
COLOURS = {32844: "luminance in logarithms", 32845: "colours in logarithms", 9: "ICC's L*a*b*", 10: "ITU's L*a*b*"}
UNSIGNED, SIGNED, FLOATING = 1, 2, 3
NUMBERS = {SIGNED: "signed", FLOATING: "floating-point", 5: "complex", 6: "complex"}
PACKED = {6: "JPEG of the old style", 34661: "JBIG", 34676: "SGI's logarithms", 34677: "SGI's logarithms",
          33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 34887: "LERC", 34892: "lossy JPEG", 50001: "WebP",
          50002: "JPEG XL", 52546: "JPEG XL"}  # fmt: skip
UNPACKED = {1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 50000}
"""TIFF's compressions that Pillow decodes."""
NOT_SUBSAMPLED = (1, 1)

BITMAP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
BITMAP_BITS = {0, 1, 2, 4, 8, 16, 24, 32, 64}
BITMAP_PACKED = {1: "8-bit run lengths", 2: "4-bit run lengths", 4: "JPEG", 5: "PNG",
                 11: "CMYK", 12: "CMYK", 13: "CMYK"}  # fmt: skip
BITMAP_PLAIN = {0, 3, 6}

SCAN, END = 0xDA, 0xD9
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7}
"""JPEG's markers that begin a picture, by how it is coded."""
LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF, 0xF7}
CHANNELS = {1, 3, 4}
COEFFICIENTS = 64


def directory(data: bytes) -> ImageFileDirectory_v2:
    """The tags of the first page of a TIFF file. May raise what is in BAD_DATA."""
    tags = ImageFileDirectory_v2(data[:16] if b"+" in data[2:4] else data[:8])
    file = io.BytesIO(data)
    file.seek(tags.next)
    tags.load(file)
    return tags


def is_raw(tags: ImageFileDirectory_v2) -> bool:
    """Whether these are the tags of a raw file: DNG, or a preview first and the photo below it, as NEF and ARW."""
    preview = int(tags.get(NEW_SUBFILE_TYPE, 0)) & 1
    mosaic = tags.get(PHOTOMETRIC_INTERPRETATION) in MOSAIC
    return DNG_VERSION in tags or mosaic or bool(preview and SUB_IFDS in tags)


def pieces(tags: ImageFileDirectory_v2) -> int:
    """How many strips or tiles a page consists of."""
    return max(len(tags.get(where, ())) for where in (STRIPOFFSETS, TILEOFFSETS))


def unread(kind: str, data: bytes) -> str:
    """What an intact header says of a picture that Pillow does not decode: "a TIFF file of 5 channels of 8 bits".

    Empty if it says nothing of that sort: a file that cannot be decoded is then damaged.
    """
    look = {"TIFF": _tiff, "BMP": _bitmap, "JPEG": _jpeg}.get(kind)
    try:
        return look(data) if look else ""
    except BAD_DATA:
        return ""


def _tiff(data: bytes) -> str:
    tags = directory(data)
    where, sizes = (STRIPOFFSETS, STRIPBYTECOUNTS) if STRIPOFFSETS in tags else (TILEOFFSETS, TILEBYTECOUNTS)
    ends = [start + size for start, size in zip(tags.get(where, ()), tags.get(sizes, ()), strict=True)]
    if not ends or max(ends) > len(data):
        return ""
    bits, packing = sorted(set(tags.get(BITSPERSAMPLE, (1,)))), tags.get(COMPRESSION, 1)
    colour, channels = tags.get(PHOTOMETRIC_INTERPRETATION, 0), int(tags.get(SAMPLESPERPIXEL, 1))
    subsampled = colour == YCBCR and packing == 1 and tags.get(YCBCRSUBSAMPLING, (2, 2)) != NOT_SUBSAMPLED
    if packing in UNPACKED and not subsampled and not is_signed(tags) and _opens("TIFF", data):
        return ""
    said = [
        f"{channels} channel{'s' * (channels > 1)} of {' and '.join(map(str, bits))} bits",
        NUMBERS.get(max(tags.get(SAMPLEFORMAT, (UNSIGNED,))), ""),
        "" if colour in USUAL else COLOURS.get(colour, f"colours of kind {colour}"),
        "with subsampled colours" * subsampled,
        "" if packing in UNPACKED else f"compressed as {PACKED.get(packing, f'kind {packing}')}",
    ]
    return f"a TIFF file of {', '.join(filter(None, said))}"


def is_signed(tags: ImageFileDirectory_v2) -> bool:
    """Whether a page holds signed bytes, which Pillow takes for unsigned ones."""
    return SIGNED in tags.get(SAMPLEFORMAT, ()) and max(tags.get(BITSPERSAMPLE, (1,))) <= 8


def _bitmap(data: bytes) -> str:
    start, size = struct.unpack_from("<II", data, 10)
    planes, bits = struct.unpack_from("<HH", data, 22 if size == 12 else 26)
    packing = struct.unpack_from("<I", data, 30)[0] if size > 16 else 0
    intact = (
        size in BITMAP_HEADERS and planes == 1 and bits in BITMAP_BITS and packing in BITMAP_PLAIN | {*BITMAP_PACKED}
    )
    if not intact or start > len(data) or _opens("BMP", data):
        return ""
    coded = f", compressed as {BITMAP_PACKED[packing]}" if packing in BITMAP_PACKED else ""
    return f"a BMP file of {bits} bits a pixel{coded}"


def _jpeg(data: bytes) -> str:
    for marker, body in segments(data):
        if marker in FRAMES:
            bits, channels = body[0], body[5]
            if bits == 8 and channels in CHANNELS and marker not in LOSSLESS:
                return ""
            return f"a {'lossless ' * (marker in LOSSLESS)}JPEG file of {channels} channels of {bits} bits"
    return ""


def _opens(kind: str, data: bytes) -> bool:
    """Whether Pillow knows what to do with the layout that a header describes."""
    try:
        Image.open(io.BytesIO(data), formats=[kind])
    except BAD_DATA:
        return False
    return True


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The markers of a JPEG file with what they hold, to the end of its first picture, without the coded data."""
    at = 2
    while (found := re.compile(rb"\xff+([^\0\xff\xd0-\xd7])").search(data, at)) and found[1][0] != END:
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
        yield found[1][0], data[found.end() + 2 : at]


def has_all_scans(data: bytes) -> bool:
    """Whether every coefficient of every channel of a JPEG is coded to its last bit, by what its scans announce."""
    missing: set[tuple[int, int]] = set()
    for marker, body in segments(data):
        if marker in FRAMES:
            missing = {(channel, k) for channel in body[6::3] for k in range(COEFFICIENTS)}
        elif marker == SCAN:
            first, last, bits = body[1 + 2 * body[0] :]
            if not bits & 15:
                missing -= {(channel, k) for channel in body[1 : 1 + 2 * body[0] : 2] for k in range(first, last + 1)}
    return not missing
