"""Model cards: a TOML file that says what a network is, beside the safetensors file with its weights.

The zoo's trained models and a user's own file are the same thing: ``NAME.toml`` and ``NAME.safetensors``. A card holds

    encoding = "multi-label"             # or "one-hot", "ECOC"
    labels = ["people", "cat"]           # its classes or labels, in the order of the outputs
    network = "timm:resnet18"            # or "torchvision:NAME", or "vgg" (models/architectures.py)
    mean = [0.485, 0.456, 0.406]         # of each channel of the images it was trained on, in [0, 1]
    std = [0.229, 0.224, 0.225]

and, where they apply: ``thresholds`` (multi-label: label j is present above the j-th logit; 0 if not given),
``codebook`` (ECOC: a word of + and - for each class), the tables ``preprocessing`` (of models/photos.py: size, crop,
interpolation, squash, pad) and ``options`` (the network's own arguments), ``title``, ``summary``, ``data``,
``licence``, ``samples`` (pictures of its kind, in assets/samples), ``parameters`` (how many), ``sha256`` of the
weights, and the tables ``scores`` and ``training``, which the training command writes. Needs no torch.

A card may come from anybody: its size, nesting and numbers are bounded before it is believed, or even parsed.
"""

from __future__ import annotations

import codecs
import re
import textwrap
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.encodings import CONSTANTS, ENCODINGS, Encoding
from models.options import against, brief, is_number, is_whole
from models.photos import Preprocessing

LARGEST_CARD = 2**20
"""Bytes."""
LARGEST_NUMBER = 10**15
DEEPEST = 12
"""Lists and tables in each other."""
LONGEST_LABEL, LONGEST_TEXT, LONGEST_WORD = 300, 2000, 100
"""Characters; a word is a dotted key without its quotes, or a number."""
SAMPLES = ("photos", "cifar10", "gtsrb", "mnist")
"""The folders of assets/samples."""


TEMPLATE = """\
# What JMA Lab has to know of a network; its weights are in a safetensors file, which is handed in beside this card.
title = "My model"
summary = "What it says of a photo, in a sentence."

encoding = "one-hot"  # the largest output wins; or "multi-label", "ECOC"
labels = ["cat", "dog", "bird"]  # its classes or labels, in the order of the outputs
# thresholds = [0.0, 0.0, 0.0]  # of a multi-label model: label j is present above the j-th logit; 0 if left out
# codebook = ["++--", "+-+-", "+--+"]  # of an ECOC model: a word of + and - for each class

network = "timm:resnet18"  # or "torchvision:NAME", or "vgg" (models/architectures.py)
mean = [0.485, 0.456, 0.406]  # of each channel of the images it was trained on, in [0, 1]
std = [0.229, 0.224, 0.225]

# data = "What it was trained on."
# licence = "Under which terms it may be used."

# [preprocessing]
# size = 224  # the side of the network's picture, in pixels
# crop = 0.875  # the part of the photo's shorter side that it sees
"""
"""A card to begin with: that of a one-hot model; what stands behind a # is for others, or may be left out."""


class ModelError(Exception):
    """A model cannot be used; the message says in sentences why, and what to do."""


class CardError(ModelError, ValueError):
    """A card cannot be used; the message says which entry is wrong and what was expected."""


def said(error: BaseException) -> str:
    """What an exception of somebody else's code says, in a line; its type where it says nothing."""
    return textwrap.shorten(str(error), 300) or type(error).__name__


