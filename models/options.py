"""What a card may say of a network's own arguments: which there are, of what type, and how large. Needs no torch.

A card comes from anywhere, and its options build things: whatever is not listed here is refused before it does.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

_shortener = reprlib.Repr()
_shortener.maxstring = _shortener.maxother = 60
brief = _shortener.repr
"""A value as Python writes it, a line of it at most."""


@dataclass(frozen=True)
class Rule:
    """What an option must be, in words, and whether a value is."""

    said: str
    holds: Callable[[Any], bool]


def is_number(value: Any) -> bool:
    """Whether a value from a card is a finite number, which TOML's true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def is_whole(value: Any) -> bool:
    """Whether a value from a card is a whole number, which TOML's true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(low: int, high: int) -> Rule:
    return Rule(f"a whole number of {low} to {high}", lambda value: is_whole(value) and low <= value <= high)


def _number(low: float, high: float) -> Rule:
    return Rule(f"a number of {low} to {high}", lambda value: is_number(value) and low <= value <= high)


def _one_of(*words: str) -> Rule:
    return Rule(f"one of {', '.join(words)}", lambda value: isinstance(value, str) and value in words)


def _list(each: Rule, longest: int) -> Rule:
    return Rule(
        f"a list of at most {longest}, each {each.said}",
        lambda value: isinstance(value, list | tuple) and 0 < len(value) <= longest and all(map(each.holds, value)),
    )


_SWITCH = Rule("true or false", lambda value: isinstance(value, bool))
_WIDTH, _DEPTH, _SIDE, _SHARE = _whole(1, 8192), _whole(1, 64), _whole(8, 2048), _number(0, 1)
_HEAD = {"hidden": _WIDTH, "heads": _whole(1, 32)}
_PAIR = Rule("a pair of channels, 1 to 1024", lambda value: _list(_whole(1, 1024), 2).holds(value) and len(value) == 2)

_OPTIONS: dict[str, dict[str, Rule]] = {
    "vgg": {
        "bottom": _list(_PAIR, 8),
        "width": _whole(1, 16384),
        "hidden": _whole(1, 16384),
        "branches": _whole(1, 16384),
        "side": _SIDE,
        "grey": _SWITCH,
    },
    "lite0-mlp": _HEAD,
    "clip-mlp": {"width": _WIDTH, **_HEAD},
    "timm": {
        "img_size": _SIDE,
        "patch_size": _whole(1, 64),
        "embed_dim": _WIDTH,
        "depth": _DEPTH,
        "num_heads": _DEPTH,
        "mlp_ratio": _number(0.1, 16),
        "window_size": _whole(1, 64),
        "class_token": _SWITCH,
        "reg_tokens": _whole(0, 16),
        "qkv_bias": _SWITCH,
        "init_values": _number(0, 1),
        "dynamic_img_size": _SWITCH,
        "layers": _list(_DEPTH, 8),
        "depths": _list(_DEPTH, 8),
        "dims": _list(_WIDTH, 8),
        "channels": _list(_WIDTH, 8),
        "cardinality": _whole(1, 1024),
        "base_width": _whole(1, 1024),
        "stem_width": _whole(1, 1024),
        "stem_type": _one_of("deep", "deep_tiered", "patch", "overlap"),
        "output_stride": Rule("8, 16 or 32", lambda value: is_whole(value) and value in (8, 16, 32)),
        "global_pool": _one_of("avg", "max", "avgmax", "catavgmax", "token", "map"),
        "act_layer": _one_of("relu", "relu6", "leaky_relu", "elu", "gelu", "quick_gelu", "silu", "mish", "hard_swish"),
        "drop_rate": _SHARE,
        "drop_path_rate": _SHARE,
    },
    "torchvision": {
        "image_size": _SIDE,
        "width_mult": _number(0.1, 4),
        "groups": _whole(1, 1024),
        "width_per_group": _whole(1, 1024),
        "replace_stride_with_dilation": _list(_SWITCH, 3),
        "aux_logits": _SWITCH,
        "transform_input": _SWITCH,
        "dropout": _SHARE,
    },
}
"""By the library of a network's name."""


def against(network: str, options: Mapping[str, Any]) -> str:
    """What speaks against a network's options, in a sentence; empty if nothing does, or the network is not known."""
    library = network.partition(":")[0]
    rules = _OPTIONS.get(library)
    if rules is None:
        return ""
    for name, value in options.items():
        if name not in rules:
            return f"expected for {library} networks any of {', '.join(rules)}; got {brief(name)}"
        if not rules[name].holds(value):
            return f"expected {name} to be {rules[name].said}; got {brief(value)}"
    return ""
