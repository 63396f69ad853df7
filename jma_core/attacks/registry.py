"""The registry of attacks. Each is declared once, in its own file and signature, and found everywhere through here:

    @attack("DDN", group=Group.MINIMUM_NORM, source="Rony et al. 2019", norm=Norm.L2)
    def ddn(
        trail: Trail,
        *,
        steps: Annotated[int, Setting("Gradients", "One an iteration.", at_least=1, budget=True)] = 100,
        gamma: Annotated[float, Setting("Change of the norm", "...", above=0, below=1)] = 0.05,
    ) -> Walk:
        \"""One sentence for people. ...\"""

The decorated function is called as ``ddn(f, x, encoding, target, steps=50, kappa=1.0)``: with its own settings, and
those of every attack's Task. Widgets, addresses, stored runs, estimates, records, benchmarks, tests and the docs read
the Entry. Torch takes seconds to import, and attacks import it: ``catalogue()`` reads the entries of this package from
a file beside this one, which ``python -m jma_core.attacks`` writes and a test compares with the declarations.
"""

from __future__ import annotations

import inspect
import json
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from functools import cache, wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, cast, get_args, get_type_hints

if TYPE_CHECKING:
    from torch import Tensor

    from jma_core.attacks.trail import Attack, Walk
    from jma_core.encodings import Encoding, Target
    from jma_core.network import Classifier

Value = int | float | str
TINY = 1e-6
MOST = 100_000
"""Of what any budget may be; more is taken for a slip of the hand."""
CATALOGUE = Path(__file__).with_name("catalogue.json")
ALL = ("one-hot", "top-K", "ECOC", "multi-label")
"""Encodings, as ``Encoding.name`` says them: top-K is a one-hot network that is asked for several classes."""


class Group(StrEnum):
    """Where an attack stands in a list of all."""

    JMA = "JMA"
    MINIMUM_NORM = "Minimum norm"
    LABELS = "For labels and codewords"
    ORDER = "For an order of classes"
    BUDGET = "Within a norm"
    SPARSE = "Few values"
    HISTORY = "The first ones"
    ROUNDING = "On the grid of 8 bits"


class Norm(StrEnum):
    """What an attack keeps small."""

    L2 = "L2"
    LINF = "Linf"
    L0 = "L0"


