"""A plan: which attacks on which pictures, models and targets, in a few lines of TOML. Needs no torch.

    models = ["gtsrb-onehot"]
    seeds = [0, 1]

    [pictures]
    samples = "gtsrb"

    [[targets]]
    rule = "Random class"

    [[attacks]]
    attack = "refined"
    steps = [50, 300]  # a list: the attack once with each

Models, targets, seeds and attacks unfold into blocks, and a block has a unit for each picture. docs/SWEEPS.md lists all
that a plan may say.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any

from jma_core.attacks.registry import Value
from lab.request import Settings
from models.cards import ModelError, ModelSpec, read_card, said
from models.encodings import ECOC, Encoding, OneHot, Preset
from models.options import brief
from models.registry import ASSETS, MODELS

GIVEN, OTHER, PATTERN = "Given", "Labels of another picture", "Error pattern"
"""Rules beside an encoding's own presets."""
SPLITS = ("train", "validation", "test")
PARTS = ("", "tuning", "test")


class SweepError(Exception):
    """A sweep cannot go on; the message says in sentences why, and what to do."""


@dataclass(frozen=True)
class Pictures:
    """Where they come from. Raises ValueError unless that is one place."""

    samples: str = ""
    """A folder of the sample photos: "photos", "cifar10", "gtsrb" or "mnist"."""
    folder: str = ""
    """One of photos, with all folders in it; for ``data``, the one that holds the image sets."""
    data: str = ""
    """A model of the zoo: the set that it was trained on."""
    split: str = "test"
    """The part of that set."""
    part: str = ""
    """"tuning" or "test": of the pictures those whose hash says so; all if it is empty."""
    take: int = 0
    """How many; 0: all. They are taken in an order that the hashes of their names give."""
    right: bool = False
    """Whether those are skipped that a model does not read as its own data set says."""

    def __post_init__(self) -> None:
        if bool(self.samples) == bool(self.folder):
            raise ValueError('expected samples = "photos", folder = "...", or data = "scenes" and its folder')
        if self.data and not self.folder:
            raise ValueError("expected a folder that holds the image sets beside data")
        if self.split not in SPLITS or self.part not in PARTS or self.take < 0:
            expected = f"a split of {', '.join(SPLITS)}, a part of tuning or test, and take of at least 0"
            raise ValueError(f"expected {expected}; got {self.split!r}, {self.part!r} and {self.take}")
        if self.right and not self.data:
            raise ValueError("expected data beside right: of other pictures nobody knows what they show")

    @property
    def place(self) -> Path:
        """The folder."""
        return ASSETS / "samples" / self.samples if self.samples else Path(self.folder)


@dataclass(frozen=True)
class Rule:
    """How targets are chosen."""

    rule: str
    """One of the encoding's presets, as the lab offers them, GIVEN or OTHER; of codewords also PATTERN."""
    k: int = 1
    """How many labels, classes, or bits, where the rule asks that."""
    labels: Any = ()
    """For GIVEN: the labels that are wanted, or a table of such by the picture's name."""
    split: str = ""
    """For OTHER: the part of the data set whose true labels are drawn; if empty, other pictures of the plan as read."""

    def __post_init__(self) -> None:
        if self.k < 1 or self.split not in ("", *SPLITS):
            raise ValueError(
                f"expected k of at least 1 and a split of {', '.join(SPLITS)}, got {self.k}, {self.split!r}"
            )
        if (self.rule == GIVEN) != bool(self.labels):
            raise ValueError(f'expected labels with rule = "{GIVEN}", and with no other')

    @property
    def title(self) -> str:
        """In a few words."""
        return f"{self.rule}, k = {self.k}" if self.k > 1 else self.rule

    def asked(self, encoding: Encoding) -> str:
        """What attacks call that which it asks for. Raises SweepError if this encoding has no such rule, or label."""
        given = self.labels.values() if isinstance(self.labels, dict) else [self.labels]
        if unknown := sorted({label for labels in given for label in labels} - {*encoding.labels}):
            raise SweepError(f"targets: {brief(unknown)} are no labels of this model: {brief(encoding.labels)}.")
        if self.rule in (GIVEN, OTHER, *_single(encoding)):
            return encoding.name
        if self.rule in _together(encoding):
            return "top-K" if self.k > 1 else encoding.name
        known = ", ".join((*_single(encoding), *_together(encoding), OTHER, GIVEN))
        raise SweepError(f"targets: {self.rule!r} is no rule for {encoding.name} models. They have: {known}.")

    def preset(self, encoding: Encoding) -> Preset:
        """What draws a target."""
        return (_together(encoding) | _single(encoding))[self.rule]


