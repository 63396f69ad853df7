"""Files of a finished attack, and whether the attack survives them."""

from __future__ import annotations

import io
import json
import re
from dataclasses import asdict, replace
from datetime import datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from jma_core.records import AttackResult, reads
from models.cards import ModelSpec
from models.registry import ASSETS
from ui import report
from ui.archive import pack
from ui.backend import models, predict
from ui.images import to_picture
from ui.readout import names, wish
from ui.report import Verdicts
from ui.request import Request
from ui.state import photos, samples

CREDITS = ASSETS / "CREDITS.md"


@st.cache_data(max_entries=32, show_spinner="Fitting the picture to 8 bits")
def as_file(request: Request, l2: float, _result: AttackResult) -> AttackResult:
    """The attack's end on the grid of 8 bits, for a model that is loaded. Cached by the request and the result's L2."""
    from ui import launch  # imports torch

    return launch.as_file(request, models().request(request.model).result(), _result)


def png(result: AttackResult) -> bytes:
    """The attacked image as a picture; one off the grid of 8 bits is rounded."""
    return _encode(result, "PNG")


def npz(request: Request, result: AttackResult) -> bytes:
    """The attacked image in full precision, with logits and target; the steps on the way are left out."""
    return pack(request, replace(result, steps=()))


def record(request: Request, result: AttackResult) -> str:
    """Everything that it takes to repeat the attack, and what it gave, as JSON."""
    return json.dumps(facts(models().specs[request.model], request, result), indent=2)


def html(request: Request, result: AttackResult, saved: AttackResult, verdicts: Verdicts, photo: str) -> str:
    """The attack as one HTML file; ``saved`` and ``verdicts`` are those of its end in 8 bits, ``photo`` its credit."""
    spec = models().specs[request.model]
    told = facts(spec, request, result)
    return report.report(spec, request, result, saved, verdicts, photo, told, datetime.now().astimezone())


def facts(spec: ModelSpec, request: Request, result: AttackResult) -> dict[str, Any]:
    """What the JSON record holds."""
    return {
        "request": asdict(request),
        "target_names": wish(spec, request.target),
        "names_before": names(spec, result.decoded_before),
        "names": names(spec, result.decoded),
        "success": result.success,
        "reason": result.reason,
        "n_it": result.n_it,
        "forward": result.forward,
        "backward": result.backward,
        "seconds": round(result.seconds, 3),
        "distortion": asdict(result.distortion),
        "versions": {package: version(package) for package in ("torch", "timm", "numpy", "scipy")},
        "weights_sha256": spec.sha256,
    }


def file_name(request: Request) -> str:
    """What the files of an attack are called, without what comes after the dot: photo and model."""
    photo = photos(models().specs[request.model].samples).get(request.photo)
    called = f"{Path(photo.name).stem if photo else 'photo'}-{request.model}-attacked"
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


def verdicts(request: Request, result: AttackResult) -> Verdicts:
    """For PNG and JPEG of quality 90: whether the file, read back, is read as the target, and as what it is read."""
    return {
        "PNG, 8 bits": _read_back(request, result, png(result)),
        "JPEG, quality 90": _read_back(request, result, _encode(result, "JPEG", quality=90)),
    }


def _encode(result: AttackResult, file_format: str, **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(to_picture(result.image)).save(file, file_format, **options)
    return file.getvalue()


def _read_back(request: Request, result: AttackResult, data: bytes) -> tuple[bool, str]:
    spec, photo = models().specs[request.model], Image.open(io.BytesIO(data)).convert("RGB")
    picture = spec.preprocessing(photo) if request.canvas.native else np.asarray(photo)
    seen = predict(request.model, sha256(data).hexdigest(), picture)
    return reads(seen.decoded, result.target), names(spec, seen.decoded)
