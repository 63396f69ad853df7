"""The zoo's models, loaded once, and the sample photos as the networks see them."""

from collections.abc import Callable

import pytest
from PIL import Image
from torch import Tensor

from models.loaders import LoadedModel, load, to_tensor
from models.registry import ASSETS, MODELS


@pytest.fixture(scope="session")
def model() -> Callable[[str], LoadedModel]:
    loaded: dict[str, LoadedModel] = {}
    return lambda name: loaded.setdefault(name, loaded.get(name) or load(MODELS[name]))


@pytest.fixture(scope="session")
def sample() -> Callable[[str, str], Tensor]:
    """The image that a model sees of one of its sample photos."""

    def image(name: str, file: str) -> Tensor:
        spec = MODELS[name]
        return to_tensor(spec.preprocessing(Image.open(ASSETS / "samples" / spec.samples / file)))

    return image
