"""Before anything else: the OpenMP policy that ``models`` sets has to be there when torch is imported."""

import models  # noqa: F401
