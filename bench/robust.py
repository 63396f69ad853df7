"""What adversarial training buys: python -m bench.robust --data DIR [--others FOLDER] [--quick] [--json FILE]

Each model of the zoo on whose weights a robust one was begun, against that, and against those of the same beginnings in
``--others``, which do not ship (``python -m models.train NAME --data DIR --out FOLDER`` makes them).

Accuracy is of all test pictures as they are. Distances are of ``refined`` with 100 gradients, on 100 pictures of the
test part (10 with ``--quick``) that all of these models read rightly, each with the same random other class for all.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.report import print_table, write_json
from jma_core import refined, run_batch
from lab.sweep.pictures import chosen, source
from lab.sweep.plan import Pictures
from lab.sweep.statistics import Floats, paired
from models.cards import ModelSpec, read_card
from models.evaluate import scores
from models.loaders import LoadedModel, load, to_tensor
from models.recipes import RECIPES, UNSHIPPED
from models.registry import MODELS

SEED, GRADIENTS, PICTURES, QUICK, TOGETHER = 0, 100, 100, 10, 20
LEARNED = RECIPES | UNSHIPPED


def main() -> None:
    """One table a model that was made robust."""
    parser = argparse.ArgumentParser(description="What adversarial training buys")
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds the image sets")
    parser.add_argument("--others", type=Path, metavar="FOLDER", help="weights and cards of models that do not ship")
    parser.add_argument("--quick", action="store_true", help="10 pictures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure, with machine and settings")
    options = parser.parse_args()
    count = QUICK if options.quick else PICTURES
    known = MODELS | others(options.others)
    figures = {}
    for first in dict.fromkeys(recipe.begins for recipe in LEARNED.values() if recipe.begins):
        specs = [known[name] for name, recipe in LEARNED.items() if first in (name, recipe.begins) and name in known]
        if len(specs) == 1:
            continue
        models, recipe = [load(spec) for spec in specs], LEARNED[first]
        images, targets = cases(models, first, options.data, count)
        tests = recipe.data(options.data).tests
        accuracy = [scores(recipe, model, tests)["accuracy"] for model in models]
        l2 = [distances(model, images, targets) for model in models]
        print(f"\n{len(targets)} pictures, {GRADIENTS} gradients, seed {SEED}")
        show(specs, accuracy, l2)
        each = zip(specs, accuracy, l2, strict=True)
        figures[first] = [{"name": s.name, "sha256": s.sha256, "accuracy": a, "l2": d.tolist()} for s, a, d in each]
    write_json(options.json, {"seed": SEED, "gradients": GRADIENTS, "models": figures})


def others(folder: Path | None) -> dict[str, ModelSpec]:
    """The models in a folder that have a recipe."""
    cards = [folder / f"{name}.toml" for name in UNSHIPPED] if folder else []
    there = [card for card in cards if card.is_file()]
    return {
        card.stem: read_card(card.read_text("utf-8"), card.stem, card.with_suffix(".safetensors")) for card in there
    }


def cases(models: Sequence[LoadedModel], data: str, folder: Path, count: int) -> tuple[Tensor, list[int]]:
    """Images (count, C, H, W) of a model's test part that all models read rightly, and another class each."""
    pictures = Pictures(data=data, folder=str(folder), part="test")
    spec = models[0].spec
    there, rng = source(pictures), np.random.default_rng(SEED)
    images: list[Tensor] = []
    targets: list[int] = []
    for name, _ in chosen(pictures, there):
        x, truth = to_tensor(spec.preprocessing(there.photo(name).image)), there.truth(name)
        with torch.no_grad():
            read = [int(model.encoding.decode(model.network(x[None])[0])) for model in models]
        if any(each != truth for each in read):
            continue
        images.append(x)
        targets.append(int(rng.choice([k for k in range(len(spec.encoding.labels)) if k != truth])))
        if len(images) == count:
            break
    return torch.stack(images), targets


def distances(model: LoadedModel, images: Tensor, targets: Sequence[int]) -> Floats:
    """(N,) L2 of the nearest hit; inf where there is none."""
    ends = [
        end
        for first in range(0, len(images), TOGETHER)
        for end in run_batch(
            refined,
            model.network,
            images[first : first + TOGETHER],
            model.encoding,
            targets[first : first + TOGETHER],
            steps=GRADIENTS,
        )
    ]
    return np.array([end.distortion.l2 if end.success else np.inf for end in ends])


def show(specs: Sequence[ModelSpec], accuracy: Sequence[float], l2: Sequence[Floats]) -> None:
    """One row a model, with its distances over those of each before it."""
    rows = []
    for number, spec in enumerate(specs):
        recipe = LEARNED[spec.name]
        cost = "+".join(map(str, recipe.adversary.passes)) if recipe.adversary else ""
        over = [paired(l2[number], each) for each in l2[:number]]
        ratios = [f"{each.ratio:.3f} ({each.low:.3f} to {each.high:.3f})" for each in over]
        failed = int(np.isinf(l2[number]).sum())
        minutes = f"{spec.training['minutes']}"
        figures = [f"{accuracy[number]:.4f}", f"{np.median(l2[number]):.3f}", f"{failed}"]
        rows.append([spec.name, cost, minutes, *figures, *ratios, *[""] * (len(specs) - 1 - number)])
    over_each = [f"L2 over {spec.name}'s" for spec in specs[:-1]]
    print_table(["model", "passes", "minutes", "accuracy", "median L2", "failures", *over_each], rows)


if __name__ == "__main__":
    main()