def _single(encoding: Encoding) -> dict[str, Preset]:
    return encoding.presets | ({PATTERN: encoding.error_pattern} if isinstance(encoding, ECOC) else {})


def _together(encoding: Encoding) -> dict[str, Preset]:
    return encoding.presets_together(ordered=True) if isinstance(encoding, OneHot) else {}


@dataclass(frozen=True)
class Block:
    """What is done with every picture once."""

    model: str
    """Its address in the plan."""
    rule: Rule
    seed: int
    settings: Settings

    def told(self) -> dict[str, Any]:
        """For JSON, less the model."""
        return {"rule": asdict(self.rule), "seed": self.seed, "settings": told(self.settings)}


@dataclass(frozen=True)
class Plan:
    """What a file says. Relative paths in it start from the folder ``base`` of the file."""

    models: tuple[str, ...]
    """Names of the zoo, addresses of a hub, or paths of cards."""
    pictures: Pictures
    targets: tuple[Rule, ...]
    attacks: tuple[Settings, ...]
    seeds: tuple[int, ...] = (0,)
    device: str = "cpu"
    threads: int = 1
    """Of torch in each process: the last bits of a result depend on them."""
    shard: int = 128
    """Units of one file."""
    batch: int = 32
    """Units whose passes go through the network together."""
    keep: int = 0
    """Of each block so many attacked pictures are kept."""

    def __post_init__(self) -> None:
        for name in ("models", "targets", "attacks", "seeds"):
            if not getattr(self, name):
                raise SweepError(f"{name}: expected at least one.")
            if len({*map(repr, getattr(self, name))}) < len(getattr(self, name)):
                raise SweepError(f"{name}: expected each once; a unit that stands there twice would count twice.")
        if min(self.threads, self.shard, self.batch) < 1 or self.keep < 0:
            raise SweepError("threads, shard and batch: expected whole numbers of at least 1; keep: of at least 0.")

    @classmethod
    def of(cls, said_there: Mapping[str, Any], base: Path) -> Plan:
        """The plan that a table tells. Raises SweepError, naming the entry, when it cannot be used."""
        known = {each.name for each in fields(cls)}
        if unknown := ", ".join(sorted(said_there.keys() - known)):
            raise SweepError(f"Unknown entries: {unknown}. A plan may hold {', '.join(sorted(known))}.")
        if missing := ", ".join(sorted({"models", "pictures", "targets", "attacks"} - said_there.keys())):
            raise SweepError(f"Missing entries: {missing}.")
        values: dict[str, Any] = {}
        for name, value in said_there.items():
            try:
                values[name] = _READ[name](value, base)
            except (TypeError, ValueError) as error:
                raise SweepError(f"{name}: {said(error)}.") from error
        return cls(**values)

    def blocks(self, specs: Mapping[str, ModelSpec]) -> tuple[list[Block], list[str]]:
        """All that fit together, those of one model after each other; and in a sentence each what was left out.

        Raises SweepError for a rule that a model does not have, and if nothing is left.
        """
        blocks: list[Block] = []
        out: dict[str, int] = {}
        if len({spec.name for spec in specs.values()}) < len(specs):
            raise SweepError("models: expected each to have a name of its own, for the rows to tell them apart.")
        for model, rule, seed, settings in product(self.models, self.targets, self.seeds, self.attacks):
            asked, entry = rule.asked(specs[model].encoding), settings.entry
            if asked in entry.encodings:
                blocks.append(Block(model, rule, seed, settings))
            else:
                out[f"{entry.title} is left out for {specs[model].name}: it cannot be asked for {asked}."] = 0
        if not blocks:
            raise SweepError(f"Nothing is left of this plan. {' '.join(out)}")
        return blocks, list(out)


