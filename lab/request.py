"""What the user asks for: one photo, one model, one target, one set of settings; and what is measured of it."""

from __future__ import annotations

from dataclasses import dataclass

from jma_core.geometry import Geometry, Landing

Target = int | tuple[int, ...]
"""A class index, or for each label whether it is wanted: 1 present, 0 absent, -1 either."""


LEVELS = {
    "lazy": "JMA, from the gradients that matter",
    "boxed": "JMA, with the range of pixels in the problem",
    "paper": "JMA, from all gradients, as published",
    "refined": "Refined, ends closest to the original",
}
"""The attacks, and what people call them."""
STEPS = (0.05, 0.1, 0.2, 0.5, 1.0)
MAX_KAPPA, KAPPA_STEP = 5.0, 0.5
MAX_ITERATIONS = 1000
MAX_SECONDS = 3600.0
SIDE_STEP = 5
"""Per cent of a picture's side, between two places where a region may begin or end."""


@dataclass(frozen=True)
class Settings:
    """The attack's knobs, as ``jma_core.jma`` names them. Level "refined" is ``jma_core.refined`` in max_iter steps."""

    level: str = "lazy"
    step: float = 0.2
    max_iter: int = 200
    kappa: float = 0.0
    max_seconds: float = 300.0


Region = tuple[float, float, float, float]
"""Left, top, right and bottom of a rectangle in a picture, as fractions of its sides."""


def inside(region: Region, height: int, width: int) -> tuple[slice, slice]:
    """The rows and the columns of a region in a picture of this size."""
    left, top, right, bottom = region
    return slice(round(top * height), round(bottom * height)), slice(round(left * width), round(right * width))


@dataclass(frozen=True)
class Canvas:
    """What of the photo may change."""

    native: bool = False
    """The photo is attacked at its own size, and not the picture that the network sees of it."""
    region: Region | None = None
    """The part of the attacked picture that may change; None: all of it."""


@dataclass(frozen=True)
class Request:
    """Everything that an attack depends on; equal requests give equal attacks."""

    model: str
    photo: str
    """sha256 of the photo's bytes."""
    target: Target
    settings: Settings
    canvas: Canvas = Canvas()


@dataclass(frozen=True)
class Choice:
    """What the pages may be asked to show: a request that may leave the target to them."""

    model: str
    photo: str
    """sha256 of the photo's bytes."""
    target: Target | None = None
    """None: the one that the page proposes."""
    settings: Settings = Settings()
    canvas: Canvas = Canvas()


@dataclass(frozen=True)
class Measured:
    """The logit space at a picture, and what the network itself says of the two perturbations."""

    space: Geometry
    nearest: Landing
    cheapest: Landing
