"""Many attacks on many pictures: a plan unfolds into units, and each unit's result is a row. See docs/SWEEPS.md."""
