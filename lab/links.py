"""The lab's address as a choice, and back: ``?model=scenes&photo=bridge&want=sky&want=water&step=0.1``. Needs no torch.

An address holds what differs from what the page proposes. ``want`` names the wanted class, or each wanted label, once
(``want=`` is none of them), all others being unwanted; with ``free=1`` only those count that ``want`` and ``not`` name.
Of a one-hot model several ``want`` name the first classes in order, or with ``order=any`` in any order.
``across`` and ``down`` are the part that may change, in per cent, or ``painted`` is, as ``lab.stencil`` writes it;
``period`` is that of the shortest waves, in pixels. A photo is a sample's name: an address cannot carry
the user's own, and nothing in it is ever taken for a path.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from typing import Any

from jma_core.attacks.registry import Setting, Value
from lab import stencil
from lab.comparison import MOST, attack_of, entries, first_attacks
from lab.markup import listed, plain, quoted
from lab.photos.samples import samples
from lab.request import (
    KAPPA_STEP,
    MAX_KAPPA,
    MAX_SECONDS,
    PERIODS,
    SIDE_STEP,
    Canvas,
    Choice,
    Request,
    Settings,
    offered,
)
from models.cards import ModelSpec
from models.encodings import Target
from models.registry import DEFAULT

Query = Mapping[str, list[str]]
"""An address's names, each with its values."""


def to_link(request: Request, spec: ModelSpec, proposed: Target) -> dict[str, list[str]]:
    """The query that restores a request. Of a photo that is no sample neither it nor its target can be told.

    Args:
        spec: the request's model.
        proposed: the target that the page would propose for its photo.
    """
    link = {"model": [request.model]} if request.model != DEFAULT else {}
    names = {digest: name for name, digest in sample_names(spec).items()}
    if request.photo in names:
        if request.photo != next(iter(names)):
            link["photo"] = [names[request.photo]]
        if request.target != proposed:
            link |= spec.encoding.to_link(request.target)
    asked, told = request.settings, request.settings.told()
    proposed_settings = Settings.of(asked.attack).told() | {"attack": Settings().attack}
    link |= {IN_LINKS.get(name, name): [_text(told[name])] for name in told if told[name] != proposed_settings[name]}
    if request.canvas.native:
        link["native"] = ["1"]
    if request.canvas.region:
        left, top, right, bottom = (round(100 * side) for side in request.canvas.region)
        link |= {"across": [f"{left}-{right}"], "down": [f"{top}-{bottom}"]}
    if request.canvas.painted:
        link["painted"] = [request.canvas.painted]
    if request.canvas.period:
        link["period"] = [_text(request.canvas.period)]
    return link


