"""What the user asks for: one photo, one model, one target, one set of settings; and what is measured of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from jma_core.attacks.registry import Entry, Value, catalogue
from jma_core.geometry import Geometry, Landing
from models.encodings import Target

OFFERED = {name: entry for name, entry in catalogue().items() if {*entry.needs} <= {"pool"}}
"""The attacks that a photo and a target are enough for; sample photos are the pool of those that need one."""


def offered(asked: str) -> dict[str, Entry]:
    """Those of them that can be asked for it: one-hot, top-K, ECOC or multi-label."""
    return {name: entry for name, entry in OFFERED.items() if asked in entry.encodings}


MAX_KAPPA, KAPPA_STEP = 5.0, 0.5
MAX_SECONDS = 3600.0
SIDE_STEP = 5
"""Per cent of a picture's side, between two places where a region may begin or end."""


@dataclass(frozen=True)
class Settings:
    """An attack, and all of its settings: those that are not given have their defaults, so that equals are equal.

    Raises ValueError for an attack that there is not and for values that are out of range, TypeError for names of
    settings that it has not.
    """

    attack: str = "lazy"
    """Its name in the registry."""
    own: tuple[tuple[str, Value], ...] = ()
    """Its own settings by name, in the order of their declaration."""
    kappa: float = 0.0
    max_seconds: float = 300.0

    def __post_init__(self) -> None:
        if self.attack not in OFFERED:
            raise ValueError(f"expected an attack, one of {', '.join(OFFERED)}, got {self.attack!r}")
        object.__setattr__(self, "own", tuple(self.entry.check(dict(self.own)).items()))

    @classmethod
    def of(cls, attack: str = "lazy", *, kappa: float = 0.0, max_seconds: float = 300.0, **own: Any) -> Settings:
        """An attack with some of its own settings."""
        return cls(attack, tuple(own.items()), kappa, max_seconds)

    @property
    def entry(self) -> Entry:
        """What the registry knows of the attack."""
        return OFFERED[self.attack]

    def told(self) -> dict[str, Any]:
        """All by name; ``of`` takes them back."""
        return {"attack": self.attack, **dict(self.own), "kappa": self.kappa, "max_seconds": self.max_seconds}


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

    def __post_init__(self) -> None:
        if self.region == (0, 0, 1, 1):
            object.__setattr__(self, "region", None)


@dataclass(frozen=True)
class Request:
    """Everything that an attack depends on; equal requests give equal attacks."""

    model: str
    photo: str
    """sha256 of the photo's bytes."""
    target: Target
    settings: Settings
    canvas: Canvas = Canvas()

    def told(self) -> dict[str, Any]:
        """All of it, for JSON, which has no sets."""
        target = {"any order": sorted(self.target)} if isinstance(self.target, frozenset) else self.target
        return asdict(self) | {"target": target, "settings": self.settings.told()}


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
