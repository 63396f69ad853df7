"""The sample photos that ship."""

from __future__ import annotations

from functools import cache

from lab.photos.uploads import Photo, read_photo
from models.cards import ModelSpec
from models.registry import ASSETS, MODELS, readings

EXAMPLE_PHOTO = "cat.png"
"""The sample photo that the page shows first."""


@cache
def samples(kind: str) -> dict[str, Photo]:
    """The sample photos of a folder in assets/samples by digest; the stored example's comes first."""
    paths = sorted((ASSETS / "samples" / kind).iterdir(), key=lambda path: (path.name != EXAMPLE_PHOTO, path.name))
    return {photo.digest: photo for photo in (read_photo(path.read_bytes(), path.name) for path in paths)}


def readable(spec: ModelSpec) -> dict[str, Photo]:
    """Those for a model that it reads rightly; of a model that does not ship all, for nobody has looked."""
    right = readings(spec.name) if spec.name in MODELS else None
    return {digest: photo for digest, photo in samples(spec.samples).items() if right is None or photo.name in right}
