"""The model zoo: which networks there are, how to load them, and how they were trained."""

import jma_core  # noqa: F401  (before torch is: it sets how OpenMP's threads wait)
