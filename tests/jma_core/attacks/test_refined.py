"""``refined`` ends at the nearest image that the decoder reads, where that is known."""

from __future__ import annotations

import pytest

from bench.linear import codewords
from jma_core import refined


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_of_a_codeword_the_nearest_image_that_the_decoder_reads_is_found(seed: int) -> None:
    """The nearest that satisfies the linear constraints is 7 to 9 % farther."""
    it = codewords(seed)
    result = it.attacked(refined, steps=200)
    assert it.l2 <= result.distortion.l2 * (1 + 1e-9)
    assert result.distortion.l2 <= 1.03 * it.l2
