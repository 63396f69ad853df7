"""A finished attack as one HTML file: pictures, labels, curves and words. It holds no script and asks for nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jma_core.records import FREE, AttackResult, Step
from models.cards import Kind, ModelSpec
from ui.charts import Curve, chart
from ui.images import SMALL, data_url, perturbation_map, to_picture
from ui.markup import Markup, join, tag
from ui.readout import confidences, constraint_names, names, present, wish, wishes
from ui.request import Request, Target
from ui.story import story

Verdicts = Mapping[str, tuple[bool, str]]
"""For each kind of file: whether it is read as wanted when opened again, and as what it is read."""
SIDE = 512
"""Pixels: the longer side of the pictures; larger ones are scaled down."""
FRAMES, FRAME_SIDE = 6, 160
LABELS = 12
"""Rows of the table of labels, if no more of them matter."""
FAINT = 4
"""Constraints, those active last, whose margins are drawn beside the worst."""
STYLE = Markup(Path(__file__).with_suffix(".css").read_text())
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def report(
    spec: ModelSpec,
    request: Request,
    result: AttackResult,
    saved: AttackResult,
    verdicts: Verdicts,
    photo: str,
    facts: Mapping[str, Any],
    at: datetime,
) -> str:
    """The HTML file of an attack that has made a step.

    ``saved`` is its end in 8 bits and ``verdicts`` what became of its files, ``photo`` is the photo's credit, ``facts``
    are those of the JSON record, and ``at`` says when the report was made.
    """
    wanted = wish(spec, request.target)
    title = f"Attack report: {names(spec, result.decoded_before)} → {wanted}"
    body = tag(
        "main",
        tag("h1", title),
        tag("p", f"{spec.title} ({spec.encoding}), {at:%Y-%m-%d %H:%M %Z}. Photo: {photo}.", class_="soft"),
        _outcome(spec, result, wanted),
        _pictures(spec, result, saved),
        tag("h2", "What happened"),
        tag("ul", *(tag("li", said) for said in story(spec, request, result.original, result.steps, result))),
        tag("h2", "On the way"),
        _way(spec, result),
        tag("h2", "Labels"),
        _labels(spec, request.target, result),
        tag("h2", "Curves"),
        _curves(constraint_names(spec, request.target), result),
        tag("h2", "Measures"),
        _measures(result, saved),
        tag("h2", "When opened again"),
        _verdicts(verdicts),
        tag("h2", "Settings and versions"),
        _facts(spec, facts),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", STYLE),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', body), lang='en')}\n"


def _outcome(spec: ModelSpec, result: AttackResult, wanted: str) -> Markup:
    before, after = names(spec, result.decoded_before), names(spec, result.decoded)
    verdict = "The target was reached." if result.success else f"The target was not reached. {result.detail}"
    said = [("Read as ", before), (". Wanted: ", wanted), (". Reads as ", after)]
    return tag("p", *(join(text, tag("strong", name)) for text, name in said), f" now. {verdict}")


def _pictures(spec: ModelSpec, result: AttackResult, saved: AttackResult) -> Markup:
    signed, gain = perturbation_map(result.original, result.image)
    return tag(
        "div",
        _figure(to_picture(result.original), f"Original: {names(spec, result.decoded_before)}"),
        _figure(to_picture(saved.image), f"Attacked, as saved in 8 bits: {names(spec, saved.decoded)}"),
        _figure(signed, f"Perturbation, in full precision: × {gain:.0f}, blue darker, orange brighter"),
        class_="row",
    )


def _way(spec: ModelSpec, result: AttackResult) -> Markup:
    _, gain = perturbation_map(result.original, result.image)
    chosen = sorted({round(i) for i in np.linspace(0, len(result.steps) - 1, FRAMES)})
    return tag("div", *(_frame(spec, result.original, result.steps[i], gain) for i in chosen), class_="row way")


def _frame(spec: ModelSpec, original: NDArray[np.floating], step: Step, gain: float) -> Markup:
    signed, _ = perturbation_map(original, step.image, gain)
    said = f"Iteration {step.iteration}: L2 {step.l2:.3f}, worst margin {step.values.min():.3g}"
    return tag(
        "div",
        _figure(to_picture(step.image), f"{said}; reads as {names(spec, step.decoded)}", FRAME_SIDE),
        _figure(signed, f"its perturbation × {gain:.0f}", FRAME_SIDE),
    )


def _figure(picture: NDArray[np.uint8], caption: str, side: int = SIDE) -> Markup:
    """A picture (H, W, 3), scaled down if a side is longer, as a data URL."""
    image = Image.fromarray(picture)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    if image.size != (full := picture.shape[1::-1]) and side == SIDE:
        caption += f" (scaled down from {full[0]} × {full[1]} pixels)"
    shown = tag("img", src=data_url(image), alt=caption, width=image.width, height=image.height)
    return tag("figure", shown, tag("figcaption", caption), class_="small" if max(full) < SMALL // 2 else "large")


def _labels(spec: ModelSpec, target: Target, result: AttackResult) -> Markup:
    """Labels that are wanted or read, or were; then those that the model is surest of."""
    before, after = confidences(spec, result.logits_before), confidences(spec, result.logits)
    was, reads = present(result.decoded_before), present(result.decoded)
    asked = present(np.array(target))
    told = {1: "present", 0: "absent", FREE: "either"} if isinstance(target, tuple) else {1: "wanted", 0: ""}
    wanted = [told[each] for each in wishes(spec, target).tolist()]
    matter = dict.fromkeys([*asked, *reads, *was])
    surest = np.argsort(-np.maximum(before, after), kind="stable")[:LABELS].tolist()
    shown = list(matter | dict.fromkeys(surest))[: max(LABELS, len(matter))]

    def seen(sure: float, read: bool) -> str:
        return f"{'✓ ' if read else ''}{100 * sure:.1f} %"

    rows = [[spec.labels[i], seen(before[i], i in was), wanted[i], seen(after[i], i in reads)] for i in shown]
    left = len(spec.labels) - len(shown)
    sure = "share of the positive correlations with codewords" if spec.encoding is Kind.ECOC else "confidence"
    note = f"✓: read so. Per cent: {sure}." + (f" {left} other labels are not shown." if left else "")
    return join(_table(["label", "before", "wanted", "after"], rows), tag("p", note, class_="soft"))


def _curves(constraints: Sequence[str], result: AttackResult) -> Markup:
    steps = result.steps
    across = "update" if len(steps) >= result.n_it else f"updates, {len(steps)} of {result.n_it} kept"
    recent = list(dict.fromkeys(int(i) for step in reversed(steps) for i in step.active))[:FAINT]
    faint = ["active last", *[""] * FAINT]
    margins = [
        *(Curve(faint[k], "faint", _over(steps, lambda s, i=i: s.values[i])) for k, i in enumerate(recent)),
        Curve("target region above", "second", [(0, 0.0), (len(steps), 0.0)]),
        Curve("worst constraint", "main", _over(steps, lambda s: s.values.min())),
    ]
    norms = [
        Curve("full step still predicted", "second", _over(steps, lambda s: s.full_length)),
        Curve("distance from the original", "main", [(0, 0.0), *_over(steps, lambda s: s.l2)]),
    ]
    charts = tag(
        "div",
        chart("Margins of the target", across, "logits", margins),
        chart("Size of the perturbation", across, "L2, pixels in [0, 1]", norms),
        class_="row charts",
    )
    note = f"Active last: {', '.join(constraints[i] for i in recent)}." if recent else ""
    return join(charts, tag("p", note, class_="soft"))


def _over(steps: Sequence[Step], value: Callable[[Step], float]) -> list[tuple[float, float]]:
    return [(update, float(value(step))) for update, step in enumerate(steps, start=1)]


def _measures(result: AttackResult, saved: AttackResult) -> Markup:
    ends = result.distortion, saved.distortion
    rows = [
        ["L2", *(f"{size.l2:.4f}" for size in ends)],
        ["L∞", *(f"{size.linf:.4f} ({255 * size.linf:.1f} / 255)" for size in ends)],
        ["MSE", *(f"{size.mse:.2e}" for size in ends)],
        ["PSNR", *(f"{size.psnr:.1f} dB" for size in ends)],
        ["SSIM", *(f"{size.ssim:.4f}" for size in ends)],
    ]
    return join(
        _table(["", "full precision", "saved in 8 bits"], rows),
        tag("p", "Pixels run from 0 to 1.", class_="soft"),
    )


def _verdicts(verdicts: Verdicts) -> Markup:
    rows = [[file, "✓ yes" if survives else "✗ no", seen] for file, (survives, seen) in verdicts.items()]
    return _table(["file", "read as wanted", "reads as"], rows)


def _facts(spec: ModelSpec, facts: Mapping[str, Any]) -> Markup:
    asked = facts["request"]
    native, region = asked["canvas"]["native"], asked["canvas"]["region"]
    rows = {
        "model": f"{spec.title} ({asked['model']})",
        "weights": f"sha256 {facts['weights_sha256']}" if facts["weights_sha256"] else "digest not stated",
        "photo": f"sha256 {asked['photo']}",
        "attacked": "the photo at its own size" if native else "the picture that the network sees",
        "may change": "all pixels" if region is None else "left, top, right, bottom " + ", ".join(map(str, region)),
        **{key.replace("_", " "): str(value) for key, value in asked["settings"].items()},
        "ended": facts["reason"],
        "updates": str(facts["n_it"]),
        "passes": f"{facts['forward']} forward, {facts['backward']} backward",
        "seconds": str(facts["seconds"]),
        **facts["versions"],
    }
    return _table(["", ""], list(rows.items()))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    first = tag("thead", tag("tr", *(tag("th", text, scope="col") for text in head))) if any(head) else Markup()
    body = (tag("tr", tag("th", name, scope="row"), *(tag("td", text) for text in rest)) for name, *rest in rows)
    return tag("table", first, tag("tbody", *body))
