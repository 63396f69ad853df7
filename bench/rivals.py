"""How near every attack comes to what is known from elsewhere: python -m bench.rivals [--quick] [--json FILE]

First on linear networks of 48 values, whose nearest image within the target DAQP (L2) and HiGHS (Linf) find: for each
attack, at its default settings but with at most 1000 iterations, and each encoding that it takes, how many of the
targets it reaches, and the length of its perturbation over the optimum, in the middle and at the most. Of L0 no optimum
is known: told is how many values change. On codewords the optimum is the decoder's, which sees tanh of the logits;
attacks whose constraints are linear aim beside it. None may be below 1. Some have a budget to keep, and no wish to be
near.

Then, where adv-lib is installed, on 24 images and a small convolutional network: both medians, at equal settings. All
of it takes about three minutes on one core; ``--quick`` is one linear network of each kind, and at most 100 iterations.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from statistics import median
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.linear import NETWORKS, norm_of
from bench.report import arguments, print_table, write_json
from jma_core import Norm, OneHot, alma, catalogue, cw, ddn, find, fmn, pdgd, pdpgd, run_batch
from jma_core.attacks.registry import Entry, Value

SEEDS = 5
MOST, QUICK = 1000, 100
"""Iterations that an attack is given at most."""
PAIRS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "ddn": (partial(ddn, steps=60, surrogate="cross-entropy"), "ddn", {"steps": 60, "levels": None}),
    "fmn": (partial(fmn, steps=60), "fmn", {"steps": 60, "norm": 2}),
    "alma": (partial(alma, steps=100), "alma", {"num_steps": 100, "init_lr_distance": 1.0}),
    "pdgd": (partial(pdgd, steps=60), "pdgd", {"num_steps": 60}),
    "pdpgd": (partial(pdpgd, steps=60), "pdpgd", {"num_steps": 60, "norm": 2}),
    "cw": (
        partial(cw, searches=3, steps=40, rate=0.05, c=0.1),
        "carlini_wagner_l2",
        {
            "binary_search_steps": 3,
            "max_iterations": 40,
            "learning_rate": 0.05,
            "initial_const": 0.1,
            "abort_early": False,
        },
    ),
}
"""By the attack: ours, what adv-lib calls it, and the same settings in its words."""
IMAGES = 24


@contextmanager
def adv_lib() -> Iterator[Any]:
    """adv-lib's attacks, without visdom, which only its plots need. Raises ModuleNotFoundError where there is none."""
    visdom: Any = ModuleType("visdom")
    visdom.Visdom = object
    before = sys.modules.setdefault("visdom", visdom)
    try:
        yield import_module("adv_lib.attacks")
    finally:
        if before is visdom:
            del sys.modules["visdom"]


def images() -> Tensor:
    """(24, 3, 6, 6)."""
    return torch.rand(IMAGES, 3, 6, 6, generator=torch.Generator().manual_seed(7))  # adv-lib mixes types in double


def side_by_side(library: Any, net: nn.Module, name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """L2 (24,) of ours and of adv-lib's towards each image's third class, and which of each reach it."""
    attack, theirs, settings = PAIRS[name]
    originals = images()
    targets = net(originals).argsort(1)[:, -3]
    published = getattr(library, theirs)(net, originals, targets, targeted=True, **settings)
    z = net(published)
    reached = (z.gather(1, targets[:, None]) - z).min(1).values > -1e-3  # its ALMA takes a lag of 1e-4 for a success
    results = run_batch(attack, net, originals, OneHot(z.shape[1]), targets.tolist())
    ours = torch.stack([torch.as_tensor(result.image) for result in results])
    lengths = [(each - originals).flatten(1).norm(dim=1) for each in (ours, published)]
    return lengths[0], lengths[1], torch.tensor([result.success for result in results]), reached


def capped(entry: Entry, most: int, searches: int = MOST) -> dict[str, Value]:
    """The default budget of an attack, or so many iterations where that is more, in no more than so many searches."""
    defaults = {each.name: each.default for each in entry.settings}
    outer = {each.name: min(int(each.default), searches) for each in entry.settings if each.name == "searches"}
    return entry.within(min(most, entry.iterations(defaults)), **outer)


def measured(entry: Entry, name: str, seeds: int, most: int) -> dict[str, Any]:
    """An attack on linear networks of one encoding: lengths over the optimum, or of L0 the lengths themselves."""
    lengths = []
    for seed in range(seeds):
        network = NETWORKS[name](seed)
        result = network.attacked(find(entry.name), **capped(entry, most))
        if result.success:
            l0 = entry.norm == Norm.L0
            lengths.append(result.distortion.l0 if l0 else norm_of(result, entry.norm) / network.optimum(entry.norm))
    return {"attack": entry.name, "norm": entry.norm, "encoding": name, "targets": seeds, "lengths": lengths}


def network() -> nn.Module:
    """A smooth convolutional network from images (3, 6, 6) to eight logits."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.SiLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(54, 24)]
    net = nn.Sequential(*layers, nn.Tanh(), nn.Linear(24, 8))
    for layer in net:
        if isinstance(layer, nn.Linear):  # as initialised, it is nearly constant on [0, 1]
            layer.weight.data *= 3
    return net.eval().requires_grad_(False)


def main() -> None:
    """Run, print, write."""
    args = arguments((__doc__ or "").splitlines()[0])
    figures: dict[str, Any] = {"linear": [], "adv_lib": []}
    rows = []
    for entry in catalogue().values():
        for name in NETWORKS:
            if name in entry.encodings and not entry.needs:
                figures["linear"].append(
                    each := measured(entry, name, 1 if args.quick else SEEDS, QUICK if args.quick else MOST)
                )
                found = each["lengths"]
                ends = [f"{median(found):.4g}", f"{max(found):.4g}"] if found else ["", ""]
                of = "values" if entry.norm == Norm.L0 else f"{entry.norm} over the optimum"
                rows.append([entry.name, name, f"{len(found)} of {each['targets']}", of, *ends])
    print_table(["attack", "linear network", "reached", "length", "median", "largest"], rows)
    if find_spec("adv_lib") is None:
        print("adv-lib is not installed: pip install --no-deps adv-lib")
    else:
        rows = []
        with adv_lib() as library:
            for name in PAIRS:
                ours, theirs, hits, reached = side_by_side(library, network(), name)
                both = hits & reached
                medians = [float(np.median(each[both])) for each in (ours, theirs)]
                figures["adv_lib"].append(
                    {"attack": name, "ours": medians[0], "adv_lib": medians[1], "both": int(both.sum())}
                )
                rows.append(
                    [name, f"{int(hits.sum())}, {int(reached.sum())} of {IMAGES}", *(f"{each:.4f}" for each in medians)]
                )
        print_table(["attack", "reached by ours, by adv-lib", "median L2 of ours", "of adv-lib's"], rows)
    write_json(args.json, figures)


if __name__ == "__main__":
    main()
