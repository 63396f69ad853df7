"""What becomes of an attacked picture, found out in the thread that measures, when somebody asks."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jma_core.records import AttackResult
from lab.aftermath import Maps, Report, Trial, farthest, survival, transfer
from lab.request import Request
from lab.runs.measurements import measurements
from lab.runs.pool import models
from models.cards import ModelSpec
from models.encodings import Prediction

AT_ONCE = 18
"""Pictures of one pass: a fifth of a GB in EfficientNet-Lite0."""


def surviving(
    request: Request, result: AttackResult, attacked: Image.Image, original: Image.Image
) -> Future[list[Trial]]:
    """What the attacked model reads in both pictures, transformed."""
    spec = models().specs[request.model]

    def work() -> list[Trial]:
        return survival(spec, request.target, lambda them: _seen(spec, them), attacked=attacked, original=original)

    return measurements.ask(("survival", request, _end(result)), work)


def transferring(
    request: Request, result: AttackResult, other: ModelSpec, attacked: Image.Image, original: Image.Image
) -> Future[Report]:
    """What another model says of both pictures; it is loaded if it is not there."""
    spec = models().specs[request.model]

    def work() -> Report:
        return transfer(
            spec, request.target, other, lambda them: _seen(other, them), attacked=attacked, original=original
        )

    return measurements.ask(("transfer", request, _end(result), other.name), work)


def looking(request: Request, result: AttackResult) -> Future[list[Maps]]:
    """Where the attacked model looks for the label that came, and for the one that went, before and after."""
    spec = models().specs[request.model]
    labels = farthest(spec.encoding, Prediction(result.logits_before, result.decoded_before), request.target)

    def work() -> list[Maps]:
        loaded = models().request(request.model).result()
        import torch

        from lab.runs.launch import attacked
        from lab.saliency import saliency

        network = attacked(request, loaded, result.original.shape[:0:-1])
        images = [torch.from_numpy(image).to(loaded.device) for image in (result.original, result.image)]
        return [
            Maps(spec.encoding.labels[label], *(saliency(network, loaded.encoding, x, label) for x in images))
            for label in labels
        ]

    return measurements.ask(("saliency", request, _end(result)), work)


def _end(result: AttackResult) -> str:
    return sha256(result.image.tobytes()).hexdigest()


def _seen(spec: ModelSpec, pictures: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
    loaded = models().request(spec.name).result()
    from models.loaders import predictions  # imports torch

    parts = (pictures[first : first + AT_ONCE] for first in range(0, len(pictures), AT_ONCE))
    return [seen for part in parts for seen in predictions(loaded, part)]
