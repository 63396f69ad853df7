"""Before anything else: the OpenMP policy that ``jma_core`` sets has to be there when torch is imported."""

import jma_core  # noqa: F401
