"""Files of a finished attack, and whether the attack survives them."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from hashlib import sha256
from importlib.metadata import version

import numpy as np
import streamlit as st
from PIL import Image

from jma_core.records import AttackResult, reads
from ui.archive import pack
from ui.backend import models, predict
from ui.images import to_picture
from ui.readout import names, wish
from ui.request import Request


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
    spec = models().specs[request.model]
    about = {
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
    return json.dumps(about, indent=2)


def verdicts(request: Request, result: AttackResult) -> dict[str, tuple[bool, str]]:
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
