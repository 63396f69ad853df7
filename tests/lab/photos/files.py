"""Files of pictures: made, read as uploads, and refused."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lab.photos.uploads import Photo, PhotoError, read_photo

RED, GREEN, BLUE, YELLOW, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 255, 255)


FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")
LOSSLESS: dict[str, dict[str, Any]] = {"PNG": {}, "WEBP": {"lossless": True}, "GIF": {}, "TIFF": {}, "BMP": {}}
ORIENTATION = 0x0112


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


WIDE = np.arange(65536, dtype=np.uint16).reshape(256, 256)  # every value once


def outcome(data: bytes) -> Photo | PhotoError:
    try:
        return read_photo(data, "photo")
    except PhotoError as error:
        return error
