"""What an attack did, in plain sentences. Every number is counted or measured from its records. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jma_core.attacks.registry import Norm
from jma_core.records import AttackResult, Step
from lab.request import Canvas, Request
from models.cards import ModelSpec
from models.encodings import Prediction

Floats = NDArray[np.floating]
NAMED = 4
"""Constraints that a sentence names at most."""
DIGITS = {Norm.L2: ".3f", Norm.LINF: ".4f", Norm.L0: ".0f"}
ROWS, COLUMNS = ("upper", "middle", "lower"), ("left", "centre", "right")


def story(
    spec: ModelSpec, request: Request, original: Floats, steps: Sequence[Step], result: AttackResult | None = None
) -> list[str]:
    """Three to five sentences on an attack that has made a step, ended (``result``) or not.

    ``steps`` may be a part of them, evenly spread, with the first and the last. What their records do not hold, such as
    the linear prediction of an attack that makes none, is left out.
    """
    shown = result or steps[-1]
    sentences = [
        effort(steps, result),
        standing(spec, request, Prediction(shown.logits, shown.decoded), result),
        pull(spec.encoding.constraint_names(request.target), steps),
        surprise(steps),
        whereabouts(original, shown.image, request.canvas),
    ]
    return [sentence for sentence in sentences if sentence]


def effort(steps: Sequence[Step], result: AttackResult | None) -> str:
    """How much work it was."""
    last = steps[-1]
    counts = result or last
    return (
        f"{'It took' if result else 'So far it took'} {_count(last.iteration, 'iteration')} "
        f"({_count(last.number, 'update')}), "
        f"{_count(counts.backward, 'backward pass')} and {_count(counts.forward, 'forward pass')}."
    )


def standing(spec: ModelSpec, request: Request, seen: Prediction, result: AttackResult | None) -> str:
    """When the target was reached, or what is still missing."""
    encoding, kappa = spec.encoding, request.settings.kappa
    with_margin = f" with the margin of {kappa:g}" if kappa else ""
    if result and len(result.curve):
        (passes, first), (_, nearest) = result.curve[0], result.curve[-1]
        norm = request.settings.entry.norm
        return (
            f"The target was first reached{with_margin} after {_count(int(passes), 'backward pass')}, at {norm} "
            f"{first:{DIGITS[norm]}}; the nearest image found that holds it is at {norm} {nearest:{DIGITS[norm]}}."
        )
    which = "The image that came closest" if result else "The latest image"
    hit = encoding.meets(seen, request.target)
    state = f"{which} is {'' if hit else 'not '}read as wanted"
    values = encoding.margins(seen.logits, request.target) - kappa * encoding.linear
    if not np.isfinite(values).all():
        return f"{state}: not all of its logits are finite."
    missing = np.flatnonzero(values < 0)
    if not len(missing):
        short = kappa and result and not encoding.linear
        return f"{state}{f', but its linear constraints lack the margin of {kappa:g}' if short else ''}."
    constraints = encoding.constraint_names(request.target)
    worst = missing[np.argsort(values[missing], kind="stable")]
    named = _listed([f"{constraints[i]} by {-values[i]:.2g}" for i in worst])
    violated = f"{len(missing)} of {_count(len(values), 'constraint')}{with_margin * encoding.linear}"
    return f"{state}{', but' if hit else ':'} it violates {violated}, in {encoding.unit}: {named}."


def pull(constraints: Sequence[str], steps: Sequence[Step]) -> str:
    """Which constraints were active in the last linearised problem."""
    solved = [step for step in steps if len(step.active)]
    if not solved:
        return ""
    step = solved[-1]
    falling = np.argsort(-step.multipliers, kind="stable")
    hardest, *others = [f"{constraints[step.active[i]]} ({step.multipliers[i]:.2g})" for i in falling]
    active = f"In the last linearised problem {len(falling)} of {_count(len(constraints), 'constraint')}"
    if not others:
        return f"{active} was active, with its multiplier: {hardest}."
    return f"{active} were active; by their multipliers, {hardest} pulled hardest, then {_listed(others)}."


def surprise(steps: Sequence[Step]) -> str:
    """How far the linear prediction of the full step was off, at the first that was tried and at the last."""
    tried = [step for step in steps if np.isfinite(step.predicted).all() and np.isfinite(step.realised).all()]
    if not tried:
        return ""
    first, last = tried[0], tried[-1]
    sentence = (
        f"The linearised network expected the first full step to move logits by up to {_predicted(first)}; the network "
        f"itself was {_off(first)}"
    )
    if first.iteration == last.iteration:
        return f"{sentence}."
    return f"{sentence}. For the last step it expected up to {_predicted(last)}, and the network was {_off(last)}."


def _predicted(step: Step) -> str:
    return f"{np.abs(step.predicted).max():.2g}"


def _off(step: Step) -> str:
    error = np.abs(step.realised - step.predicted)
    return f"off by {error.max():.2g} at worst (median {np.median(error):.2g})"


def whereabouts(original: Floats, image: Floats, canvas: Canvas) -> str:
    """Where in the picture, both (C, H, W), most of the squared perturbation lies."""
    energy = ((image.astype(np.float64) - original) ** 2).sum(0)
    if not energy.any():
        return "This image is the original, unchanged."
    falling = np.cumsum(np.sort(energy, axis=None)[::-1])
    half = 1 + int(np.searchsorted(falling, falling[-1] / 2))
    only = "" if canvas.whole else f" (the attack could change {_percent(canvas.free(*energy.shape).mean())})"
    ninths = {
        f"{row} {column}": part.sum() / falling[-1]
        for row, band in zip(ROWS, np.array_split(energy, 3), strict=True)
        for column, part in zip(COLUMNS, np.array_split(band, 3, axis=1), strict=True)
    }
    most = max(ninths, key=ninths.__getitem__)
    return (
        f"Half of the squared perturbation lies in {_percent(half / energy.size)} of the pixels{only}. Of the "
        f"picture's ninths the {most} one holds the most: {_percent(ninths[most])}."
    )


def _listed(named: Sequence[str]) -> str:
    rest = [f"and {len(named) - NAMED} more"] if len(named) > NAMED else []
    return ", ".join([*named[:NAMED], *rest])


def _count(number: int, noun: str) -> str:
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{number} {noun if number == 1 else plural}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.2g} %"
