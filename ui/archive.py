"""A finished attack, or a measured logit space, as one NPZ file, and back.

Needs no torch: the first page that a server shows has a stored attack, or a stored space, before torch loads.

Arrays are stored as they are; a header in JSON holds the request and all scalars. Only the frames on the way are
rounded: their perturbations are kept in float16, to 3 digits. The result image keeps every bit.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, fields, is_dataclass
from typing import Any, get_type_hints

import numpy as np

from jma_core.dual import Certificate
from jma_core.metrics import Distortion
from jma_core.records import AttackResult, Phase, Step, StopReason
from ui.request import Canvas, Measured, Request, Settings

_SCALARS = (bool, int, float, str)


def pack(request: Request, result: AttackResult) -> bytes:
    """The NPZ file of a result and of the request that it answers."""
    arrays: dict[str, Any] = {}
    header: dict[str, Any] = {"request": asdict(request), "steps": len(result.steps)}
    for name in _names(AttackResult, "steps"):
        value = getattr(result, name)
        if isinstance(value, np.ndarray):
            arrays[name] = value
        else:
            header[name] = value if isinstance(value, _SCALARS) else asdict(value)
    for name in _names(Step):
        values = [getattr(step, name) for step in result.steps]
        if name == "image":
            arrays["step_image"] = np.array([image - result.original for image in values], dtype=np.float16)
        elif name == "certificate":
            header["step_certificate"] = [value and asdict(value) for value in values]
        elif name in ("active", "multipliers"):  # of another length at each step
            arrays[f"step_{name}"] = np.concatenate(values) if values else np.empty(0)
            header["step_active_counts"] = [len(value) for value in values]
        else:
            arrays[f"step_{name}"] = np.array(values)
    file = io.BytesIO()
    np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays)
    return file.getvalue()


def unpack(data: bytes) -> tuple[Request, AttackResult]:
    """What ``pack`` stored. Raises ValueError for anything else; pickled objects are refused."""
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        arrays = dict(stored)
    if "header" not in arrays:
        raise ValueError("expected an NPZ file of an attack, got one without a header")
    header = json.loads(str(arrays["header"]))
    asked = header["request"]
    target = asked["target"] if isinstance(asked["target"], int) else tuple(asked["target"])
    native, region = asked["canvas"]["native"], asked["canvas"]["region"]
    canvas = Canvas(native, region and tuple(region))
    request = Request(asked["model"], asked["photo"], target, Settings(**asked["settings"]), canvas)
    rest = {n: arrays[n] if n in arrays else header[n] for n in _names(AttackResult, "steps", "distortion", "reason")}
    steps = tuple(_step(arrays, header, i) for i in range(header["steps"]))
    distortion, reason = Distortion(**header["distortion"]), StopReason(header["reason"])
    return request, AttackResult(**rest, steps=steps, distortion=distortion, reason=reason)


def pack_space(measured: Measured) -> bytes:
    """The NPZ file of a measured logit space. Perturbations are kept in float16, to 3 digits."""
    file = io.BytesIO()
    np.savez_compressed(file, **_flatten(measured))
    return file.getvalue()


def unpack_space(data: bytes) -> Measured:
    """What ``pack_space`` stored; pickled objects are refused."""
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return _rebuild(Measured, dict(stored))


def _flatten(record: Any, prefix: str = "") -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for name in _names(type(record)):
        value = getattr(record, name)
        if is_dataclass(value):
            arrays |= _flatten(value, f"{prefix}{name}.")
        else:
            arrays[prefix + name] = np.float16(value) if name == "delta" else np.asarray(value)
    return arrays


def _rebuild(kind: type, arrays: dict[str, Any], prefix: str = "") -> Any:
    values: dict[str, Any] = {}
    for name, hint in get_type_hints(kind).items():
        if is_dataclass(hint):
            values[name] = _rebuild(hint, arrays, f"{prefix}{name}.")
        else:
            value = arrays[prefix + name]
            values[name] = np.float32(value) if name == "delta" else value.item() if hint in (int, float) else value
    return kind(**values)


def _step(arrays: dict[str, Any], header: dict[str, Any], i: int) -> Step:
    counts = header["step_active_counts"]
    ragged = slice(sum(counts[:i]), sum(counts[: i + 1]))
    values = {
        name: arrays[f"step_{name}"][ragged if name in ("active", "multipliers") else i]
        for name in _names(Step, "image", "certificate", "phase")
    }
    certificate = header["step_certificate"][i]
    scalars = {name: v.item() for name, v in values.items() if v.ndim == 0 and name != "decoded"}
    return Step(
        **{**values, **scalars},
        image=arrays["original"] + arrays["step_image"][i].astype(np.float32),
        certificate=Certificate(**certificate) if certificate else None,
        phase=Phase(str(arrays["step_phase"][i])),
    )


def _names(record: type, *without: str) -> list[str]:
    return [field.name for field in fields(record) if field.name not in without]