@dataclass(frozen=True)
class Setting:
    """What is known of one of an attack's settings. Name, kind, default and choices come from the signature."""

    label: str
    """For people, a few words."""
    help: str = ""
    """One or two sentences."""
    at_least: float | None = None
    """The bounds: a value may be this one, and ``at_most``, but neither of the others. None: there is none."""
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    budget: bool = False
    """Whether the iterations are as many as this says; of several budgets, as many as their product."""
    pixels: bool = False
    """Whether it is a length in pixels, which is longer where the picture has more of them."""
    paper: str = ""
    """The publication's values, where they differ from the default."""
    name: str = ""
    kind: str = ""
    """int, float, choice or text."""
    default: Value = 0
    choices: tuple[str, ...] = ()

    @property
    def range(self) -> str:
        """What is allowed, in words: "a whole number of at least 1"."""
        if self.kind == "choice":
            return f"one of {', '.join(self.choices)}"
        if self.kind == "text":
            return "a text"
        bounds = {"of at least": self.at_least, "above": self.above, "of at most": self.at_most, "below": self.below}
        told = " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)
        if self.at_least is not None and self.at_most is not None:
            told = f"from {self.at_least:g} to {self.at_most:g}"
        return f"a {'whole' if self.kind == 'int' else 'finite'} number {told}".rstrip()

    @property
    def limits(self) -> tuple[float | None, float | None]:
        """The smallest and the largest value that a person may want; None where there is no bound."""
        low = self.at_least if self.above is None else self.above + TINY
        return low, self.at_most if self.below is None else self.below - TINY

    def check(self, value: Any) -> Value:
        """The value in this setting's type. Raises ValueError, which says what was expected, if it is not allowed."""
        try:
            checked = self._typed(value)
        except (TypeError, ValueError):
            checked = None
        if checked is None or not self._allows(checked):
            raise ValueError(f"expected {self.name} to be {self.range}, got {value!r}")
        return checked

    def _typed(self, value: Any) -> Value:
        if self.kind == "choice":
            return str(value)
        if self.kind == "text" and isinstance(value, str):
            return value
        if self.kind == "text" or isinstance(value, (bool, str)):
            raise TypeError
        return operator.index(value) if self.kind == "int" else float(value)

    def _allows(self, value: Value) -> bool:
        if isinstance(value, str):
            return self.kind == "text" or value in self.choices
        return (
            math.isfinite(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )


Gradients = Annotated[int, Setting("Gradients", "As many as this, one an iteration.", at_least=1, budget=True)]
"""What most attacks that descend have."""


@dataclass(frozen=True)
class Entry:
    """What is known of an attack without importing it."""

    name: str
    """What addresses and stored runs call it."""
    title: str
    group: Group
    summary: str
    """One sentence."""
    source: str
    norm: Norm
    encodings: tuple[str, ...]
    exhaustive: bool
    """Whether it takes all its iterations; others end when they have what they want."""
    waves: bool
    """Whether its perturbations can be held to waves of a period; those of others may be masked only."""
    settings: tuple[Setting, ...]
    needs: tuple[str, ...]
    """What it must be given besides."""
    home: str
    """Module and function, with a colon between them."""

    @property
    def function(self) -> str:
        """What Python calls it."""
        return self.home.partition(":")[2]

    def check(self, values: Mapping[str, Any]) -> dict[str, Value]:
        """All its settings: these values, and defaults for the rest.

        Raises ValueError for a value that is out of range, and TypeError for a name that is none of its settings.
        """
        if unknown := values.keys() - {setting.name for setting in self.settings}:
            known = ", ".join(setting.name for setting in self.settings)
            raise TypeError(f"{self.function} has no setting {', '.join(sorted(unknown))}: it has {known}")
        return {each.name: each.check(values.get(each.name, each.default)) for each in self.settings}

    def iterations(self, values: Mapping[str, Value]) -> int:
        """How many it takes with these settings, at most."""
        return math.prod(int(values[each.name]) for each in self.settings if each.budget)

    def within(self, iterations: int, **values: Value) -> dict[str, Value]:
        """These values, with a budget of so many iterations at most: the last of several gives way."""
        *outer, inner = [each for each in self.settings if each.budget]
        budget = {each.name: min(int(values.get(each.name, each.default)), iterations) for each in outer}
        return values | budget | {inner.name: iterations // math.prod(budget.values())}

    @classmethod
    def restored(cls, told: Mapping[str, Any]) -> Entry:
        """The entry that the catalogue tells."""
        settings = tuple(Setting(**{**each, "choices": tuple(each["choices"])}) for each in told["settings"])
        lists = {name: tuple(told[name]) for name in ("encodings", "needs")}
        kinds = {"group": Group(told["group"]), "norm": Norm(told["norm"])}
        return cls(**{**told, **lists, **kinds, "settings": settings})


class Declared(Protocol):
    """An attack that can be called; ``entry`` is what is known of it."""

    __name__: str
    entry: Entry

    def __call__(self, f: Classifier, x: Tensor, encoding: Encoding, target: Target, **settings: Any) -> Attack:
        """Attack one image: yields a Step for every update and returns an AttackResult.

        ``settings`` are the attack's own and those of its Task, which has also f, x, encoding and target. Raises
        ValueError for what is out of range, and TypeError for settings that there are not, before the first step.
        """


_declared: dict[str, Declared] = {}


def attack(
    title: str,
    *,
    group: Group,
    source: str,
    norm: Norm = Norm.L2,
    encodings: tuple[str, ...] = ALL,
    exhaustive: bool = True,
    waves: bool = True,
    name: str = "",
) -> Callable[[Callable[..., Walk]], Declared]:
    """Declare an attack: a function from a Trail and settings to its steps. ``name`` is the function's if not given.

    With ``waves`` it makes do with a projection that is no mask: what moves values one by one does not, as in norms
    other than L2.

    The docstring's first paragraph is the summary. Of the keywords those that are annotated with a Setting are
    settings, the others are what the attack needs.
    """

    def declare(body: Callable[..., Walk]) -> Declared:
        hints = _hints(body)
        _, *keywords = inspect.signature(body).parameters.values()
        settings = [_completed(each, hints[each.name]) for each in keywords if _setting(hints[each.name])]
        entry = Entry(
            name=name or body.__name__,
            title=title,
            group=group,
            summary=" ".join((inspect.getdoc(body) or "").partition("\n\n")[0].split()),
            source=source,
            norm=norm,
            encodings=encodings,
            exhaustive=exhaustive,
            waves=waves and norm == Norm.L2,
            settings=tuple(settings),
            needs=tuple(each.name for each in keywords if not _setting(hints[each.name])),
            home=f"{body.__module__}:{body.__name__}",
        )
        taken = {each: declared.entry.home for each, declared in _declared.items()}
        if not body.__module__.startswith(f"{__package__}."):  # what is here may have been moved since it was listed
            taken |= {each: known.home for each, known in catalogue().items()}
        if taken.get(entry.name, entry.home) != entry.home:
            raise ValueError(f"expected a name of its own, got {entry.name!r}: so {taken[entry.name]} is called")
        _declared[entry.name] = _callable(body, entry)
        return _declared[entry.name]

    return declare


def _callable(body: Callable[..., Walk], entry: Entry) -> Declared:
    from jma_core.attacks.trail import Attack, Task, Trail  # imports torch, as the attack has done

    kinds = {name: get_args(hint)[0] for name, hint in _hints(body).items() if _setting(hint)}

    @wraps(body)
    def attacked(f: Classifier, x: Tensor, encoding: Encoding, target: Target, **settings: Any) -> Attack:
        common = {each.name for each in fields(Task)}
        task = Task(f, x, encoding, target, **{name: value for name, value in settings.items() if name in common})
        if task.encoding.name not in entry.encodings:
            raise ValueError(f"expected an encoding that is {' or '.join(entry.encodings)}, got {task.encoding.name}")
        if task.period and not entry.waves:
            raise ValueError(f"expected no period, got {task.period:g}: {entry.title} cannot be held to waves")
        own = {name: value for name, value in settings.items() if name not in common}
        needed = {name: own.pop(name) for name in entry.needs if name in own}
        values = {name: kinds[name](value) for name, value in entry.check(own).items()}
        trail = Trail(task, entry.norm)
        with trail.network.room():  # some make tensors before their first step
            walk = body(trail, **values, **needed)
        return trail.follow(walk)

    given = inspect.signature(attacked, follow_wrapped=False)
    *first, rest = given.parameters.values()
    _, *keywords = inspect.signature(body).parameters.values()
    own = [each.replace(annotation=kinds.get(each.name, each.annotation)) for each in keywords]
    declared: Any = attacked
    declared.entry = entry
    del declared.__wrapped__  # is not called as this is
    declared.__signature__ = given.replace(
        parameters=[*first, *own, rest.replace(name="task")], return_annotation=Attack
    )  # for help()
    return cast(Declared, declared)


def find(name: str) -> Declared:
    """The attack of a name. Raises ValueError if there is none."""
    if name not in _declared and name in catalogue():
        import_module(catalogue()[name].home.partition(":")[0])
    if name not in _declared:
        raise ValueError(f"expected an attack, one of {', '.join(catalogue())}, got {name!r}")
    return _declared[name]


@cache
def catalogue() -> dict[str, Entry]:
    """The attacks of this package by name, in the order in which people see them. Needs no torch."""
    return {told["name"]: Entry.restored(told) for told in json.loads(CATALOGUE.read_text("utf-8"))}


def as_catalogue(entries: list[Entry]) -> str:
    """The text of the catalogue's file."""
    ranks = {group: rank for rank, group in enumerate(Group)}
    ordered = sorted(entries, key=lambda entry: ranks[entry.group])
    return json.dumps([asdict(entry) for entry in ordered], indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _hints(body: Callable[..., Walk]) -> dict[str, Any]:
    return get_type_hints(body, include_extras=True)


def _setting(hint: Any) -> Setting | None:
    return next((each for each in get_args(hint)[1:] if isinstance(each, Setting)), None)


def _completed(keyword: inspect.Parameter, hint: Any) -> Setting:
    """A setting with what the signature says of it."""
    setting, kind = _setting(hint), get_args(hint)[0]
    assert setting is not None
    choices = tuple(str(each) for each in kind) if issubclass(kind, StrEnum) else ()
    default = str(keyword.default) if choices else keyword.default
    most = MOST if setting.budget and setting.at_most is None else setting.at_most
    named = "choice" if choices else "text" if kind is str else kind.__name__
    return replace(setting, name=keyword.name, kind=named, default=default, choices=choices, at_most=most)
