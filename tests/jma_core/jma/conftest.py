"""A case for JMA of any encoding, from a seed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from jma_core import ECOC, MultiLabel, OneHot, hadamard_codebook
from jma_core.records import FREE
from tests.jma_core.jma.cases import Build, Case


@pytest.fixture(scope="module")
def case(mlp_network: Build, conv_network: Build) -> Callable[..., Case]:
    """Even seeds give a perceptron, odd ones convolutions. The target ranks fourth, or flips three labels.

    With free labels, the other three may be either.
    """

    def make(name: str, seed: int = 0, dtype: torch.dtype = torch.float64) -> Case:
        image = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
        net = (conv_network if seed % 2 else mlp_network)(8 if name == "ecoc" else 6, seed=seed, dtype=dtype)
        z = net(image[None])[0]
        if name in ("multi-label", "free labels"):
            others = [FREE] * 3 if name == "free labels" else (z > 0).tolist()[3:]
            return Case(net, image, MultiLabel(6), [*(z <= 0).tolist()[:3], *others])
        encoding = ECOC(hadamard_codebook(6, 8)) if name == "ecoc" else OneHot(6)
        scores = encoding.scores(z) if isinstance(encoding, ECOC) else z
        return Case(net, image, encoding, int(scores.argsort()[2]))

    return make
