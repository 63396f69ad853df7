"""Models one line away: the classifiers of timm, the Hugging Face hub, torchvision and open_clip, by their addresses.

    timm:NAME                  timm:resnet18.a1_in1k
    hf-hub:ORG/NAME            hf-hub:timm/resnet18.a1_in1k, or any other timm model on the Hugging Face hub
    torchvision:NAME           torchvision:mobilenet_v3_small, torchvision:lraspp_mobilenet_v3_large
    open_clip:ARCH/PRETRAINED  open_clip:ViT-B-32/laion2b_s34b_b79k, with labels in the user's own words

``describe`` says what a model is before its weights are here; ``pretrained`` builds it, fetching them on first use.
"""

from __future__ import annotations

import pickle
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from safetensors import SafetensorError
from torch import nn

from models import zero_shot
from models.cards import ModelSpec
from models.downloads import HubError, Progress, ShouldStop, Weights
from models.encodings import Plain
from models.hubs import of_hugging_face, of_timm, of_torchvision


class Hub(Protocol):
    """Where the models of one library are to be had, each by its name: the address without the prefix.

    Each method may raise HubError; ``describe`` also ValueError, as ModelSpec and Preprocessing do, and ``build``
    whatever the library raises when weights are not as it expects.
    """

    NAME: str
    """How a name is written, for people."""

    def weights_of(self, name: str) -> Weights:
        """Where the weights are to be had."""

    def describe(self, name: str, labels: Sequence[str], encoding: Plain | None) -> ModelSpec:
        """What a model is, without its weights; see the function ``describe``."""

    def build(self, name: str, spec: ModelSpec, weights: Path) -> nn.Module:
        """The network with its weights: normalised images (N, 3, H, W) to logits (N, n)."""


HUBS: dict[str, Hub] = {
    "timm": of_timm,
    "hf-hub": of_hugging_face,
    "torchvision": of_torchvision,
    "open_clip": zero_shot,
}
"""By the prefix of their addresses."""


def describe(address: str, *, labels: Sequence[str] = (), encoding: Plain | None = None) -> ModelSpec:
    """What a model of a hub is, without its weights; asks the network, if at all, for PATIENCE seconds.

    ``labels`` names the outputs: open_clip needs them, elsewhere they replace the library's own. ``encoding``, one-hot
    or multi-label, is for timm models whose configuration does not say it. Raises HubError for an address that is
    unknown or not a classifier of square RGB images, labels that do not match its outputs, and without a network where
    one is needed.
    """
    hub, name = _at(address)
    try:
        return hub.describe(name, tuple(labels), encoding)
    except ValueError as error:  # of ModelSpec and Preprocessing
        raise HubError(f"{address} cannot be used here: {error}") from error


def pretrained(
    spec: ModelSpec, *, progress: Progress | None = None, should_stop: ShouldStop | None = None
) -> nn.Module:
    """The network that ``describe`` described, with its weights: normalised images (N, 3, H, W) to logits (N, n).

    Raises HubError when its weights cannot be fetched, or are not what the library expects.
    """
    hub, name = _at(spec.network)
    path = hub.weights_of(name).get(progress, should_stop)
    try:
        return hub.build(name, spec, path)
    except HubError:
        raise
    except (RuntimeError, ValueError, KeyError, OSError, SafetensorError, pickle.UnpicklingError) as error:
        said = textwrap.shorten(str(error), 300)
        raise HubError(
            f"The weights of {spec.network} cannot be used ({said}): delete {path.resolve()} to fetch them anew."
        ) from error


def weights_of(address: str) -> Weights:
    """Where a model's weights are to be had. Raises HubError for an unknown address."""
    hub, name = _at(address)
    return hub.weights_of(name)


def unavailable(address: str) -> str:
    """Why a model cannot be had now, in a sentence; empty if its weights are here or their host answers."""
    try:
        return weights_of(address).unavailable()
    except HubError as error:
        return str(error)


def _at(address: str) -> tuple[Hub, str]:
    """The hub of an address, and the name there."""
    prefix, _, name = address.strip().partition(":")
    if prefix not in HUBS or not name:
        *others, last = (f"{prefix}:{hub.NAME}" for prefix, hub in HUBS.items())
        raise HubError(f"Expected {', '.join(others)} or {last}, got {address!r}.")
    return HUBS[prefix], name
