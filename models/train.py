"""Train a model of the zoo: ``python -m models.train NAME --data DIR``.

Writes ``NAME.safetensors`` and its card, ``NAME.toml``, into assets/weights (``--out``). Stopped half-way, the same
command goes on after the last epoch that was finished; ``--restart`` begins anew.
"""

from __future__ import annotations

import argparse
import platform
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import tomli_w
import torch
from torch import Tensor, nn
from tqdm import tqdm

from models import clip_mlp
from models.architectures import Classifier
from models.cards import ModelSpec, as_card
from models.data import ImageSet, Split
from models.encodings import MultiLabel
from models.evaluate import outputs, read, report, rounded, scores
from models.heads import fit_head, linear_head
from models.loaders import best_device, blank, load, packaged
from models.recipes import HEADS, RECIPES, TASKS, UNSHIPPED, HeadRecipe, Recipe, Task
from models.registry import IMAGENET, WEIGHTS

CHECKPOINTS = Path("checkpoints")
FASTER = 20
"""Learning rate of a fresh head over that of the pretrained rest."""
FEW = 20
"""Photographs of a label in the validation split, below which it gets no threshold of its own."""


def fit(recipe: Recipe, split: Split, device: torch.device, seed: int, checkpoint: Path) -> tuple[Classifier, float]:
    """Train on a split; returns the network and the seconds it took. Saves ``checkpoint`` after each epoch.

    AdamW (Loshchilov and Hutter 2019) under a one-cycle schedule (Smith and Topin 2019), in bfloat16 where the device
    is fast at it. Every epoch draws from its own seed, so that going on gives what one long run would have given.
    """
    torch.manual_seed(seed)
    run = Run(recipe, len(split) // recipe.batch, device)
    if checkpoint.is_file():
        run.resume(checkpoint)
    while run.epochs < recipe.epochs:
        began = time.perf_counter()
        torch.manual_seed(seed * recipe.epochs + run.epochs)
        run.epoch(split, np.random.default_rng((seed, run.epochs)))
        run.seconds += time.perf_counter() - began
        run.save(checkpoint)
    return run.network.eval(), run.seconds


class Run:
    """A training in progress: ``epochs`` are done and took ``seconds``."""

    def __init__(self, recipe: Recipe, batches: int, device: torch.device) -> None:
        self.recipe, self.batches, self.device = recipe, batches, device
        self.network = start(recipe).to(device).to(memory_format=torch.channels_last)
        body: list[nn.Parameter] = []
        head: list[nn.Parameter] = []
        for name, parameter in self.network.named_parameters():
            is_fresh = recipe.fresh and name.startswith(f"backbone.{recipe.fresh}")
            (head if is_fresh else body).append(parameter)
        self.optimiser = torch.optim.AdamW([{"params": body}, {"params": head}], weight_decay=recipe.weight_decay)
        peaks, steps = [recipe.lr, FASTER * recipe.lr], (recipe.schedule or recipe.epochs) * batches
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimiser, peaks, steps, pct_start=0.25)
        self.epochs, self.seconds = 0, 0.0

    def epoch(self, split: Split, rng: np.random.Generator) -> None:
        """Learn from the whole split once, less what does not fill a batch."""
        self.wake()
        order = rng.permutation(len(split))[: self.batches * self.recipe.batch].reshape(self.batches, -1)
        title, total = f"{self.recipe.spec.name}, epoch {self.epochs + 1} of {self.recipe.epochs}", 0.0
        bar = tqdm(order, desc=title, mininterval=5)
        for count, index in enumerate(bar, 1):
            images = self.recipe.sampler(split, index, rng).to(self.device)
            targets = torch.from_numpy(split.targets[index]).to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=fast_bfloat16(self.device)):
                if self.recipe.adversary:
                    images = self.recipe.adversary(self.network.eval(), images, targets)
                    self.wake()
                z = self.network(images)
            loss = self.recipe.loss(z.float(), targets)
            self.optimiser.zero_grad()
            torch.autograd.backward(loss)
            self.optimiser.step()
            self.schedule.step()
            total += loss.item()
            bar.set_postfix(loss=f"{total / count:.4f}", refresh=False)
        self.epochs += 1

    def wake(self) -> None:
        """Into train mode, but for the statistics that pretrained weights go with."""
        self.network.train()
        if self.recipe.fresh:
            for module in self.network.modules():
                module.train(not isinstance(module, nn.BatchNorm2d))

    def save(self, checkpoint: Path) -> None:
        """Write everything that ``resume`` needs; an earlier file stays whole until the new one is."""
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        unfinished = checkpoint.with_suffix(".part")
        parts = {name: getattr(self, name).state_dict() for name in ("network", "optimiser", "schedule")}
        torch.save({**parts, "epochs": self.epochs, "seconds": self.seconds}, unfinished)
        unfinished.replace(checkpoint)

    def resume(self, checkpoint: Path) -> None:
        """Go back to where ``save`` was called."""
        saved = torch.load(checkpoint, map_location=self.device, weights_only=True)
        for name in ("network", "optimiser", "schedule"):
            getattr(self, name).load_state_dict(saved[name])
        self.epochs, self.seconds = saved["epochs"], saved["seconds"]


