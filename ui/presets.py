"""Targets that one click sets. All of them start from what the photo has, whatever is asked for now. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.cards import Kind, ModelSpec
from ui.readout import confidences, preset_target
from ui.request import Target

Floats = NDArray[np.floating]
Labels = NDArray[np.bool_]
Preset = Callable[[ModelSpec, Floats, NDArray[Any], int, np.random.Generator], Target]
"""From the model, the photo's logits (n,), the decoder's answer to them, a number of flips and a source of chance."""


def flipped(has: Labels, places: Iterable[int]) -> Target:
    """Labels (L,) with those at some places the other way round."""
    wanted = has.copy()
    wanted[list(places)] ^= True
    return tuple(wanted.tolist())


def flip_top(spec: ModelSpec, logits: Floats, has: Labels) -> Target:
    """Without the most confident label of those present; if there is none, with the likeliest."""
    sure = confidences(spec, logits)
    return flipped(has, [int(np.where(has, sure, -1).argmax() if has.any() else sure.argmax())])


def flip_random(has: Labels, count: int, rng: np.random.Generator) -> Target:
    """So many labels flipped, drawn without repetition: the targets of the paper's Tables VII to IX."""
    return flipped(has, rng.choice(len(has), count, replace=False).tolist())


def least_likely(spec: ModelSpec, logits: Floats, decoded: int) -> int:
    """The class, other than the decoded one, of the smallest logit, or of the codeword that the logits fit least."""
    score = logits if spec.codebook is None else spec.codebook @ np.tanh(logits)
    return next(i for i in np.argsort(score, kind="stable").tolist() if i != decoded)


def random_class(classes: int, decoded: int, rng: np.random.Generator) -> int:
    """Any class but the decoded one, all equally likely."""
    return (decoded + int(rng.integers(1, classes))) % classes


OF_LABELS: dict[str, Preset] = {
    "Flip the top label": lambda spec, logits, has, *_: flip_top(spec, logits, has),
    "Swap two": lambda spec, logits, has, *_: preset_target(spec, logits, has),
    "Remove all": lambda _, __, has, *___: (False,) * len(has),
    "Flip k at random": lambda _, __, has, count, rng: flip_random(has, count, rng),
}
OF_CLASSES: dict[str, Preset] = {
    "Runner-up": lambda spec, logits, decoded, *_: preset_target(spec, logits, decoded),
    "Least likely": lambda spec, logits, decoded, *_: least_likely(spec, logits, int(decoded)),
    "Random class": lambda spec, _, decoded, __, rng: random_class(len(spec.labels), int(decoded), rng),
}


def presets(spec: ModelSpec) -> dict[str, Preset]:
    """What is on offer for a kind of model, by its name on the page."""
    return OF_LABELS if spec.encoding is Kind.MULTI_LABEL else OF_CLASSES
