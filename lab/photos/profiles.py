"""Embedded colour profiles: pictures converted to sRGB, which is what networks were trained on and pages show."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

MAX_BYTES = 4 * 2**20
"""Profiles of printers have up to 3 MB."""
MAX_NAME = 40  # characters
MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
CLASSES = {"scnr", "mntr", "prtr", "spac"}
"""Profiles that say what a picture's numbers look like; there are others, such as of one device to another."""
ALIKE = 2
"""Levels of 255 by which the colours of sRGB's many profiles differ."""
UNUSABLE = (ImageCms.PyCMSError, OSError, ValueError, TypeError)

_srgb = ImageCms.createProfile("sRGB")


def to_srgb(picture: Image.Image, profile: bytes | None) -> tuple[Image.Image, str]:
    """A picture (L, RGB, CMYK, LAB) in sRGB, and the note to make, if any.

    Relative colorimetric with black point compensation, as image editors do. Grey may have a profile of RGB.
    """
    if not profile or picture.mode == "LAB":  # which is a colour as it is seen
        return picture.convert("RGB"), ""
    try:
        source = _opened(profile)
        mode = MODES[source.profile.xcolor_space.strip()]
        fitting = picture.convert("RGB") if (picture.mode, mode) == ("L", "RGB") else picture
        transform = ImageCms.buildTransform(
            source, _srgb, mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
        )
        if mode != fitting.mode:
            raise ValueError(f"a profile for {mode}, a picture in {fitting.mode}")
        name = _name(source)
    except (*UNUSABLE, KeyError):
        return picture.convert("RGB"), "colour profile ignored, which is damaged or of another kind of colour"
    if mode != "CMYK" and _changes_little(transform, mode):
        return picture.convert("RGB"), ""
    converted = transform.apply(fitting)
    return converted, f"colours converted from {name} to sRGB"


def _opened(profile: bytes) -> ImageCms.ImageCmsProfile:
    if len(profile) > MAX_BYTES:
        raise ValueError(f"{len(profile)} bytes")
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if opened.profile.device_class not in CLASSES:
        raise ValueError(opened.profile.device_class)
    return opened


def _changes_little(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether colours of the whole range stay what they are: then the profile is one of sRGB."""
    level = np.arange(0, 256, 15, dtype=np.uint8)
    colours = level[None] if mode == "L" else np.stack(np.meshgrid(level, level, level), -1).reshape(1, -1, 3)
    before = Image.fromarray(colours)
    after = np.asarray(transform.apply(before), dtype=int)
    return bool(np.abs(after - np.asarray(before.convert("RGB"))).max() <= ALIKE)


def _name(profile: ImageCms.ImageCmsProfile) -> str:
    """What a profile calls itself, on one line."""
    said = profile.profile.profile_description or ""
    name = " ".join("".join(char if char.isprintable() else " " for char in said).split())
    return f"{name[:MAX_NAME]}{'…' * (len(name) > MAX_NAME)}" or "its own colour profile"