def start(recipe: Recipe) -> Classifier:
    """The network as its training begins: random, on another model's weights, or on ImageNet's with a fresh head."""
    backbone = blank(replace(recipe.spec, options={**recipe.spec.options, **({"heads": 1} if recipe.fresh else {})}))
    if recipe.fresh:
        backbone.load_state_dict(pretrained(recipe), strict=False)
    if recipe.begins:
        backbone.load_state_dict(safetensors.torch.load_file(WEIGHTS / f"{recipe.begins}.safetensors"))
    return Classifier(backbone, recipe.spec.mean, recipe.spec.std)


def pretrained(recipe: Recipe) -> dict[str, Tensor]:
    """ImageNet's weights, less those of the head."""
    return {name: value for name, value in packaged(IMAGENET).state_dict().items() if not name.startswith(recipe.fresh)}


def settle(recipe: Recipe, tuned: Classifier, split: Split, device: torch.device, seed: int) -> Classifier:
    """Half-way between the tuned and the pretrained weights, with a new head on its features there.

    The mean of both is better than either on new photographs: Wortsman et al. 2022 (WiSE-FT).
    """
    known, weights = pretrained(recipe), tuned.backbone.state_dict()
    halfway = {name: (weights[name].cpu() + known[name]) / 2 for name in known if known[name].is_floating_point()}
    backbone = blank(recipe.spec)
    backbone.load_state_dict(halfway, strict=False)
    network = Classifier(backbone, tuned.mean.flatten().tolist(), tuned.std.flatten().tolist()).eval().to(device)
    backbone.classifier = nn.Identity()
    x = outputs(network, recipe.spec.preprocessing, split, device)
    backbone.classifier = fit_head(x, torch.from_numpy(split.targets), seed, **recipe.spec.options)
    return network


def fit_on_body(recipe: HeadRecipe, data: ImageSet, device: torch.device) -> tuple[nn.Module, np.ndarray]:
    """The body of another model under a linear head, fitted to the training and the validation photographs.

    With it come the logits (N, n) of the validation photographs, by a head that was fitted without them.
    """
    stored = safetensors.torch.load_file(WEIGHTS / f"{recipe.body}.safetensors")
    weights = {name: value for name, value in stored.items() if not name.startswith("classifier.")}
    network = blank(recipe.spec)
    network.load_state_dict(weights, strict=False)
    network.classifier = nn.Identity()
    body = Classifier(network, recipe.spec.mean, recipe.spec.std).eval().to(device)
    train, validation = (
        outputs(body, recipe.spec.preprocessing, split, device) for split in (data.train, data.validation)
    )
    known = torch.from_numpy(data.train.targets)
    logits = linear_head(train, known, recipe.decay)(validation).detach().numpy()
    known = torch.cat([known, torch.from_numpy(data.validation.targets)])
    network.classifier = linear_head(torch.cat([train, validation]), known, recipe.decay)
    return network, logits


def fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies in bfloat16 faster than in float32."""
    if device.type == "cpu":
        return bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def thresholds(logits: np.ndarray, targets: np.ndarray) -> tuple[float, ...]:
    """For each label the logit above which it counts as present: the one with the best F1 on these photographs.

    A label with fewer than FEW photographs takes the threshold that is best for all labels at once.
    """
    known = targets >= 0
    common = _best_threshold(logits[known], targets[known])
    return tuple(
        _best_threshold(z[sure], t[sure]) if (t == 1).sum() >= FEW else common
        for z, t, sure in zip(logits.T, targets.T, known.T, strict=True)
    )


def _best_threshold(logits: np.ndarray, targets: np.ndarray) -> float:
    """The logit half-way between the two neighbours where F1 is largest; below all of them if that is best."""
    order = np.argsort(-logits)
    z, present = np.append(logits[order], logits.min() - 2), targets[order] == 1
    f1 = 2 * present.cumsum() / (np.arange(1, len(present) + 1) + present.sum())
    f1[z[:-1] == z[1:]] = -1  # no threshold parts equal logits
    best = int(f1.argmax())
    return float((z[best] + z[best + 1]) / 2)


def finish(
    task: Task,
    network: nn.Module,
    data: ImageSet,
    training: dict[str, Any],
    folder: Path,
    held_out: np.ndarray | None = None,
) -> ModelSpec:
    """Write the weights in half precision, calibrate, judge, and write the card.

    ``held_out`` has the logits (N, n) to calibrate on, where the network has learned from the validation photographs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{task.spec.name}.safetensors"
    learned = network.backbone if isinstance(network, Classifier) else network
    weights = {name: value.cpu().contiguous() for name, value in learned.state_dict().items()}
    halved = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    safetensors.torch.save_file(halved, file)
    digest, count = sha256(file.read_bytes()).hexdigest(), sum(p.numel() for p in network.parameters())
    spec = replace(task.spec, weights=file, sha256=digest, parameters=count)
    if isinstance(spec.encoding, MultiLabel):
        logits = read(load(spec), data.validation) if held_out is None else held_out
        best = thresholds(logits, data.validation.targets)
        spec = replace(spec, encoding=replace(spec.encoding, thresholds=best))
    found = scores(task, load(spec), data.tests)
    report(task, found)
    pictures = {"train": len(data.train), "validation": len(data.validation)}
    pictures |= {f"test, {name}": len(split) for name, split in data.tests.items()}
    spec = replace(spec, scores=rounded(found), training={"pictures": pictures, **training})
    file.with_suffix(".toml").write_text(tomli_w.dumps(as_card(spec)), "utf-8")
    print(f"\nWrote {file} and its card.")
    return spec


def machine(device: torch.device) -> str:
    """What the training ran on, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = torch.cpu.get_capabilities().get("cpu_name", platform.machine())
    return f"{name}, {torch.get_num_threads()} cores" + ("" if device.type == "cpu" else f", {device.type}")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Train a model of the zoo.")
    parser.add_argument("name", choices=[*TASKS, *UNSHIPPED, "clip-mlp"])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds the image sets")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where the weights and the card go")
    parser.add_argument("--device", type=torch.device, default=None, help="cpu, cuda or mps; the best there is")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--restart", action="store_true", help="forget the checkpoint of an earlier run")
    parser.add_argument("--labels", help="for clip-mlp: what it shall recognise, with commas between")
    parser.add_argument(
        "--clip", default="ViT-B-32/laion2b_s34b_b79k", help="for clip-mlp: ARCH/PRETRAINED of open_clip"
    )
    args = parser.parse_args()
    if (args.name == "clip-mlp") is not bool(args.labels):
        parser.error("expected --labels, such as people,cars,train, with clip-mlp and with nothing else")
    if args.name in UNSHIPPED and args.out == WEIGHTS:
        parser.error(f"expected --out FOLDER with {args.name}, whose weights do not ship")
    device = args.device or best_device()
    training = {"seed": args.seed, "machine": machine(device), "torch": torch.__version__}
    held_out = None
    if args.labels:
        task = clip_mlp.task(args.clip, args.labels.split(","))
        data = task.data(args.data)
        network: nn.Module = clip_mlp.fit(task, data.train, device, args.seed)
    elif args.name in HEADS:
        task = HEADS[args.name]
        data = task.data(args.data)
        network, held_out = fit_on_body(task, data, device)
    else:
        task = recipe = (RECIPES | UNSHIPPED)[args.name]
        data = task.data(args.data)
        checkpoint = CHECKPOINTS / f"{args.name}-seed{args.seed}.pt"
        if args.restart:
            checkpoint.unlink(missing_ok=True)
        network, seconds = fit(recipe, data.train, device, args.seed, checkpoint)
        if recipe.fresh:
            network = settle(recipe, network, data.train, device, args.seed)
        training |= {"epochs": recipe.epochs, "minutes": round(seconds / 60, 1)}
    finish(task, network, data, training, args.out, held_out)


if __name__ == "__main__":
    main()
