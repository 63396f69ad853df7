"""The lab's address as a choice, and back: ``?model=scenes&photo=bridge&want=sky&want=water&step=0.1``. Needs no torch.

An address holds what differs from what the page proposes. ``want`` names the wanted class, or each wanted label, once
(``want=`` is none of them), all others being unwanted; with ``free=1`` only those count that ``want`` and ``not`` name.
``across`` and ``down`` are the part that may change, in per cent. A photo is a sample's name: an address cannot carry
the user's own, and nothing in it is ever taken for a path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jma_core.records import FREE
from models.cards import Kind, ModelSpec
from models.registry import DEFAULT
from ui.readout import listed
from ui.request import (
    KAPPA_STEP,
    LEVELS,
    MAX_ITERATIONS,
    MAX_KAPPA,
    MAX_SECONDS,
    SIDE_STEP,
    STEPS,
    Canvas,
    Choice,
    Request,
    Settings,
    Target,
)
from ui.state import samples

Query = Mapping[str, list[str]]
"""An address's names, each with its values."""
LONGEST = 40
"""Characters of an address that are quoted in one go."""


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
            link |= _target_link(spec, request.target)
    for name, (field, *_) in SETTINGS.items():
        value = getattr(request.settings, field)
        if value != getattr(Settings(), field):
            link[name] = [_text(value)]
    if request.canvas.native:
        link["native"] = ["1"]
    if request.canvas.region:
        left, top, right, bottom = (round(100 * side) for side in request.canvas.region)
        link |= {"across": [f"{left}-{right}"], "down": [f"{top}-{bottom}"]}
    return link


def from_link(query: Query, specs: Mapping[str, ModelSpec]) -> tuple[Choice, list[str]]:
    """What a query asks for, and for all of it that cannot be used, in Markdown, a sentence on what is shown instead.

    Args:
        specs: the models on offer, by name.
    """
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

    if strange := [name for name in query if name not in ENTRIES]:
        problems.append(f"{_listed(strange)}: the lab has nothing of this name. It knows {', '.join(ENTRIES)}.")
    spec = read("model", specs.__getitem__, f"one of {', '.join(specs)}", specs[DEFAULT], specs[DEFAULT].title)
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
    default = Settings()
    settings = Settings(
        **{
            field: read(name, reader, expected, getattr(default, field), _text(getattr(default, field)))
            for name, (field, reader, expected) in SETTINGS.items()
        }
    )
    native = read("native", {"1": True, "0": False}.__getitem__, "1 or 0", False, "the picture that the network sees")
    sides = [read(name, _side, SIDE, None, "all of that side") for name in ("across", "down")]
    if not any(sides):
        return Choice(spec.name, photo, target, settings, Canvas(native)), problems
    (left, right), (top, bottom) = (side or (0.0, 1.0) for side in sides)
    return Choice(spec.name, photo, target, settings, Canvas(native, (left, top, right, bottom))), problems


def sample_names(spec: ModelSpec) -> dict[str, str]:
    """The digests of the sample photos of a model's kind by name; the one that the page shows first comes first."""
    return {photo.name.rpartition(".")[0]: digest for digest, photo in samples(spec.samples).items()}


def quoted(text: str) -> str:
    """A stranger's text for Markdown: short, on one line, and nothing in it acts."""
    plain = "".join(char if char.isprintable() else " " for char in text).replace("`", "'").strip()
    return f"`{plain[:LONGEST]}{'…' * (len(plain) > LONGEST)}`" if plain else "empty"


def _listed(texts: list[str]) -> str:
    return listed([quoted(text) for text in texts], 5)


def _text(value: str | float) -> str:
    return str(value).removesuffix(".0")


def _target_link(spec: ModelSpec, target: Target) -> dict[str, list[str]]:
    if not isinstance(target, tuple):
        return {"want": [spec.labels[target]]}
    named = {value: [name for name, each in zip(spec.labels, target, strict=True) if each == value] for value in (1, 0)}
    if FREE not in target:
        return {"want": named[1] or [""]}
    return {name: labels for name, labels in (("want", named[1]), ("not", named[0])) if labels} | {"free": ["1"]}


def _target(query: Query, spec: ModelSpec) -> Target | None:
    """The target that a query names; None if it names none. Raises ValueError, in a sentence, if there is none such."""
    if not query.keys() & set(TARGET):
        return None
    given = {name: query.get(name, []) for name in TARGET}
    wanted, unwanted = ([] if given[name] == [""] else given[name] for name in ("want", "not"))
    if unknown := [name for name in (*wanted, *unwanted) if name not in spec.labels]:
        known = listed(list(spec.labels), 24)
        raise ValueError(f"Not among the labels of {spec.title}: {_listed(unknown)}. It has {known}.")
    if spec.encoding is not Kind.MULTI_LABEL:
        if len(wanted) != 1 or unwanted or given["free"]:
            raise ValueError(
                f"For {spec.title} one **want** was expected, which names a class, and no **not** or **free**."
            )
        return spec.labels.index(wanted[0])
    if given["free"] not in ([], ["0"], ["1"]):
        raise ValueError(f"**free** is {' and '.join(map(quoted, given['free'][:3]))}, where 1 or 0 was expected.")
    if both := sorted({*wanted} & {*unwanted}):
        raise ValueError(f"Both wanted and unwanted: {_listed(both)}.")
    free = bool(unwanted) or given["free"] == ["1"]
    if free and not (wanted or unwanted):
        raise ValueError("With **free**, a label was expected in **want** or **not**.")
    if not free:
        return tuple(name in wanted for name in spec.labels)
    return tuple(1 if name in wanted else 0 if name in unwanted else FREE for name in spec.labels)


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


SETTINGS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "level": ("level", _within(str, LEVELS.__contains__), f"one of {', '.join(LEVELS)}"),
    "step": ("step", _within(float, STEPS.__contains__), f"one of {', '.join(map('{:g}'.format, STEPS))}"),
    "kappa": (
        "kappa",
        _within(float, lambda kappa: 0 <= kappa <= MAX_KAPPA and kappa % KAPPA_STEP == 0),
        f"a number from 0 to {MAX_KAPPA:g} in steps of {KAPPA_STEP:g}",
    ),
    "iterations": (
        "max_iter",
        _within(int, lambda count: 1 <= count <= MAX_ITERATIONS),
        f"a whole number from 1 to {MAX_ITERATIONS}",
    ),
    "seconds": (
        "max_seconds",
        _within(float, lambda seconds: 1 <= seconds <= MAX_SECONDS),
        f"a number from 1 to {MAX_SECONDS:g}",
    ),
}
"""By its name in an address: a setting's field, how it is read, and what is expected."""
SIDE = f"two per cents like 25-75, the smaller first, multiples of {SIDE_STEP} from 0 to 100,"
TARGET = ("want", "not", "free")
ENTRIES = ("model", "photo", *TARGET, *SETTINGS, "native", "across", "down")
"""The names that an address may hold."""