def told(settings: Settings) -> dict[str, Any]:
    """An attack and its settings, for JSON, which has no infinity; less the seed, which is the unit's."""
    return {name: value for name, value in settings.told().items() if value != math.inf and name != "seed"}


def read_plan(path: Path, folder: str = "") -> dict[str, Any]:
    """What a file says, with another ``folder`` of pictures if one is given. Raises SweepError if it is not TOML."""
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SweepError(f"{path} cannot be read as a plan: {said(error)}.") from error
    if folder:
        pictures = _table(content.get("pictures", {})) | {"folder": str(Path(folder).resolve())}
        content["pictures"] = {name: each for name, each in pictures.items() if name != "samples"}
    return content


def spec_of(address: str) -> ModelSpec:
    """The model of an address. Raises SweepError, with what to do, if there is none."""
    try:
        if address in MODELS:
            return MODELS[address]
        if address.endswith(".toml"):
            card = Path(address)
            return read_card(card.read_bytes(), card.stem, card.with_suffix(".safetensors"))
        if ":" in address:
            from models.hubs import describe  # imports torch

            return describe(address)
    except (ModelError, OSError) as error:
        raise SweepError(f"The model {address} cannot be used: {said(error)}") from error
    raise SweepError(f"models: expected {', '.join(MODELS)}, a hub's address or the path of a card; got {address!r}.")


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected a table, got {brief(value)}")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, got {brief(value)}")
    return value


def _models(value: Any, base: Path) -> tuple[str, ...]:
    return tuple(str(base / name) if str(name).endswith(".toml") else str(name) for name in _list(value))


def _pictures(value: Any, base: Path) -> Pictures:
    pictures = {name: _typed(Pictures, name, each) for name, each in _table(value).items()}
    if pictures.get("folder"):
        pictures["folder"] = str(base / Path(pictures["folder"]).expanduser())
    return Pictures(**pictures)


def _targets(value: Any, _: Path) -> tuple[Rule, ...]:
    return tuple(
        Rule(**{name: _typed(Rule, name, each) for name, each in _table(rule).items()}) for rule in _list(value)
    )


def _attacks(value: Any, _: Path) -> tuple[Settings, ...]:
    """Each table, once with every combination of the values that its lists hold."""
    every = []
    for table in map(_table, _list(value)):
        if "seed" in table:
            raise ValueError("expected no seed in an attack: the plan's seeds are for all of them")
        choices = {name: each if isinstance(each, list) else [each] for name, each in table.items()}
        for chosen in product(*choices.values()):
            values: dict[str, Value] = {"max_seconds": math.inf, **dict(zip(choices, chosen, strict=True))}
            every.append(Settings.of(**values))  # type: ignore[arg-type]
    return tuple(every)


def _number(value: Any, _: Path) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected a whole number, got {brief(value)}")
    return value


def _numbers(value: Any, base: Path) -> tuple[int, ...]:
    return tuple(_number(each, base) for each in _list(value))


def _typed(kind: type, name: str, value: Any) -> Any:
    """A value of an entry of Pictures or Rule."""
    expected = {each.name: each.type for each in fields(kind)}
    if name not in expected:
        raise ValueError(f"expected {', '.join(expected)}, got {brief(name)}")
    if expected[name] not in (type(value).__name__, "Any"):
        raise TypeError(f"expected {name} of type {expected[name]}, got {brief(value)}")
    return value


_READ = {
    "models": _models,
    "pictures": _pictures,
    "targets": _targets,
    "attacks": _attacks,
    "seeds": _numbers,
    "device": lambda value, _: str(value),
    **dict.fromkeys(("threads", "shard", "batch", "keep"), _number),
}
"""What each entry of a file must be. Raises TypeError or ValueError, saying what was expected and what came."""
