"""Small sets of known pictures, packed as npm packs them, and how a set that was read is compared with them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from models.data import ImageSet

Array = np.ndarray


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