def from_link(query: Query, specs: Mapping[str, ModelSpec]) -> tuple[Choice, list[str]]:
    """What a query asks for, and for all of it that cannot be used, in Markdown, a sentence on what is shown instead.

    Args:
        specs: the models on offer, by name.
    """
    query = _translated(query)
    problems: list[str] = []

    def read(name: str, reader: Callable[[str], Any], expected: str, default: Any, instead: str) -> Any:
        if name not in query:
            return default
        try:
            (text,) = query[name]
            return reader(text)
        except (ValueError, KeyError):
            given = " and ".join(map(quoted, query[name][:3]))
            problems.append(f"**{name}** is {given}, where {expected} was expected. The page shows {instead}.")
            return default

    spec = read(
        "model", specs.__getitem__, f"one of {plain(', '.join(specs))}", specs[DEFAULT], plain(specs[DEFAULT].title)
    )
    photos, target = sample_names(spec), None
    photo = next(iter(photos.values()))
    if "model" not in query or query["model"] == [spec.name]:
        photo = read("photo", photos.__getitem__, f"one of {', '.join(photos)}", photo, next(iter(photos)))
        try:
            target = _target(query, spec)
        except ValueError as problem:
            problems.append(f"{problem} The page proposes a target instead.")
    elif query.keys() & {"photo", *TARGET}:
        problems.append("Its photo and its labels are left out as well.")
    first = Settings().attack
    known = offered(spec.encoding.asked(target))
    attack: str = read("attack", _within(str, known.__contains__), f"one of {', '.join(known)}", first, first)
    proposed = Settings.of(attack)
    own = {
        each.name: read(each.name, partial(_own, each), each.range, each.default, _text(each.default))
        for each in proposed.entry.settings
    }
    common = {
        field: read(name, reader, expected, getattr(proposed, field), _text(getattr(proposed, field)))
        for name, (field, reader, expected) in COMMON.items()
    }
    settings = Settings.of(attack, **common, **own)
    problems[:0] = unknown(query, [*ENTRIES, *own])
    native = read("native", {"1": True, "0": False}.__getitem__, "1 or 0", False, "the picture that the network sees")
    sides = [read(name, _side, SIDE, None, "all of that side") for name in ("across", "down")]
    (left, right), (top, bottom) = (side or (0.0, 1.0) for side in sides)
    painted = read("painted", _painted, stencil.EXPECTED, "", "no painted part")
    period = read("period", _within(float, PERIODS.__contains__), f"one of {PERIOD}", 0.0, "perturbations of any waves")
    try:
        canvas = Canvas(native, (left, top, right, bottom) if any(sides) else None, painted, period)
    except ValueError:
        problems.append("**painted** goes with none of across, down and period. The page shows the painted part.")
        canvas = Canvas(native, painted=painted)
    return Choice(spec.name, photo, target, settings, canvas), problems


def to_comparison(asked: Sequence[Request], spec: ModelSpec, proposed: Target) -> dict[str, list[str]]:
    """The query that restores a comparison of at least one attack: what is common to all, as in the lab's addresses,
    ``attacks`` by name, and of their own settings, as ``ddn.steps``, those that are not what the page begins with.
    Where an attack stands there twice, those of the second are called ``ddn-2.steps``."""
    common = asked[0].settings
    settings = Settings.of(kappa=common.kappa, max_seconds=common.max_seconds)
    link = to_link(replace(asked[0], settings=settings), spec, proposed)
    first, names = _first(spec, asked[0].target), [each.settings.attack for each in asked]
    if names != list(first):
        link[ATTACKS] = [",".join(names)]
    for entry, each in zip(entries(names), asked, strict=True):
        attack = each.settings.attack
        begun = dict(first.get(attack, Settings.of(attack)).own)
        link |= {f"{entry}.{name}": [_text(value)] for name, value in each.settings.own if value != begun[name]}
    return link


def from_comparison(query: Query, specs: Mapping[str, ModelSpec]) -> tuple[Choice, list[Settings], list[str]]:
    """What a query asks the page Compare for: the choice common to all, the attacks, and what of it cannot be used."""
    common = {name: values for name, values in query.items() if name in ENTRIES and name != "attack"}
    choice, problems = from_link(common, specs)
    spec = specs[choice.model]
    first, known = _first(spec, choice.target), offered(spec.encoding.asked(choice.target))
    named = query[ATTACKS][-1].split(",") if ATTACKS in query else list(first)
    fit = [name for name in named if name in known]
    chosen = fit[:MOST]
    if left := [name for name in named if name not in known] + fit[MOST:]:
        problems.append(f"**{ATTACKS}** names {_listed(left)}: up to {MOST} were expected of {', '.join(known)}.")
    asked: list[Settings] = []
    takes = [name for name in ENTRIES if name != "attack"] + [ATTACKS]
    for entry in entries(chosen):
        attack = attack_of(entry)
        begun = first.get(attack, Settings.of(attack))
        own = dict(begun.own)
        for setting in begun.entry.settings:
            takes.append(name := f"{entry}.{setting.name}")
            if name in query:
                try:
                    own[setting.name] = _own(setting, query[name][-1])
                except ValueError:
                    given = quoted(query[name][-1])
                    problems.append(f"**{plain(name)}** is {given}, where {setting.range} was expected.")
        settings = Settings(attack, tuple(own.items()), choice.settings.kappa, choice.settings.max_seconds)
        if settings in asked:
            problems.append(f"**{ATTACKS}** names {quoted(attack)} twice with equal settings: it stands there once.")
        else:
            asked.append(settings)
    return choice, asked, problems + unknown(query, takes)


