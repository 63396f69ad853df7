"""Files of a finished attack, and whether the attack survives them."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from jma_core.records import AttackResult
from lab.comparison import Contender
from lab.exports import facts, versions
from lab.photos.samples import samples
from lab.photos.uploads import Photo, PhotoError, read_photo
from lab.pictures import as_png, to_picture
from lab.report.comparison import comparison_report
from lab.report.report import Files, Player, Verdict, report
from lab.request import Request
from lab.runs.pool import models
from models.cards import ModelSpec
from models.encodings import Target
from models.registry import ASSETS
from ui.shell.cached import fingerprint, predict
from ui.shell.session import photos

CREDITS = ASSETS / "CREDITS.md"


def files(request: Request, result: AttackResult) -> Files:
    """The attack's end as a picture file, for a model that is loaded, and whether it survives there and as JPEG."""
    return _files(request, result, photos(models().specs[request.model].samples).get(request.photo))


@st.cache_resource(
    max_entries=32,
    show_spinner="Fitting the picture to 8 bits",
    hash_funcs={AttackResult: lambda result: fingerprint(result.image), Photo: lambda photo: photo.digest},
)
def _files(request: Request, result: AttackResult, photo: Photo | None) -> Files:
    """Cached by the request, the attacked image, and whether its photo is at hand."""
    return made(request, result, photo)


def made(request: Request, result: AttackResult, photo: Photo | None) -> Files:
    """The same for any thread, made anew; ``photo`` is the one that was attacked, if it is at hand."""
    from lab.runs.launch import as_file  # imports torch

    loaded = models().request(request.model).result()
    end = replace(as_file(request, loaded, result), steps=())
    saved = to_save(request, loaded.spec, to_picture(end.image), photo)
    png, jpeg = as_png(saved), io.BytesIO()
    saved.save(jpeg, "JPEG", quality=90)
    verdicts = {
        "PNG, 8 bits": opened_again(loaded.spec, request.target, png),
        "JPEG, quality 90": opened_again(loaded.spec, request.target, jpeg.getvalue()),
    }
    return Files(end, png, about(request, loaded.spec, saved.size, photo), verdicts)


def to_save(request: Request, spec: ModelSpec, picture: NDArray[np.uint8], photo: Photo | None) -> Image.Image:
    """The photo of which the network sees this attacked picture (H, W, 3) when it is opened like any other."""
    if request.canvas.native:
        return Image.fromarray(picture)
    return spec.preprocessing.around(picture, photo.image if photo else None)


def saved(request: Request, result: AttackResult) -> tuple[Image.Image, Image.Image]:
    """The picture file of the attack's end, opened again, and the original in the same form."""
    spec, photo = models().specs[request.model], photos(models().specs[request.model].samples).get(request.photo)
    original = to_save(request, spec, to_picture(result.original), photo)
    return read_photo(files(request, result).png, "attacked").image, original


def opened_again(spec: ModelSpec, target: Target, data: bytes) -> Verdict:
    """What the network says of a file that is uploaded; it must be loaded."""
    try:
        photo = read_photo(data, "attacked")
    except PhotoError as refused:
        return Verdict(False, f"nothing. {refused}")
    encoding = spec.encoding
    seen = encoding.answering(predict(spec.name, spec.preprocessing(photo.image)), target)
    margin = f"{encoding.margins(seen.logits, target).min():+.2g}".replace("-", "−")
    return Verdict(encoding.meets(seen, target), encoding.names(seen.decoded), f"{margin} {encoding.unit}")


def about(request: Request, spec: ModelSpec, size: tuple[int, int], photo: Photo | None) -> str:
    """What a saved picture of this width and height is, and for whom its verdict holds."""
    side, sized = spec.preprocessing.size, f"{size[0]} × {size[1]} pixels"
    if request.canvas.native:
        what = f"The files are the photo at its own size, {sized}, which the network gets resized"
    elif size == (side, side):
        what = f"The files are the picture as the network sees it, {sized}"
    else:
        around = "what the network cuts off" if photo else "its edges going on, since the photo is not at hand"
        what = f"The files, {sized}, are the attacked picture, {side} × {side}, and around it {around}"
    holds = "“Opened again” means as a photo for this model: uploaded here, or through its preprocessing in Python."
    arrays = "" if request.canvas.native else " Programs that take the network's own picture find it in the arrays."
    return f"{what}. {holds}{arrays}"


def html(request: Request, result: AttackResult, files: Files, photo: str, player: Player | None = None) -> str:
    """The attack as one HTML file; ``photo`` is its photo's credit."""
    spec, now = models().specs[request.model], datetime.now().astimezone()
    return report(spec, request, result, files, photo, facts(spec, request, result), now, player)


def comparison_html(
    spec: ModelSpec, names: Sequence[str], contenders: Sequence[Contender], photo: str, link: str
) -> str:
    """A comparison as one HTML file; ``link`` is its address."""
    return comparison_report(spec, names, contenders, photo, versions(), link, datetime.now().astimezone())


def file_name(request: Request, what: str = "attacked") -> str:
    """What the files of an attack are called, without what comes after the dot: photo, model and ``what`` was done."""
    photo = photos(models().specs[request.model].samples).get(request.photo)
    called = f"{Path(photo.name).stem if photo else 'photo'}-{request.model}-{what}"
    return re.sub(r"[^\w.-]+", "-", called)


def credit(request: Request) -> str:
    """Where the photo of a request is from: what assets/CREDITS.md says of a sample, else the name of the file."""
    kind = models().specs[request.model].samples
    if (photo := photos(kind).get(request.photo)) is None:
        return "not at hand any more"
    if request.photo not in samples(kind):
        return f"{photo.name}, not one of the samples"
    table = [line.strip("| \n").split(" | ") for line in CREDITS.read_text().splitlines() if line.startswith("|")]
    _, *said = next(row for row in table if row[0] in (f"{kind}/{photo.name}", f"{kind}/"))
    return re.sub(r"\[(.*?)\]\((.*?)\)", r"\1 (\2)", "; ".join(said))
