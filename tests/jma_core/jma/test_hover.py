"""Where leaps that are shorter than a step miss again and again, JMA aims deeper into the target, and arrives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from jma_core import AttackResult, MultiLabel, Phase, find, run
from jma_core.attacks import jma

SEED, LABELS, FLIPPED, STEP = 15, 8, 5, 0.5


def attacked(level: str) -> AttackResult:
    """Five of eight labels of a random piecewise linear network flipped, in steps that cross many of its kinks."""
    torch.manual_seed(SEED)
    layers = [nn.Linear(27, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, LABELS)]
    net = nn.Sequential(nn.Flatten(), *layers).double().eval().requires_grad_(False)
    for layer in layers[::2]:
        layer.weight.data *= 3
    x = torch.rand(3, 3, 3, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
    target = [int((z > 0) != (j < FLIPPED)) for j, z in enumerate(net(x[None])[0])]
    return run(find(level)(net, x, MultiLabel(LABELS), target, step=STEP, max_iter=60))


@pytest.mark.parametrize("level", ["lazy", "paper"])
def test_a_target_that_the_published_walk_hovers_over_is_reached(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result, unchanged = attacked(level), jma.HOVERS + 1
    monkeypatch.setattr(jma, "HOVERS", 60)
    published = attacked(level)
    assert result.success
    assert not published.success
    steps = [(ours, theirs) for ours, theirs in zip(result.steps, published.steps, strict=False)]
    same = [np.array_equal(ours.image, theirs.image) for ours, theirs in steps]
    first = same.index(False)
    short = [theirs.full_length < STEP for _, theirs in steps[:first] if theirs.phase == Phase.WALK]
    assert sum(short) == unchanged  # bit for bit