def _first(spec: ModelSpec, target: Target | None) -> dict[str, Settings]:
    return {each.attack: each for each in first_attacks(spec.encoding.asked(target))}


@dataclass(frozen=True)
class View:
    """What the page Geometry shows of a logit space."""

    kind: str = "plane"
    """One of VIEWS."""
    logits: tuple[str, ...] = ()
    """The names of the two or three that are shown; none where the page proposes them."""
    point: tuple[float, float] | None = None
    """A target point of the user's own, in the coordinates of the view; None where the page proposes it."""


def to_geometry(link: Query, view: View) -> dict[str, list[str]]:
    """The query that restores a choice, which has that of the lab, and a view of its logit space."""
    told = {
        "view": [view.kind] * (view.kind != "plane"),
        "axis": list(view.logits),
        "at": [",".join(f"{each:.4g}" for each in view.point)] if view.point else [],
    }
    return dict(link) | {name: values for name, values in told.items() if values}


def from_geometry(query: Query, specs: Mapping[str, ModelSpec]) -> tuple[Choice, View, list[str]]:
    """What a query asks the page Geometry for: the choice, the view, and what of it cannot be used."""
    choice, problems = from_link({name: query[name] for name in query if name not in ("view", "axis", "at")}, specs)
    names, kind, point = specs[choice.model].encoding.logit_names, query.get("view", ["plane"])[-1], None
    if kind not in VIEWS:
        problems.append(f"**view** is {quoted(kind)}, where one of {', '.join(VIEWS)} was expected.")
        kind = "plane"
    asked = tuple(query.get("axis", ()))
    logits = asked if len(set(asked)) == VIEWS.get(kind) and {*asked} <= {*names} else ()
    if asked and not logits:
        problems.append(
            f"**axis** is {_listed([*asked])}, where {VIEWS[kind] or 'no'} different logits were expected of "
            f"{plain(listed(names))}."
        )
    if "at" in query:
        try:
            across, up = map(float, query["at"][-1].split(","))
            if not (isfinite(across) and isfinite(up)):
                raise ValueError("not finite")
            point = across, up
        except ValueError:
            problems.append(f"**at** is {quoted(query['at'][-1])}, where two numbers like 16.8,11 were expected.")
    return choice, View(kind, logits, point), problems


def read_step(query: Query, shown: int, last: int) -> tuple[int, list[str]]:
    """The step of the lecture, 1 to ``last``, that a query asks for, else the one shown; and what cannot be used of it.

    Of a number that is no step the nearest is taken, of anything else the first.
    """
    problems = unknown(query, (STEP,))
    if STEP not in query:
        return shown, problems
    given = query[STEP]
    try:
        (asked,) = map(int, given)
    except ValueError:
        asked = 0
    number = min(max(asked, 1), last)
    if number == asked:
        return number, problems
    named = " and ".join(map(quoted, given[:3]))
    problems.append(f"**{STEP}** is {named}, where a number from 1 to {last} was expected. The page shows {number}.")
    return number, problems


def unknown(query: Query, known: Collection[str]) -> list[str]:
    """Of what a page does not know in a query, a sentence in Markdown; none if it knows all."""
    strange = [name for name in query if name not in known]
    knows = f"knows {', '.join(known)}" if known else "takes nothing from its address"
    return [f"{_listed(strange)}: this page has nothing of this name. It {knows}."] if strange else []


def sample_names(spec: ModelSpec) -> dict[str, str]:
    """The digests of the sample photos of a model's kind by name; the one that the page shows first comes first."""
    return {photo.name.rpartition(".")[0]: digest for digest, photo in samples(spec.samples).items()}


def _listed(texts: list[str]) -> str:
    return listed([quoted(text) for text in texts], 5)


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else str(value).removesuffix(".0")


