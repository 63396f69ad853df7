"""torchvision: classifiers, and segmentation networks read as multi-label classifiers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import WeightsEnum, segmentation

from models.cards import ModelSpec
from models.downloads import WebFile, unknown
from models.encodings import MultiLabel, OneHot, Plain
from models.hubs.naming import named, title
from models.photos import Preprocessing

NAME = "NAME"
SEGMENTED_SIDE = 320
"""Side of the photo that a segmentation network sees: torchvision's 520 pixels take nearly three times as long."""


class Present(nn.Module):
    """What is somewhere in the photo: z_k is the largest lead, over the pixels, of class k over the background.

    Takes normalised images (N, 3, H, W); gives (N, classes), the background, class 0, left out.
    """

    def __init__(self, segmenter: nn.Module) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.segmenter(images)["out"]
        return (scores[:, 1:] - scores[:, :1]).flatten(2).amax(2)


@cache
def _segmenters() -> tuple[str, ...]:
    return tuple(torchvision.models.list_models(module=segmentation))


def _weights(name: str) -> WeightsEnum:
    known = (*torchvision.models.list_models(module=torchvision.models), *_segmenters())
    if name not in known:
        raise unknown("classifier or segmentation network of torchvision", name, known)
    return torchvision.models.get_model_weights(name).DEFAULT


def weights_of(name: str) -> WebFile:
    """Where the weights are. Raises HubError for an unknown name."""
    return WebFile(_weights(name).url)


def describe(name: str, labels: Sequence[str], encoding: Plain | None) -> ModelSpec:
    """The model of this name, whose kind says its encoding. Raises HubError."""
    weights, address = _weights(name), f"torchvision:{name}"
    look, known = weights.transforms(), weights.meta["categories"]
    kind: Plain = MultiLabel if name in _segmenters() else OneHot
    if kind is MultiLabel:
        known, data = known[1:], "COCO (images of VOC's 20 classes)"
        size, crop = SEGMENTED_SIDE, 1.0
        summary = "A segmentation network: a thing is present where it outdoes the background in some pixel."
    else:
        data, summary = "ImageNet-1k", ""
        size, crop = look.crop_size[0], look.crop_size[0] / look.resize_size[0]
    meant = kind(named(address, len(known), labels, known))
    return ModelSpec(
        name=address,
        title=title(name, meant),
        encoding=meant,
        network=address,
        preprocessing=Preprocessing(size, crop, look.interpolation.value),
        mean=tuple(look.mean),
        std=tuple(look.std),
        summary=summary,
        data=data,
        parameters=weights.meta["num_params"],
        licence=weights.meta.get("license", f"code BSD-3-Clause, weights trained on {data}"),
        download=None if WebFile(weights.url).cached() else round(weights.meta["_file_size"] * 2**20),
    )


def build(name: str, spec: ModelSpec, weights: Path) -> nn.Module:
    """As torchvision's builders do it, whose own loading would open any pickle."""
    segmenter = name in _segmenters()
    arguments: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        arguments = {"transform_input": True, "init_weights": False}
    elif segmenter:
        arguments = {"weights_backbone": None, "num_classes": 1 + len(spec.encoding.labels)}
        arguments |= {} if name.startswith("lraspp") else {"aux_loss": True}
    network = torchvision.models.get_model(name, weights=None, **arguments)
    tensors = torch.load(weights, map_location="cpu", weights_only=True)
    for key in list(tensors):  # the DenseNets' files have older names: norm.1 is norm1 now
        tensors[re.sub(r"(denselayer\d+\.(?:norm|conv))\.", r"\1", key)] = tensors.pop(key)
    network.load_state_dict(tensors)
    return Present(network) if segmenter else network
