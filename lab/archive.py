"""A finished attack, a comparison of several, or a measured logit space, as one NPZ file, and back.

Needs no torch: the first page that a server shows has a stored attack, or a stored space, before torch loads.

Arrays are stored as they are; a header in JSON holds the request and all scalars. Only the images on the way are
rounded: their perturbations are kept in float16, to 3 digits. The result image keeps every bit.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, is_dataclass
from enum import StrEnum
from math import isfinite
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from jma_core.dual import Certificate
from jma_core.records import AttackResult, Phase, Step, Trace
from lab.comparison import Contender, Saved
from lab.request import OFFERED, Measured, Request, Settings
from models.registry import MODELS

FORMAT = 5
"""Of the files that this version writes. Files of format 1 do not name theirs; see ``_complete`` for what some lack. Up
to format 2 all attacks had the same settings; see ``_translated``. Up to format 3 changed values were not counted, and
up to 4 no part was painted and no wave too short."""
RAGGED = "step_active", "step_multipliers"
"""Arrays that are of another length at each step."""
LEVELS, COARSE = 127, 7
"""See ``pack_comparison``."""
LARGEST = 512 * 2**20
"""Bytes that the arrays of a file may take; what says that it holds more is not unpacked."""
ODD = ("inf", "-inf", "nan")
"""Numbers that JSON has no word for; the header holds them as these texts."""
T = TypeVar("T")


class OtherVersion(ValueError):
    """A stored attack is whole, but holds what this version does not know; the message says what, and what to do."""

    def __init__(self, unknown: str) -> None:
        super().__init__(
            f"This run was made by another version of JMA Lab: {unknown}. Open it with that version, or run the attack "
            "again."
        )


def for_json(told: Any, odd: Callable[[float], Any] = lambda _: None) -> Any:
    """What is told, with ``odd`` of numbers that are not finite, for which JSON has no word, in their place: null."""
    if isinstance(told, dict):
        return {key: for_json(value, odd) for key, value in told.items()}
    if isinstance(told, (list, tuple)):
        return [for_json(value, odd) for value in told]
    return odd(told) if isinstance(told, float) and not isfinite(told) else told


def pack(request: Request, result: AttackResult) -> bytes:
    """The NPZ file of a result and of the request that it answers."""
    return _file(_arrays(request, result))


def pack_to_go(request: Request, result: AttackResult, weights: str, photo: bytes = b"") -> bytes:
    """The same for another machine: with the sha256 of the model's weights, and the photo as a file if it is given."""
    more = {"weights": np.array(weights), "photo": np.frombuffer(photo, np.uint8)}
    return _file(_arrays(request, result) | more)


def unpack_to_go(data: bytes) -> tuple[Request, AttackResult, str, bytes]:
    """What ``pack_to_go`` stored; no photo is empty. Raises as ``unpack`` does."""

    def whole(arrays: dict[str, Any]) -> tuple[Request, AttackResult, str, bytes]:
        weights, photo = str(arrays.pop("weights")), arrays.pop("photo")
        return *_attack(arrays), weights, photo.astype(np.uint8).tobytes()

    return _read(data, whole)


