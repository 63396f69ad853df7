"""What a sweep costs beside its attacks: python -m bench.sweep [--quick] [--ray] [--json FILE]

A toy network and pictures of 16 x 16 pixels. First the overhead: seconds of a unit, from a shard's number to its file,
less those inside the attack. It is the same for any network, but for reading larger pictures, so that it is told beside
100 gradients of 2 ms. Then units a second of ``ddn`` with 100 steps in this process, in two, and, with ``--ray``, in
two actors of Ray; and shards a second that these can be handed. Then a plan of 100,000 units (2,000 with ``--quick``)
of one step each: memory at a tenth of it and at its end, the seconds of the command that finds it with one shard of
1,000 units missing and computes that, and those of its report.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import safetensors.torch
import tomli_w
import torch
from PIL import Image

from bench.report import arguments, print_table, write_json
from lab.sweep.runner import Executor, Here, OnRay, Processes, Work, run
from lab.sweep.store import Sweep
from lab.sweep.units import Worker
from models.cards import read_card
from models.loaders import blank

CARD = """
encoding = "one-hot"
labels = ["a", "b", "c", "d", "e"]
network = "vgg"
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
options = {bottom = [[4, 4]], width = 4, hidden = 8, side = 16}
preprocessing = {size = 16, crop = 1.0}
"""
PASS, GRADIENTS = 0.002, 100
"""Seconds of a pass, and gradients of a unit, that the overhead is compared with."""


def toy(folder: Path, photos: int) -> None:
    """Put a model, toy.toml with its weights, and a folder of photos of noise there."""
    (folder / "toy.toml").write_text(CARD)
    weights = folder / "toy.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(2)
        drawn = blank(read_card(CARD, "toy", weights)).state_dict()
    # Three times as large as they are drawn: smaller ones make logits that no picture changes.
    safetensors.torch.save_file({name: 3 * w if w.ndim > 1 else w for name, w in drawn.items()}, weights)
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for number in range(photos):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"photos/{number:05}.png")


def planned(*attacks: dict[str, Any], seeds: int = 1, **more: Any) -> dict[str, Any]:
    """A plan for these: random classes."""
    targets = [{"rule": "Random class"}]
    start = {"models": ["toy.toml"], "pictures": {"folder": "photos"}, "seeds": list(range(seeds))}
    return start | {"targets": targets, "attacks": list(attacks)} | more


def main() -> None:
    """Measure, print and write."""
    options = arguments("What a sweep costs", ray="two actors of Ray as well")
    with TemporaryDirectory() as name:
        folder = Path(name)
        toy(folder, 200 if options.quick else 1000)
        figures: dict[str, Any] = {"overhead": overhead(folder)}
        executors: dict[str, Executor] = {"this process": Here(), "2 processes": Processes(2)}
        if options.ray:
            executors["2 actors of Ray"] = OnRay(count=2)
        figures["units_a_second"] = {each: rate(folder, each, executor) for each, executor in executors.items()}
        figures["shards_handed_out"] = {
            name: handed_out(folder, name, each) for name, each in executors.items() if name != "this process"
        }
        figures["large"] = large(folder, 10 if options.quick else 100)
    share = figures["overhead"]["overhead"] / (GRADIENTS * PASS)
    print(f"Beside {GRADIENTS} gradients of {1000 * PASS:g} ms the overhead is {100 * share:.2f} %.")
    write_json(options.json, figures)


def overhead(folder: Path) -> dict[str, float]:
    """Seconds a unit: of a shard from its number to its file, of the attacks in it, and the difference."""
    sweep = Sweep.begin(planned({"attack": "ddn", "steps": GRADIENTS}, shard=160), folder, folder / "overhead")
    worker = Worker(sweep.folder)
    worker(1)
    began = time.perf_counter()
    worker(0)
    whole = (time.perf_counter() - began) / len(sweep.numbers(0))
    inside = float(np.mean(pq.read_table(sweep.path(0))["seconds"]))
    found = {"a_unit": whole, "its_attack": inside, "overhead": whole - inside}
    print_table([*found], [[f"{1000 * seconds:.2f} ms" for seconds in found.values()]])
    size = sweep.path(0).stat().st_size / len(sweep.numbers(0))
    print(f"A row takes {size:.0f} bytes of its file.")
    return found | {"bytes_a_row": size}


def rate(folder: Path, name: str, executor: Executor) -> dict[str, float]:
    """Units a second of ``ddn`` with 100 steps, from the first finished shard to the last, and seconds until that."""
    table = planned({"attack": "ddn", "steps": GRADIENTS}, shard=25, batch=25)
    sweep, began = Sweep.begin(table, folder, folder / name.replace(" ", "-")), time.perf_counter()
    times = [time.perf_counter() - began for _ in run(sweep, executor)]
    units = sweep.units - len(sweep.numbers(0))
    found = {"units_a_second": units / (times[-1] - times[0]), "start": times[0]}
    print_table(["where", *found], [[name, *(f"{each:.1f}" for each in found.values())]])
    return found


def handed_out(folder: Path, name: str, executor: Executor) -> float:
    """Shards a second that an executor can hand to workers that do nothing."""
    sweep = Sweep.begin(
        planned({"attack": "fgsm"}, seeds=2, shard=1), folder, folder / f"idle-{name.replace(' ', '-')}"
    )
    times = [time.perf_counter() for _ in run(sweep, executor, idle_worker)]
    found = (len(times) - 1) / (times[-1] - times[0])
    print(f"{name}: {found:.0f} shards a second, of workers that do nothing")
    return found


def large(folder: Path, seeds: int) -> dict[str, float]:
    """A plan of many units: its seconds, its memory, and how soon it goes on."""
    table = planned({"attack": "ddn", "steps": 1}, seeds=seeds, shard=1000, batch=100)
    sweep = Sweep.begin(table, folder, folder / "large")
    began, memory = time.perf_counter(), [0.0]
    for done, _ in enumerate(run(sweep, Here()), 1):
        if done == max(1, sweep.shards // 10):
            memory[0] = peak()
    found = {"units": sweep.units, "seconds": time.perf_counter() - began, "MB_at_a_tenth": memory[0], "MB": peak()}
    sweep.path(sweep.shards - 1).unlink()
    (folder / "plan.toml").write_text(tomli_w.dumps(table))
    commands: dict[str, list[Any]] = {"resume": ["run", folder / "plan.toml", "--out"], "report": ["report"]}
    for name, rest in commands.items():
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "lab.sweep", *rest, sweep.folder], capture_output=True, check=True)
        found[f"seconds_to_{name}"] = time.perf_counter() - began
    print_table([*found], [[f"{each:.1f}" for each in found.values()]])
    return found


def idle_worker() -> Work:
    """One that does nothing."""
    return idle


def idle(shard: int) -> None:
    """What it does with a shard."""


def peak() -> float:
    """Most megabytes that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
