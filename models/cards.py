"""Model cards: a TOML file that says what a network is, beside the safetensors file with its weights.

The zoo's trained models and a user's own file are the same thing: ``NAME.toml`` and ``NAME.safetensors``. A card holds

    encoding = "multi-label"             # or "one-hot", "ECOC"
    labels = ["people", "cat"]           # its classes or labels, in the order of the outputs
    network = "timm:resnet18"            # or "torchvision:NAME", or "vgg" (models/architectures.py)
    mean = [0.485, 0.456, 0.406]         # of each channel of the images it was trained on, in [0, 1]
    std = [0.229, 0.224, 0.225]

and, where they apply: ``thresholds`` (multi-label: label j is present above the j-th logit; 0 if not given),
``codebook`` (ECOC: a word of + and - for each class), the tables ``preprocessing`` (of models/photos.py: size, crop,
interpolation, squash) and ``options`` (the network's own arguments), ``title``, ``summary``, ``data``, ``licence``,
``samples`` (pictures of its kind, in assets/samples), ``parameters`` (how many), ``sha256`` of the weights, and the
tables ``scores`` and ``training``, which the training command writes. Needs no torch.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.photos import Preprocessing

SAMPLES = ("photos", "cifar10", "gtsrb", "mnist")
"""The folders of assets/samples."""


class Kind(StrEnum):
    """What a model's outputs encode."""

    ONE_HOT = "one-hot"
    ECOC = "ECOC"
    MULTI_LABEL = "multi-label"


class CardError(ValueError):
    """A card cannot be used; the message says which entry is wrong and what was expected."""


@dataclass(frozen=True, eq=False)
class ModelSpec:
    """A model and all that is known of it before it is loaded. Raises CardError when its parts do not fit."""

    name: str
    """What the app calls it, once: "scenes", "timm:resnet18"."""
    title: str
    encoding: Kind
    labels: tuple[str, ...]
    """Its classes, or its labels, in the order of the outputs (of the codewords, for ECOC)."""
    network: str
    """How its modules are made, for example "timm:resnet18"; models/loaders.py reads it."""
    weights: Path | bytes | None = None
    """Its safetensors file, or the content of one; None when the weights come with ``network``."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the network's own."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    thresholds: tuple[float, ...] = ()
    """For multi-label: label j is present above the j-th logit. Zeros if not given."""
    codebook: NDArray[np.int8] | None = None
    """For ECOC: (classes, bits) in {-1, 1}."""
    summary: str = ""
    data: str = "not stated"
    licence: str = "not stated"
    sha256: str = ""
    """Digest of the weights' file."""
    parameters: int | None = None
    """How many numbers the network has learned, where it is known."""
    samples: str = "photos"
    """The folder in assets/samples with pictures of its kind."""
    scores: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    download: int | None = None
    """Bytes that the first use has to download; None when everything is here."""

    def __post_init__(self) -> None:
        if len(self.labels) < 1 + (self.encoding is not Kind.MULTI_LABEL) or len(set(self.labels)) < len(self.labels):
            raise CardError(f"labels: expected different names, at least two classes or one label, got {self.labels}")
        if self.encoding is Kind.MULTI_LABEL and not self.thresholds:
            object.__setattr__(self, "thresholds", (0.0,) * len(self.labels))
        if len(self.thresholds) != (len(self.labels) if self.encoding is Kind.MULTI_LABEL else 0):
            raise CardError(
                f"thresholds: expected one for each label of a multi-label model, none for others; got "
                f"{len(self.thresholds)} for {len(self.labels)} labels, {self.encoding}"
            )
        words = None if self.codebook is None else len(np.unique(self.codebook, axis=0))
        if words != (len(self.labels) if self.encoding is Kind.ECOC else None):
            raise CardError(
                f"codebook: expected a codeword of its own for each class of ECOC models, none for others; got {words}"
            )
        if not len(self.mean) == len(self.std) == 3 or min(self.std) <= 0:
            raise CardError(f"mean and std: expected three numbers each, std above 0; got {self.mean} and {self.std}")

    @property
    def outputs(self) -> int:
        """Number of logits."""
        return len(self.labels) if self.codebook is None else self.codebook.shape[1]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {value!r}")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"expected a list of texts, got {value!r}")
    return tuple(value)


def _numbers(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or not all(isinstance(each, int | float) and isfinite(each) for each in value):
        raise ValueError(f"expected a list of numbers, got {value!r}")
    return tuple(value)


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected a table, got {value!r}")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"expected a whole number, got {value!r}")
    return value


def _samples(value: Any) -> str:
    if value not in SAMPLES:
        raise ValueError(f"expected one of {', '.join(SAMPLES)}, got {value!r}")
    return str(value)


def _kind(value: Any) -> Kind:
    if value not in list(Kind):
        raise ValueError(f"expected one of {', '.join(Kind)}, got {value!r}")
    return Kind(value)


def _codebook(value: Any) -> NDArray[np.int8]:
    words = _texts(value)
    if not words or not words[0] or set("".join(words)) - {"+", "-"} or len({len(word) for word in words}) > 1:
        raise ValueError(f"expected words of + and -, all as long as each other, got {value!r}")
    return np.array([[1 if bit == "+" else -1 for bit in word] for word in words], dtype=np.int8)


def _preprocessing(value: Any) -> Preprocessing:
    known = [each.name for each in fields(Preprocessing)]
    if unknown := sorted(_table(value).keys() - set(known)):
        raise ValueError(f"expected {', '.join(known)}, got {', '.join(unknown)}")
    return Preprocessing(**value)


_ENTRIES: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("title", "summary", "data", "licence", "network", "sha256"), _text),
    **dict.fromkeys(("mean", "std", "thresholds"), _numbers),
    **dict.fromkeys(("options", "scores", "training"), _table),
    "encoding": _kind,
    "labels": _texts,
    "codebook": _codebook,
    "preprocessing": _preprocessing,
    "parameters": _count,
    "samples": _samples,
}
"""What each entry of a card must be. Raises TypeError or ValueError, saying what was expected and what came."""
_NEEDED = ("encoding", "labels", "network", "mean", "std")


def read_card(text: str, name: str, weights: Path | bytes) -> ModelSpec:
    """The model that a card describes. Raises CardError, naming the entry, when the card cannot be used."""
    try:
        card = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CardError(f"This is not a TOML file: {error}.") from None
    if unknown := sorted(card.keys() - _ENTRIES.keys()):
        raise CardError(f"Unknown entries: {', '.join(unknown)}. A card may hold {', '.join(_ENTRIES)}.")
    if missing := [entry for entry in _NEEDED if entry not in card]:
        raise CardError(f"Missing entries: {', '.join(missing)}.")
    given: dict[str, Any] = {"title": name}
    for entry, value in card.items():
        try:
            given[entry] = _ENTRIES[entry](value)
        except (TypeError, ValueError) as error:
            raise CardError(f"{entry}: {error}.") from error
    return ModelSpec(name=name, weights=weights, **given)


def as_card(spec: ModelSpec) -> dict[str, Any]:
    """What ``read_card`` reads, as TOML's types, less what is empty."""
    card = {entry: getattr(spec, entry) for entry in _ENTRIES}
    card["encoding"] = str(spec.encoding)
    card["preprocessing"] = {each.name: getattr(spec.preprocessing, each.name) for each in fields(Preprocessing)}
    if spec.codebook is not None:
        card["codebook"] = ["".join("+" if bit > 0 else "-" for bit in word) for word in spec.codebook]
    else:
        del card["codebook"]
    return {entry: value for entry, value in card.items() if value not in (None, "", (), {})}
