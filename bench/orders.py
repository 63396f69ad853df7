"""QuadAttacK's protocol beside ours: python -m bench.orders --data DIR [--classes K ...] [--pictures N] [--json FILE]

ImageNet's model is to read K classes in a random order, none of them the one that it reads: K = 1, 5, 10 and 20, as
published. QuadAttacK has its published settings, one search of 30 steps as in the released configuration and 9 of 30 as
in the tables; the others have as many gradients, and are stopped after so many where a step takes several. There are no
pictures of ImageNet's here: those of Corel-5k's test set are attacked, with the same targets for all, drawn with seed
0. L2, Linf, passes and seconds are medians, the first two over the pictures on which the order was reached.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bench.cells import figures_of, within
from bench.report import print_table, write_json
from bench.zoo import SEED, cases, test_pictures
from jma_core import find
from models.loaders import load
from models.registry import MODELS

MODEL, CLASSES, PICTURES = "imagenet-onehot", (1, 5, 10, 20), 4
STEPS, SEARCHES = 30, (1, 9)
HEAD = ["K", "gradients", "attack", "n", "reached", "L2", "Linf", "forward", "backward", "seconds"]
ATTACKS = ("quadattack", "cw_k", "refined", "lazy")


def main() -> None:
    """Attack all pictures, print a table for each K."""
    parser = argparse.ArgumentParser(description="QuadAttacK's protocol beside ours")
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds the image sets")
    parser.add_argument("--classes", nargs="+", type=int, default=CLASSES, help="K")
    parser.add_argument("--searches", nargs="+", type=int, default=SEARCHES, help="of 30 gradients each")
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure, with machine and settings")
    options = parser.parse_args()
    model = load(MODELS[MODEL])
    drawn = [x for x, _ in cases(model, test_pictures(MODEL, options.data), options.pictures)]
    figures = []
    for k in options.classes:
        rows, rng = [], np.random.default_rng(SEED)
        targets = [order(rng, int(model.network(x[None]).argmax()), k) for x in drawn]
        for searches in options.searches:
            for name in ATTACKS:
                attack, most = find(name), searches * STEPS
                first = {"searches": searches} if name in ("quadattack", "cw_k") else {}
                own = attack.entry.within(most, **first) | ({"c": 1.0} if name == "cw_k" else {})
                found = [
                    within(attack, model, x, target, most, **own) for x, target in zip(drawn, targets, strict=True)
                ]
                rows.append([f"{k}", f"{searches} x {STEPS}", name, f"{len(found)}", *figures_of(found)])
                figures.append({"classes": k, "gradients": most, "attack": name, "ended": [*map(asdict, found)]})
        print_table(HEAD, rows)
    write_json(options.json, {"settings": {"seed": SEED, "pictures": options.pictures}, "orders": figures})


def order(rng: np.random.Generator, read: int, k: int) -> int | tuple[int, ...]:
    """K classes, or one, other than what is read."""
    first = [int(each) for each in rng.permutation(1000) if each != read][:k]
    return tuple(first) if k > 1 else first[0]


if __name__ == "__main__":
    main()
