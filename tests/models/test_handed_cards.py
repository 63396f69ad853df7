"""Cards that were handed in, with random weights for the networks that they name: loaded, or refused in sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import Tensor

from models.cards import CardError, ModelSpec, read_card
from models.encodings import OneHot
from models.loaders import Sketch, blank, load
from models.registry import WeightsError
from models.trial import TrialError

CARDS = Path(__file__).parents[1] / "cases" / "cards"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 46807446\n"


def prefixed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{name}": value for name, value in weights.items()}


def broken(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return weights | {"fc.weight": torch.full_like(weights["fc.weight"], torch.nan)}


def awake(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return weights | {"head.fc.weight": torch.randn_like(weights["head.fc.weight"])}  # zero, until it is trained


CHANGED = {"module._prefix": prefixed, "nan": broken, "sequencer": awake}
REFUSED: dict[str, tuple[type[Exception], str]] = {
    "dup1000": (CardError, r"^labels: expected different names, got '.*' as number \d+ and as number \d+$"),
    "empty_label": (CardError, r"^labels: .* that can be seen; got '' as number 1 of 4$"),
    "features_only": (CardError, r"^options: expected for timm networks any of .*; got 'features_only'$"),
    "in_chans=1": (CardError, r"^options: expected for timm networks any of .*; got 'in_chans'$"),
    "lfs_pointer": (WeightsError, r"^Its weights are not in this file, which is a pointer of Git LFS"),
    "mean255": (CardError, r"^mean and std: expected numbers of 0 to 1, .*divide .* by 255\); got \(123\.675, "),
    "nan": (TrialError, r"^Its logits are not finite: 3 of 3 are NaN or infinite"),
    "torchvision_fcn_resnet50": (CardError, r"^network: expected a classifier of torchvision, .*got 'fcn_resnet50'$"),
    "vit_tiny_384": (TrialError, r"^It cannot read a picture of 3 x 384 x 384 .*224"),
}


@pytest.fixture(autouse=True)
def no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for weights that are not in the file has failed."""

    def asked(*_: object, **__: object) -> Any:
        pytest.fail("something was fetched")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", asked)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", asked)
    monkeypatch.setattr("urllib.request.urlopen", asked)
    monkeypatch.setattr("socket.getaddrinfo", asked)


def weights_of(name: str) -> bytes:
    """What the card's author would have saved."""
    if name == "lfs_pointer":
        return POINTER
    torch.manual_seed(0)
    network = timm.create_model("sequencer2d_s" if name == "sequencer" else "test_resnet", num_classes=3)
    if name == "vit_tiny_384":
        network = timm.create_model("vit_tiny_patch16_224", num_classes=3)
    if name in ("background", "markup"):
        network = timm.create_model("test_resnet", num_classes=4)
    return safetensors.torch.save(CHANGED.get(name, dict)(network.state_dict()))


@pytest.mark.parametrize("file", sorted(CARDS.glob("*.toml")), ids=lambda file: file.stem)
def test_each_is_loaded_or_refused_in_a_sentence(file: Path) -> None:
    weights = weights_of(file.stem)
    if file.stem not in REFUSED:
        model = load(read_card(file.read_bytes(), file.stem, weights))
        side = model.spec.preprocessing.size
        assert model.network(torch.rand(1, 3, side, side)).shape == (1, model.spec.encoding.n)
        return
    kind, says = REFUSED[file.stem]
    with pytest.raises(kind, match=says) as refused:
        load(read_card(file.read_bytes(), file.stem, weights))
    assert len(str(refused.value)) < 700


CLASSIFIERS = torchvision.models.list_models(module=torchvision.models)


@pytest.mark.parametrize("name", torchvision.models.list_models())
def test_no_network_of_torchvision_fetches_a_backbone(name: str) -> None:
    spec = ModelSpec("toy", "Toy", OneHot(("a", "b")), f"torchvision:{name}")
    with Sketch() if name in CLASSIFIERS else pytest.raises(CardError, match="expected a classifier of torchvision"):
        blank(spec)
