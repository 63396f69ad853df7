"""Codebooks for error-correcting output codes. Needs no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard


def hadamard_codebook(classes: int, bits: int) -> NDArray[np.int8]:
    """The first ``classes`` rows of Sylvester's Hadamard matrix: (classes, bits) in {-1, 1}.

    Any two codewords differ in exactly bits / 2 places. Raises ValueError unless ``bits`` is a power of two that is at
    least ``classes``. Source: Verma and Swami 2019, as used in section VI-A of the paper.
    """
    if bits < 2 or bits & (bits - 1) or not 2 <= classes <= bits:
        raise ValueError(f"expected bits to be a power of two >= classes >= 2, got bits={bits} for {classes} classes")
    return hadamard(bits, dtype=np.int8)[:classes]


def minimum_distance(codebook: NDArray[np.int8]) -> int:
    """The fewest bits in which two codewords of a codebook (classes, bits) in {-1, 1} differ: its Hamming distance.

    A decoder by the nearest codeword mends fewer than half as many wrong bits.
    """
    agreements = codebook.astype(np.int64) @ codebook.T.astype(np.int64)
    np.fill_diagonal(agreements, -codebook.shape[1])
    return int(codebook.shape[1] - agreements.max()) // 2
