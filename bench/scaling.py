"""What ``lazy`` costs, and how that grows: python -m bench.scaling --data DIR [--quick] [--json FILE]

Three tables, each row with its goal and a verdict, on test pictures and random targets drawn with seed 0:

* passes: backward passes to the first success, ``lazy`` against ``paper``, and how far apart the two levels' optima of
  every linearised problem on ``paper``'s way are. With 1000 classes ``paper`` gets one iteration, so that the ratio is
  a bound from above unless that one succeeds;
* growth: the same attacks on random heads of 100 to 10,000 classes on ImageNet's features. The heads are nested: a
  larger one only adds rivals. Memory is the peak resident size of a process of its own during an attack, beyond its
  size before, as Linux knows it;
* overhead: the share of time outside the network and autograd.

Seconds are those of the processor, on one thread: on a busy machine the clock on the wall says little. ``--quick``
leaves out ``paper`` on 1000 classes and takes fewer pictures.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.report import NetworkClock, arguments, print_table, write_json
from bench.zoo import SEED, cases, test_pictures
from jma_core import Encoding, Linearisation, Network, OneHot, Solution, find, jma, refined, run
from jma_core.network import Classifier
from models.loaders import LoadedModel, load, to_tensor
from models.registry import MODELS

IMAGENET, SCENES = "imagenet-onehot", "scenes-mlp"
PICTURES, QUICK = 2, 1
SAME = 1e-5
"""How far apart, relatively, two optima may be."""
CLASSES = (100, 300, 1000, 3000, 10_000)
GROWTH = 2.0
MIB = 2**20
ATTACKS = {"lazy": jma, "refined": partial(refined, steps=50)}


def main() -> None:
    """Measure all three, print a table each."""
    options = arguments("What lazy costs, and how that grows", data=True)
    torch.set_num_threads(1)
    data, count = options.data, QUICK if options.quick else PICTURES
    overheads = [overhead(data, name, count, goal) for name, goal in ((SCENES, 0.05), (IMAGENET, 0.1))]
    show_overhead(overheads)
    sizes = growth(data, count, (CLASSES[0], CLASSES[-1]) if options.quick else CLASSES)
    show_growth(sizes)
    tasks = [(SCENES, flips, count, 200, 1 / 3) for flips in ((1,) if options.quick else (1, 2, 5))]
    if not options.quick:
        tasks.append((IMAGENET, 1, 1, 1, 1 / 10))
    compared = [passes(data, *task) for task in tasks]
    show_passes(compared)
    settings = {"seed": SEED, "pictures": count, "quick": options.quick}
    write_json(options.json, {"settings": settings, "passes": compared, "growth": sizes, "overhead": overheads})


def drawn(model: LoadedModel, data: Path, count: int, flips: int = 1) -> list[tuple[Tensor, Any]]:
    """Pictures and targets."""
    return list(cases(model, test_pictures(model.spec.name, data), count, flips))


# Passes


def passes(data: Path, name: str, flips: int, count: int, max_iter: int, goal: float) -> dict[str, Any]:
    """Both levels on the same pictures, ``paper`` for at most so many iterations."""
    model = load(MODELS[name])
    runs = []
    for x, target in drawn(model, data, count, flips):
        lazy = first_success(model.network, x, model.encoding, target)
        with solving_both() as apart:
            paper = first_success(model.network, x, model.encoding, target, "paper", max_iter=max_iter)
        runs.append({"lazy": lazy, "paper": paper, "apart": max(apart)})
    return {"model": name, "flips": flips, "goal": goal, "runs": runs}


def first_success(
    f: Classifier, x: Tensor, encoding: Encoding, target: Any, attack: str = "lazy", **settings: Any
) -> dict[str, Any]:
    """An attack up to its first success. The constraints active in each iteration are the fewest rows that prove it."""
    began, active = time.process_time(), 0
    for step in find(attack)(f, x, encoding, target, **settings):
        active += len(step.active)
        if step.success:
            break
    return {
        "success": step.success,
        "iterations": step.iteration,
        "backward": step.backward,
        "active": active,
        "forward": step.forward,
        "l2": step.l2,
        "seconds": time.process_time() - began,
    }


@contextmanager
def solving_both() -> Iterator[list[float]]:
    """Every problem that is solved in full is solved lazily too, on a network of its own: relative distances."""
    apart: list[float] = []
    solve_full = Linearisation.solve_full

    def solve_both(self: Linearisation) -> Solution:
        full = solve_full(self)
        lazy = Linearisation(Network(self._network._f), self._x, self._goal).solve_lazy()
        apart.append(float((lazy.delta - full.delta).norm() / full.delta.norm()))
        return full

    Linearisation.solve_full = solve_both  # type: ignore[method-assign]
    try:
        yield apart
    finally:
        Linearisation.solve_full = solve_full  # type: ignore[method-assign]


# Growth


def growth(data: Path, count: int, classes: Sequence[int]) -> list[dict[str, Any]]:
    """Passes and seconds to the first success with each number of classes, and memory in a fresh process."""
    networks = {n: with_classes(n, data) for n in classes}
    runs: dict[int, list[dict[str, Any]]] = {n: [] for n in classes}
    pictures = list(nested_cases(networks[classes[0]], data, count))
    first_success(networks[classes[0]], pictures[0][0], OneHot(classes[0]), pictures[0][1])  # the first run is slower
    for x, target in pictures:
        for n, network in networks.items():  # one after another, so that all see the machine in the same state
            runs[n].append(first_success(network, x, OneHot(n), target))
    return [{"classes": n, "runs": runs[n], "mib": fresh_memory(n, data)} for n in classes]


def with_classes(n: int, data: Path) -> nn.Module:
    """ImageNet's network with a random head of n classes, whose logits spread as the real ones do on 16 pictures.

    The features are centred first, or else the same classes would win on every picture.
    """
    model = load(MODELS[IMAGENET])
    backbone: Any = model.network.backbone
    real, backbone.classifier = backbone.classifier, nn.Identity()
    split = test_pictures(IMAGENET, data)
    with torch.no_grad():
        images = (to_tensor(model.spec.preprocessing(split.photos[i])) for i in range(16))
        features = torch.cat([model.network(x[None]) for x in images])
        middle = features.mean(0)
        scale = float((real(features).std(1) / (features - middle).norm(dim=1)).median())
    weight = torch.from_numpy(np.random.default_rng(SEED).standard_normal((n, len(middle)), dtype=np.float32)) * scale
    head = nn.Linear(len(middle), n).eval()
    head.load_state_dict({"weight": weight, "bias": -weight @ middle})
    backbone.classifier = head
    return model.network.requires_grad_(False)


def nested_cases(smallest: nn.Module, data: Path, count: int) -> Iterator[tuple[Tensor, int]]:
    """Pictures, and targets among the classes that every head has."""
    rng = np.random.default_rng(SEED)
    for x, _ in drawn(load(MODELS[IMAGENET]), data, count):
        with torch.no_grad():
            likeliest = int(smallest(x[None]).argmax())
        yield x, int(rng.choice([k for k in range(CLASSES[0]) if k != likeliest]))


def fresh_memory(n: int, data: Path) -> float:
    """MiB that an attack takes at its peak, in a process of its own."""
    code = f"from pathlib import Path; from bench.scaling import memory; print(memory({n}, Path({str(data)!r})))"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def memory(n: int, data: Path) -> float:
    """The same in this process."""
    torch.set_num_threads(1)
    network = with_classes(n, data)
    ((x, target),) = nested_cases(network, data, 1)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew, from the size of now
    before = resident("VmRSS")
    run(jma(network, x, OneHot(n), target))
    return (resident("VmHWM") - before) / 1024


def resident(field: str) -> int:
    """Resident size of this process in KiB: of now (VmRSS), or its peak (VmHWM)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[field].split()[0])


