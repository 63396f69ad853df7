"""Judge models of the zoo on their test pictures: ``python -m models.evaluate NAME --data DIR``, or ``--all``.

Every figure is printed with that of the model's card in parentheses, and at the end which of them differ.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score
from torch import Tensor, nn

from models.data import Split
from models.loaders import LoadedModel, best_device, load, to_tensor
from models.photos import Preprocessing
from models.recipes import TASKS, Task
from models.registry import MODELS


def outputs(
    network: nn.Module, preprocessing: Preprocessing, split: Split, device: torch.device, batch: int = 100
) -> Tensor:
    """What a network makes of a split's photographs, preprocessed as the app does it: (N, n), on the CPU."""
    rows = []
    for start in range(0, len(split), batch):
        photos = [split.photos[number] for number in range(start, min(start + batch, len(split)))]
        pictures = torch.stack([to_tensor(preprocessing(photo)) for photo in photos])
        with torch.no_grad():
            rows.append(network(pictures.to(device)).cpu())
    return torch.cat(rows)


def read(model: LoadedModel, split: Split) -> NDArray[np.float32]:
    """A model's logits (N, n) of a split's photographs."""
    return outputs(model.network, model.spec.preprocessing, split, model.device).numpy()


def scores(task: Task, model: LoadedModel, tests: Mapping[str, Split]) -> dict[str, Any]:
    """Every figure that a card states, by name; the tables ``per label, SET`` hold those of each label."""
    if task.spec.encoding.several:
        return _of_labels(task, model, tests)
    found: dict[str, Any] = {}
    for name, split in tests.items():
        right = model.spec.encoding.decode(read(model, split)) == split.targets
        found["accuracy"] = float(right.mean())
        found[f"per label, {name}"] = {
            label: {"accuracy": float(right[split.targets == k].mean()), "pictures": int((split.targets == k).sum())}
            for k, label in enumerate(model.spec.encoding.labels)
        }
    return found


def _of_labels(task: Task, model: LoadedModel, tests: Mapping[str, Split]) -> dict[str, Any]:
    """Average precision and F1 of each label over the photographs for which it is known."""
    found: dict[str, Any] = {}
    for name, split in tests.items():
        z = read(model, split)
        decoded = model.spec.encoding.decode(z)
        table = {}
        for j, label in enumerate(model.spec.encoding.labels):
            known = split.targets[:, j] >= 0
            present = split.targets[known, j] == 1
            if present.any():
                table[label] = {
                    "AP": average_precision(z[:, j], split.targets[:, j]),
                    "F1": float(f1_score(present, decoded[known, j])),
                    "photos": int(present.sum()),
                }
        found[f"mAP, {name}"] = float(np.mean([table[label]["AP"] for label in task.judged.get(name, table)]))
        known = split.targets >= 0
        found[f"F1, {name}"] = float(f1_score(split.targets[known] == 1, decoded[known]))
        found[f"per label, {name}"] = table
    return found


def average_precision(z: NDArray[np.float32], targets: NDArray[Any]) -> float:
    """Of one label's logits (N,), on the photographs for which it is known; nan where none of them shows it."""
    known = targets >= 0
    present = targets[known] == 1
    return float(average_precision_score(present, z[known])) if present.any() else math.nan


def report(task: Task, found: Mapping[str, Any], card: Mapping[str, Any] | None = None) -> bool:
    """Print a model's scores, with those of a card beside them, and what they must reach; returns whether they do."""
    print(f"\n{task.spec.name}: {task.spec.title}")
    stated = flat(card or {})
    for name, score in found.items():
        if isinstance(score, float):
            goal = f"   at least {task.goals[name]}" if name in task.goals else ""
            print(f"  {name:36} {_beside(score, stated.get((name,)))}{goal}")
            continue
        print(f"  {name}")
        for label, figures in score.items():
            cells = (f"{key} {_beside(value, stated.get((name, label, key)))}" for key, value in figures.items())
            print(f"    {label:34} {'   '.join(cells)}")
    if card:
        print(f"  {_compared(flat(rounded(found)), stated)}")
    return all(found[name] >= goal for name, goal in task.goals.items())


def rounded(found: Mapping[str, Any]) -> dict[str, Any]:
    """Scores to four places, as a card states them."""
    return {name: rounded(value) if isinstance(value, Mapping) else round(value, 4) for name, value in found.items()}


def flat(found: Mapping[str, Any], *above: str) -> dict[tuple[str, ...], float]:
    """Every figure by the names that lead to it."""
    figures: dict[tuple[str, ...], float] = {}
    for name, value in found.items():
        figures |= flat(value, *above, name) if isinstance(value, Mapping) else {(*above, name): value}
    return figures


def _beside(value: float, stated: float | None) -> str:
    here, there = (f"{each:.4f}" if isinstance(each, float) else f"{each}" for each in (value, stated))
    return here if stated is None else f"{here} ({there})"


def _compared(found: Mapping[tuple[str, ...], float], stated: Mapping[tuple[str, ...], float]) -> str:
    """Whether the figures are those of a card, in a sentence."""
    differ = [", ".join(path) for path in {**found, **stated} if found.get(path) != stated.get(path)]
    return f"Not as on its card: {'; '.join(differ)}." if differ else f"All {len(found)} figures are those of its card."


def main() -> int:
    """The command. Ends with 1 when a score falls short of its goal."""
    parser = argparse.ArgumentParser(description="Judge models of the zoo on their test pictures.")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("name", nargs="?", choices=list(TASKS), help="one model")
    which.add_argument("--all", action="store_true", help="every model that ships")
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds the image sets")
    parser.add_argument("--device", type=torch.device, default=None, help="cpu, cuda or mps; the best there is")
    args = parser.parse_args()
    reached = []
    for name in MODELS if args.all else [args.name]:
        if name not in TASKS:
            print(f"\n{name}: {MODELS[name].title}\n  No test pictures are here, and its card states no figures.")
            continue
        task, model = TASKS[name], load(MODELS[name], args.device or best_device())
        reached.append(report(task, scores(task, model, task.data(args.data).tests), model.spec.scores))
    return 0 if all(reached) else 1


if __name__ == "__main__":
    raise SystemExit(main())
