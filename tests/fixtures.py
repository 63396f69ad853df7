"""A small finished attack to look at: a random convolutional network, any kind of target."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from jma_core import AttackResult, MultiLabel, Network, OneHot, jma, run
from jma_core.geometry import geometry, land
from lab.archive import unpack
from lab.request import Measured, Request, Settings
from lab.runs.sweeps import own_sweeps
from models.registry import ASSETS


@pytest.fixture(scope="session")
def finished() -> AttackResult:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 14 * 14, 5))
    network.eval().requires_grad_(False)
    image = torch.rand(3, 16, 16)
    target = int(network(image[None]).argmin())
    return run(jma(network, image, OneHot(5), target, step=0.05))


@pytest.fixture(scope="session")
def linear_space() -> Callable[..., Measured]:
    """The logit space of three labels, all to be present, at the middle of the box of three pixels."""

    def measure(w: list[list[float]], z: list[float]) -> Measured:
        rows, at = torch.tensor(w, dtype=torch.float64), torch.tensor(z, dtype=torch.float64)
        x, encoding, target = torch.full((3, 1, 1), 0.5, dtype=torch.float64), MultiLabel(3), [True] * 3
        network = Network(lambda images: (images.flatten(1) - 0.5) @ rows.T + at)
        space = geometry(network, x, encoding.constraints(target))
        return Measured(space, *(land(network, x, encoding, target, p.delta) for p in (space.nearest, space.cheapest)))

    return measure


@pytest.fixture(scope="session")
def measured(linear_space: Callable[..., Measured]) -> Measured:
    """The first label is to appear, and takes the second along."""
    return linear_space([[2.0, 0.0, 0.0], [3.0, 4.0, 0.0], [1.0, 1.0, 5.0]], [-1.0, 5.0, 6.0])


@pytest.fixture(scope="session")
def example() -> tuple[Request, AttackResult]:
    return unpack((ASSETS / "example.npz").read_bytes())


@pytest.fixture
def request_for() -> Callable[..., Request]:
    return lambda **changes: Request(**{"model": "m", "photo": "p", "target": 2, "settings": Settings()} | changes)


class FromLater(Settings):
    """Those of an attack that is not known here, as a later version writes them."""

    def told(self) -> dict[str, Any]:
        return super().told() | {"attack": "from later"}


@pytest.fixture
def data_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A data folder that no other test has; the sweeps that were begun in it are stopped."""
    monkeypatch.setenv("JMA_LAB_DATA", str(tmp_path))
    yield
    for each in own_sweeps():
        each.stop()
