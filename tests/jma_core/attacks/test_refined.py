"""``refined`` ends at the nearest image that the decoder reads, where that is known."""

from __future__ import annotations

import pytest
import torch

from bench.linear import codewords, order
from jma_core import refined
from jma_core.attacks.refined import sharing


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_of_a_codeword_the_nearest_image_that_the_decoder_reads_is_found(seed: int) -> None:
    """The nearest that satisfies the linear constraints is 7 to 9 % farther."""
    it = codewords(seed)
    result = it.attacked(refined, steps=200)
    assert it.l2 <= result.distortion.l2 * (1 + 1e-9)
    assert result.distortion.l2 <= 1.03 * it.l2


@pytest.mark.parametrize("seed", [0, 1, 6])
def test_where_many_constraints_meet_the_nearest_image_is_found(seed: int) -> None:
    """Twelve classes, five of them in order: on spheres alone it ends 5 to 41 % beyond the optimum."""
    it = order(seed, 12, 5)
    assert it.l2 <= it.attacked(refined, steps=100).distortion.l2 <= 1.01 * it.l2


def test_constraints_that_are_level_share_the_gradient() -> None:
    assert sharing(torch.tensor([-3.0, 9.0, 9.0])) == pytest.approx(1)
    assert sharing(torch.tensor([-3.0, -3.0, -3.0, 9.0])) == pytest.approx(3)
