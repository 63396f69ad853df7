"""timm: the models that it lists, and any other timm model on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import timm
from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset
from timm.models import PretrainedCfg
from torch import nn

from models.cards import ModelSpec
from models.downloads import HubError, HubFile, WebFile, Weights, missing, unknown
from models.encodings import OneHot, Plain
from models.hubs.naming import named, title
from models.photos import Preprocessing

NAME = "NAME"


@cache
def _timm_names() -> tuple[str, ...]:
    tagged = timm.list_pretrained()
    return (*tagged, *{name.partition(".")[0] for name in tagged})


def _registered(name: str) -> PretrainedCfg:
    config = timm.get_pretrained_cfg(name) if name in _timm_names() else None
    if config is None:
        raise unknown("pretrained timm model", name, _timm_names())
    return config


def weights_of(name: str) -> Weights:
    """Where the weights are. Raises HubError for an unknown name, and where timm does not say it."""
    config = _registered(name)
    if config.hf_hub_id:
        return HubFile(config.hf_hub_id)
    if isinstance(config.url, str) and config.url:
        return WebFile(config.url)
    raise HubError(
        f"timm does not say where the weights of {name} are (address: {config.url!r}): choose another model."
    )


def describe(name: str, labels: Sequence[str], encoding: Plain | None) -> ModelSpec:
    """The model of this name, one-hot unless something else is asked for. Raises HubError."""
    return described(f"timm:{name}", _registered(name), labels, encoding or OneHot, weights_of(name))


def build(name: str, spec: ModelSpec, weights: Path) -> nn.Module:
    """The network of this name, or of a folder as ``local-dir:FOLDER``, with these weights. Raises what timm raises."""
    return timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"source": "", "file": str(weights)})


def described(
    address: str, config: PretrainedCfg, labels: Sequence[str], encoding: Plain, weights: Weights
) -> ModelSpec:
    """A model by timm's configuration of it. Raises HubError for one that is no classifier of square RGB images."""
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
    meant = encoding(named(address, config.num_classes, labels, known_labels(config)))
    return ModelSpec(
        name=address,
        title=title(address, meant),
        encoding=meant,
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
        download=missing(weights),
    )


def known_labels(config: PretrainedCfg) -> list[str]:
    """The outputs' names by the model's own configuration, else ImageNet's if there are as many; empty if unknown."""
    if config.label_names:
        names: Any = config.label_names
        names = [names[key] for key in sorted(names, key=int)] if isinstance(names, dict) else names
        return [(config.label_descriptions or {}).get(name, name) for name in names]
    subset = infer_imagenet_subset({"num_classes": config.num_classes})
    return list(ImageNetInfo(subset).label_descriptions()) if subset else []
