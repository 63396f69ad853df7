"""Does fine-tuning pay? python -m bench.frozen_head --data DIR [--json FILE]

The network of scenes-mlp against a logistic head on the frozen features of the network that it began with, on the same
pictures, preprocessing and splits. The head's regularisation is chosen on the validation split.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from bench.report import arguments, print_table, write_json
from models.architectures import Classifier
from models.data import Split
from models.evaluate import average_precision, outputs, read
from models.loaders import load, packaged
from models.recipes import RECIPES
from models.registry import IMAGENET, MODELS

RECIPE = RECIPES["scenes-mlp"]
STRENGTHS = (3e-4, 1e-3, 3e-3, 1e-2)
"""Inverse regularisation strengths to choose from."""


def main() -> None:
    """Train the head, and print both models' mean average precisions."""
    options = arguments("The network of scenes-mlp against a logistic head on frozen features", data=True)
    data = RECIPE.data(options.data)
    scaler = StandardScaler().fit(train := frozen_features(data.train))
    train, validation = scaler.transform(train), scaler.transform(frozen_features(data.validation))
    fitted = {c: heads(train, data.train.targets, c) for c in STRENGTHS}
    every = range(len(RECIPE.spec.encoding.labels))
    best = max(STRENGTHS, key=lambda c: mean_precision(scores(fitted[c], validation), data.validation, every))
    model, rows = load(MODELS["scenes-mlp"]), []
    figures: dict[str, float | dict[str, float]] = {"inverse_regularisation": best}
    for name, split in data.tests.items():
        judged = [RECIPE.spec.encoding.labels.index(label) for label in RECIPE.judged[name]]
        head = mean_precision(scores(fitted[best], scaler.transform(frozen_features(split))), split, judged)
        tuned = mean_precision(read(model, split), split, judged)
        rows.append([name, f"{head:.3f}", f"{tuned:.3f}"])
        figures[name] = {"frozen": head, "fine_tuned": tuned}
    print_table(["test photos", "mAP, logistic head on frozen features", "mAP, fine-tuned"], rows)
    write_json(options.json, figures)


def frozen_features(split: Split) -> NDArray[Any]:
    """(N, d): what the network before training pools of a split's photographs."""
    backbone = packaged(IMAGENET)
    backbone.classifier = nn.Identity()
    network = Classifier(backbone, RECIPE.spec.mean, RECIPE.spec.std).eval()
    return outputs(network, RECIPE.spec.preprocessing, split, torch.device("cpu")).numpy()


def heads(features: NDArray[Any], targets: NDArray[Any], c: float) -> list[LogisticRegression]:
    """A logistic regression for each label, on the pictures for which it is known."""
    known = targets >= 0
    return [
        LogisticRegression(C=c, max_iter=300).fit(features[sure], t[sure])
        for t, sure in zip(targets.T, known.T, strict=True)
    ]


def scores(fitted: list[LogisticRegression], features: NDArray[Any]) -> NDArray[Any]:
    """(N, n) log-odds."""
    return np.stack([head.decision_function(features) for head in fitted], axis=1)


def mean_precision(z: NDArray[Any], split: Split, labels: Any) -> float:
    """Mean average precision over labels, each on the pictures for which it is known and where there is any."""
    return float(np.nanmean([average_precision(z[:, j], split.targets[:, j]) for j in labels]))


if __name__ == "__main__":
    main()
