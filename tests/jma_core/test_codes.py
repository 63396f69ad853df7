from __future__ import annotations

import numpy as np
import pytest

from jma_core import hadamard_codebook

SIZES = [(2, 2), (4, 4), (10, 16), (16, 16), (32, 32), (5, 64)]


@pytest.mark.parametrize(("classes", "bits"), SIZES)
def test_any_two_codewords_differ_in_half_of_the_bits(classes: int, bits: int) -> None:
    codebook = hadamard_codebook(classes, bits)
    assert codebook.shape == (classes, bits)
    assert set(np.unique(codebook)) <= {-1, 1}
    distances = (codebook[:, None] != codebook[None]).sum(-1)
    np.testing.assert_array_equal(distances, bits // 2 * (1 - np.eye(classes, dtype=int)))


def test_the_codebook_of_four_bits_is_sylvesters() -> None:
    expected = [[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]
    np.testing.assert_array_equal(hadamard_codebook(4, 4), expected)


@pytest.mark.parametrize(("classes", "bits"), [(5, 4), (2, 3), (2, 12), (2, 0), (2, 1), (1, 4), (0, 4), (-1, 4)])
def test_impossible_codebooks_are_refused_with_what_was_expected_and_what_came(classes: int, bits: int) -> None:
    with pytest.raises(ValueError, match=rf"expected .*power of two.*got bits={bits} for {classes} classes"):
        hadamard_codebook(classes, bits)
