"""Which parts of a picture may change, painted on a grid of cells; as bools, and as a short text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CELLS = 64
"""Of the grid, down and across, whatever the picture's size."""
EXPECTED = f"how many of {CELLS} x {CELLS} cells in turn are not painted and are, like 2080.8.2008"
Stencil = NDArray[np.bool_]
"""(CELLS, CELLS), true where the picture may change."""


def written(stencil: Stencil) -> str:
    """A stencil as text: how many cells in turn may not and may change, row by row, between points."""
    ends = np.flatnonzero(np.diff(stencil.ravel(), prepend=False))
    return ".".join(map(str, np.diff([0, *ends, CELLS**2])))


def read(text: str) -> Stencil:
    """The stencil that ``written`` made a text of. Raises ValueError for a text that it gives of none."""
    try:
        runs = [int(run) for run in text.split(".")] if len(text) <= 4 * CELLS**2 else []
    except ValueError:
        runs = []
    if sum(runs) == CELLS**2 and min(runs) >= 0:
        stencil = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(CELLS, CELLS)
        if written(stencil) == text:
            return stencil
    raise ValueError(f"expected {EXPECTED}, got {text[:40]!r}")


def laid_over(stencil: Stencil, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels (height, width) whose middle is on a cell that may change."""
    down, across = (((np.arange(side) + 0.5) * CELLS / side).astype(np.int64) for side in (height, width))
    return stencil[np.ix_(down, across)]


def _presets() -> dict[str, Stencil]:
    down, across = np.indices((CELLS, CELLS)) + 0.5
    near = np.minimum(np.minimum(down, CELLS - down), np.minimum(across, CELLS - across))
    return {
        "Corner": (down > 0.75 * CELLS) & (across > 0.75 * CELLS),
        "Centre": np.maximum(abs(down - CELLS / 2), abs(across - CELLS / 2)) < CELLS / 6,
        "Border": near < CELLS / 16,
        "Sticker": np.hypot(down - 0.7 * CELLS, across - 0.3 * CELLS) < 0.18 * CELLS,
    }


PRESETS = _presets()
"""Places for a patch: a square of a sixteenth of the picture in a corner, one of a ninth in the middle, a frame, and a
round sticker as of Brown et al. 2017."""
