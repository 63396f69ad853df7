"""Files of weights: what is in them, from their headers, before any of it is read into memory. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.cards import said
from models.options import brief, is_whole
from models.registry import HOW_TO_CONVERT, WeightsError

LARGEST_HEADER = 2**22
"""Bytes; the header of a network of 3,000 tensors has 400,000."""
MOST_TENSORS = 20_000
FLOATS = ("F64", "F32", "F16", "BF16")
COUNTER = "num_batches_tracked"
"""What batch norms count while they are trained, and nobody needs afterwards."""
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True)
class Stored:
    """A tensor in a file."""

    dtype: str
    """As safetensors names it: F32, BF16, I64, ..."""
    shape: tuple[int, ...]


def header(weights: Path | bytes) -> dict[str, Stored]:
    """The tensors of a safetensors file, by name. Raises WeightsError when it is not one, or its header is too long."""
    if isinstance(weights, bytes):
        size, start = len(weights), weights[: 8 + LARGEST_HEADER]
    else:
        size = weights.stat().st_size
        with weights.open("rb") as file:
            start = file.read(8)
            start += file.read(min(LARGEST_HEADER, int.from_bytes(start, "little")))
    if start.startswith(_LFS_POINTER):
        raise WeightsError(
            "Its weights are not in this file, which is a pointer of Git LFS to them: run git lfs pull where it came "
            "from, or download the file itself, of megabytes."
        )
    length = int.from_bytes(start[:8], "little")
    if size < 8 or length > size - 8:
        raise _no_safetensors("it does not begin as one")
    if length > LARGEST_HEADER:
        raise WeightsError(
            f"Its weights have a header of {length} bytes, expected {LARGEST_HEADER} at most: it lists more tensors "
            "than a network has."
        )
    try:
        entries = json.loads(start[8 : 8 + length])
        entries.pop("__metadata__", None)
        tensors = {name: Stored(str(each["dtype"]), tuple(each["shape"])) for name, each in entries.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _no_safetensors(f"its header cannot be read: {said(error)}") from None
    if len(tensors) > MOST_TENSORS:
        raise WeightsError(f"Its weights are {len(tensors)} tensors, expected {MOST_TENSORS} at most.")
    for name, each in tensors.items():
        if not all(is_whole(side) and side >= 0 for side in each.shape):
            raise _no_safetensors(f"{brief(name)} has the shape {brief(each.shape)}")
    return tensors


def _no_safetensors(why: str) -> WeightsError:
    return WeightsError(f"Its weights are not a safetensors file ({why}). {HOW_TO_CONVERT}")


def matched(tensors: Mapping[str, Stored], expected: Mapping[str, Stored], network: str) -> dict[str, str]:
    """For each tensor that a network expects, its name in a file.

    What saving put before all names (``module.``, ``_orig_mod.``, ``model.``) is looked past, and counters of batch
    norms may be missing. Raises WeightsError when names, shapes or types do not fit.
    """
    before = _shared(tensors).removesuffix(_shared(expected))
    names = {name: before + name for name in expected if before + name in tensors or not name.endswith(COUNTER)}
    if odd := sorted(set(names.values()) ^ tensors.keys()):
        kind = "unexpected" if odd[0] in tensors else "missing"
        raise WeightsError(
            f"Its weights do not fit {network}: {len(odd)} names differ, for example {brief(odd[0])} is {kind}. "
            f"Expected {len(expected)} tensors such as {brief(next(iter(expected), ''))}, got {len(tensors)}."
        )
    for name, stored in names.items():
        there, wanted = tensors[stored], expected[name]
        if there.shape != wanted.shape:
            raise WeightsError(
                f"Its weights do not fit {network}: {brief(name)} is {brief(there.shape)}, expected {wanted.shape}."
            )
        if (there.dtype in FLOATS) is not (wanted.dtype in FLOATS) and not name.endswith(COUNTER):
            kinds = ", ".join(FLOATS) if wanted.dtype in FLOATS else wanted.dtype
            raise WeightsError(
                f"Its weights do not fit {network}: {brief(name)} is stored as {brief(there.dtype)}, expected "
                f"{kinds}. Quantised weights are not read: save the network as it was before."
            )
    return names


def _shared(names: Iterable[str]) -> str:
    """What all dotted names begin with, up to a dot: "module.layer1." or nothing."""
    parts = [name.split(".")[:-1] for name in names]
    first, last = min(parts, default=[]), max(parts, default=[])
    count = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return "".join(f"{part}." for part in first[:count])
