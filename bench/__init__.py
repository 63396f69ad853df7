"""Measured comparisons, run from the command line."""

import models  # noqa: F401  (sets OpenMP's wait policy, before torch is imported)
