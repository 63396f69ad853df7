"""A comparison as one HTML file, made as a report of one attack is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from markupsafe import Markup

from lab.comparison import (
    COLUMNS,
    STAR,
    Contender,
    angles,
    approach,
    margins,
    table,
    telling,
    verdict,
    winners,
)
from lab.curves import Points
from lab.pictures import common_gain, perturbation_map, to_picture
from lab.report.charts import Curve, chart
from lab.report.report import POLICY, Figure, figure, of_request
from lab.report.templates import render
from models.cards import ModelSpec

PICTURE = 256
"""Pixels: the longer side of the pictures; larger ones are scaled down."""
BEST = Markup("<strong>{}{}</strong>")


def comparison_report(
    spec: ModelSpec,
    names: Sequence[str],
    contenders: Sequence[Contender],
    photo: str,
    versions: Mapping[str, str],
    link: str,
    at: datetime,
) -> str:
    """The HTML file of attacks on one photo.

    ``photo`` is the photo's credit, ``link`` the address at which the page Compare asks for the same, and ``at`` says
    when the report was made.
    """
    first, encoding = contenders[0], spec.encoding
    before, wanted = encoding.names(first.result.decoded_before), encoding.wish(first.request.target)
    settings = first.request.settings
    common = {"kappa": f"{settings.kappa:g}", "max seconds": f"{settings.max_seconds:g}"}
    gain = common_gain((each.result.original, each.result.image) for each in contenders)
    curves = {name: approach(each) for name, each in zip(names, contenders, strict=True)}
    return render(
        "comparison.html",
        policy=POLICY,
        title=f"Comparison: {before} → {wanted}",
        about=f"{spec.title} ({encoding.name}), {at:%Y-%m-%d %H:%M %Z}. Photo: {photo}.",
        before=before,
        wanted=wanted,
        verdict=verdict(spec, names, contenders),
        original=figure(to_picture(first.result.original), f"Original: {before}", PICTURE),
        pictures=[_pictures(spec, name, each, gain) for name, each in zip(names, contenders, strict=True)],
        gain=f"{gain:.0f}",
        head=["", *names],
        numbers=_numbers(spec, contenders),
        approach=_approach(curves),
        approach_note=_without(curves),
        **_margins(spec, contenders),
        angles=[
            [name, *("–" if np.isnan(each) else f"{each:.0f}" for each in row)]
            for name, row in zip(names, angles(contenders), strict=True)
        ],
        attacks=[_attack(name, each) for name, each in zip(names, contenders, strict=True)],
        facts=list({**of_request(spec, first.request), **common, **versions, "link": link}.items()),
    )


def _pictures(spec: ModelSpec, name: str, contender: Contender, gain: float) -> tuple[Figure, Figure]:
    """The attacked picture, and the perturbation."""
    result = contender.result
    signed, _ = perturbation_map(result.original, result.image, gain)
    said = f"{name}: L2 {result.distortion.l2:.3f}; reads as {spec.encoding.names(result.decoded)}"
    return figure(to_picture(result.image), said, PICTURE), figure(signed, f"{name}, perturbation", PICTURE)


def _numbers(spec: ModelSpec, contenders: Sequence[Contender]) -> list[list[str]]:
    """The table with a row for each measure, the best of each marked."""
    told = table(spec, contenders)
    reached = [bool(value) for value in told[COLUMNS[0]]]
    return [
        [
            column.title,
            *(
                BEST.format(column.written(value), STAR) if best else column.written(value)
                for value, best in zip(values, winners(column, values, reached), strict=True)
            ),
        ]
        for column, values in told.items()
    ]


def _approach(curves: Mapping[str, Points]) -> str:
    """How each came nearer; nothing if none has a hit."""
    lines = [Curve(name, f"c{i}", _stairs(points)) for i, (name, points) in enumerate(curves.items()) if len(points)]
    up = "L2 of the nearest hit"
    return chart("Nearest hit so far", "forward + backward passes", up, lines, log=True) if lines else ""


def _stairs(points: Points) -> Points:
    """A line that stays where it is until the next point."""
    return np.column_stack([np.repeat(points[:, 0], 2)[1:], np.repeat(points[:, 1], 2)[:-1]])


def _without(curves: Mapping[str, Points]) -> str:
    without = [name for name, points in curves.items() if not len(points)]
    return "Both axes are logarithmic." + (f" Without a hit: {', '.join(without)}." if without else "")


def _margins(spec: ModelSpec, contenders: Sequence[Contender]) -> dict[str, object]:
    """``margins``, a row for each label, and what is to be said of them, ``margins_note``."""
    values = margins(spec, contenders)
    labels = telling(values)
    few = f" The {len(labels)} of {values.shape[1]} that are nearest the border." * (len(labels) < values.shape[1])
    return {
        "margins": [[spec.encoding.labels[i], *(f"{each:.2f}" for each in values[:, i])] for i in labels],
        "margins_note": f"In {spec.encoding.unit}: above 0 where a label is as wanted.{few}",
    }


def _attack(name: str, contender: Contender) -> list[str]:
    """What an attack is, how it was set, and where it is from."""
    settings = contender.request.settings
    own = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in settings.own)
    return [name, f"{settings.entry.title}. {settings.entry.source}.", own or "none of its own"]
