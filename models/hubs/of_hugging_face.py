"""The Hugging Face hub: repositories that hold a timm model and timm's configuration of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from timm.models import PretrainedCfg
from timm.models._hub import load_model_config_from_path
from torch import nn

from models.cards import ModelSpec
from models.downloads import PATIENCE, HubError, HubFile, within
from models.encodings import MultiLabel, OneHot, Plain
from models.hubs import of_timm

NAME = "ORG/NAME"


def weights_of(name: str) -> HubFile:
    """Where the weights are."""
    return HubFile(name)


def describe(name: str, labels: Sequence[str], encoding: Plain | None) -> ModelSpec:
    """The model of a repository, with the encoding that its configuration says unless one is given. Raises HubError."""
    config, several = _config(name)
    declared = MultiLabel if several else OneHot
    return of_timm.described(f"hf-hub:{name}", config, labels, encoding or declared, weights_of(name))


def build(name: str, spec: ModelSpec, weights: Path) -> nn.Module:
    """The network of a repository with these weights. Raises what timm raises."""
    return of_timm.build(f"local-dir:{_config_folder(name)}", spec, weights)


def _config_folder(name: str) -> Path:
    """Where the config.json of a repository is, fetched if need be."""
    file = HubFile(name, ("config.json",))
    try:
        return within(PATIENCE, file.get).parent
    except TimeoutError as error:
        raise HubError(
            f"The Hugging Face hub sent no config.json of {name} (no answer within {PATIENCE:.0f} s)."
        ) from error


def _config(name: str) -> tuple[PretrainedCfg, bool]:
    """timm's configuration of a model, and whether it says that the outputs are several labels at once."""
    folder = _config_folder(name)
    try:
        stored = json.loads((folder / "config.json").read_text("utf-8"))
        config = load_model_config_from_path(folder)[0]
        several = stored.get("problem_type") == "multi_label_classification"
        return PretrainedCfg(**config), several
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HubError(
            f"hf-hub:{name} is not a timm model: expected a config.json with timm's entries ({error!r})."
        ) from error