def is_to_go(data: bytes) -> bool:
    """Whether a file looks like one of ``pack_to_go``'s, which is yet to be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as stored:
            return {"header.npy", "weights.npy", "photo.npy"} <= {*stored.namelist()}
    except zipfile.BadZipFile:
        return False


def _file(arrays: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _arrays(request: Request, result: AttackResult) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    header: dict[str, Any] = {"format": FORMAT, "request": request.told(), "steps": len(result.steps)}
    for name, hint in _hints(AttackResult, "steps", "trace").items():
        value = getattr(result, name)
        if _is_array(hint):
            arrays[name] = value
        else:
            header[name] = asdict(value) if is_dataclass(hint) else value
    arrays |= {f"trace_{name}": getattr(result.trace, name) for name in _hints(Trace)}
    for name in _hints(Step):
        values = [getattr(step, name) for step in result.steps]
        if name == "image":
            arrays["step_image"] = np.array([image - result.original for image in values], dtype=np.float16)
        elif name == "certificate":
            header["step_certificate"] = [value and asdict(value) for value in values]
        elif f"step_{name}" in RAGGED:
            arrays[f"step_{name}"] = np.concatenate(values) if values else np.empty(0)
            header["step_active_counts"] = [len(value) for value in values]
        else:
            arrays[f"step_{name}"] = np.array(values)
    return arrays | {"header": np.array(json.dumps(for_json(header, str), allow_nan=False))}


def unpack(data: bytes) -> tuple[Request, AttackResult]:
    """What ``pack`` stored, now or in an earlier version.

    Raises OtherVersion for a file that is whole but not of a form known here, and for bytes that cannot be read
    whatever zipfile, zlib and numpy raise: exceptions of a dozen kinds. Pickled objects are refused.
    """
    return _read(data, _attack)


def _read(data: bytes, make: Callable[[dict[str, Any]], T]) -> T:
    """What is made of the arrays of a file; raises as ``unpack`` does."""
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        if sum(each.file_size for each in stored.zip.infolist()) > LARGEST:
            raise ValueError(f"expected an NPZ file of at most {LARGEST} bytes when unpacked, got a larger one")
        arrays = dict(stored)
    if len(arrays) != int.from_bytes(data[-12:-10], "little"):  # as the end of the zip file says; zipfile does not look
        raise ValueError("expected all the arrays of an NPZ file, got a part of them")
    try:
        return make(arrays)
    except OtherVersion:
        raise
    except Exception as error:  # every byte is as it was written: what does not fit is strange to us, not damaged
        raise OtherVersion("its parts are not of the form that is known here") from error


def _attack(arrays: dict[str, Any]) -> tuple[Request, AttackResult]:
    header = json.loads(str(arrays.pop("header")))
    written = header.pop("format", 1)
    if type(written) is not int or not 1 <= written <= FORMAT:
        raise OtherVersion(f"its format is {_brief(written)}, and {FORMAT} is the latest known here")
    asked = header.pop("request")
    if written < 3:
        asked["settings"] = _translated(**asked["settings"])
    if written < 5:
        asked["canvas"] = {"painted": "", "period": 0.0} | asked["canvas"]
    request = _value(Request, asked, "request")
    if written < 4:
        header["distortion"]["l0"] = int(np.count_nonzero(arrays["image"] != arrays["original"]))
    if written == 1 and "update" not in header:
        _complete(request, arrays, header)
    hints = _hints(AttackResult, "steps", "trace")
    told = {name: hint for name, hint in hints.items() if not _is_array(hint)}
    hold = hints.keys() - told.keys()
    of_steps = _hints(Step, "certificate")
    _check_names(header, [*told, "steps", "step_certificate", "step_active_counts"])
    _check_names(arrays, [*hold, *(f"trace_{name}" for name in _hints(Trace)), *(f"step_{name}" for name in of_steps)])
    _check_shapes(request, arrays, header)
    trace = Trace(*(arrays[f"trace_{name}"] for name in _hints(Trace)))
    for phase in np.unique(trace.phase):
        _value(Phase, str(phase), "phase")
    result = AttackResult(
        **{name: _value(hint, header[name], name) for name, hint in told.items()},
        **{name: arrays[name] for name in hold},
        trace=trace,
        steps=tuple(_step(arrays, header, i) for i in range(header["steps"])),
    )
    return request, result


def _value(hint: Any, told: Any, name: str) -> Any:
    """What the header tells of a field with this type: a number, a text, a tuple, a record of such, or one of several.

    Raises OtherVersion when it is of none of them.
    """
    for kind in get_args(hint) if isinstance(hint, UnionType) else [hint]:
        if get_origin(kind) is tuple and isinstance(told, list):
            first, *rest = get_args(kind)
            each = [first] * len(told) if rest == [...] else [first, *rest]
            if len(each) == len(told):
                # Labels were stored as booleans, and are integers.
                whole = (int(item) if isinstance(item, bool) else item for item in told)
                return tuple(_value(of, item, name) for of, item in zip(each, whole, strict=True))
        elif get_origin(kind) is frozenset and isinstance(told, dict) and [*told] == ["any order"]:
            return frozenset(_value(tuple[int, ...], told["any order"], name))
        elif kind is Settings and isinstance(told, dict):
            return _settings(told)
        elif isinstance(kind, type) and is_dataclass(kind) and isinstance(told, dict):
            known = get_type_hints(kind)
            _check_names(told, known)
            return kind(**{key: _value(of, told[key], key) for key, of in known.items()})
        elif kind is float and (type(told) in (int, float) or told in ODD):
            return float(told)
        elif type(told) is kind:
            return told
        elif isinstance(kind, type) and issubclass(kind, StrEnum) and told in list(kind):
            return kind(told)
    raise OtherVersion(f"its {name} {_brief(told)} is not known here")


def _settings(told: dict[str, Any]) -> Settings:
    """What the header tells of them. Those of the attack's own that an earlier version did not know have defaults."""
    attack, common = told.get("attack"), ("kappa", "max_seconds")
    if attack not in OFFERED:
        raise OtherVersion(f"its attack {_brief(attack)} is not known here")
    own = {each.name: each.default for each in OFFERED[attack].settings}
    _check_names(own | told, ["attack", *common, *own])
    try:
        return Settings.of(**{**told, **{name: _value(float, told[name], name) for name in common}})
    except ValueError as error:
        raise OtherVersion(f"one of its settings is not allowed here: {error}") from error


