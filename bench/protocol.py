"""What bench.engine runs: tasks, rivals at some settings, and the sweeps that these make. Needs no torch."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from jma_core.attacks.registry import Value, catalogue
from lab.sweep.plan import Rule, spec_of

TUNED = Path(__file__).with_name("tuned.toml")
"""By task and attack, the settings that tuning has chosen."""
GRADIENTS = (50, 100, 300, 600)
TUNED_AT, QUICK_AT = 100, 50
LIMIT = 3.0
"""Seconds of an attack on a picture, with ``--quick``."""
OURS, SMOOTH = "refined", ("cross-entropy", "logistic", "worst")


@dataclass(frozen=True)
class Task:
    """What is attacked."""

    title: str
    model: str
    rule: dict[str, Any]
    pictures: int
    """At most."""
    together: int
    """Pictures of a batch, and of a shard: no row has fewer."""
    data: str = ""
    """Whose data set they are from, if it is not the model's own."""

    @property
    def encoding(self) -> str:
        """What attacks call that which it asks for."""
        return Rule(**self.rule).asked(spec_of(self.model).encoding)

    def plan(self, attacks: Sequence[Mapping[str, Any]], *, part: str, pictures: int) -> dict[str, Any]:
        """For Sweep.begin; relative to the folder of the image sets."""
        size, own = min(self.together, pictures), not self.data and self.encoding != "multi-label"
        data = {"data": self.data or self.model, "folder": ".", "part": part, "right": own, "take": pictures}
        rows = {"attacks": [*attacks], "shard": size, "batch": size}
        return {"models": [self.model], "pictures": data, "targets": [self.rule], **rows}


def _flips(model: str, k: int) -> Task:
    return Task(f"`{model}`, {k} of 24 labels flipped", model, {"rule": "Flip k at random", "k": k}, 30, 2)


CLASS, ORDER = {"rule": "Random class"}, {"rule": "k at random", "k": 5}
TASKS = {
    "gtsrb": Task("Traffic signs, one of 43 classes", "gtsrb-onehot", CLASS, 100, 20),
    "gtsrb-ecoc": Task("Traffic signs, a codeword of 32 bits", "gtsrb-ecoc32", CLASS, 100, 20),
    "mnist-ecoc": Task("MNIST, a codeword of 16 bits", "mnist-ecoc16", CLASS, 100, 20),
    "cifar-ecoc": Task("CIFAR-10, a codeword of 16 bits", "cifar10-ecoc16", CLASS, 100, 20),
    "gtsrb-top5": Task("Traffic signs, five classes in order", "gtsrb-onehot", ORDER, 100, 20),
    **{f"{model}-{k}": _flips(model, k) for model in ("scenes", "scenes-mlp") for k in (1, 2, 5, 10)},
    "imagenet": Task("ImageNet, one of 1000 classes", "imagenet-onehot", CLASS, 30, 2, data="scenes"),
    "imagenet-top5": Task("ImageNet, five classes in order", "imagenet-onehot", ORDER, 30, 2, data="scenes"),
}
"""By what the command line calls them; ImageNet has no test pictures here, and is attacked on those of scenes."""


@dataclass(frozen=True)
class Rival:
    """An attack and the settings at which it is run. All name the same settings, so that none is another's part."""

    title: str
    attack: str
    published: tuple[dict[str, Value], ...] = ({},)
    tried: dict[str, list[Value]] = field(default_factory=dict)
    """Of which, with every combination, tuning chooses."""
    encodings: tuple[str, ...] = ("one-hot", "top-K", "ECOC", "multi-label")
    once: bool = False
    """Whether it is run once, and read at each number of gradients."""


