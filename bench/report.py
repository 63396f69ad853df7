"""What every benchmark shares: its command line, the machine it ran on, tables, JSON, and time spent in the network."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from jma_core import Network


def arguments(description: str, *, data: bool = False, **switches: str) -> argparse.Namespace:
    """``--quick`` and ``--json FILE``, which every benchmark takes; ``--data DIR`` where pictures are needed.

    switches  more of them by name, and what they are for
    """
    parser = argparse.ArgumentParser(description=description)
    if data:
        parser.add_argument("--data", type=Path, required=True, help="the folder that holds the image sets")
    for name, purpose in switches.items():
        parser.add_argument(f"--{name}", action="store_true", help=purpose)
    parser.add_argument("--quick", action="store_true", help="a subset, in under a minute on two cores")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure, with machine and settings")
    return parser.parse_args()


def machine() -> dict[str, Any]:
    """Where and with what the figures were taken."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in ("torch", "timm", "numpy", "scipy", "daqp")},
    }


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table with aligned columns."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, ["-" * width for width in widths], *rows]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |", flush=True)


def write_json(path: Path | None, figures: dict[str, Any]) -> None:
    """Write the figures with the machine beside them, if a file was asked for."""
    if path:
        path.write_text(json.dumps({"machine": machine(), **figures}, indent=2) + "\n")


class NetworkClock:
    """Seconds of ``timer`` spent in the network and in autograd, and nowhere else, while ``running``."""

    _TIMED = ("call", "gradients", "tangents", "pullback")

    def __init__(self, timer: Callable[[], float] = time.perf_counter) -> None:
        self.seconds = 0.0
        self._timer = timer
        self._inside = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time every pass of every attack inside the block."""
        originals = {name: getattr(Network, name) for name in self._TIMED}
        timed = {name: self._timed(original) for name, original in originals.items()}

        def pullback(*args: Any) -> Any:
            z, pull = timed["pullback"](*args)
            return z, self._timed(pull)

        for name, method in (timed | {"pullback": pullback}).items():
            setattr(Network, name, method)
        try:
            yield
        finally:
            for name, original in originals.items():
                setattr(Network, name, original)

    def _timed(self, method: Any) -> Any:
        def timed(*args: Any) -> Any:
            if self._inside:  # a forward pass within a derivative
                return method(*args)
            start, self._inside = self._timer(), True
            try:
                return method(*args)
            finally:
                self.seconds += self._timer() - start
                self._inside = False

        return timed
