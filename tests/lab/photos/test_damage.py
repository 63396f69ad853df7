"""Damaged uploads end in a photo or in a sentence."""

import random
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lab.photos.uploads import MAX_PIXELS, MIN_SIDE, Photo, PhotoError
from tests.lab.photos.files import FORMATS, ORIENTATION, WIDE, encode, noisy_gradient, outcome, png, quadrants, tiff


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
from tests.lab.photos.test_damage import fuzz
fuzz(count=5000, seed=2)
print(*re.findall(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
def test_many_mutated_files() -> None:
    """In a process of its own, which therefore knows how much memory they took at the worst."""
    ran = subprocess.run(
        [sys.executable, "-c", MANY], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) * 1024 < 500e6
