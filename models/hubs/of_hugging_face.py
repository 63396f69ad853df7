"""The Hugging Face hub: repositories that hold a timm model and timm's configuration of it.

One whose configuration names no classes, with a file ``selected_tags.csv`` beside it, is a tagger: thousands of labels
at once, a row each (``name``; ``category``, of Danbooru's; in some ``best_threshold``, a probability). It wants photos
on a white square. Without thresholds it is one of the WD taggers (SmilingWolf), which were trained on OpenCV's channels
(blue, green, red) and are read with 0.35, characters with 0.85.
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from timm.models import PretrainedCfg
from timm.models._hub import load_model_config_from_path
from torch import Tensor, nn

from models.cards import ModelSpec, said
from models.downloads import PATIENCE, HubError, HubFile, MissingFile, within
from models.encodings import MultiLabel, OneHot, Plain
from models.hubs import of_timm
from models.options import brief

NAME = "ORG/NAME"
LARGEST_FILE = 2**22
"""Bytes of a configuration or a list of tags; those of 11,000 tags have 300,000."""
_CATEGORIES = {"0": "general", "1": "artist", "3": "copyright", "4": "character", "5": "meta", "9": "rating"}
_CHARACTER, _USUAL = 0.85, 0.35


@dataclass(frozen=True)
class Tags:
    """What a tagger's list says of its outputs, in their order."""

    names: tuple[str, ...]
    thresholds: tuple[float, ...]
    """Of logits."""
    bgr: bool
    summary: str


class BlueFirst(nn.Module):
    """Images (N, 3, H, W) with their channels in OpenCV's order."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flip(1)


def weights_of(name: str) -> HubFile:
    """Where the weights are."""
    return HubFile(name)


def describe(name: str, labels: Sequence[str], encoding: Plain | None) -> ModelSpec:
    """The model of a repository, with the encoding that its configuration says unless one is given. Raises HubError."""
    config, several = _config(name)
    address, declared = f"hf-hub:{name}", MultiLabel if several else OneHot
    tags = _tags(name, config)
    if tags is None:
        return of_timm.described(address, config, labels, encoding or declared, weights_of(name))
    spec = of_timm.described(address, config, labels or tags.names, encoding or MultiLabel, weights_of(name))
    if isinstance(spec.encoding, MultiLabel):
        spec = replace(spec, encoding=replace(spec.encoding, thresholds=tags.thresholds), summary=tags.summary)
    return replace(spec, preprocessing=replace(spec.preprocessing, pad=True, squash=False))


def build(name: str, spec: ModelSpec, weights: Path) -> nn.Module:
    """The network of a repository with these weights. Raises what timm raises."""
    network = of_timm.build(f"local-dir:{_file(name, 'config.json').parent}", spec, weights)
    tags = _tags(name, _config(name)[0])
    return nn.Sequential(BlueFirst(), network) if tags and tags.bgr else network


def _file(name: str, file: str) -> Path:
    """A small file of a repository, fetched if need be. Raises HubError when there is none, or it is too large."""
    remote = HubFile(name, (file,))
    try:
        path = remote.cached()
        size = path.stat().st_size if path else within(PATIENCE, remote.size)
        if size > LARGEST_FILE:
            raise HubError(f"The {file} of {name} has {size} bytes, expected {LARGEST_FILE} at most: it is not read.")
        return path or within(PATIENCE, remote.get)
    except TimeoutError as error:
        raise HubError(f"The Hugging Face hub sent no {file} of {name} (no answer within {PATIENCE:.0f} s).") from error


def _tags(name: str, config: PretrainedCfg) -> Tags | None:
    """The list of a tagger; None for any other model. Raises HubError if it cannot be had, or read."""
    if not config.num_classes or of_timm.known_labels(config):
        return None
    try:
        path = _file(name, "selected_tags.csv")
    except MissingFile:
        return None
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        names = tuple(row["name"].strip() for row in rows)
        thresholds = tuple(map(_threshold, rows))
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise HubError(
            f"The selected_tags.csv of {name} cannot be read ({said(error)}): expected a row for each output, with a "
            "name, and with a category or a best_threshold between 0 and 1."
        ) from error
    if len(names) != config.num_classes:
        raise HubError(f"hf-hub:{name} has {config.num_classes} outputs, its selected_tags.csv names {len(names)}.")
    own = "best_threshold" in rows[0]
    counts = Counter(_CATEGORIES.get(row.get("category") or "0", "other") for row in rows)
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    above = "a threshold of its own" if own else f"{_USUAL}, a character of {_CHARACTER}"
    return Tags(names, thresholds, not own, f"A tagger ({kinds}): a tag is present above a probability of {above}.")


def _threshold(row: Mapping[str, str]) -> float:
    """The logit above which a tag is present. Raises ValueError unless it is that of a probability."""
    p = float(row.get("best_threshold") or (_CHARACTER if row.get("category") == "4" else _USUAL))
    if not 0 < p < 1:
        raise ValueError(f"{brief(row['name'])} has the threshold {p}")
    return math.log(p / (1 - p))


def _config(name: str) -> tuple[PretrainedCfg, bool]:
    """timm's configuration of a model, and whether it says that the outputs are several labels at once."""
    folder = _file(name, "config.json").parent
    try:
        stored = json.loads((folder / "config.json").read_text("utf-8"))
        config = load_model_config_from_path(folder)[0]
        several = stored.get("problem_type") == "multi_label_classification"
        return PretrainedCfg(**config), several
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HubError(
            f"hf-hub:{name} is not a timm model: expected a config.json with timm's entries ({error!r})."
        ) from error
