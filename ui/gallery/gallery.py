"""Original, attacked pictures and perturbations of several attacks in one grid, in the browser.

One slider moves all attacks along the gradients they have spent, or along the distance they went; one sets the gain of
all perturbations; zoom and pan are the same for all, down to single pixels, whose values are told. The server is asked
for nothing meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from jma_core.records import AttackResult, Trace
from lab.comparison import Contender, hits
from lab.request import Request
from models.encodings import Encoding
from ui.pixels.pixels import COLOURS, PICTURES, change, pictured, reduced, reduction
from ui.player.player import choose
from ui.shell.cached import fingerprint
from ui.shell.component import component

Floats = NDArray[np.floating]
FILM_BYTES = 6_000_000
"""What all frames may take together as they are sent."""
MOST_FRAMES = 12
"""Of one attack."""
LEVELS, COARSE = 127, 15
"""Of a change, on either side of none: of a result, and of the moments before it, which so take half the bytes."""

_component = component("jma_gallery", Path(__file__), PICTURES)


def hang(encoding: Encoding, names: Sequence[str], contenders: Sequence[Contender]) -> None:
    """Put the gallery of these attacks on the page."""
    _component(key="gallery", data=(gallery(encoding, names, contenders),))  # a tuple as in ui/player/player.py


def gallery(encoding: Encoding, names: Sequence[str], contenders: Sequence[Contender]) -> dict[str, Any]:
    """What the browser is sent of attacks on one picture.

    ``original`` is a picture, with what it ``reads`` as; of each of the ``attacks`` there are ``frames``, the last of
    them its result, their ``places`` on either axis, and its ``nearest`` hits. ``most`` is where each axis ends,
    ``gain`` is one that suits all, ``colours`` are those of darker, none and brighter, and ``version`` changes with all
    of it.
    """
    original = contenders[0].result
    room = FILM_BYTES // len(contenders)
    films = [frames(each.request, encoding, each.result, room) for each in contenders]
    where = [places(film) for film in films]
    attacks = [
        {"name": name, "frames": film, "places": each, "nearest": nearest(contender.result.trace)}
        for name, film, each, contender in zip(names, films, where, contenders, strict=True)
    ]
    strongest = max(film[-1]["scale"] for film in films)
    told = {
        "original": pictured(reduced(original.original)) | {"reads": encoding.names(original.decoded_before)},
        "attacks": attacks,
        "most": {axis: max(each[axis][-1][0] for each in where) for axis in ("spent", "distance")},
        "gain": float(np.clip(2 / strongest, 1, 1000)) if strongest else 1.0,
        "colours": COLOURS,
        "note": note(original.original),
    }
    return told | {"version": blake2b(repr(told).encode(), digest_size=12).hexdigest()}


@st.cache_resource(
    max_entries=32,
    show_spinner=False,
    hash_funcs={AttackResult: lambda result: fingerprint(result.image)},
)
def frames(request: Request, _encoding: Encoding, result: AttackResult, room: int) -> list[dict[str, Any]]:
    """The result of an attack, and before it as many of its moments as there is room for, in bytes."""
    original, spent = reduced(result.original), result.backward
    end = change(original, reduced(result.image), LEVELS) | told_of(spent, "result", result.distortion.l2)
    before = {step.number: step for step in result.steps if step.backward < spent}
    first = set(list(before)[:1])
    many = min(MOST_FRAMES, 2 * room // len(end["url"])) - 2
    moments = [before[number] for number in choose(before, first, set(), max(many, len(first)))]
    told = [
        change(original, reduced(step.image), COARSE) | told_of(step.backward, f"update {step.number}", step.l2)
        for step in moments
    ]
    reads = [_encoding.names(decoded) for decoded in (*(step.decoded for step in moments), result.decoded)]
    return [each | {"reads": said} for each, said in zip((*told, end), reads, strict=True)]


def told_of(spent: int, title: str, l2: float) -> dict[str, Any]:
    """What is said of a moment."""
    return {"spent": spent, "title": title, "l2": f"{l2:.3f}"}


def places(film: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, int]]]:
    """Where on either axis each frame of an attack takes over from the one before: (place, index), in order.

    Over the gradients ``spent`` that is when it was made. Over ``distance``, in thousandths of L2, an attack shows the
    farthest picture of its path that is not beyond, and its result as soon as that is not beyond: so nothing is larger
    than the slider says, whoever reads as wanted there does so within that distance, and both axes end at the results.
    """
    far = [(round(1000 * float(frame["l2"])), i) for i, frame in enumerate(film)]
    *path, end = far
    return {
        "spent": [(frame["spent"], i) for i, frame in enumerate(film)],
        "distance": [*sorted(each for each in path if each[0] < end[0]), end],
    }


def nearest(trace: Trace) -> list[tuple[int, str]]:
    """The chart's curve over the gradients: after how many the nearest hit so far has come nearer, and to which L2."""
    points = hits(trace)
    at = np.searchsorted(trace.forward + trace.backward, points[:, 0])
    return [(int(spent), f"{l2:.3f}") for spent, l2 in zip(trace.backward[at], points[:, 1], strict=True)]


def note(image: Floats) -> str:
    """What it is, if not the whole; how to look at it, and how exact it is."""
    how = (
        "Below each picture its perturbation, all at one gain. Over the gradients spent, each attack shows what it had "
        "come to by then; over the distance, the farthest picture of its path within it, and its result from the "
        "result's own L2 on. Point at a pixel for its values, from 0 to 255, and in brackets what was added to them, "
        f"rounded to {LEVELS} steps of the largest change (before the result to {COARSE})."
    )
    smaller = reduction(image)
    return f"{smaller} “Open in the lab” shows each pixel of one result. {how}" if smaller else how
