"""What adversarial training buys: python -m bench.robust --data DIR [--others FOLDER] [--validation] [--quick]

Each model of the zoo on whose weights a robust one was begun, against that, and against those of the same beginnings in
``--others``, which do not ship (``python -m models.train NAME --data DIR --out FOLDER`` makes them).

Accuracy is of all test pictures as they are. Distances are of ``refined`` with 100 gradients, on 100 pictures of the
test part (10 with ``--quick``) that all of these models read rightly, each with the same random other class for all.

With ``--validation`` it is what a radius is chosen by: the share of 400 validation pictures (10 with ``--quick``), from
which none of the models learned, that a model reads rightly and ``refined`` does not turn within an L2 of 0.5.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.report import print_table, write_json
from jma_core import refined, run_batch
from lab.sweep.pictures import chosen, source
from lab.sweep.plan import Pictures
from lab.sweep.statistics import Floats, paired, share_interval
from models.cards import ModelSpec, read_card
from models.evaluate import scores
from models.loaders import LoadedModel, load, to_tensor
from models.recipes import RECIPES, UNSHIPPED
from models.registry import MODELS

SEED, GRADIENTS, TOGETHER = 0, 100, 20
TESTED, VALIDATED, QUICK = 100, 400, 10
"""Numbers of pictures."""
WITHIN = 0.5
LEARNED = RECIPES | UNSHIPPED


def main() -> None:
    """One table a model that was made robust."""
    parser = argparse.ArgumentParser(description="What adversarial training buys")
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds the image sets")
    parser.add_argument("--others", type=Path, metavar="FOLDER", help="weights and cards of models that do not ship")
    parser.add_argument("--validation", action="store_true", help="what a radius is chosen by, on other pictures")
    parser.add_argument("--quick", action="store_true", help="10 pictures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure, with machine and settings")
    options = parser.parse_args()
    known = MODELS | others(options.others)
    figures = {}
    for first in dict.fromkeys(recipe.begins for recipe in LEARNED.values() if recipe.begins):
        specs = [known[name] for name, recipe in LEARNED.items() if first in (name, recipe.begins) and name in known]
        if len(specs) == 1:
            continue
        models = [load(spec) for spec in specs]
        if options.validation:
            figures[first] = validated(models, options.data, QUICK if options.quick else VALIDATED)
        else:
            figures[first] = tested(models, options.data, QUICK if options.quick else TESTED)
    write_json(options.json, {"seed": SEED, "gradients": GRADIENTS, "models": figures})


def others(folder: Path | None) -> dict[str, ModelSpec]:
    """The models in a folder that have a recipe."""
    cards = [folder / f"{name}.toml" for name in UNSHIPPED] if folder else []
    there = [card for card in cards if card.is_file()]
    return {
        card.stem: read_card(card.read_text("utf-8"), card.stem, card.with_suffix(".safetensors")) for card in there
    }


def tested(models: Sequence[LoadedModel], folder: Path, count: int) -> list[dict[str, Any]]:
    """Accuracy and distances on test pictures, of each model over those before it."""
    first = models[0].spec
    images, _, targets = cases(first, Pictures(data=first.name, folder=str(folder), part="test"), count, models)
    tests = LEARNED[first.name].data(folder).tests
    accuracy = [scores(LEARNED[first.name], model, tests)["accuracy"] for model in models]
    l2 = [distances(model, images, targets) for model in models]
    rows = []
    for number, model in enumerate(models):
        over = [paired(l2[number], each) for each in l2[:number]]
        ratios = [f"{each.ratio:.3f} ({each.low:.3f} to {each.high:.3f})" for each in over]
        failed = int(np.isinf(l2[number]).sum())
        figures = [f"{accuracy[number]:.4f}", f"{np.median(l2[number]):.3f}", f"{failed}"]
        rows.append([*told(model.spec), *figures, *ratios, *[""] * (len(models) - 1 - number)])
    print(f"\n{len(targets)} test pictures, {GRADIENTS} gradients, seed {SEED}")
    over_each = [f"L2 over {model.spec.name}'s" for model in models[:-1]]
    print_table([*TOLD, "accuracy", "median L2", "failures", *over_each], rows)
    each = zip(models, accuracy, l2, strict=True)
    return [{"name": m.spec.name, "sha256": m.spec.sha256, "accuracy": a, "l2": d.tolist()} for m, a, d in each]


def validated(models: Sequence[LoadedModel], folder: Path, count: int) -> list[dict[str, Any]]:
    """How many validation pictures each model reads rightly, and how many of these withstand an attack."""
    first = models[0].spec
    images, truths, targets = cases(first, Pictures(data=first.name, folder=str(folder), split="validation"), count)
    found, rows = [], []
    for model in models:
        l2 = withstood(model, images, truths, targets)
        right, held = int((l2 > 0).sum()), int((l2 > WITHIN).sum())
        low, high = share_interval(held, count)
        rows.append([*told(model.spec), f"{right / count:.4f}", f"{held / count:.4f} ({low:.4f} to {high:.4f})"])
        found.append({"name": model.spec.name, "sha256": model.spec.sha256, "l2": l2.tolist()})
    print(f"\n{count} validation pictures, {GRADIENTS} gradients, seed {SEED}")
    print_table([*TOLD, "read rightly", f"withstand {WITHIN}"], rows)
    return found


def cases(
    first: ModelSpec, pictures: Pictures, count: int, readers: Sequence[LoadedModel] = ()
) -> tuple[Tensor, list[int], list[int]]:
    """Images (count, C, H, W) that all ``readers`` read rightly, what they show, and another class each."""
    there, rng = source(pictures), np.random.default_rng(SEED)
    images: list[Tensor] = []
    truths: list[int] = []
    targets: list[int] = []
    for name, _ in chosen(pictures, there):
        x, truth = to_tensor(first.preprocessing(there.photo(name).image)), there.truth(name)
        assert truth is not None
        if all(read(model, x[None])[0] == truth for model in readers):
            images.append(x)
            truths.append(int(truth))
            targets.append(int(rng.choice([k for k in range(len(first.encoding.labels)) if k != truth])))
        if len(images) == count:
            break
    return torch.stack(images), truths, targets


def read(model: LoadedModel, images: Tensor) -> NDArray[np.int64]:
    """(N,) classes."""
    with torch.no_grad():
        return model.spec.encoding.decode(model.network(images).numpy())


def withstood(model: LoadedModel, images: Tensor, truths: Sequence[int], targets: Sequence[int]) -> Floats:
    """(N,) L2 of the nearest hit; inf where there is none, 0 where an image is misread as it is."""
    l2 = np.zeros(len(images))
    right = np.flatnonzero(read(model, images) == np.array(truths))
    l2[right] = distances(model, images[right], [targets[int(number)] for number in right])
    return l2


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


TOLD = ("model", "radius", "passes", "minutes")


def told(spec: ModelSpec) -> list[str]:
    """What is known of a training: the radius of its attack, an image's passes in it, and processor minutes."""
    adversary = LEARNED[spec.name].adversary
    how = [f"{adversary.eps:g}", "+".join(map(str, adversary.passes))] if adversary else ["", ""]
    return [spec.name, *how, f"{spec.training['minutes']}"]


if __name__ == "__main__":
    main()
