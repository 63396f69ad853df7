"""What an end on the grid of 8 bits costs: python -m bench.rounding --data DIR [--quick] [--json FILE]

For each task and attack, on test pictures with random targets, seed 0: the median L2 where the attack ends, how many of
its ends survive plain rounding, and the median L2 and the successes of ``eight_bit`` begun there. ``--quick`` is 8
traffic signs.
"""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
import torch

from bench.protocol import TASKS
from bench.report import arguments, print_table, write_json
from bench.zoo import cases, test_pictures
from jma_core import eight_bit, jma, refined, run
from jma_core.attacks.eightbit import rounded
from models.loaders import load
from models.registry import MODELS

PICTURES = {"gtsrb": 30, "cifar-ecoc": 30, "scenes-mlp-1": 16, "scenes-mlp-2": 10}
ATTACKS = {"refined, 60 gradients": partial(refined, steps=60), "JMA, lazy": jma}


def main() -> None:
    """One row a task and attack."""
    options = arguments("What an end on the grid of 8 bits costs", data=True)
    pictures = {"gtsrb": 8} if options.quick else PICTURES
    rows, figures = [], {}
    for (task, count), (name, attack) in product(pictures.items(), ATTACKS.items()):
        model_name, flips = TASKS[task].model, TASKS[task].rule.get("k", 1)
        model = load(MODELS[model_name])
        ends, survive, fitted = [], 0, []
        for x, target in cases(model, test_pictures(model_name, options.data), count, flips):
            end = run(attack(model.network, x, model.encoding, target))
            if not end.success:
                continue
            ends.append(end.distortion.l2)
            with torch.no_grad():
                z = model.network(rounded(torch.from_numpy(end.image))[None])[0]
            survive += model.encoding.meets(z, target)
            file = run(eight_bit(model.network, x, model.encoding, target, start=end.image))
            fitted.append(file.distortion.l2 if file.success else np.inf)
        reached = int(np.isfinite(fitted).sum())
        figures[f"{task}, {name}"] = {"ends": ends, "survive": survive, "eight_bit": [*map(float, fitted)]}
        medians, counts = (np.median(each) for each in (ends, fitted)), (survive, reached)
        cells = [(f"{median:.3f}", f"{count} of {len(ends)}") for median, count in zip(medians, counts, strict=True)]
        rows.append([task, name, *cells[0], *cells[1]])
    print_table(["task", "attack", "float", "plain rounding succeeds", "eight_bit", "succeeds"], rows)
    write_json(options.json, figures)


if __name__ == "__main__":
    main()