def _translated(*, level: str, step: float, max_iter: int, **others: Any) -> dict[str, Any]:
    """Settings as formats 1 and 2 told them, the same for all attacks, as format 3 tells them."""
    own = {"steps": max_iter, "rate": 0.05} if level == "refined" else {"step": step, "max_iter": max_iter}
    return {"attack": level, **own, **others}


def _check_names(told: Iterable[str], known: Iterable[str]) -> None:
    if unknown := sorted(set(told) - set(known)):
        raise OtherVersion(f"its {_brief(unknown[0])} is not known here")
    if missing := sorted(set(known) - set(told)):
        raise OtherVersion(f"its {_brief(missing[0])} is missing")


def _check_shapes(request: Request, arrays: dict[str, Any], header: dict[str, Any]) -> None:
    """That arrays of one length have it, so that none of them is spread over another."""
    steps, counts, certificates = (header[name] for name in ("steps", "step_active_counts", "step_certificate"))
    one_each = {name: array for name, array in arrays.items() if name.startswith("step_") and name not in RAGGED}
    target = arrays["logits"] if isinstance(request.target, frozenset) else request.target
    fits = (
        {len(array) for array in one_each.values()} | {len(counts), len(certificates)} == {steps},
        {arrays[name].shape for name in RAGGED} == {(sum(counts),)},
        len({array.shape for name, array in arrays.items() if name.startswith("trace_")}) == 1,
        len({arrays[name].shape for name in ("original", "image", "last")}) == 1,
        arrays["logits"].shape == arrays["logits_before"].shape,
        not steps or arrays["step_image"].shape[1:] == arrays["original"].shape,
        arrays["target"].shape == np.shape(target),
    )
    if not all(fits):
        raise OtherVersion("its arrays do not fit together")


def _complete(request: Request, arrays: dict[str, Any], header: dict[str, Any]) -> None:
    """What files of JMA Lab's first versions do not tell: numbers of updates, margins, scalars of what was not kept.

    An iteration is an update, but for the halvings, each of which takes one forward pass. Of updates that were not kept
    nothing is known. The result is the kept step with the very same logits.
    """
    phase, forward, iteration = (arrays[f"step_{name}"] for name in ("phase", "forward", "iteration"))
    halvings = phase == Phase.BISECT
    number = iteration.astype(np.int64)
    if halvings.any():
        total = header["n_it"] + (Phase.LEAP in phase or not arrays["step_success"][~halvings].any())
        number[halvings] = total - (forward[-1] - forward[halvings])
    arrays["step_number"] = number
    spec, logits = MODELS.get(request.model), arrays["step_logits"]
    told = [spec.encoding.margins(z, request.target) for z in logits] if spec else arrays["step_values"]
    arrays["step_margin"] = np.array([each.min() for each in told])
    arrays |= {f"trace_{name}": arrays[f"step_{name}"] for name in _hints(Trace)}
    alike = [np.array_equal(z, arrays["logits"]) for z in logits]
    header["update"] = int(number[alike.index(True)]) if True in alike else 0


def pack_space(measured: Measured) -> bytes:
    """The NPZ file of a measured logit space. Perturbations are kept in float16, to 3 digits."""
    return _file(_flatten(measured))


def unpack_space(data: bytes) -> Measured:
    """What ``pack_space`` stored; pickled objects are refused."""
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return _rebuild(Measured, dict(stored))


