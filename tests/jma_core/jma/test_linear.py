"""On a linear network the first leap is the optimum, which DAQP and HiGHS find: rounding does not make it miss."""

from __future__ import annotations

import pytest

from bench.linear import NETWORKS, norm_of
from jma_core import Phase, find


@pytest.mark.parametrize("name", ["one-hot", "top-K", "multi-label"])
@pytest.mark.parametrize("level", ["lazy", "boxed", "paper", "linf"])
@pytest.mark.parametrize("seed", range(3))
def test_the_first_leap_lands_on_the_optimum(name: str, level: str, seed: int) -> None:
    it, attack = NETWORKS[name](seed), find(level)
    result = it.attacked(attack)
    assert result.steps[0].phase == Phase.LEAP
    assert norm_of(result, attack.entry.norm) == pytest.approx(it.optimum(attack.entry.norm), rel=1e-6)
