"""The results that the page Benchmark shows first. python -m bench.benchmark runs their plans: minutes.

Of each folder in assets/benchmark it runs plan.toml, and packs the rows of all shards beside it. A sweep that was
begun goes on where it was stopped.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import gettempdir

from lab.benchmark import SHIPPED
from lab.sweep.__main__ import main as sweep
from lab.sweep.store import Sweep


def main(out: Path) -> None:
    """Run the plans, in folders below ``out``."""
    for plan in sorted(SHIPPED.glob("*/plan.toml")):
        folder = out / plan.parent.name
        if sweep(["run", str(plan), "--out", str(folder)]):
            raise SystemExit(1)
        Sweep(folder).pack(plan.parent)


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else f"{gettempdir()}/jma-benchmark"))
