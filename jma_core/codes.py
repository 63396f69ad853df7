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
