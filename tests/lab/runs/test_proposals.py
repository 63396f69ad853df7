"""The target that the page proposes is far and in reach: on every sample of every model that ships."""

from __future__ import annotations

import pytest
import torch

from jma_core import run
from lab.photos.samples import samples
from lab.request import Request, Settings
from lab.runs.launch import launch
from models.encodings import Prediction
from models.loaders import load, to_tensor
from models.registry import MODELS


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_first_attack_takes_five_to_forty_updates(name: str) -> None:
    model = load(MODELS[name])
    for photo in samples(model.spec.samples).values():
        picture = model.spec.preprocessing(photo.image)
        with torch.no_grad():
            z = model.network(to_tensor(picture)[None])[0]
        target = model.spec.encoding.proposed(Prediction(z.numpy(), model.encoding.decode(z).numpy()))
        result = run(launch(Request(name, photo.digest, target, Settings()), model, picture))
        assert result.success, photo.name
        assert 5 <= len(result.trace) <= 40, photo.name
