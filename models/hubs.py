"""Models one line away: the classifiers of timm, the Hugging Face hub, torchvision and open_clip, by their addresses.

    timm:NAME                  timm:resnet18.a1_in1k
    hf-hub:ORG/NAME            hf-hub:timm/resnet18.a1_in1k, or any other timm model on the Hugging Face hub
    torchvision:NAME           torchvision:mobilenet_v3_small, torchvision:lraspp_mobilenet_v3_large
    open_clip:ARCH/PRETRAINED  open_clip:ViT-B-32/laion2b_s34b_b79k, with labels in the user's own words

``describe`` says what a model is before its weights are here; ``pretrained`` builds it, fetching them on first use.
"""

from __future__ import annotations

import json
import pickle
import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from safetensors import SafetensorError
from timm.data import ImageNetInfo, infer_imagenet_subset
from timm.models import PretrainedCfg
from timm.models._hub import load_model_config_from_path
from torch import Tensor, nn
from torchvision.models import WeightsEnum, segmentation

from models import zero_shot
from models.cards import Kind, ModelSpec
from models.downloads import (
    PATIENCE,
    HubError,
    HubFile,
    Progress,
    ShouldStop,
    WebFile,
    Weights,
    missing,
    unknown,
    within,
)
from models.photos import Preprocessing

LIBRARIES = ("timm", "hf-hub", "torchvision", "open_clip")


def describe(address: str, *, labels: Sequence[str] = (), encoding: Kind | None = None) -> ModelSpec:
    """What a model of a hub is, without its weights; asks the network, if at all, for PATIENCE seconds.

    ``labels`` names the outputs: open_clip needs them, elsewhere they replace the library's own. ``encoding``, one-hot
    or multi-label, is for timm models whose configuration does not say it. Raises HubError for an address that is
    unknown or not a classifier of square RGB images, labels that do not match its outputs, and without a network where
    one is needed.
    """
    library, name = _split(address)
    if encoding is Kind.ECOC:
        raise HubError("An ECOC model needs its codebook: give its weights and a card with the codebook instead.")
    try:
        match library:
            case "torchvision":
                return _describe_torchvision(name, tuple(labels))
            case "open_clip":
                return zero_shot.describe(name, labels)
        return _describe_timm(f"{library}:{name}", tuple(labels), encoding)
    except ValueError as error:  # of ModelSpec and Preprocessing
        raise HubError(f"{address} cannot be used here: {error}") from error


def pretrained(
    spec: ModelSpec, *, progress: Progress | None = None, should_stop: ShouldStop | None = None
) -> nn.Module:
    """The network that ``describe`` described, with its weights: normalised images (N, 3, H, W) to logits (N, n).

    Raises HubError when its weights cannot be fetched, or are not what the library expects.
    """
    library = _split(spec.network)[0]
    path = weights_of(spec.network).get(progress, should_stop)
    try:
        match library:
            case "torchvision":
                return _build_torchvision(spec, path)
            case "open_clip":
                return zero_shot.build(spec, path)
        return _build_timm(spec, path)
    except HubError:
        raise
    except (RuntimeError, ValueError, KeyError, OSError, SafetensorError, pickle.UnpicklingError) as error:
        said = textwrap.shorten(str(error), 300)
        raise HubError(
            f"The weights of {spec.network} cannot be used ({said}): delete {path.resolve()} to fetch them anew."
        ) from error


def weights_of(address: str) -> Weights:
    """Where a model's weights are to be had. Raises HubError for an unknown address."""
    library, name = _split(address)
    match library:
        case "torchvision":
            return WebFile(_torchvision_weights(name).url)
        case "open_clip":
            return zero_shot.weights_of(name)
        case "hf-hub":
            return HubFile(name)
    config = _registered(name)
    return HubFile(config.hf_hub_id) if config.hf_hub_id else WebFile(config.url)


def unavailable(address: str) -> str:
    """Why a model cannot be had now, in a sentence; empty if its weights are here or their host answers."""
    try:
        return weights_of(address).unavailable()
    except HubError as error:
        return str(error)


def _split(address: str) -> tuple[str, str]:
    library, _, name = address.strip().partition(":")
    if library not in LIBRARIES or not name:
        expected = "timm:NAME, hf-hub:ORG/NAME, torchvision:NAME or open_clip:ARCH/PRETRAINED"
        raise HubError(f"Expected {expected}, got {address!r}.")
    return library, name


