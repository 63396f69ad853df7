"""A finished attack as files for other programs: its arrays, and its record in JSON. Needs no torch."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np

from jma_core import __version__
from jma_core.records import AttackResult
from lab.archive import for_json
from lab.pictures import to_picture
from lab.request import Request
from models.cards import ModelSpec


def npz(spec: ModelSpec, request: Request, result: AttackResult, *, saved: AttackResult) -> bytes:
    """The arrays of an attack and of its end in 8 bits, ``saved``, with all that it takes to read them; see README."""
    _, height, width = result.original.shape
    arrays = {
        "original": result.original,
        "image": result.image,
        "picture": to_picture(saved.image),
        "mask": request.canvas.free(height, width),
        "labels": np.array(spec.encoding.labels),
        "target": result.target,
        "decoded_before": result.decoded_before,
        "decoded": result.decoded,
        "decoded_picture": saved.decoded,
        "logits_before": result.logits_before,
        "logits": result.logits,
        "logits_picture": saved.logits,
        "curve": result.curve,
        **{f"trace_{name}": array for name, array in vars(result.trace).items()},
        **spec.encoding.constants,
    }
    file = io.BytesIO()
    header = np.array(record(spec, request, result))
    np.savez_compressed(file, header=header, **{name: array for name, array in arrays.items() if array.size})
    return file.getvalue()


def record(spec: ModelSpec, request: Request, result: AttackResult) -> str:
    """Everything that it takes to repeat the attack, and what it gave, as JSON."""
    return json.dumps(facts(spec, request, result), indent=2, allow_nan=False)


def facts(spec: ModelSpec, request: Request, result: AttackResult) -> dict[str, Any]:
    """What the JSON record holds: null for what is not finite, as the PSNR of an unchanged image."""
    told = {
        "request": request.told(),
        "target_names": spec.encoding.wish(request.target),
        "names_before": spec.encoding.names(result.decoded_before),
        "names": spec.encoding.names(result.decoded),
        "success": result.success,
        "reason": result.reason,
        "detail": result.detail,
        "n_it": result.n_it,
        "forward": result.forward,
        "backward": result.backward,
        "seconds": round(result.seconds, 3),
        "distortion": asdict(result.distortion),
        "versions": versions(),
        "weights_sha256": spec.sha256,
    }
    recorded: dict[str, Any] = for_json(told)
    return recorded


def versions() -> dict[str, str]:
    """Those of what computes."""
    return {"jma_core": __version__} | {name: version(name) for name in ("torch", "timm", "numpy", "scipy")}
