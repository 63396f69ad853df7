"""The zoo's models, loaded once, and the sample photos as the networks see them."""

from collections.abc import Callable

import pytest
from PIL import Image
from torch import Tensor

from models.loaders import LoadedModel, load, to_tensor
from models.photos import centre_crop
from models.registry import ASSETS, MODELS


@pytest.fixture(scope="session")
def model() -> Callable[[str], LoadedModel]:
    loaded: dict[str, LoadedModel] = {}
    return lambda name: loaded.setdefault(name, loaded.get(name) or load(MODELS[name]))


@pytest.fixture(scope="session")
def sample() -> Callable[[str], Tensor]:
    return lambda file: to_tensor(centre_crop(Image.open(ASSETS / "samples" / file), 224))
