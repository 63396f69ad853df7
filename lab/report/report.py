"""A finished attack as one HTML file: pictures, labels, curves and words, if asked for with the player in it.

It asks for nothing outside itself.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jma_core.records import AttackResult, Step
from lab.curves import curves, left_out
from lab.pictures import SMALL, data_url, perturbation_map, to_picture
from lab.report.charts import Curve, chart
from lab.report.templates import render
from lab.request import Request
from lab.story import story
from models.cards import ModelSpec
from models.encodings import Encoding, Target

SIDE = 512
"""Pixels: the longer side of the pictures; larger ones are scaled down."""
MOMENTS, MOMENT_SIDE = 6, 160
LABELS = 12
"""Rows of the table of labels, if no more of them matter."""
FAINT = 4
"""Constraints, those active last, whose margins are drawn beside the worst."""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Verdict:
    """What a network says of a file that is opened like any photo."""

    survives: bool
    """Whether the file is read as wanted."""
    reads: str
    """As what it is read, or why it cannot be opened."""
    margin: str = ""
    """The decoder's least margin, with its unit: above 0 where the file is read as wanted."""


@dataclass(frozen=True)
class Files:
    """An attack's end as a picture file."""

    end: AttackResult
    """On the grid of 8 bits: the nearest image found that is read as wanted, or else what came closest."""
    png: bytes
    about: str
    """What the file shows, and for whom it holds."""
    verdicts: Mapping[str, Verdict]
    """By kind of file."""


@dataclass(frozen=True)
class Player:
    """What moves: a component that shows an attack moment by moment, and all that it shows."""

    html: str
    css: str
    js: str
    """A module whose default export is the function ``mount``."""
    data: str
    """JSON, as its first data."""

    @property
    def given(self) -> str:
        """The data within a script element, which no text in it can end."""
        return self.data.replace("<", "\\u003c")

    @property
    def script(self) -> str:
        """The module and what mounts it, in one."""
        given = "data: [JSON.parse(document.getElementById('film').textContent)], parentElement: host.shadowRoot"
        mounted = f"mount({{ {given}, setStateValue: () => {{}}, setTriggerValue: () => {{}} }});"
        return "\n".join(
            [self.js.replace("export default ", ""), "const host = document.getElementById('player');", mounted]
        )

    @property
    def policy(self) -> str:
        """What lets this script run, and no other."""
        return f"script-src 'sha256-{base64.b64encode(sha256(self.script.encode()).digest()).decode()}'"


@dataclass(frozen=True)
class Figure:
    """A picture with its caption."""

    address: str
    """A data URL."""
    caption: str
    width: int
    height: int
    look: str
    """Its class: of a "small" one the pixels are seen; or "large"."""


def report(
    spec: ModelSpec,
    request: Request,
    result: AttackResult,
    files: Files,
    photo: str,
    facts: Mapping[str, Any],
    at: datetime,
    player: Player | None = None,
) -> str:
    """The HTML file of an attack that has made a step.

    ``photo`` is the photo's credit, ``facts`` are those of the JSON record, and ``at`` says when the report was made.
    With a ``player`` it holds that, and the one script that it takes; else none.
    """
    before, wanted = spec.encoding.names(result.decoded_before), spec.encoding.wish(request.target)
    labels, labels_note = _labels(spec.encoding, request.target, result)
    return render(
        "report.html",
        policy=f"{POLICY}; {player.policy}" if player else POLICY,
        player=player,
        title=f"Attack report: {before} → {wanted}",
        about=f"{spec.title} ({spec.encoding.name}), {at:%Y-%m-%d %H:%M %Z}. Photo: {photo}.",
        before=before,
        wanted=wanted,
        after=spec.encoding.names(result.decoded),
        outcome=f"The target was {'reached' if result.success else 'not reached'}. {result.besides}".strip(),
        pictures=_pictures(spec, request, result, files.end),
        story=story(spec, request, result.original, result.steps, result),
        way=_way(spec.encoding, request.target, result),
        labels=labels,
        labels_note=labels_note,
        **_curves(spec.encoding, request.target, result),
        measures=_measures(result, files.end),
        verdicts=[(file, "✓ yes" if v.survives else "✗ no", v.reads, v.margin) for file, v in files.verdicts.items()],
        files=files.about,
        facts=list(_facts(spec, request, facts).items()),
    )


def _pictures(spec: ModelSpec, request: Request, result: AttackResult, end: AttackResult) -> list[Figure]:
    signed, gain = perturbation_map(result.original, result.image)
    which = "Attacked, as saved in 8 bits" if request.canvas.native else "Attacked, as the network sees it in 8 bits"
    return [
        figure(to_picture(result.original), f"Original: {spec.encoding.names(result.decoded_before)}"),
        figure(to_picture(end.image), f"{which}: {spec.encoding.names(end.decoded)}"),
        figure(signed, f"Perturbation, in full precision: × {gain:.0f}, blue darker, orange brighter"),
    ]


def _way(encoding: Encoding, target: Target, result: AttackResult) -> list[tuple[Figure, Figure]]:
    """Updates evenly spread over the attack: the picture and the perturbation after each."""
    _, gain = perturbation_map(result.original, result.image)
    chosen = sorted({round(i) for i in np.linspace(0, len(result.steps) - 1, MOMENTS)})
    return [_moment(encoding, target, result.original, result.steps[i], gain) for i in chosen]


