"""Files of a finished attack, and whether the attack survives them."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from hashlib import sha256
from importlib.metadata import version

import numpy as np
from PIL import Image

from jma_core.records import AttackResult, reads
from ui.archive import pack
from ui.backend import models, predict
from ui.images import to_picture
from ui.readout import names, wish
from ui.request import Request


def png(result: AttackResult) -> bytes:
    """The attacked image, rounded to 8 bits."""
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
    """For the PNG and a JPEG of quality 90: whether the file, read back, still decodes to the target, and to what."""
    return {
        "PNG, 8 bits": _read_back(request, result, png(result)),
        "JPEG, quality 90": _read_back(request, result, _encode(result, "JPEG", quality=90)),
    }


def _encode(result: AttackResult, file_format: str, **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(to_picture(result.image)).save(file, file_format, **options)
    return file.getvalue()


def _read_back(request: Request, result: AttackResult, data: bytes) -> tuple[bool, str]:
    picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    seen = predict(request.model, sha256(data).hexdigest(), picture)
    return reads(seen.decoded, result.target), names(models().specs[request.model], seen.decoded)
