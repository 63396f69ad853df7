"""An attack as something to run again: a program in Python, and a plan for the command line. Needs no torch."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

from jma_core.records import FREE
from lab.markup import one_line
from lab.request import Canvas, Request
from lab.sweep.plan import GIVEN
from models.cards import ModelSpec

PROGRAM = """\
# {wish}: {title}, as JMA Lab ran it. Run it in the project's folder.
from pathlib import Path

{imports}
from lab.photos.uploads import read_photo
from models.loaders import load, to_tensor
from models.registry import MODELS

loaded = load(MODELS[{model!r}])
photo = read_photo(Path({photo!r}).read_bytes(), "photo").image
{lines}
print(result.detail)
print(f"It reads as {{loaded.spec.encoding.names(result.decoded)}}, at L2 {{result.distortion.l2:.6f}}")
"""


def program(spec: ModelSpec, request: Request, photo: PurePosixPath) -> str:
    """A program that repeats an attack on a model that ships, in the project's folder, and prints how far it went.

    ``photo`` is the photo's file. Where more than the network and the picture goes into the attack, as a part of it
    that may change, the program has the whole request.
    """
    whole = request.canvas == Canvas() and not request.settings.entry.needs
    imports, lines = _called(request) if whole else _launched(request)
    return PROGRAM.format(
        wish=one_line(spec.encoding.wish(request.target)),
        title=request.settings.entry.title,
        imports="\n".join(imports),
        model=request.model,
        photo=photo.as_posix(),
        lines="\n".join(lines),
    )


def _called(request: Request) -> tuple[list[str], list[str]]:
    """Imports and lines that call the attack itself."""
    settings = request.settings
    given = dict(settings.own) | {"kappa": settings.kappa, "max_seconds": settings.max_seconds}
    return [f"from jma_core import {settings.entry.function}, run"], [
        "x = to_tensor(loaded.spec.preprocessing(photo))",
        f"target = {request.target!r}",
        f"result = run({settings.entry.function}(",
        "    loaded.network, x, loaded.encoding, target,",
        *(f"    {name}={value!r}," for name, value in given.items()),
        "))",
    ]


def _launched(request: Request) -> tuple[list[str], list[str]]:
    """Imports and lines that leave to the lab what it makes of a request."""
    picture = "np.asarray(shrunk(photo)[0])" if request.canvas.native else "loaded.spec.preprocessing(photo)"
    return [
        "import numpy as np",
        "",
        "from jma_core import run",
        "from lab.request import Canvas, Request, Settings",
        "from lab.runs.launch import launch",
        "from models.photos import shrunk",
    ], [f"request = {request!r}", f"picture = {picture}", "result = run(launch(request, loaded, picture))"]


def plan(spec: ModelSpec, request: Request, photo: PurePosixPath) -> str | None:
    """A plan of a sweep with this one attack; None where plans have no words for the target, or for what may change.

    A ``photo`` in a folder is one of the samples, one without is to lie where the sweep is run.
    """
    floating = spec.encoding.several and FREE in spec.encoding.wishes(request.target)
    wish = spec.encoding.to_link(request.target)
    if request.canvas != Canvas() or floating or "order" in wish:
        return None
    labels = ", ".join(_toml(label) for label in wish["want"] if label)
    place = f"samples = {_toml(photo.parent.name)}" if len(photo.parts) > 1 else 'folder = "."'
    attack = "\n".join(f"{name} = {_toml(value)}" for name, value in request.settings.told().items())
    return f"""\
# python -m lab.sweep run plan.toml --out sweep
models = [{_toml(request.model)}]

[pictures]
{place}

[[targets]]
rule = {_toml(GIVEN)}
labels = {{{_toml(photo.name)} = [{labels}]}}

[[attacks]]
{attack}
"""


def _toml(value: str | float) -> str:
    return json.dumps(value, ensure_ascii=False)
