"""From a stored attack back to the session: the lab then shows it as if it had just run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from jma_core.records import AttackResult
from models.cards import ModelSpec
from models.photos import Preprocessing, shrunk
from ui.backend import models
from ui.images import as_png, to_picture
from ui.request import Request
from ui.runner import AttackRun
from ui.state import forget, photos, prefer, remember, runs
from ui.store import Row
from ui.uploads import Photo, read_photo

NOTE = "The photo of this run is not at hand any more. This is the picture that was attacked, as the run has kept it"
AROUND = "; around it, its edges go on, since the network cuts its pictures from the middle of a photo"


def obstacle(row: Row) -> str:
    """Why a stored attack cannot be shown in the lab, in a sentence; empty if it can."""
    spec = models().specs.get(row.model)
    if spec is None:
        return f"Its model, {row.title}, is not on offer now: add it on the page Models to open this run."
    if spec.sha256 != row.weights:
        return f"Its model, {row.title}, has other weights now, which may read the pictures differently."
    return ""


def reopen(request: Request, result: AttackResult) -> None:
    """Make the attack the lab's choice, and its photo one of the session's. The model must be on offer."""
    spec = models().specs[request.model]
    picture = to_picture(result.original)
    photo = photos(spec.samples).get(request.photo)
    if photo is None or not np.array_equal(_attacked_of(photo, spec, request), picture):
        photo = _restored(picture, None if request.canvas.native else spec.preprocessing)
        st.session_state["restored"] = photo
        request = replace(request, photo=photo.digest)
    if not ((live := runs().get(request)) and live.busy):
        forget(request)
        remember(AttackRun.finished(request, result))
    prefer(request)


def _attacked_of(photo: Photo, spec: ModelSpec, request: Request) -> NDArray[np.uint8]:
    """The picture (H, W, 3) of a photo that the request attacks."""
    return np.asarray(shrunk(photo.image)[0]) if request.canvas.native else spec.preprocessing(photo.image)


def _restored(picture: NDArray[np.uint8], preprocessing: Preprocessing | None) -> Photo:
    """A photo of which the preprocessing gives this picture, bit for bit; without one, the picture itself."""
    if preprocessing:
        side = round(preprocessing.size / preprocessing.crop)
        (width, height), (left, top) = preprocessing.frame((side, side))  # resized to its own size: left as it is
        beyond = [(top, height - top - picture.shape[0]), (left, width - left - picture.shape[1]), (0, 0)]
        picture = np.pad(picture, beyond, mode="edge")
    note = NOTE + AROUND * bool(preprocessing and not preprocessing.squash) + "."
    return replace(read_photo(as_png(Image.fromarray(picture)), "stored.png"), note=note)