# Overhead


def overhead(data: Path, name: str, count: int, goal: float) -> dict[str, Any]:
    """Each attack's seconds in all, and outside the network and autograd."""
    model = load(MODELS[name])
    pictures = drawn(model, data, count)
    runs: dict[str, list[dict[str, float]]] = {attack: [] for attack in ATTACKS}
    run(jma(model.network, pictures[0][0], model.encoding, pictures[0][1], max_iter=1))  # the first run is slower
    for attack, made in ATTACKS.items():
        for x, target in pictures:
            clock, began = NetworkClock(time.process_time), time.process_time()
            with clock.running():
                run(made(model.network, x, model.encoding, target))
            total = time.process_time() - began
            runs[attack].append({"seconds": total, "outside": total - clock.seconds})
    return {"model": name, "goal": goal, "runs": runs}


# Tables


def show_passes(found: list[dict[str, Any]]) -> None:
    """One row a task."""
    print("\nBackward passes to the first success: medians; of ratios, distances and drifts the worst")
    rows = []
    for task in found:
        runs, goal = task["runs"], task["goal"]
        lazy, paper = ([run[level] for run in runs] for level in ("lazy", "paper"))
        arrived = all(run["success"] for run in paper)
        bound = "" if arrived else "at most "
        ratio, both = (max(share(run, keys) for run in runs) for keys in (("backward",), ("backward", "forward")))
        apart = max(run["apart"] for run in runs)
        drift = f"{max(abs(run['lazy']['l2'] / run['paper']['l2'] - 1) for run in runs):.0e}" if arrived else "-"
        counts = [
            f"{median(run[key] for run in level):g}" for key in ("iterations", "backward") for level in (lazy, paper)
        ]
        met = ratio <= goal and apart <= SAME and all(run["success"] for run in lazy)
        seconds = f"{median(run['seconds'] for run in lazy):.1f}"
        cells = [*counts, f"{bound}{ratio:.3f}", f"{bound}{both:.3f}", f"{apart:.0e}", drift, seconds]
        rows.append([f"{task['model']}, {task['flips']}", str(len(runs)), *cells, f"{goal:.3f}", verdict(met)])
    head = [
        "model, flips",
        "pictures",
        "lazy it.",
        "paper it.",
        "lazy",
        "paper",
        "ratio",
        "both ways",
        "apart",
        "L2 drift",
    ]
    print_table([*head, "lazy s", "goal", "met"], rows)


