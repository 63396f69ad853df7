"""Every shipped model loaded and attacked: python -m bench.zoo --data DIR [--quick] [--json FILE]

First the seconds that loading takes, of each model in a process of its own (cold: torch's import is not counted, the
model's own files are read) and again in the same process (warm). Then 20 test pictures of each model (3 with
``--quick``), seed 0, that the model reads rightly where it has one class a picture. Each gets a random target, another
class or one label flipped, and is attacked by ``lazy`` with the app's own settings. ImageNet has no test pictures here
and is attacked on Corel-5k's. The figures are those of the paper's tables: success, L2, MSE, n_it, seconds.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.report import arguments, print_table, write_json
from jma_core import jma, run
from lab.request import Settings
from models.data import Split
from models.loaders import LoadedModel, load, to_tensor
from models.recipes import TASKS
from models.registry import MODELS

SEED, PICTURES, QUICK = 0, 20, 3


def main() -> None:
    """Load and attack every model, print both tables."""
    options = arguments("Every shipped model loaded and attacked", data=True)
    count = QUICK if options.quick else PICTURES
    loads = {name: {"cold": cold_load(name), "warm": warm_load(name)} for name in MODELS}
    print("\nSeconds to load a model, on the CPU")
    print_table(
        ["model", "cold", "warm"], [[name, f"{s['cold']:.2f}", f"{s['warm']:.2f}"] for name, s in loads.items()]
    )
    attacks = {name: attack_all(name, options.data, count) for name in MODELS}
    print(f"\nlazy, {count} test pictures a model, random targets: medians, and the slowest")
    show(attacks)
    settings = {"seed": SEED, "pictures": count, **Settings().told()}
    write_json(options.json, {"settings": settings, "seconds_to_load": loads, "attacks": attacks})


def warm_load(name: str) -> float:
    """Seconds of a load in a process that has loaded the model before."""
    load(MODELS[name])
    start = time.perf_counter()
    load(MODELS[name])
    return time.perf_counter() - start


def cold_load(name: str) -> float:
    """Seconds of the first load in a fresh process, after its imports."""
    code = (
        "import time; from models.loaders import load; from models.registry import MODELS; "
        f"start = time.perf_counter(); load(MODELS[{name!r}]); print(time.perf_counter() - start)"
    )
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def attack_all(name: str, data: Path, count: int) -> list[dict[str, Any]]:
    """The figures of every attack on a model."""
    model = load(MODELS[name])
    return [attack(model, x, target) for x, target in cases(model, test_pictures(name, data), count)]


def test_pictures(name: str, data: Path) -> Split:
    """A model's test pictures, those of all its sets together."""
    tests = TASKS[name if name in TASKS else "scenes"].data(data).tests
    first, *rest = tests.values()
    return sum(rest, start=first) if name in TASKS else first


def cases(model: LoadedModel, split: Split, count: int, flips: int = 1) -> Iterator[tuple[Tensor, int | list[bool]]]:
    """``count`` images with a random target each, drawn with a fixed seed: another class, or so many labels flipped."""
    rng = np.random.default_rng(SEED)
    drawn = 0
    for number in rng.permutation(len(split)):
        x = to_tensor(model.spec.preprocessing(split.photos[int(number)]), model.device)
        with torch.no_grad():
            decoded = model.encoding.decode(model.network(x[None])[0]).cpu()
        if model.spec.encoding.several:
            flipped: set[int] = set()
            while len(flipped) < flips:
                flipped.add(int(rng.integers(len(decoded))))
            yield x, [bool(present) != (j in flipped) for j, present in enumerate(decoded)]
        elif model.spec.name in TASKS and int(decoded) != split.targets[number]:
            continue
        else:
            yield x, int(rng.choice([k for k in range(len(model.spec.encoding.labels)) if k != int(decoded)]))
        drawn += 1
        if drawn == count:
            return


def attack(model: LoadedModel, x: Tensor, target: int | list[bool]) -> dict[str, Any]:
    """One attack in figures."""
    result = run(jma(model.network, x, model.encoding, target, max_seconds=Settings().max_seconds))
    return {
        "success": result.success,
        "reason": result.reason,
        **asdict(result.distortion),
        "n_it": result.n_it,
        "backward": result.backward,
        "seconds": result.seconds,
    }


def show(attacks: dict[str, list[dict[str, Any]]]) -> None:
    """One row a model: medians over the successes."""
    rows = []
    for name, runs in attacks.items():
        done = [run for run in runs if run["success"]]
        middle = {key: median(run[key] for run in done) for key in ("l2", "mse", "n_it", "backward", "seconds")}
        slowest = max(run["seconds"] for run in runs)
        figures = [f"{middle['l2']:.3f}", f"{middle['mse']:.1e}", f"{middle['n_it']:g}", f"{middle['backward']:g}"]
        rows.append([name, f"{len(done)} of {len(runs)}", *figures, f"{middle['seconds']:.2f}", f"{slowest:.2f}"])
    print_table(["model", "succeeds", "L2", "MSE", "n_it", "backward", "s", "slowest s"], rows)


if __name__ == "__main__":
    main()
