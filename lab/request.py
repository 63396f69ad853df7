"""What the user asks for: one photo, one model, one target, one set of settings; and what is measured of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jma_core.attacks.registry import Entry, Value, catalogue
from jma_core.geometry import Geometry, Landing
from lab import stencil
from models.encodings import Target

OFFERED = {name: entry for name, entry in catalogue().items() if {*entry.needs} <= {"pool"}}
"""The attacks that a photo and a target are enough for; sample photos are the pool of those that need one."""


def offered(asked: str) -> dict[str, Entry]:
    """Those of them that can be asked for it: one-hot, top-K, ECOC or multi-label."""
    return {name: entry for name, entry in OFFERED.items() if asked in entry.encodings}


MAX_KAPPA, KAPPA_STEP = 5.0, 0.5
MAX_SECONDS = 3600.0
PERIODS = 0.0, 4.0, 8.0, 16.0, 32.0
"""Pixels; 0 allows all waves."""
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


@dataclass(frozen=True)
class Canvas:
    """What of the photo may change. Raises ValueError for both a region and a painted part, and for a broken one."""

    native: bool = False
    """The photo is attacked at its own size, and not the picture that the network sees of it."""
    region: Region | None = None
    """The part of the attacked picture that may change; None: all of it."""
    painted: str = ""
    """Such a part of any shape, as ``lab.stencil`` writes it."""
    period: float = 0.0
    """Perturbations are made of waves of at least so many pixels; 0: of any. Not in a painted part."""

    def __post_init__(self) -> None:
        if self.region == (0, 0, 1, 1):
            object.__setattr__(self, "region", None)
        if self.painted and not stencil.read(self.painted).any():
            raise ValueError("expected a painted part, got one of no cells")
        if self.painted and (self.region or self.period):
            raise ValueError("expected a painted part, or a rectangle, or long waves in one, got two of them")

    @property
    def whole(self) -> bool:
        """Whether every pixel may change."""
        return not (self.region or self.painted)

    def free(self, height: int, width: int) -> NDArray[np.bool_]:
        """The pixels (height, width) that may change in a picture of this size."""
        if self.painted:
            return stencil.laid_over(stencil.read(self.painted), height, width)
        left, top, right, bottom = self.region or (0.0, 0.0, 1.0, 1.0)
        free = np.zeros((height, width), dtype=bool)
        free[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = True
        return free

    @property
    def told(self) -> str:
        """In words, what may change."""
        where = "all pixels"
        if self.region:
            where = "left, top, right, bottom " + ", ".join(map(str, self.region))
        elif self.painted:
            cells = stencil.read(self.painted)
            where = f"{cells.mean():.1%}, painted"
        return where + (f"; waves of at least {self.period:g} pixels" if self.period else "")


@dataclass(frozen=True)
class Request:
    """Everything that an attack depends on; equal requests give equal attacks."""

    model: str
    photo: str
    """sha256 of the photo's bytes."""
    target: Target
    settings: Settings
    canvas: Canvas = Canvas()

    @property
    def refused(self) -> str:
        """Why there is no such attack, in a sentence; empty if there is."""
        if self.canvas.period and not self.settings.entry.waves:
            return (
                f"{self.settings.entry.title}: this attack cannot be held to long waves. Choose another one, or any "
                "waves under “What may change”."
            )
        return ""

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