@dataclass(frozen=True, eq=False)
class ModelSpec:
    """A model and all that is known of it before it is loaded. Raises CardError when its parts do not fit."""

    name: str
    """What the app calls it, once: "scenes", "timm:resnet18"."""
    title: str
    encoding: Encoding
    """What its outputs mean, with the names of its classes or labels."""
    network: str
    """How its modules are made, for example "timm:resnet18"; models/loaders.py reads it."""
    weights: Path | bytes | None = None
    """Its safetensors file, or the content of one; None when the weights come with ``network``."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the network's own."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
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
        _check_labels(self.encoding.labels, self.encoding.fewest)
        if not len(self.mean) == len(self.std) == 3 or min(self.std) <= 0:
            got = f"{brief(self.mean)} and {brief(self.std)}"
            raise CardError(f"mean and std: expected three numbers each, std above 0; got {got}")
        if min(self.mean) < 0 or max(*self.mean, *self.std) > 1:
            raise CardError(
                f"mean and std: expected numbers of 0 to 1, for pixels in [0, 1] (divide those for 0 to 255 by 255); "
                f"got {brief(self.mean)} and {brief(self.std)}"
            )
        if odd := against(self.network, self.options):
            raise CardError(f"options: {odd}")


def _check_labels(labels: tuple[str, ...], least: int) -> None:
    """Raises CardError unless there are enough labels that can be seen and told from each other."""
    if len(labels) < least:
        raise CardError(
            f"labels: expected different names, at least two classes or one label, got {len(labels)} of them"
        )
    numbers: dict[str, int] = {}
    for number, label in enumerate(labels, 1):
        seen = visible(label)
        if not seen or len(label) > LONGEST_LABEL:
            raise CardError(
                f"labels: expected names of 1 to {LONGEST_LABEL} characters that can be seen; got {brief(label)} as "
                f"number {number} of {len(labels)}"
            )
        if seen in numbers:
            raise CardError(
                f"labels: expected different names, got {brief(label)} as number {numbers[seen]} and as number {number}"
            )
        numbers[seen] = number


_UNSEEN = "\u034f\u115f\u1160\u2800\u3164\uffa0"
"""Characters without ink that Unicode counts among letters, marks and symbols."""


def visible(text: str) -> str:
    """A text as it is seen: without characters that have no ink, spaces put together; empty if nothing is left."""
    kept = (" " if each.isspace() else each for each in unicodedata.normalize("NFC", text) if _is_seen(each))
    words = " ".join("".join(kept).split())
    return "" if all(unicodedata.category(each)[0] in "MZ" for each in words) else words


def _is_seen(character: str) -> bool:
    return character.isspace() or (character not in _UNSEEN and unicodedata.category(character)[0] != "C")


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise ValueError(f"expected a text of at most {LONGEST_TEXT} characters, got {brief(value)}")
    return value


def _title(value: Any) -> str:
    if not visible(_text(value)):
        raise ValueError(f"expected a text that can be seen, got {brief(value)}")
    return str(value)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"expected a list of texts, got {brief(value)}")
    return tuple(value)


def _numbers(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or not all(map(is_number, value)):
        raise ValueError(f"expected a list of numbers, got {brief(value)}")
    return tuple(value)


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected a table, got {brief(value)}")
    return value


def _count(value: Any) -> int:
    if not is_whole(value) or value < 0:
        raise ValueError(f"expected a whole number, got {brief(value)}")
    return int(value)


def _samples(value: Any) -> str:
    if value not in SAMPLES:
        raise ValueError(f"expected one of {', '.join(SAMPLES)}, got {brief(value)}")
    return str(value)


def _kind(value: Any) -> type[Encoding]:
    if not isinstance(value, str) or value not in ENCODINGS:
        raise ValueError(f"expected one of {', '.join(ENCODINGS)}, got {brief(value)}")
    return ENCODINGS[value]


def _codebook(value: Any) -> NDArray[np.int8]:
    words = _texts(value)
    if not words or not words[0] or set("".join(words)) - {"+", "-"} or len({len(word) for word in words}) > 1:
        raise ValueError(f"expected words of + and -, all as long as each other, got {brief(value)}")
    return np.array([[1 if bit == "+" else -1 for bit in word] for word in words], dtype=np.int8)


def _preprocessing(value: Any) -> Preprocessing:
    known = [each.name for each in fields(Preprocessing)]
    if unknown := sorted(_table(value).keys() - set(known)):
        raise ValueError(f"expected {', '.join(known)}, got {_listed(unknown)}")
    return Preprocessing(**value)


_ENTRIES: dict[str, Callable[[Any], Any]] = {
    "title": _title,
    **dict.fromkeys(("summary", "data", "licence", "network", "sha256"), _text),
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


def read_card(content: str | bytes, name: str, weights: Path | bytes) -> ModelSpec:
    """The model that a card describes. Raises CardError, naming the entry, when the card cannot be used."""
    if len(content) > LARGEST_CARD:
        raise CardError(f"A card may have {LARGEST_CARD} bytes at most, this has {len(content)}.")
    text = (content if isinstance(content, str) else _decoded(content)).removeprefix("\ufeff")
    _check_syntax(text)
    try:
        card = tomllib.loads(text)
    except (ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise CardError(f"This is not a TOML file: {said(error)}.") from None
    if unknown := sorted(card.keys() - _ENTRIES.keys()):
        raise CardError(f"Unknown entries: {_listed(unknown)}. A card may hold {', '.join(_ENTRIES)}.")
    if missing := [entry for entry in _NEEDED if entry not in card]:
        raise CardError(f"Missing entries: {', '.join(missing)}.")
    given: dict[str, Any] = {"title": name}
    for entry, value in card.items():
        try:
            _check_numbers(value)
            given[entry] = _ENTRIES[entry](value)
        except (TypeError, ValueError) as error:
            raise CardError(f"{entry}: {error}.") from error
    return ModelSpec(name=name, weights=weights, encoding=_encoding(given), **given)


def _encoding(given: dict[str, Any]) -> Encoding:
    """Take the entries of the encoding out of a card's. Raises CardError when they do not fit each other."""
    kind = given.pop("encoding")
    parts = {name: given.pop(name) for name in ("labels", *CONSTANTS) if name in given}
    own = {each.name for each in fields(kind)}
    for name in sorted(parts.keys() - own):
        if count := len(parts.pop(name)):
            raise CardError(f"{name}: expected {CONSTANTS[name]}; got {count}, {kind.name}")
    try:
        encoding: Encoding = kind(**parts)
    except ValueError as error:
        raise CardError(str(error)) from error
    return encoding


