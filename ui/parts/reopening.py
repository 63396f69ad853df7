"""From a stored attack, or comparison, back to the session: a page then shows it as if it had just run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jma_core.records import AttackResult
from lab.comparison import Contender
from lab.photos.uploads import Photo, read_photo
from lab.pictures import as_png, to_picture
from lab.request import Request
from lab.runs.attack_run import AttackRun
from lab.runs.pool import models
from lab.store import Row
from models.cards import ModelSpec
from models.photos import Preprocessing, shrunk
from ui.parts import contest
from ui.shell.session import forget, photos, prefer, remember, runs, session

NOTE = "The photo of this run is not at hand any more. This is the picture that was attacked, as the run has kept it"
AROUND = "; around it, its edges go on, since the network cuts its pictures from the middle of a photo"


def obstacle(row: Row) -> str:
    """Why a stored attack or comparison cannot be shown, in a sentence; empty if it can."""
    spec = models().specs.get(row.model)
    if spec is None:
        return f"Its model, {row.title}, is not on offer now: add it on the page Models to open this run."
    if spec.sha256 != row.weights:
        return f"Its model, {row.title}, has other weights now, which may read the pictures differently."
    return ""


def reopen(request: Request, result: AttackResult) -> None:
    """Make the attack the lab's choice, and its photo one of the session's. The model must be on offer."""
    request = replace(request, photo=_at_hand(request, result))
    if not ((live := runs().get(request)) and live.busy):
        forget(request)
        remember(AttackRun.finished(request, result))
    prefer(request)


def reopen_comparison(contenders: Sequence[Contender]) -> None:
    """Make a comparison the choice of the page Compare, in the same way."""
    lasting, photo = session().lasting, _at_hand(contenders[0].request, contenders[0].result)
    every = [replace(each, request=replace(each.request, photo=photo)) for each in contenders]
    lasting.reopened = {each.request: each for each in every}
    for request in lasting.reopened:
        if request in lasting.bouts and not lasting.bouts[request].busy:
            del lasting.bouts[request]
    first = every[0].request
    prefer(first)
    kind = models().specs[first.model].encoding.asked(first.target)
    lasting.kept |= contest.widgets(kind, [each.request.settings for each in every])


def _at_hand(request: Request, result: AttackResult) -> str:
    """The digest of a photo of the session's of which this was attacked: the request's own, or one made for it."""
    spec, picture = models().specs[request.model], to_picture(result.original)
    photo = photos(spec.samples).get(request.photo)
    if photo is None or not np.array_equal(_attacked_of(photo, spec, request), picture):
        photo = _restored(picture, None if request.canvas.native else spec.preprocessing)
        session().lasting.restored = photo
    return photo.digest


def _attacked_of(photo: Photo, spec: ModelSpec, request: Request) -> NDArray[np.uint8]:
    """The picture (H, W, 3) of a photo that the request attacks."""
    return np.asarray(shrunk(photo.image)[0]) if request.canvas.native else spec.preprocessing(photo.image)


def _restored(picture: NDArray[np.uint8], preprocessing: Preprocessing | None) -> Photo:
    """A photo of which the preprocessing gives this picture, bit for bit; without one, the picture itself."""
    photo = preprocessing.around(picture) if preprocessing else Image.fromarray(picture)
    note = NOTE + AROUND * (photo.size != picture.shape[1::-1]) + "."
    return replace(read_photo(as_png(photo), "stored.png"), note=note)