def pack_comparison(contenders: Sequence[Contender], weights: str = "", *, small: bool = False) -> bytes:
    """The NPZ file of attacks on one picture by a model with these ``weights`` (sha256). Results keep every bit,
    but for the images at which they ended when these were not the nearest.

    The changes of their ``steps`` are rounded to LEVELS steps of the largest of each on either side of none. A
    ``small`` one, to be shipped, has those of the results in as many steps, those on the way in COARSE, and the picture
    in 8 bits.
    """
    original = contenders[0].result.original
    shown = np.round(255 * original).astype(np.uint8) if small else original
    told: dict[str, Any] = {"original": shown, "weights": np.array(weights)}
    for i, each in enumerate(contenders):
        with np.load(io.BytesIO(pack(each.request, each.result)), allow_pickle=False) as stored:
            arrays = {name: array for name, array in stored.items() if name not in ("original", "last")}
        arrays |= _rounded("step_image", arrays["step_image"], COARSE if small else LEVELS)
        if small:
            arrays |= _rounded("image", arrays["image"] - original, LEVELS)
        if each.saved:
            arrays["saved"] = np.array([each.saved.l2, each.saved.reads])
        told |= {f"{i}.{name}": array for name, array in arrays.items()}
    return _file(told)


def _rounded(name: str, change: Any, levels: int) -> dict[str, Any]:
    """Changes in whole steps, and the lengths of the steps: one for each along the first axis."""
    largest = np.abs(change).max(tuple(range(1, change.ndim)), keepdims=True, initial=0.0).astype(np.float64)
    unit = np.where(largest > 0, largest, 1.0) / levels
    return {name: np.round(change / unit).astype(np.int8), f"{name}_unit": unit}


def unpack_comparison(data: bytes) -> tuple[tuple[Contender, ...], str]:
    """What ``pack_comparison`` stored, and the digest of the weights, "" where that is not told.

    Raises as ``unpack`` does.
    """
    return _read(data, _comparison)


def _comparison(told: dict[str, Any]) -> tuple[tuple[Contender, ...], str]:
    original, weights = told.pop("original"), str(told.pop("weights", ""))
    if original.dtype == np.uint8:
        original = original.astype(np.float32) / np.float32(255)
    contenders = []
    for i in range(len({name.partition(".")[0] for name in told})):
        arrays = {name.partition(".")[2]: array for name, array in told.items() if name.startswith(f"{i}.")}
        for name, shape in (("image", original.shape), ("step_image", (-1, *original.shape))):
            if f"{name}_unit" in arrays:
                change = (arrays[name] * arrays.pop(f"{name}_unit")).astype(np.float32).reshape(shape)
                inside = np.clip(original + change, 0, 1)
                arrays[name] = inside if name == "image" else inside - original
        saved = arrays.pop("saved", None)
        request, result = _attack(arrays | {"original": original, "last": arrays["image"]})
        contenders.append(Contender(request, result, None if saved is None else Saved(float(saved[0]), bool(saved[1]))))
    return tuple(contenders), weights


def _flatten(record: Any, prefix: str = "") -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for name in _hints(type(record)):
        value = getattr(record, name)
        if is_dataclass(value):
            arrays |= _flatten(value, f"{prefix}{name}.")
        else:
            arrays[prefix + name] = np.float16(value) if name == "delta" else np.asarray(value)
    return arrays


def _rebuild(kind: type[T], arrays: dict[str, Any], prefix: str = "") -> T:
    values: dict[str, Any] = {}
    for name, hint in get_type_hints(kind).items():
        if isinstance(hint, type) and is_dataclass(hint):
            values[name] = _rebuild(hint, arrays, f"{prefix}{name}.")
        else:
            value = arrays[prefix + name]
            values[name] = np.float32(value) if name == "delta" else value.item() if hint in (int, float) else value
    return kind(**values)


def _step(arrays: dict[str, Any], header: dict[str, Any], i: int) -> Step:
    counts = header["step_active_counts"]
    ragged = slice(sum(counts[:i]), sum(counts[: i + 1]))
    values = {
        name: arrays[f"step_{name}"][ragged if f"step_{name}" in RAGGED else i]
        for name in _hints(Step, "image", "certificate", "phase")
    }
    scalars = {name: v.item() for name, v in values.items() if v.ndim == 0 and name != "decoded"}
    return Step(
        **{**values, **scalars},
        image=arrays["original"] + arrays["step_image"][i].astype(np.float32),
        certificate=_value(Certificate | None, header["step_certificate"][i], "certificate"),
        phase=_value(Phase, str(arrays["step_phase"][i]), "phase"),
    )


def _hints(record: type, *without: str) -> dict[str, Any]:
    """The fields of a record and their types."""
    return {name: hint for name, hint in get_type_hints(record).items() if name not in without}


def _is_array(hint: Any) -> bool:
    return get_origin(hint) is np.ndarray


def _brief(told: Any) -> str:
    """A foreign name or value, as far as it can be shown in a sentence."""
    said = str(told)
    return f"“{said[:40]}{'…' * (len(said) > 40)}”"
