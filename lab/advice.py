"""What to try after an attack has ended: other requests, each by what a button says of it. Needs no torch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jma_core.records import AttackResult, StopReason
from lab.markup import listed
from lab.request import Request, Settings, offered
from models.cards import ModelSpec
from models.encodings import Prediction

CLOSEST = "refined"
"""The attack that ends closest to the original."""
INSTEAD = {CLOSEST: "the refined attack", "boxed": "JMA within the range of pixels", "ddn": "DDN"}
"""Attacks to try after another one has failed, the first that was not it; and what a button calls them."""
NAMED = 2
"""Constraints that are named."""
LARGER = 2.5
"""Times the step length."""
SHORT = StopReason.ITERATIONS, StopReason.TIME
"""Why an attack ends that larger steps may have brought there."""


def after(spec: ModelSpec, request: Request, result: AttackResult) -> dict[str, Request]:
    """What comes next: after a success what may end closer, else what asks for less, or goes about it otherwise."""
    if not result.success:
        return easier(spec, request, result) | longer_steps(request, result) | otherwise(spec, request, result)
    return {} if request.settings.attack == CLOSEST else {"Go closer": _by(request, CLOSEST)}


def easier(spec: ModelSpec, request: Request, result: AttackResult) -> dict[str, Request]:
    """Requests of the same attack whose targets ask for less."""
    before = Prediction(result.logits_before, result.decoded_before)
    targets = spec.encoding.easier(request.target, before, result.logits)
    return {said: replace(request, target=target) for said, target in targets.items()}


def longer_steps(request: Request, result: AttackResult) -> dict[str, Request]:
    """The same with longer steps, if it has steps and ran out of them or of time."""
    own = dict(request.settings.own)
    if "step" not in own or result.reason not in SHORT:
        return {}
    own["step"] = LARGER * float(own["step"])
    settings = replace(request.settings, own=tuple(own.items()))
    return {f"Take steps of {own['step']:g}": replace(request, settings=settings)}


def otherwise(spec: ModelSpec, request: Request, result: AttackResult) -> dict[str, Request]:
    """The same by another attack. One that was held up by the range of pixels gets one that reckons with it."""
    first = ["boxed"] if result.reason == StopReason.STALLED else []
    known = offered(spec.encoding.asked(request.target))
    others = (_by(request, each) for each in [*first, *INSTEAD] if each != request.settings.attack and each in known)
    asked = next(each for each in others if not each.refused)
    return {f"Try {INSTEAD[asked.settings.attack]}": asked}


def held_up(spec: ModelSpec, request: Request, result: AttackResult) -> str:
    """Which of the decoder's constraints an attack has missed, the hardest first, in a sentence; empty if none."""
    margins, names = (
        spec.encoding.margins(result.logits, request.target),
        spec.encoding.constraint_names(request.target),
    )
    missed = [int(i) for i in np.argsort(margins, kind="stable") if margins[i] <= 0]
    if not missed:
        return ""
    told = [f"{names[i]} ({-margins[i]:.2g} short)" for i in missed]
    return f"Held up by {listed(told, NAMED)}, in {spec.encoding.unit}."


def _by(request: Request, attack: str) -> Request:
    asked = request.settings
    return replace(request, settings=Settings.of(attack, kappa=asked.kappa, max_seconds=asked.max_seconds))
