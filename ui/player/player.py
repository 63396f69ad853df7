"""The player of the attack lab: pictures and labels of one attack, moment by moment, in the browser.

Python sends a list of moments, and what each shows as a parcel under its digest. The browser keeps the parcels that it
got, so that each is sent once; it plays without the server, and tells it at which update it has come to rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from jma_core.records import FREE
from lab.archive import for_json
from lab.pictures import signed_change
from lab.report.report import Player
from lab.runs.attack_run import AttackRun
from models.encodings import Encoding, Prediction, Target
from ui.brush.brush import BRUSH, offered, take
from ui.pixels.pixels import COLOURS, PICTURES, change, pictured, reduced, reduction
from ui.player.moments import Moment, best_update, moments_of
from ui.shell.component import component, sources
from ui.shell.session import session

Floats = NDArray[np.floating]
Parcels = dict[str, dict[str, Any]]
MOMENTS = 24
"""Moments of one attack that the player shows at most."""
FILM_BYTES = 3_000_000
"""What they may take together as they are sent; of large pictures there are fewer."""
LEVELS, PULLED = 63, 31
"""Of a change, on either side of none, and of a gradient, which is looked at and not read."""
PACE = 1.25
"""While an attack runs, its picture is sent anew when it has made so many times as many updates."""
OUTCOMES = {
    "f": "✓ flipped as asked",
    "n": "… not yet",
    "c": "✗ collateral",
    "k": "kept",
    "r": "not read",
    "e": "free",
    "d": "free, changed",
}
"""What became of a label, by the letter that says so in a parcel."""
ZOOM = " Zoom in to see those, and to read their values."
KEY = "player"


_component = component("jma_player", Path(__file__), PICTURES, BRUSH)


class Film:
    """What was made of the moments of one attack for the player: each parcel once, however often the page is drawn."""

    def __init__(self) -> None:
        self._parcels: dict[int, tuple[str, dict[str, Any]]] = {}
        self._picture: dict[str, Any] = {}
        self._whole: dict[str, Any] = {}
        self._close: tuple[dict[str, Any], Parcels] = {}, {}
        self._picked: set[int] = set()
        self._live = False
        self._id = self._version = ""

    def data(
        self, encoding: Encoding, target: Target, moments: list[Moment], best: int, *, live: bool, ended: bool
    ) -> tuple[dict[str, Any], Parcels]:
        """What the player shows: ``film``, ``shown``, ``labels``, ``note``, ...; and every parcel that it names.

        ``film`` lists the chosen moments in order, each with its ``update``, ``title`` and ``parcel``: the original,
        the newest and ``best``, and others spread evenly, at most MOMENTS and about FILM_BYTES. While the attack is
        ``live`` there are those only that have been chosen so far, the newest in steps that grow by PACE.
        ``lead`` is the update to begin with, and where those are taken who follow the attack; ``shown`` is where the
        page is. ``version`` changes with all that is shown; ``id`` stays while an attack is live and when it halts, so
        that who looks at an earlier update meanwhile is left there.
        """
        at = {moment.update: moment for moment in moments}
        newest = moments[-1].update
        known = sorted(self._picked & at.keys())
        if not live or newest >= PACE * max(known, default=0):
            known.append(newest)
        must = {0, known[-1]} if live else {0, newest, best}
        parcels = {update: self._parcel(encoding, target, moments[0], at[update]) for update in must}
        largest = max(len(json.dumps(parcel)) for _, parcel in parcels.values())
        room = max(len(must), min(MOMENTS, FILM_BYTES // largest))
        chosen = choose(() if live else at, must, set(known), room)
        self._picked |= set(chosen)
        film, gains = [], []
        sent = {_digest(parcel): parcel for parcel in (self._original(moments[0]), _labels(encoding, target))}
        original, labels = sent
        for update in chosen:
            digest, parcel = self._parcel(encoding, target, moments[0], at[update])
            title = at[update].title + " (result)" * (ended and update == best)
            film.append({"update": update, "title": title, "parcel": digest})
            gains += [parcel["gain"]] if parcel["change"] else []
            sent[digest] = parcel
        told = {
            "film": film,
            "original": original,
            "labels": labels,
            "gain": min(gains, default=1.0),
            "colours": COLOURS,
            "note": reduction(moments[0].image),
            "live": live,
        }
        version = _digest(told)
        if version != self._version and not self._live:
            self._id = token_hex(8) if live else version
        self._version, self._live = version, live
        lead = known[-1] if live else best
        return told | {"id": self._id, "version": version, "lead": lead, "shown": lead}, sent

    def close(self, original: Moment, moment: Moment) -> tuple[dict[str, Any], Parcels]:
        """A large picture for who looks close, which is not reduced: ``original`` and ``moment`` of an ``update``."""
        if self._close[0].get("update") != moment.update:
            self._whole = self._whole or pictured(original.image)
            parts = self._whole, _drawn(original.image, moment.image, moment.gradient)
            parcels = {_digest(each): each for each in parts}
            self._close = dict(zip(("original", "moment"), parcels, strict=True)) | {"update": moment.update}, parcels
        return self._close

    def _original(self, original: Moment) -> dict[str, Any]:
        self._picture = self._picture or pictured(reduced(original.image))
        return self._picture

    def _parcel(
        self, encoding: Encoding, target: Target, original: Moment, moment: Moment
    ) -> tuple[str, dict[str, Any]]:
        """One moment, and its digest. A target and an original never change within an attack."""
        if moment.update not in self._parcels:
            parcel = parcel_of(encoding, target, original, moment)
            self._parcels[moment.update] = _digest(parcel), parcel
        return self._parcels[moment.update]


_films: WeakKeyDictionary[AttackRun, Film] = WeakKeyDictionary()


def play(
    encoding: Encoding,
    target: Target,
    run: AttackRun | None,
    moments: list[Moment],
    best: int,
    painted: str | None = None,
) -> Moment:
    """Put the player on the page. Gives the moment at which it rests, for what else the page shows of it.

    The part that is ``painted`` of the original, "" if none is, may be painted anew unless that is None.
    """
    film = _films.setdefault(run, Film()) if run else Film()
    busy, ended = bool(run and run.busy), bool(run and run.ended)
    data, parcels = film.data(encoding, target, moments, best, live=busy, ended=ended)
    told = st.session_state.get(KEY, {})
    at = told.get("at") or {}
    if at.get("id") == data["id"] and at["update"] in {moment["update"] for moment in data["film"]}:
        data["shown"] = at["update"]
    moment = next(moment for moment in moments if moment.update == data["shown"])
    if data["note"]:
        data["note"] += ZOOM
        if at.get("near"):
            data["close"], whole = film.close(moments[0], moment)
            parcels |= whole
    sent = session().sent
    data["parcels"] = {digest: parcel for digest, parcel in parcels.items() if digest not in sent}
    sent.update(parcels)
    if painted is not None:
        data["brush"] = offered(painted, told.get("painted"))
    # In a tuple, as in ui/shell/address.py: elsewhere Streamlit looks for data frames, and first imports pandas for it.
    stroke = partial(take, KEY)
    _component(key=KEY, data=(data,), on_at_change=_nothing, on_missing_change=_send_again, on_painted_change=stroke)
    return moment


def inlined(encoding: Encoding, run: AttackRun) -> Player:
    """The player of an attack that has ended, with all that it shows, for a page without a server."""
    result = run.result
    assert result is not None
    every = moments_of(run, result.original, Prediction(result.logits_before, result.decoded_before))
    data, parcels = Film().data(encoding, run.request.target, every, best_update(run, every), live=False, ended=True)
    return Player(*sources(Path(__file__), PICTURES, BRUSH), json.dumps(data | {"parcels": parcels}, allow_nan=False))


def _nothing() -> None:
    """Streamlit takes a value from a component only if it has a callback."""


def _send_again() -> None:
    """The browser has not got, or has not kept, what was sent."""
    told = st.session_state.get(KEY, {})  # none when another page is drawn before the browser is answered
    session().sent -= set(told.get("missing") or [])


def choose(moments: Iterable[int], must: set[int], known: set[int], room: int) -> list[int]:
    """At most ``room`` >= len(must) moments, in order: ``must``, those ``known``, then ``moments`` far from the others.

    If not all that are known have room, those of them are taken that are far from the others.
    """
    fits = len(must | known) <= room
    chosen = must | known if fits else set(must)
    left = (set(moments) if fits else known) - chosen
    while left and len(chosen) < room:
        farthest = max(sorted(left), key=lambda i: min(abs(i - j) for j in chosen))
        chosen.add(farthest)
        left.remove(farthest)
    return sorted(chosen)


def parcel_of(encoding: Encoding, target: Target, original: Moment, moment: Moment) -> dict[str, Any]:
    """What the player shows of one moment, fit for JSON.

    ``change`` is what differs from the original; of the original ``gradient`` is where the target pulls, if that is
    known. Either is null otherwise; ``gain`` suits the one that is there. ``reads`` is what the decoder says.
    For each label, in order: the encoding's ``scores`` and ``clearances`` to 4 digits, its confidences ``sure`` to 3
    decimals, null where they are not finite; ``outcomes`` as letters of OUTCOMES; ``ranks``, null unless the target is
    about them; and ``now``, the labels that are there.
    """
    gradient = None if moment.gradient is None else reduced(moment.gradient)
    z, wanted = moment.seen.logits, encoding.wishes(target)
    there, there_before = (encoding.placed(seen.decoded, target) for seen in (moment.seen, original.seen))
    ranks = encoding.ranks(z, target)
    return {
        **_drawn(reduced(original.image), reduced(moment.image), gradient),
        "reads": encoding.names(moment.seen.decoded),
        "l2": f"{moment.step.l2 if moment.step else 0:.3f}",
        "scores": _short(encoding.scores(z)),
        "clearances": _short(encoding.clearances(z, target)),
        "sure": for_json([round(float(each), 3) for each in encoding.confidences(z)]),
        "ranks": None if ranks is None else ranks.tolist(),
        "now": np.flatnonzero(there).tolist(),
        "outcomes": "".join(
            _outcome(*each, encoding.several) for each in zip(there_before, there, wanted, strict=True)
        ),
    }


def _drawn(original: Floats, image: Floats, gradient: Floats | None) -> dict[str, Any]:
    """Images (3, H, W) as the player draws them; nothing where nothing is different."""
    before, after = (original, image) if gradient is None else (np.zeros_like(gradient), gradient)
    levels = LEVELS if gradient is None else PULLED
    drawn = change(before, after, levels) if (before != after).any() else None
    return {
        "change": drawn if gradient is None else None,
        "gradient": None if gradient is None else drawn,
        "gain": signed_change(before, after)[1] if drawn else None,
    }


def _outcome(before: bool, now: bool, wanted: int, several: bool) -> str:
    if wanted == FREE:
        return "e" if now == before else "d"
    if now == wanted:
        if before != wanted:
            return "f"
        return "k" if now or several else "r"  # of a class that competes nothing was kept
    return "c" if before == wanted else "n"


def _labels(encoding: Encoding, target: Target) -> dict[str, Any]:
    """What holds for all moments; ``places`` are the words for what an order, or a set, asks of each of its classes."""
    return {
        "names": list(encoding.labels),
        "wanted": encoding.wishes(target).tolist(),
        "places": {
            str(i): word
            for i, word in enumerate(encoding.wishes_in_words(target))
            if word not in encoding.wanting.values()
        },
        "score": encoding.score,
        "threshold": encoding.threshold,
        "sureness": encoding.sureness.capitalize(),
        "outcomes": OUTCOMES,
    }


def _short(values: Floats) -> list[float | None]:
    told: list[float | None] = for_json([float(f"{value:.4g}") for value in values])
    return told


def _digest(told: dict[str, Any]) -> str:
    return blake2b(json.dumps(told, allow_nan=False).encode(), digest_size=12).hexdigest()
