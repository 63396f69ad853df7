"""Measured comparisons, run from the command line."""

import jma_core  # noqa: F401  (sets OpenMP's wait policy, before torch is imported)
