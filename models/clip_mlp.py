"""The paper's CLIP + MLP: a small network on the frozen image features of an open_clip model.

``python -m models.train clip-mlp --labels people,cars --data DIR`` trains one. Its weights file holds the small network
alone; the image tower comes from its hub, as every open_clip model does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from models import zero_shot
from models.architectures import Classifier, ImageFeatures
from models.data import DataError, ImageSet, Split, coco, corel5k, voc2007
from models.evaluate import outputs
from models.heads import fit_head
from models.recipes import Task


def task(clip: str, labels: Sequence[str]) -> Task:
    """A CLIP + MLP on an open_clip model ARCH/PRETRAINED. Raises HubError when that cannot be had."""
    described = zero_shot.describe(clip, labels)
    spec = replace(
        described,
        name="clip-mlp",
        title=f"CLIP + MLP, {len(described.encoding.labels)} labels",
        network=f"clip-mlp:{clip}",
        options={"width": zero_shot.feature_width(clip), "hidden": 512, "heads": 1},
        summary="A small network on the frozen image features of CLIP, as in the paper.",
        data=f"photos with these labels, on {described.data}",
        download=None,
    )
    return Task(spec=spec, data=partial(photos_with, spec.encoding.labels))


def fit(task: Task, split: Split, device: torch.device, seed: int) -> nn.Sequential:
    """Train the small network on a split's image features. Raises HubError when the tower cannot be fetched."""
    spec = task.spec
    tower = Classifier(ImageFeatures(zero_shot.visual(spec)), spec.mean, spec.std).eval().to(device)
    x = outputs(tower, spec.preprocessing, split, device)
    return fit_head(x, torch.from_numpy(split.targets), seed, spec.options["hidden"], spec.options["heads"])


def photos_with(labels: Sequence[str], folder: Path) -> ImageSet:
    """Every multi-label set in a folder that knows some of the labels, as one. Raises DataError if there is none."""
    found = []
    for reader in (corel5k, voc2007, coco):
        try:
            photos = reader(folder).split(labels)
        except DataError:
            continue  # the folder need not hold all of them
        if (photos.train.targets >= 0).any():
            found.append(photos)
    if not found:
        raise DataError(
            f"No photos with the labels {', '.join(labels)} are in {folder}: expected Corel-5k, VOC or COCO."
        )
    return sum(found[1:], start=found[0])
