"""Which flips of 24 labels no image at all can have: python -m bench.reachable --data DIR [--quick] [--json FILE]

The last layer of ``scenes`` and of ``scenes-mlp`` is z = W h + b, with h >= 0 behind a ReLU or a mean of ReLU6. If no
h >= 0 whatever satisfies the target's constraints, then no image does, and no attack can succeed. That is a linear
program: the largest margin t with s (W h + b - tau) >= t. Below zero it is a proof. Test pictures and random flips,
seed 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import linprog
from torch import nn

from bench.report import arguments, print_table, write_json
from bench.zoo import cases, test_pictures
from jma_core import MultiLabel
from models.loaders import load
from models.registry import MODELS

HEADS = ("scenes", "scenes-mlp")
FLIPS = (1, 2, 5, 10, 24)
NOISE = 1e-6
"""Margins this little below zero are left open: the solver's tolerance."""


def main() -> None:
    """Count the impossible targets at each number of flips."""
    options = arguments("Which flips of 24 labels no image at all can have", data=True)
    split, rows, figures = test_pictures("scenes", options.data), [], {}
    for name in HEADS:
        model = load(MODELS[name])
        assert isinstance(model.encoding, MultiLabel)
        head = [module for module in model.network.modules() if isinstance(module, nn.Linear)][-1]
        for flips in FLIPS:
            drawn = cases(model, split, 5 if options.quick else 30, flips)
            targets = [target for _, target in drawn if not isinstance(target, int)]
            margins = [best_margin(head, model.encoding.thresholds, target) for target in targets]
            impossible = sum(margin < -NOISE for margin in margins)
            figures[f"{name}, {flips}"] = margins
            counts = f"{impossible} of {len(margins)}", f"{min(margins):.3f}", f"{max(margins):.3f}"
            rows.append([name, str(flips), *counts])
    print_table(["model", "labels flipped", "proved impossible", "smallest best margin", "largest"], rows)
    write_json(options.json, {"best_margins": figures})


def best_margin(head: nn.Linear, tau: torch.Tensor, target: Sequence[bool]) -> float:
    """The largest worst margin, at most 1, over all h >= 0."""
    sign = np.where(target, 1.0, -1.0)
    weight, bias = head.weight.detach().cpu().double().numpy(), head.bias.detach().cpu().double().numpy()
    a = np.column_stack([-sign[:, None] * weight, np.ones(len(sign))])
    bounds = [(0.0, None)] * weight.shape[1] + [(None, 1.0)]
    cost = np.zeros(len(bounds))
    cost[-1] = -1.0
    solved = linprog(cost, A_ub=a, b_ub=sign * (bias - tau.double().numpy()), bounds=bounds)
    assert solved.fun is not None, solved.message
    assert solved.status == 0, solved.message
    return -float(solved.fun)


if __name__ == "__main__":
    main()
