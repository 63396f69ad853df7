"""The player of the attack lab: pictures and labels of one attack, moment by moment, in the browser.

Python sends a list of moments, and what each shows as a parcel under its digest. The browser keeps the parcels that it
got, so that each is sent once; it plays without the server, and tells it at which update it has come to rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from jma_core.records import FREE
from models.cards import Kind, ModelSpec
from ui.images import colours, data_url, signed_change, to_picture
from ui.readout import confidences, names, present, wishes
from ui.request import Target
from ui.runner import AttackRun
from ui.views import Frame

Floats = NDArray[np.floating]
Parcels = dict[str, dict[str, Any]]
FRAMES = 24
"""Moments of one attack that the player shows at most."""
FILM_BYTES = 3_000_000
"""What they may take together as they are sent; of large pictures there are fewer."""
SIDE = 320
"""Pictures with a longer side, in pixels, are reduced to this for the player."""
SHADES = 21
"""Colours of the perturbation map, an odd number: the middle one is no change."""
FAST = 2
"""Compression of PNGs: dozens are made before the first page is shown."""
PACE = 1.25
"""While an attack runs, its picture is sent anew when it has made so many times as many updates."""
OUTCOMES = {
    "f": "✓ flipped as asked",
    "n": "… not yet",
    "c": "✗ collateral",
    "k": "kept",
    "e": "free",
    "d": "free, changed",
}
"""What became of a label, by the letter that says so in a parcel."""
KEY, SENT = "player", "sent"

_component = st.components.v2.component(
    "jma_player", **{kind: Path(__file__).with_suffix(f".{kind}").read_text("utf-8") for kind in ("html", "css", "js")}
)


class Film:
    """What was made of the moments of one attack for the player: each parcel once, however often the page is drawn."""

    def __init__(self) -> None:
        self._parcels: dict[int, tuple[str, dict[str, Any]]] = {}
        self._picked: set[int] = set()

    def data(
        self, spec: ModelSpec, target: Target, moments: list[Frame], best: int, *, live: bool, ended: bool
    ) -> tuple[dict[str, Any], Parcels]:
        """What the player shows: ``id``, ``film``, ``shown``, ``labels``, ``note``; and every parcel that it names.

        ``film`` lists the chosen moments in order, each with its ``update``, ``title`` and ``parcel``: the original,
        the newest and ``best``, and others spread evenly, at most FRAMES and about FILM_BYTES. While the attack is
        ``live`` there are those only that have been chosen so far, the newest in steps that grow by PACE.
        ``shown`` is the update to begin with, and ``id`` changes when there is something new to be shown.
        """
        newest = moments[-1]
        known = [frame.update for frame in moments if _mark(frame) in self._picked]
        if not live or newest.update >= PACE * max(known, default=0):
            known.append(newest.update)
        must = {0, known[-1]} if live else {0, newest.update, best}
        parcels = {update: self._parcel(spec, target, moments[0], moments[update]) for update in must}
        largest = max(len(json.dumps(parcel)) for _, parcel in parcels.values())
        room = max(len(must), min(FRAMES, FILM_BYTES // largest))
        chosen = choose(range(0 if live else len(moments)), must, set(known), room)
        self._picked |= {_mark(moments[update]) for update in chosen}
        film, sent = [], {}
        for update in chosen:
            digest, parcel = self._parcel(spec, target, moments[0], moments[update])
            title = moments[update].title + " (result)" * (ended and update == best)
            film.append({"update": update, "title": title, "parcel": digest})
            sent[digest] = parcel
        labels = _labels(spec, target)
        sent[_digest(labels)] = labels
        told = {"film": film, "labels": _digest(labels), "note": _note(moments[0].image)}
        return told | {"id": _digest(told), "shown": known[-1] if live else best}, sent

    def _parcel(self, spec: ModelSpec, target: Target, original: Frame, frame: Frame) -> tuple[str, dict[str, Any]]:
        """One moment, and its digest. A target and an original never change within an attack."""
        if _mark(frame) not in self._parcels:
            parcel = moment(spec, target, original, frame)
            self._parcels[_mark(frame)] = _digest(parcel), parcel
        return self._parcels[_mark(frame)]


_films: WeakKeyDictionary[AttackRun, Film] = WeakKeyDictionary()


def play(spec: ModelSpec, target: Target, run: AttackRun | None, moments: list[Frame], best: int) -> Frame:
    """Put the player on the page. Gives the moment at which it rests, for what else the page shows of it."""
    film = _films.setdefault(run, Film()) if run else Film()
    data, parcels = film.data(spec, target, moments, best, live=bool(run and run.busy), ended=bool(run and run.ended))
    at = st.session_state.get(KEY, {}).get("at") or {}
    if at.get("id") == data["id"]:
        data["shown"] = at["update"]
    sent: set[str] = st.session_state.setdefault(SENT, set())
    data["parcels"] = {digest: parcel for digest, parcel in parcels.items() if digest not in sent}
    sent.update(parcels)
    # In a tuple, as in ui/address.py: elsewhere Streamlit looks for data frames, and first imports pandas for it.
    _component(key=KEY, data=(data,), on_at_change=_nothing, on_missing_change=_send_again)
    return moments[data["shown"]]


def _nothing() -> None:
    """Streamlit takes a value from a component only if it has a callback."""


def _send_again() -> None:
    """The browser has not got, or has not kept, what was sent."""
    st.session_state[SENT] -= set(st.session_state[KEY]["missing"] or [])


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


def moment(spec: ModelSpec, target: Target, original: Frame, frame: Frame) -> dict[str, Any]:
    """What the player shows of one moment, fit for JSON.

    ``picture`` and ``map`` are PNGs as data URLs; ``change`` names the map's gain, ``reads`` what the decoder says.
    For each label, in order: ``scores`` and ``margins`` (see there) to 4 digits, ``sure`` (ui.readout) to 3 decimals,
    ``outcomes`` as letters of OUTCOMES; and ``now``, the labels that are there.
    """
    before, after = reduced(original.image), reduced(frame.image)
    amount, gain = signed_change(before, after)
    z, wanted = frame.seen.logits, wishes(spec, target)
    there, there_before = (_flags(spec, seen.decoded) for seen in (frame.seen, original.seen))
    return {
        "picture": data_url(Image.fromarray(to_picture(after)), FAST),
        "map": data_url(_shaded(amount), FAST),
        "change": "none yet" if frame.step is None else f"× {gain:.0f}, blue darker, orange brighter",
        "reads": names(spec, frame.seen.decoded),
        "l2": f"{frame.step.l2 if frame.step else 0:.3f}",
        "scores": _short(scores(spec, z)),
        "margins": _short(margins(spec, z, target)),
        "sure": [round(float(each), 3) for each in confidences(spec, z)],
        "now": np.flatnonzero(there).tolist(),
        "outcomes": "".join(map(_outcome, there_before, there, wanted)),
    }


def scores(spec: ModelSpec, z: Floats) -> Floats:
    """What the decoder compares, of logits (n,): for each class or label its logit.

    For ECOC the correlation c_k . tanh(z) of each of the l classes: (l,), eq. (2) of the paper.
    """
    return np.tanh(z) @ spec.codebook.T if spec.encoding is Kind.ECOC else z


def margins(spec: ModelSpec, z: Floats, target: Target) -> Floats:
    """How far each label is on the side where it is wanted, by the decoder's scores; negative on the other side.

    Multi-label: s_j (z_j - tau_j), and |z_j - tau_j| for a free label, which is right on both sides. One-hot and ECOC:
    for the wanted class t its score less the largest other one, for any other class i the score of t less that of i.
    """
    if spec.encoding is Kind.MULTI_LABEL:
        above = z - np.array(spec.thresholds)
        wanted = wishes(spec, target)
        return np.where(wanted == FREE, np.abs(above), np.where(wanted == 1, above, -above))
    assert isinstance(target, int)
    compared = scores(spec, z)
    ahead = compared[target] - compared
    ahead[target] = np.delete(ahead, target).min()
    return ahead


def _flags(spec: ModelSpec, decoded: NDArray[Any]) -> NDArray[np.bool_]:
    there = np.zeros(len(spec.labels), dtype=bool)
    there[present(decoded)] = True
    return there


def _outcome(before: bool, now: bool, wanted: int) -> str:
    if wanted == FREE:
        return "e" if now == before else "d"
    if now == wanted:
        return "k" if before == wanted else "f"
    return "c" if before == wanted else "n"


def reduced(image: Floats) -> Floats:
    """An image (3, H, W) as it is, or with a longer side than SIDE the means of its parts, SIDE at the longer side."""
    height, width = image.shape[1:]
    if max(height, width) <= SIDE:
        return image
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    channels = [Image.fromarray(channel.astype(np.float32)) for channel in image]
    return np.stack([np.asarray(channel.resize(size, Image.Resampling.BOX)) for channel in channels])


def _note(image: Floats) -> str:
    if max(image.shape[1:]) <= SIDE:
        return ""
    (_, height, width), (_, h, w) = image.shape, reduced(image).shape
    return f"Shown here at {w} × {h} pixels, each the mean of those below it; the attack works on {width} × {height}."


def _labels(spec: ModelSpec, target: Target) -> dict[str, Any]:
    score = "Correlation" if spec.encoding is Kind.ECOC else "Logit"
    asked = wishes(spec, target).tolist()
    return {"names": list(spec.labels), "wanted": asked, "score": score, "outcomes": OUTCOMES}


def _shaded(amount: Floats) -> Image.Image:
    """A signed change (H, W) in [-1, 1] in SHADES colours."""
    picture = Image.fromarray(np.round((amount + 1) / 2 * (SHADES - 1)).astype(np.uint8), "P")
    picture.putpalette(colours(np.linspace(-1, 1, SHADES)).tobytes())
    return picture


def _short(values: Floats) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


def _digest(told: dict[str, Any]) -> str:
    return blake2b(json.dumps(told).encode(), digest_size=12).hexdigest()


def _mark(frame: Frame) -> int:
    """Tells the moments of one attack apart: no two have had as many forward passes."""
    return frame.step.forward if frame.step else 0
