from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jma_core import hadamard_codebook
from jma_core.codes import minimum_distance

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


@st.composite
def codebooks(draw: st.DrawFn) -> np.ndarray:
    classes, bits = draw(st.integers(2, 9)), draw(st.integers(1, 40))
    words = st.lists(st.sampled_from([-1, 1]), min_size=bits, max_size=bits)
    return np.array(draw(st.lists(words, min_size=classes, max_size=classes)), dtype=np.int8)


@given(codebook=codebooks())
def test_the_minimum_distance_is_the_fewest_bits_in_which_any_two_words_differ(codebook: np.ndarray) -> None:
    words = ["".join("+" if bit > 0 else "-" for bit in word) for word in codebook]
    distances = [sum(a != b for a, b in zip(one, other, strict=True)) for one, other in combinations(words, 2)]
    assert minimum_distance(codebook) == min(distances)


@pytest.mark.parametrize(("classes", "bits"), SIZES)
def test_the_minimum_distance_of_a_hadamard_code_is_half_of_its_bits(classes: int, bits: int) -> None:
    assert minimum_distance(hadamard_codebook(classes, bits)) == bits // 2


def test_the_minimum_distance_of_long_words_does_not_overflow_their_eight_bits() -> None:
    codebook = np.ones((2, 1000), dtype=np.int8)
    codebook[1, :300] = -1
    assert minimum_distance(codebook) == 300


def test_the_minimum_distance_leaves_the_codebook_as_it_was() -> None:
    codebook = hadamard_codebook(4, 4)
    before = codebook.copy()
    minimum_distance(codebook)
    np.testing.assert_array_equal(codebook, before)