def share(run: dict[str, Any], keys: tuple[str, ...]) -> float:
    """Passes of ``lazy`` over those of ``paper``."""
    lazy, paper = (sum(run[level][key] for key in keys) for level in ("lazy", "paper"))
    return float(lazy / paper)


def show_growth(found: list[dict[str, Any]]) -> None:
    """One row a number of classes, each beside the least of all."""
    print(f"\nGrowth with the number of classes: medians of {len(found[0]['runs'])} pictures, to the first success")
    keys = ("backward", "active", "forward", "seconds", "iterations")
    middle = [{key: median(run[key] for run in size["runs"]) for key in keys} for size in found]
    rows = []
    for size, figures in zip(found, middle, strict=True):
        times = [figures[key] / middle[0][key] for key in ("backward", "seconds")]
        memory = size["mib"] / found[0]["mib"]
        met = max(*times, memory) < GROWTH
        counts = [f"{figures[key]:g}" for key in ("iterations", "active", "backward", "forward")]
        grown = [f"{ratio:.2f}" for ratio in (*times, memory)]
        cells = [*counts, f"{figures['seconds']:.2f}", f"{size['mib']:.0f}", *grown, f"< {GROWTH:g}", verdict(met)]
        rows.append([str(size["classes"]), *cells])
    head = [
        "classes",
        "iterations",
        "active",
        "backward",
        "forward",
        "s",
        "MiB",
        "passes x",
        "seconds x",
        "memory x",
        "goal",
    ]
    print_table([*head, "met"], rows)


def show_overhead(found: list[dict[str, Any]]) -> None:
    """One row a model and attack."""
    print("\nShare of processor time outside the network and autograd: median and worst")
    rows = []
    for task in found:
        for attack, runs in task["runs"].items():
            shares = [run["outside"] / run["seconds"] for run in runs]
            middle = median(shares)
            seconds = f"{median(run['seconds'] for run in runs):.2f}"
            cells = [f"{middle:.1%}", f"{max(shares):.1%}", f"{task['goal']:.0%}", verdict(middle < task["goal"])]
            rows.append([task["model"], attack, str(len(runs)), seconds, *cells])
    print_table(["model", "attack", "pictures", "s", "outside", "worst", "goal", "met"], rows)


def verdict(met: bool) -> str:
    """In a word."""
    return "yes" if met else "no"


if __name__ == "__main__":
    main()
