"""What becomes of an attacked picture: once it is transformed, and before other models. Needs no torch.

Beside it always stands the same picture without the attack, so that what a transformation does to any picture, and what
another model reads anyway, is not put down to the attack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lab.transformations import TRANSFORMATIONS
from models.cards import ModelSpec
from models.encodings import Encoding, Prediction, Target

Floats = NDArray[np.floating]
Look = Callable[[Sequence[NDArray[np.uint8]]], list[Prediction]]
"""What a model says of pictures (size, size, 3)."""


class Fate(StrEnum):
    """What a picture reads as."""

    WANTED = "as wanted"
    ORIGINAL = "as the original"
    OTHER = "as something else"


@dataclass(frozen=True)
class Reading:
    """What the attacked model reads in one picture."""

    reads: str
    fate: Fate
    margin: float
    """The worst of the target, in the encoding's unit."""


@dataclass(frozen=True)
class Trial:
    """One transformation, of the attacked picture and of the original."""

    title: str
    attacked: Reading
    original: Reading


def survival(
    spec: ModelSpec, target: Target, look: Look, *, attacked: Image.Image, original: Image.Image
) -> list[Trial]:
    """Each transformation of both, opened as a photo is; the first leaves them as they are."""
    photos = [change(photo) for change in TRANSFORMATIONS.values() for photo in (attacked, original)]
    every = [spec.encoding.answering(seen, target) for seen in look([*map(spec.preprocessing, photos)])]
    readings = [_reading(spec, target, seen, before=every[1]) for seen in every]
    return [Trial(*each) for each in zip(TRANSFORMATIONS, readings[::2], readings[1::2], strict=True)]


def _reading(spec: ModelSpec, target: Target, seen: Prediction, *, before: Prediction) -> Reading:
    encoding = spec.encoding
    fate = Fate.OTHER
    if encoding.meets(seen, target):
        fate = Fate.WANTED
    elif np.array_equal(seen.decoded, before.decoded):
        fate = Fate.ORIGINAL
    return Reading(encoding.names(seen.decoded), fate, float(encoding.margins(seen.logits, target).min()))


@dataclass(frozen=True)
class Report:
    """What a model that was not attacked says of both pictures."""

    title: str
    before: str
    after: str
    fate: Fate
    """Of the attacked picture. WANTED: all wanted labels that the model knows are read, and none that had to go."""
    label: str
    """The one that the model was surest of before."""
    sureness: tuple[float, float]
    """How sure it was, and is."""


def kin(spec: ModelSpec, specs: Sequence[ModelSpec]) -> list[ModelSpec]:
    """Those of the other models that read the same kind of picture."""
    return [each for each in specs if each.samples == spec.samples and each.name != spec.name]


def transfer(
    spec: ModelSpec, target: Target, other: ModelSpec, look: Look, *, attacked: Image.Image, original: Image.Image
) -> Report:
    """What another model says of a picture that was attacked with ``spec`` and this target."""
    before, after = look([other.preprocessing(original), other.preprocessing(attacked)])
    encoding, wishes = other.encoding, spec.encoding.wishes(target)
    come, gone = ({spec.encoding.labels[i] for i in np.flatnonzero(wishes == value)} for value in (1, 0))
    read = {encoding.labels[i] for i in encoding.present(after.decoded)}
    come &= {*encoding.labels}
    fate = Fate.OTHER
    if np.array_equal(before.decoded, after.decoded):
        fate = Fate.ORIGINAL
    elif come and come <= read and not gone & read:
        fate = Fate.WANTED
    sure = [encoding.confidences(seen.logits) for seen in (before, after)]
    first = int(sure[0].argmax())
    return Report(
        other.title,
        encoding.names(before.decoded),
        encoding.names(after.decoded),
        fate,
        encoding.labels[first],
        (float(sure[0][first]), float(sure[1][first])),
    )


@dataclass(frozen=True)
class Saliency:
    """Where in an image a model looks for one label."""

    gradient: Floats
    """(3, H, W) of what the decoder compares for the label: its logit, or its codeword's correlation."""
    cam: Floats | None
    """(h, w) Grad-CAM, at least 0; None where no convolution has more than one place."""


@dataclass(frozen=True)
class Maps:
    """The same of a label, without the attack and with it."""

    label: str
    original: Saliency
    attacked: Saliency


def farthest(encoding: Encoding, before: Prediction, target: Target) -> list[int]:
    """Of the labels that have to come, and of those that have to go, the one that is farthest from it.

    Where no label has to come, as when an order is asked for of classes that are read already: of all that are wanted.
    """
    wishes, clear = encoding.wishes(target), encoding.clearances(before.logits, target)
    present = np.isin(np.arange(len(wishes)), encoding.present(before.decoded))
    wanted, going = wishes == 1, present & (wishes == 0)
    coming = wanted & ~present
    groups = [coming if coming.any() else wanted, going]
    return [int(np.where(group, clear, np.inf).argmin()) for group in groups if group.any()]