def _target(query: Query, spec: ModelSpec) -> Target | None:
    """The target that a query names; None if it names none. Raises ValueError, in Markdown, if there is none such."""
    if not query.keys() & set(TARGET):
        return None
    wanted, unwanted = ([] if given == [""] else given for given in (query.get("want", []), query.get("not", [])))
    if unknown := [name for name in (*wanted, *unwanted) if name not in spec.encoding.labels]:
        known = plain(listed(list(spec.encoding.labels), 24))
        raise ValueError(f"Not among the labels of {plain(spec.title)}: {_listed(unknown)}. It has {known}.")
    if (free := query.get("free", ["0"])) not in (["0"], ["1"]):
        raise ValueError(f"**free** is {' and '.join(map(quoted, free[:3]))}, where 1 or 0 was expected.")
    if (order := query.get("order", ["any"])) != ["any"]:
        raise ValueError(f"**order** is {' and '.join(map(quoted, order[:3]))}, where any was expected.")
    if both := sorted({*wanted} & {*unwanted}):
        raise ValueError(f"Both wanted and unwanted: {_listed(both)}.")
    return spec.encoding.from_link(wanted, unwanted, free=free == ["1"], any_order="order" in query)


def _within(kind: Callable[[str], Any], allowed: Callable[[Any], bool]) -> Callable[[str], Any]:
    """A reader of values of a kind. It raises ValueError for others, and for those that are not allowed."""

    def read(text: str) -> Any:
        value = kind(text)
        if not allowed(value):
            raise ValueError(text)
        return value

    return read


def _side(text: str) -> tuple[float, float]:
    """A side of a region, as ``25-75``. Raises ValueError for anything else."""
    first, last = (int(each) for each in text.split("-"))
    if not 0 <= first < last <= 100 or first % SIDE_STEP or last % SIDE_STEP:
        raise ValueError(text)
    return first / 100, last / 100


def _painted(text: str) -> str:
    """A painted part of at least one cell. Raises ValueError for anything else."""
    return Canvas(painted=text).painted


def _own(setting: Setting, text: str) -> Value:
    """The value of one of an attack's own settings. Raises ValueError for texts that are none."""
    kinds: dict[str, Callable[[str], Value]] = {"int": int, "float": float, "choice": str, "text": str}
    return setting.check(kinds[setting.kind](text))


def _translated(query: Query) -> Query:
    """A query as earlier versions wrote it, with the names of today: all attacks had ``level`` and ``iterations``."""
    if "level" not in query and "iterations" not in query:
        return query
    attack, most = query.get("level", [Settings().attack]), query.get("iterations", ["200"])
    budget = "steps" if attack == ["refined"] else "max_iter"
    rest = {name: values for name, values in query.items() if name not in ("level", "iterations")}
    return {"attack": attack, budget: most} | rest


COMMON: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "kappa": (
        "kappa",
        _within(float, lambda kappa: 0 <= kappa <= MAX_KAPPA and kappa % KAPPA_STEP == 0),
        f"a number from 0 to {MAX_KAPPA:g} in steps of {KAPPA_STEP:g}",
    ),
    "seconds": (
        "max_seconds",
        _within(float, lambda seconds: 1 <= seconds <= MAX_SECONDS),
        f"a number from 1 to {MAX_SECONDS:g}",
    ),
}
"""By its name in an address: the field of a setting that every attack has, how it is read, and what is expected."""
IN_LINKS = {field: name for name, (field, *_) in COMMON.items()}
PERIOD = ", ".join(f"{period:g}" for period in PERIODS)
SIDE = f"two per cents like 25-75, the smaller first, multiples of {SIDE_STEP} from 0 to 100,"
TARGET = ("want", "not", "free", "order")
ENTRIES = ("model", "photo", *TARGET, "attack", *COMMON, "native", "across", "down", "painted", "period")
"""The names that an address of the lab may hold, beside those of the attack's own settings."""
ATTACKS = "attacks"
"""What an address of the page Compare holds beside those, and names like ``ddn.steps`` and ``ddn-2.steps``."""
VIEWS = {"plane": 0, "two": 2, "three": 3}
"""What the page Geometry can show, and how many logits can be chosen for it."""
STEP = "step"
"""The one name that an address of the lecture may hold."""
