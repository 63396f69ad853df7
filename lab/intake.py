"""A run or a comparison from a file that may be anybody's: taken if all of it can be shown here, else refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from jma_core.records import AttackResult
from lab.archive import OtherVersion, unpack_comparison, unpack_to_go
from lab.comparison import MOST, Contender, margins, table, verdict
from lab.photos.uploads import Photo, PhotoError, read_photo
from lab.request import MAX_KAPPA, MAX_SECONDS, PERIODS, Request
from models.cards import ModelSpec

MOST_BYTES = 100 * 2**20
"""Of a file that is taken."""


class Refused(ValueError):
    """A file is not taken; the message says why."""


def take_in(data: bytes, specs: Mapping[str, ModelSpec]) -> tuple[ModelSpec, tuple[Contender, ...]]:
    """The model, one of ``specs``, and the attacks of a comparison in a file. Raises Refused, or OtherVersion."""
    try:
        contenders, weights = unpack_comparison(data)
        name = contenders[0].request.model
    except OtherVersion:
        raise
    except Exception as error:  # of a dozen kinds, as in lab/store.py
        raise Refused("This file is damaged, or is not a comparison of JMA Lab's.") from error
    return _fitting(name, contenders, weights, specs), contenders


def take_in_run(data: bytes, specs: Mapping[str, ModelSpec]) -> tuple[ModelSpec, Request, AttackResult, Photo | None]:
    """A run in a file, its model, one of ``specs``, and its photo if that is in it. Raises as ``take_in``."""
    try:
        request, result, weights, file = unpack_to_go(data)
    except OtherVersion:
        raise
    except Exception as error:  # of a dozen kinds, as in lab/store.py
        raise Refused("This file is damaged, or is not a run of JMA Lab's.") from error
    spec = _fitting(request.model, [Contender(request, result)], weights, specs)
    if not file:
        return spec, request, result, None
    try:
        photo = read_photo(file, "photo.png")
    except PhotoError as error:
        raise Refused(f"The photo in this file cannot be used. {error}") from error
    return spec, replace(request, photo=photo.digest), result, photo


def _fitting(name: str, contenders: Sequence[Contender], weights: str, specs: Mapping[str, ModelSpec]) -> ModelSpec:
    """The model of this name, if these are attacks on it that can be shown here. Raises Refused."""
    spec = specs.get(name)
    if spec is None:
        raise Refused(f"The model of this file, {name[:60]}, is not on offer here: add it on the page Models.")
    if weights not in ("", spec.sha256):
        raise Refused(f"The model of this file, {spec.title}, has other weights here.")
    try:
        fits = _belong(contenders) and _can_be_asked(spec, contenders) and _can_be_shown(spec, contenders)
    except Exception:  # whatever such a file makes the functions stumble over
        fits = False
    if not fits:
        raise Refused(f"This file holds nothing that {spec.title} could have given here.")
    return spec


def _belong(contenders: Sequence[Contender]) -> bool:
    """Whether they are attacks on one photo towards one target, no two alike."""
    asked = [each.request for each in contenders]
    common = {(a.model, a.photo, a.target, a.canvas, a.settings.kappa, a.settings.max_seconds) for a in asked}
    return len(common) == 1 and len({*asked}) == len(asked) <= MOST


def _can_be_asked(spec: ModelSpec, contenders: Sequence[Contender]) -> bool:
    """Whether the page has widgets for all of it."""
    asked, kind = contenders[0].request, spec.encoding.asked(contenders[0].request.target)
    left, top, right, bottom = asked.canvas.region or (0, 0, 1, 1)
    return (
        all(kind in each.request.settings.entry.encodings for each in contenders)
        and 0 <= asked.settings.kappa <= MAX_KAPPA
        and 1 <= asked.settings.max_seconds <= MAX_SECONDS
        and 0 <= left < right <= 1
        and 0 <= top < bottom <= 1
        and asked.canvas.period in PERIODS
        and not any(each.request.refused for each in contenders)
    )


def _can_be_shown(spec: ModelSpec, contenders: Sequence[Contender]) -> bool:
    """Whether its pictures are pictures, and all can be said of it that is said of a comparison."""
    images = np.stack([contenders[0].result.original, *(each.result.image for each in contenders)])
    table(spec, contenders), margins(spec, contenders), verdict(spec, [""] * len(contenders), contenders)
    return (
        images.ndim == 4
        and images.shape[1] == 3
        and bool(((images >= 0) & (images <= 1)).all())
        and all(each.result.logits.shape == (spec.encoding.n,) for each in contenders)
    )