def _listed(names: Iterable[str]) -> str:
    return textwrap.shorten(", ".join(names), 200)


def _decoded(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        raise CardError("This card is in UTF-16 or UTF-32: save it as UTF-8.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CardError(f"This card is not in UTF-8, by line {line}: save it as UTF-8.") from None


_INERT = re.compile(
    r'''"""(?:[^\\]|\\.)*?(?:"""|\Z)|\'{3}.*?(?:\'{3}|\Z)|"(?:[^"\\\n]|\\.)*"?|'[^'\n]*'?|#[^\n]*''', re.DOTALL
)
"""Strings and comments. An unfinished one matches too, so that no text is searched twice."""


def _check_syntax(text: str) -> None:
    """Raises CardError for what would take the parser long: TOML's own tables, lists and keys are short."""
    bare = _INERT.sub("x", text + "\n").replace(" ", "").replace("\t", "")
    words = re.findall(r"[\w.+-]+", bare)
    if (longest := max(map(len, words), default=0)) > LONGEST_WORD:
        raise CardError(f"A card may have keys and numbers of {LONGEST_WORD} characters at most, this has {longest}.")
    deepest = max((word.count(".") for word in words), default=0)
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", bare):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    if deepest > DEEPEST:
        raise CardError(f"A card may have {DEEPEST} lists and tables in each other at most, this has {deepest}.")


def _check_numbers(value: Any) -> None:
    """Raises ValueError when a number somewhere in an entry is larger than any that is shown or used."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            _check_numbers(each)
    elif isinstance(value, int | float) and abs(value) > LARGEST_NUMBER:
        raise ValueError(f"expected numbers of at most {LARGEST_NUMBER:.0e}, got {brief(value)}")


def as_card(spec: ModelSpec) -> dict[str, Any]:
    """What ``read_card`` reads, as TOML's types, less what is empty."""
    card = {entry: getattr(spec, entry, None) for entry in _ENTRIES}
    card |= vars(spec.encoding) | {"encoding": spec.encoding.name}
    look = {each.name: getattr(spec.preprocessing, each.name) for each in fields(Preprocessing)}
    if not spec.preprocessing.pad:  # sweeps know models by their cards, and older cards have no such entry
        del look["pad"]
    card["preprocessing"] = look
    if spec.encoding.codebook is not None:
        card["codebook"] = ["".join("+" if bit > 0 else "-" for bit in word) for word in spec.encoding.codebook]
    return {entry: value for entry, value in card.items() if value not in (None, "", (), {})}