def _named(address: str, outputs: int, given: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The labels given, else those the library knows. Raises HubError unless there are as many as outputs."""
    names = tuple(given) or distinct(known)
    if len(names) != outputs:
        whose = "you gave" if given else "its configuration names"
        raise HubError(
            f"{address} has {outputs} outputs, {whose} {len(names)}: give {outputs} labels if they are classes (the "
            "outputs of image towers are not)."
        )
    return names


def distinct(texts: Sequence[str]) -> tuple[str, ...]:
    """Short, different names: the first of each list of synonyms, unless others share it; then all of them, numbered
    if others share those too ("crane (134)", the 134th output counted from 0).
    """
    short = [text.partition(",")[0] for text in texts]
    often, often_whole = Counter(short), Counter(texts)
    return tuple(
        first if often[first] == 1 else text if often_whole[text] == 1 else f"{text} ({number})"
        for number, (first, text) in enumerate(zip(short, texts, strict=True))
    )


# timm, of its own registry or of any repository on the Hugging Face hub


@cache
def _timm_names() -> tuple[str, ...]:
    tagged = timm.list_pretrained()
    return (*tagged, *{name.partition(".")[0] for name in tagged})


def _registered(name: str) -> PretrainedCfg:
    if name not in _timm_names():
        raise unknown("pretrained timm model", name, _timm_names())
    return timm.get_pretrained_cfg(name)


def _config_folder(name: str) -> Path:
    """Where the config.json of a repository is, fetched if need be."""
    file = HubFile(name, ("config.json",))
    try:
        return within(PATIENCE, file.get).parent
    except TimeoutError as error:
        raise HubError(
            f"The Hugging Face hub sent no config.json of {name} (no answer within {PATIENCE:.0f} s)."
        ) from error


def _timm_config(address: str) -> tuple[PretrainedCfg, bool]:
    """timm's configuration of a model, and whether it says that the outputs are several labels at once."""
    library, name = _split(address)
    if library == "timm":
        return _registered(name), False
    folder = _config_folder(name)
    try:
        stored = json.loads((folder / "config.json").read_text("utf-8"))
        config = load_model_config_from_path(folder)[0]
        several = stored.get("problem_type") == "multi_label_classification"
        return PretrainedCfg(**config), several
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HubError(
            f"{address} is not a timm model: expected a config.json with timm's entries ({error!r})."
        ) from error


def _describe_timm(address: str, labels: Sequence[str], encoding: Kind | None) -> ModelSpec:
    config, several = _timm_config(address)
    channels, *sides = config.input_size
    if not config.num_classes:
        raise HubError(f"{address} is not a classifier: it gives features. Choose one with classes, such as …in1k.")
    if channels != 3 or len(set(sides)) != 1:
        raise HubError(f"{address} takes images of {channels} x {sides[0]} x {sides[1]}: expected square RGB images.")
    if config.crop_mode == "border":
        raise HubError(f"{address} takes photos with a border around them, which is not done here: choose another.")
    squash = config.crop_mode == "squash"
    subset = infer_imagenet_subset({"num_classes": config.num_classes})
    about = (
        "It sees the whole photo here, squeezed, where timm cuts its edges off."
        if squash and config.crop_pct < 1
        else ""
    )
    return ModelSpec(
        name=address,
        title=_split(address)[1],
        encoding=encoding or (Kind.MULTI_LABEL if several else Kind.ONE_HOT),
        labels=_named(address, config.num_classes, labels, _timm_labels(config)),
        network=address,
        # timm rounds the side of the resized photo down
        preprocessing=Preprocessing(
            sides[0], sides[0] / int(sides[0] / config.crop_pct), config.interpolation, squash=squash
        ),
        mean=tuple(config.mean),
        std=tuple(config.std),
        summary=about,
        data=subset or "not stated",
        licence=config.license or "not stated by its configuration",
        download=missing(weights_of(address)),
    )


def _timm_labels(config: PretrainedCfg) -> list[str]:
    """The outputs' names by the model's own configuration, else ImageNet's if there are as many; empty if unknown."""
    if config.label_names:
        names: Any = config.label_names
        names = [names[key] for key in sorted(names, key=int)] if isinstance(names, dict) else names
        return [(config.label_descriptions or {}).get(name, name) for name in names]
    subset = infer_imagenet_subset({"num_classes": config.num_classes})
    return ImageNetInfo(subset).label_descriptions() if subset else []


def _build_timm(spec: ModelSpec, weights: Path) -> nn.Module:
    library, name = _split(spec.network)
    source = name if library == "timm" else f"local-dir:{_config_folder(name)}"
    return timm.create_model(source, pretrained=True, pretrained_cfg_overlay={"source": "", "file": str(weights)})


# torchvision: classifiers, and segmentation networks read as multi-label classifiers

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
        scores = self.segmenter(images)["out"]
        return (scores[:, 1:] - scores[:, :1]).flatten(2).amax(2)


@cache
def _segmenters() -> tuple[str, ...]:
    return tuple(torchvision.models.list_models(module=segmentation))


def _torchvision_weights(name: str) -> WeightsEnum:
    known = (*torchvision.models.list_models(module=torchvision.models), *_segmenters())
    if name not in known:
        raise unknown("classifier or segmentation network of torchvision", name, known)
    return torchvision.models.get_model_weights(name).DEFAULT


def _describe_torchvision(name: str, labels: Sequence[str]) -> ModelSpec:
    weights, address = _torchvision_weights(name), f"torchvision:{name}"
    look, known = weights.transforms(), weights.meta["categories"]
    if name in _segmenters():
        encoding, known, data = Kind.MULTI_LABEL, known[1:], "COCO (images of VOC's 20 classes)"
        size, crop = SEGMENTED_SIDE, 1.0
        summary = "A segmentation network: a thing is present where it outdoes the background in some pixel."
    else:
        encoding, data, summary = Kind.ONE_HOT, "ImageNet-1k", ""
        size, crop = look.crop_size[0], look.crop_size[0] / look.resize_size[0]
    return ModelSpec(
        name=address,
        title=name,
        encoding=encoding,
        labels=_named(address, len(known), labels, known),
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


def _build_torchvision(spec: ModelSpec, path: Path) -> nn.Module:
    """As torchvision's builders do it, whose own loading would open any pickle."""
    name = _split(spec.network)[1]
    segmenter = name in _segmenters()
    arguments: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        arguments = {"transform_input": True, "init_weights": False}
    elif segmenter:
        arguments = {"weights_backbone": None, "num_classes": 1 + len(spec.labels)}
        arguments |= {} if name.startswith("lraspp") else {"aux_loss": True}
    network = torchvision.models.get_model(name, weights=None, **arguments)
    weights = torch.load(path, map_location="cpu", weights_only=True)
    for key in list(weights):  # the DenseNets' files have older names: norm.1 is norm1 now
        weights[re.sub(r"(denselayer\d+\.(?:norm|conv))\.", r"\1", key)] = weights.pop(key)
    network.load_state_dict(weights)
    return Present(network) if segmenter else network
