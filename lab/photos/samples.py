"""The sample photos that ship."""

from __future__ import annotations

from functools import cache

from lab.photos.uploads import Photo, read_photo
from models.registry import ASSETS

EXAMPLE_PHOTO = "cat.png"
"""The sample photo that the page shows first."""


@cache
def samples(kind: str) -> dict[str, Photo]:
    """The sample photos of a folder in assets/samples by digest; the stored example's comes first."""
    paths = sorted((ASSETS / "samples" / kind).iterdir(), key=lambda path: (path.name != EXAMPLE_PHOTO, path.name))
    return {photo.digest: photo for photo in (read_photo(path.read_bytes(), path.name) for path in paths)}