def _moment(
    encoding: Encoding, target: Target, original: NDArray[np.floating], step: Step, gain: float
) -> tuple[Figure, Figure]:
    signed, _ = perturbation_map(original, step.image, gain)
    worst = encoding.margins(step.logits, target).min()
    said = f"Update {step.number}: L2 {step.l2:.3f}, worst margin {worst:.3g} ({encoding.unit})"
    return (
        figure(to_picture(step.image), f"{said}; reads as {encoding.names(step.decoded)}", MOMENT_SIDE),
        figure(signed, f"its perturbation × {gain:.0f}", MOMENT_SIDE),
    )


def figure(picture: NDArray[np.uint8], caption: str, side: int = SIDE) -> Figure:
    """A picture (H, W, 3), scaled down if a side is longer."""
    image = Image.fromarray(picture)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    if image.size != (full := picture.shape[1::-1]) and side == SIDE:
        caption += f" (scaled down from {full[0]} × {full[1]} pixels)"
    return Figure(data_url(image), caption, *image.size, look="small" if max(full) < SMALL // 2 else "large")


def _labels(encoding: Encoding, target: Target, result: AttackResult) -> tuple[list[list[str]], str]:
    """Labels that are wanted or read, or were; then those that the model is surest of. And how to read the table."""
    before, after = encoding.confidences(result.logits_before), encoding.confidences(result.logits)
    was, reads = encoding.present(result.decoded_before), encoding.present(result.decoded)
    wanted = encoding.wishes_in_words(target)
    matter = dict.fromkeys([*np.flatnonzero(encoding.wishes(target) == 1).tolist(), *reads, *was])
    surest = np.argsort(-np.maximum(before, after), kind="stable")[:LABELS].tolist()
    shown = list(matter | dict.fromkeys(surest))[: max(LABELS, len(matter))]

    def seen(sure: float, read: bool) -> str:
        return f"{'✓ ' if read else ''}{100 * sure:.1f} %"

    rows = [[encoding.labels[i], seen(before[i], i in was), wanted[i], seen(after[i], i in reads)] for i in shown]
    left = len(encoding.labels) - len(shown)
    note = f"✓: read so. Per cent: {encoding.sureness}." + (f" {left} other labels are not shown." if left else "")
    return rows, note


def _curves(encoding: Encoding, target: Target, result: AttackResult) -> dict[str, str]:
    """Two charts, ``margins`` and ``norms``, and what is to be said of them, ``curves_note``."""
    drawn = curves(encoding, target, result.logits_before, result.trace, result.steps, FAINT)
    end = drawn.worst[-1, 0]
    faint = zip(["active last", *[""] * FAINT], drawn.active.values(), strict=False)
    margin_lines = [
        *(Curve(name, "faint", points) for name, points in faint),
        Curve("read as wanted above", "second", np.array([[0.0, 0.0], [end, 0.0]])),
        Curve("worst margin", "main", drawn.worst),
    ]
    predicted = [Curve("full step still predicted", "second", drawn.predicted)] if len(drawn.predicted) else []
    norms = [*predicted, Curve("distance from the original", "main", drawn.distance)]
    active = [f"Active last: {', '.join(drawn.active)}."] if drawn.active else []
    return {
        "margins": chart("Margins of the target", "update", encoding.unit, margin_lines),
        "norms": chart("Size of the perturbation", "update", "L2, pixels in [0, 1]", norms),
        "curves_note": " ".join(filter(None, [*active, left_out(result.trace, result.steps)])),
    }


def _measures(result: AttackResult, end: AttackResult) -> list[list[str]]:
    ends = result.distortion, end.distortion
    return [
        ["L2", *(f"{size.l2:.4f}" for size in ends)],
        ["L∞", *(f"{size.linf:.4f} ({255 * size.linf:.1f} / 255)" for size in ends)],
        ["L0", *(f"{size.l0} of {result.original.size} values" for size in ends)],
        ["MSE", *(f"{size.mse:.2e}" for size in ends)],
        ["PSNR", *(f"{size.psnr:.1f} dB" for size in ends)],
        ["SSIM", *(f"{size.ssim:.4f}" for size in ends)],
    ]


def of_request(spec: ModelSpec, request: Request) -> dict[str, str]:
    """What an attack was made of, its settings aside, in words."""
    return {
        "model": f"{spec.title} ({request.model})",
        "weights": f"sha256 {spec.sha256}" if spec.sha256 else "digest not stated",
        "photo": f"sha256 {request.photo}",
        "attacked": "the photo at its own size" if request.canvas.native else "the picture that the network sees",
        "may change": request.canvas.told,
    }


def _facts(spec: ModelSpec, request: Request, facts: Mapping[str, Any]) -> dict[str, str]:
    return {
        **of_request(spec, request),
        **{key.replace("_", " "): str(value) for key, value in request.settings.told().items()},
        "ended": facts["reason"],
        "updates": str(facts["n_it"]),
        "passes": f"{facts['forward']} forward, {facts['backward']} backward",
        "seconds": str(facts["seconds"]),
        **facts["versions"],
    }
