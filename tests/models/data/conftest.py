"""The readers of the image sets see nothing of this machine."""

from __future__ import annotations

import numpy as np
import pytest

from models import data
from tests.models.data.sets import Array, noise


@pytest.fixture(autouse=True)
def no_npm_and_no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is on this machine must make no difference."""
    monkeypatch.setattr(data, "CACHE", tmp_path_factory.mktemp("home") / "cache")
    monkeypatch.setattr("shutil.which", lambda command: None)


@pytest.fixture
def things() -> tuple[Array, Array, Array, Array]:
    """Five batches of 20 pictures, and 7 test pictures, with their classes."""
    rng = np.random.default_rng(2)
    return noise(100, 32, 32, 3), rng.integers(0, 10, 100), noise(7, 32, 32, 3, seed=1), rng.integers(0, 10, 7)
