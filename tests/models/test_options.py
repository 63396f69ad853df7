"""What a card may say of a network: the options that its family has, with values that can be built."""

from __future__ import annotations

import time
from typing import Any

import pytest

from models.cards import CardError, ModelSpec
from models.encodings import OneHot
from models.options import against
from models.recipes import RECIPES

NAMES = {"vgg": "vgg", "lite0-mlp": "lite0-mlp", "timm": "timm:resnet18", "torchvision": "torchvision:resnet18"}


def spec(network: str, options: dict[str, Any]) -> ModelSpec:
    return ModelSpec("toy", "Toy", OneHot(("a", "b", "c")), network, options=options)


@pytest.mark.parametrize("name", RECIPES)
def test_the_networks_that_ship_keep_to_it(name: str) -> None:
    recipe = RECIPES[name].spec
    assert against(recipe.network, recipe.options) == ""


@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("timm:resnet18", {}),
        ("timm:resnet18", {"layers": [2, 2, 2, 2], "stem_type": "deep", "stem_width": 32, "output_stride": 16}),
        ("timm:resnet18", {"global_pool": "avgmax", "act_layer": "gelu", "drop_rate": 0.2, "drop_path_rate": 0}),
        ("timm:vit_tiny_patch16_224", {"img_size": 384, "depth": 6, "num_heads": 3, "class_token": False}),
        ("timm:vit_tiny_patch16_224", {"global_pool": "avg", "init_values": 1e-5, "reg_tokens": 4}),
        ("timm:convnext_atto", {"depths": [2, 2, 6, 2], "dims": [40, 80, 160, 320]}),
        ("torchvision:mobilenet_v2", {"width_mult": 0.5, "dropout": 0.1}),
        ("torchvision:resnet18", {"replace_stride_with_dilation": [False, False, False]}),
        ("vgg", {"bottom": [[4, 4]], "width": 4, "hidden": 4, "grey": True}),
        ("unknown", {"layers": 1}),
    ],
    ids=str,
)
def test_what_networks_are_trained_with_is_taken(network: str, options: dict[str, Any]) -> None:
    assert spec(network, options).options == options


@pytest.mark.parametrize(
    "options",
    [
        *({name: value} for name in ("block", "norm_layer", "aa_layer", "block_args") for value in ("x", 3, [1])),
        {"in_chans": 1},
        {"features_only": True},
        {"out_indices": [1, 2]},
        {"num_classes": 7},
        {"pretrained": True},
        {"pretrained": False},
        {"pretrained_cfg": {"url": "http://127.0.0.1/x"}},
        {"pretrained_cfg_overlay": {"file": "/etc/passwd"}},
        {"checkpoint_path": "/etc/passwd"},
        {"cache_dir": "/tmp"},
        {"scriptable": True},
        {"weights": "DEFAULT"},
        {"weights_backbone": "DEFAULT"},
        {"device": "cuda"},
        {"": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("library", NAMES)
def test_other_options_are_refused_with_those_that_there_are(library: str, options: dict[str, Any]) -> None:
    with pytest.raises(
        CardError, match=rf"^options: expected for {library} networks any of .*; got '{next(iter(options))}'"
    ):
        spec(NAMES[library], options)


@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("timm:resnet18", {"layers": [100_000, 1, 1, 1]}),
        ("timm:resnet18", {"layers": [1] * 1000}),
        ("timm:resnet18", {"layers": []}),
        ("timm:resnet18", {"layers": 3}),
        ("timm:resnet18", {"layers": [True, 1, 1, 1]}),
        ("timm:resnet18", {"layers": [[1], 1, 1, 1]}),
        ("timm:resnet18", {"base_width": 0}),
        ("timm:resnet18", {"base_width": 10**9}),
        ("timm:resnet18", {"base_width": 64.5}),
        ("timm:resnet18", {"base_width": True}),
        ("timm:resnet18", {"cardinality": -1}),
        ("timm:resnet18", {"output_stride": 1}),
        ("timm:resnet18", {"output_stride": True}),
        ("timm:resnet18", {"global_pool": ""}),
        ("timm:resnet18", {"global_pool": ["avg"]}),
        ("timm:resnet18", {"act_layer": "evil"}),
        ("timm:resnet18", {"act_layer": {}}),
        ("timm:resnet18", {"drop_rate": 1.5}),
        ("timm:vit_tiny_patch16_224", {"depth": 100_000}),
        ("timm:vit_tiny_patch16_224", {"img_size": 10**6}),
        ("timm:vit_tiny_patch16_224", {"class_token": 1}),
        ("torchvision:mobilenet_v2", {"width_mult": 1e6}),
        ("torchvision:mobilenet_v2", {"width_mult": float("nan")}),
        ("vgg", {"bottom": [[4, 4]] * 9, "width": 4, "hidden": 4}),
        ("vgg", {"bottom": [[4, 4, 4]], "width": 4, "hidden": 4}),
        ("vgg", {"bottom": [4], "width": 4, "hidden": 4}),
        ("vgg", {"bottom": [], "width": 4, "hidden": 4}),
        ("vgg", {"bottom": [[4, 10**7]], "width": 4, "hidden": 4}),
        ("vgg", {"bottom": [[4, 4]], "width": 0, "hidden": 4}),
        ("vgg", {"bottom": [[4, 4]], "width": 4, "hidden": 4, "side": 10**6}),
        ("vgg", {"bottom": [[4, 4]], "width": 4, "hidden": 4, "grey": "yes"}),
        ("lite0-mlp", {"hidden": 10**9}),
        ("clip-mlp:ViT-B-32/openai", {"heads": 0}),
    ],
    ids=str,
)
def test_values_that_nobody_means_are_refused_before_anything_is_built(network: str, options: dict[str, Any]) -> None:
    begun = time.process_time()
    with pytest.raises(CardError, match=r"^options: expected \w+ to be .*; got ") as refused:
        spec(network, options)
    assert time.process_time() - begun < 0.1
    assert len(str(refused.value)) < 300
