"""A small finished attack to look at: a random convolutional network, any kind of target."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from jma_core import AttackResult, OneHot, jma, run
from ui.archive import unpack
from ui.request import Request
from ui.state import ASSETS


@pytest.fixture(scope="session")
def finished() -> AttackResult:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 14 * 14, 5))
    network.requires_grad_(False)
    image = torch.rand(3, 16, 16)
    target = int(network(image[None]).argmin())
    return run(jma(network, image, OneHot(5), target, step=0.05))


@pytest.fixture(scope="session")
def example() -> tuple[Request, AttackResult]:
    return unpack((ASSETS / "example.npz").read_bytes())


@pytest.fixture
def request_for() -> Callable[..., Request]:
    from ui.request import Settings

    return lambda **changes: Request(**{"model": "m", "photo": "p", "target": 2, "settings": Settings()} | changes)