CLASSES = ("one-hot", "ECOC", "top-K")
RIVALS = (
    Rival(
        "DDN",
        "ddn",
        tuple({"surrogate": each, "gamma": 0.05} for each in SMOOTH),
        {"surrogate": [*SMOOTH], "gamma": [0.02, 0.05, 0.1]},
    ),
    Rival(
        "FMN",
        "fmn",
        tuple({"surrogate": each, "rate": 1.0} for each in ("worst", "logistic")),
        {"surrogate": ["worst", "logistic"], "rate": [0.1, 0.3, 1.0]},
    ),
    Rival("PDGD", "pdgd", ({"held": "worst", "rate": 0.1},), {"held": ["worst", "each"], "rate": [0.003, 0.01, 0.03]}),
    Rival(
        "APGD with bisection",
        "apgd_min",
        ({"loss": "dlr", "searches": 10},),
        {"loss": ["dlr", "logistic"], "searches": [5, 10, 20]},
    ),
    Rival("FAB", "fab", once=True),
    Rival("SuperDeepFool", "super_deepfool", once=True),
    Rival("QuadAttacK", "quadattack", ({"searches": 3, "steps": 30},), encodings=("top-K",), once=True),
    Rival("JMA, lazy", "lazy", ({"step": 0.2},), once=True),
    Rival(
        "PDPGD", "pdpgd", ({"held": "worst", "rate": 0.1},), {"held": ["worst", "each"], "rate": [0.003, 0.01, 0.03]}
    ),
    Rival("ALMA", "alma", ({"held": "worst", "first": 1.0},), {"held": ["worst"], "first": [0.3, 1.0]}, CLASSES),
    Rival("ALMA", "alma", ({"held": "each", "first": 1.0},), {"held": ["each"], "first": [0.3, 1.0]}, ("multi-label",)),
    Rival("C&W", "cw", ({"searches": 5, "c": 1.0},), {"searches": [5], "c": [0.1, 1.0, 10.0]}, ("one-hot", "ECOC")),
    Rival(
        "ML-C&W",
        "cw",
        ({"hinge": "sum", "searches": 5, "c": 1.0},),
        {"hinge": ["sum"], "searches": [5], "c": [0.1, 1.0, 10.0]},
        ("multi-label",),
    ),
    Rival("CW^K", "cw_k", ({"searches": 5, "c": 1.0},), {"searches": [5], "c": [0.1, 1.0, 10.0]}, ("top-K",)),
    Rival("ECOC attack", "ecoc", ({"searches": 5, "c": 1.0},), {"searches": [5], "c": [0.1, 1.0, 10.0]}, ("ECOC",)),
    Rival("L-BFGS", "lbfgs", ({"searches": 20, "steps": 30},), once=True),
)
"""All of the registry that look for the nearest image in L2, the strongest first: they are run in this order."""
ATTACKS = list(dict.fromkeys(rival.attack for rival in RIVALS))
ONCE = {rival.attack for rival in RIVALS if rival.once}


@dataclass(frozen=True)
class Form:
    """An attack at some settings: a row of a table."""

    title: str
    attack: str
    settings: tuple[tuple[str, Value], ...]
    how: str = ""
    """"tuned" where it is not as published."""
    once: bool = False

    @property
    def told(self) -> str:
        """Its settings in short."""
        words = ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for _, value in self.settings)
        return " ".join(filter(None, [words, f"({self.how})" if self.how else ""]))

    def at(self, gradients: int) -> dict[str, Any]:
        """The attack with so many gradients, as plans have it."""
        entry, own = catalogue()[self.attack], dict(self.settings)
        return {"attack": self.attack, **(own if self.once else entry.within(gradients, **own))}


Chosen = Mapping[str, Mapping[str, Mapping[str, Value]]]


@cache
def tuned() -> Chosen:
    """What tuning has chosen, by task and attack."""
    return tomllib.loads(TUNED.read_text("utf-8")) if TUNED.exists() else {}


def rivals(name: str) -> list[Rival]:
    """Those that a task has."""
    asked = TASKS[name].encoding
    return [rival for rival in RIVALS if asked in rival.encodings]


def forms(name: str, chosen: Chosen) -> list[Form]:
    """The rows of a task: ``refined``, and each rival as published and as tuned."""
    made = [Form(OURS, OURS, ())]
    for rival in rivals(name):
        made += [Form(rival.title, rival.attack, (*each.items(),), once=rival.once) for each in rival.published]
        best = chosen.get(name, {}).get(rival.attack)
        if best and best not in rival.published:
            made.append(Form(rival.title, rival.attack, (*best.items(),), "tuned", rival.once))
    return made


def candidates(name: str) -> list[Form]:
    """What tuning tries of a task's rivals."""
    return [
        Form(rival.title, rival.attack, (*zip(rival.tried, values, strict=True),))
        for rival in rivals(name)
        if rival.tried
        for values in product(*rival.tried.values())
    ]


def plan(name: str, chosen: Chosen, *, quick: bool = False) -> dict[str, Any]:
    """The sweep of a task. ``quick``: of few pictures, with few gradients."""
    task, budgets = TASKS[name], (QUICK_AT,) if quick else GRADIENTS
    attacks = [form.at(budget) for form in forms(name, chosen) for budget in (budgets[:1] if form.once else budgets)]
    if not quick:
        return task.plan(attacks, part="test", pictures=task.pictures)
    limited = [each | ({"max_seconds": LIMIT} if each["attack"] in ONCE else {}) for each in attacks]
    return task.plan(limited, part="test", pictures=2 if task.together > 2 else 1)


def tuning(name: str) -> dict[str, Any]:
    """The sweep in which a task's rivals are tuned."""
    task = TASKS[name]
    return task.plan(
        [form.at(TUNED_AT) for form in candidates(name)], part="tuning", pictures=max(2, task.together // 2)
    )
