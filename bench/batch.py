"""A batch against as many single attacks: python -m bench.batch --data DIR [--quick] [--json FILE]

32 test pictures of CIFAR-10 (8 with ``--quick``), random other classes, seed 0; each attack once on one picture after
another and once on all together, on the device that there is. Seconds, their ratio, and how far apart the L2 ends up.
On CUDA also with the network under autocast to bfloat16.
"""

from __future__ import annotations

import time
from functools import partial
from itertools import product

import numpy as np
import torch

from bench.report import arguments, print_table, write_json
from bench.zoo import cases, test_pictures
from jma_core import ddn, jma, refined, run, run_batch
from jma_core.network import Classifier, lowered
from models.loaders import best_device, load
from models.registry import MODELS

MODEL = "cifar10-ecoc16"
ATTACKS = {"JMA, lazy": jma, "refined": partial(refined, steps=100), "DDN": partial(ddn, steps=100)}


def main() -> None:
    """Time every attack both ways."""
    options = arguments("A batch against as many single attacks", data=True)
    model = load(MODELS[MODEL], best_device())
    drawn = list(cases(model, test_pictures(MODEL, options.data), 8 if options.quick else 32))
    images, targets = torch.stack([x for x, _ in drawn]), [target for _, target in drawn]
    encoding = model.encoding
    networks: dict[str, Classifier] = {"": model.network}
    if model.device.type == "cuda":
        networks[", bfloat16"] = lowered(model.network, torch.bfloat16)
    rows, figures = [], {}
    for (name, attack), (precision, f) in product(ATTACKS.items(), networks.items()):
        name += precision
        run(attack(f, images[0], encoding, targets[0]))  # the first run of all is slower
        began = time.perf_counter()
        alone = [run(attack(f, x, encoding, t)) for x, t in zip(images, targets, strict=True)]
        between = time.perf_counter()
        together = run_batch(attack, f, images, encoding, targets)
        single, batched = between - began, time.perf_counter() - between
        medians = [float(np.median([result.distortion.l2 for result in results])) for results in (alone, together)]
        successes = [sum(result.success for result in results) for results in (alone, together)]
        figures[name] = {"seconds": [single, batched], "median_l2": medians, "successes": successes}
        rows.append(
            [name, f"{single:.2f}", f"{batched:.2f}", f"{single / batched:.1f}", *(f"{l2:.4f}" for l2 in medians)]
        )
    print(f"{len(targets)} pictures on {model.device}")
    print_table(["attack", "s, singly", "s, together", "ratio", "median L2, singly", "together"], rows)
    write_json(options.json, {"pictures": len(targets), "device": str(model.device), "attacks": figures})


if __name__ == "__main__":
    main()
