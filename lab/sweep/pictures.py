"""The pictures of a plan, by name. Each is known by a sha256: of its file, or of its pixels in a data set."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lab.photos.uploads import Photo, read_photo
from lab.sweep.plan import Pictures, SweepError
from models.data import DataError, Split

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp"}
TUNING = 0x40
"""Of 256 first bytes of a digest, those that say "tuning"."""


class Source(Protocol):
    """Where pictures are."""

    def names(self) -> list[str]:
        """All, in an order of its own."""

    def stamp(self) -> str:
        """A digest that changes when pictures come, go or change in size, had without reading them."""

    def digest(self, name: str) -> str:
        """A picture's sha256. Raises OSError if it is not there."""

    def photo(self, name: str) -> Photo:
        """It. Raises OSError, and PhotoError if it cannot be used."""

    def truth(self, name: str) -> NDArray[np.int64] | None:
        """What it shows: a class (), or labels (n,) of 1, 0 and -1; None if nobody knows."""


class Folder:
    """All picture files in a folder, and in those in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        return [str(path.relative_to(self._folder)) for path in self._paths]

    @cached_property
    def _paths(self) -> list[Path]:
        if not self._folder.is_dir():
            raise SweepError(f"The folder of pictures {self._folder} is not there.")
        return sorted(path for path in self._folder.rglob("*") if path.suffix.lower() in SUFFIXES)

    def stamp(self) -> str:
        sizes = [path.stat().st_size if path.is_file() else -1 for path in self._paths]
        return sha256(repr([*zip(self.names(), sizes, strict=True)]).encode()).hexdigest()

    def digest(self, name: str) -> str:
        return sha256((self._folder / name).read_bytes()).hexdigest()

    def photo(self, name: str) -> Photo:
        return read_photo((self._folder / name).read_bytes(), name)

    def truth(self, name: str) -> None:
        return None


class DataSet:
    """A part of the set that a model of the zoo was trained on; its pictures' names are their numbers there."""

    def __init__(self, name: str, folder: Path, split: str) -> None:
        self._name, self._split_name = name, split
        self._split = split_of(name, folder, split)

    def names(self) -> list[str]:
        return list(map(str, range(len(self._split))))

    def stamp(self) -> str:
        return f"{self._name}, {self._split_name}, {len(self._split)}"

    def digest(self, name: str) -> str:
        return self.photo(name).digest

    def photo(self, name: str) -> Photo:
        image = self._split.photos[int(name)]
        return Photo(name, image, "", sha256(repr(image.size).encode() + image.tobytes()).hexdigest())

    def truth(self, name: str) -> NDArray[np.int64]:
        return np.asarray(self._split.targets[int(name)])


def split_of(name: str, folder: Path, part: str) -> Split:
    """A part of a model's data set. Raises SweepError when it cannot be read."""
    from models.recipes import TASKS  # imports torch

    if name not in TASKS:
        raise SweepError(f"pictures: expected data of {', '.join(TASKS)}; got {name!r}.")
    try:
        images = TASKS[name].data(folder)
    except DataError as error:
        raise SweepError(str(error)) from error
    if part != "test":
        return images.train if part == "train" else images.validation
    first, *rest = images.tests.values()
    return sum(rest, start=first)


def source(pictures: Pictures) -> Source:
    """Where a plan's are. Raises SweepError if they are not there."""
    if pictures.data:
        return DataSet(pictures.data, pictures.place, pictures.split)
    return Folder(pictures.place)


def part_of(digest: str) -> str:
    """To which part a picture's sha256 assigns it: a quarter of all is for tuning."""
    return "tuning" if int(digest[:2] or "ff", 16) < TUNING else "test"


def chosen(pictures: Pictures, there: Source) -> Iterator[tuple[str, str]]:
    """Name and sha256 of those that a plan takes, the same one once; "" where a file cannot be read."""
    taken: set[str] = set()
    for name in sorted(there.names(), key=lambda name: sha256(name.encode()).digest()):
        try:
            digest = there.digest(name)
        except OSError:
            digest = ""
        if pictures.part in ("", part_of(digest)) and digest not in taken:
            yield name, digest
            taken.add(digest or name)
            if len(taken) == pictures.take:
                return
