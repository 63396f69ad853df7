"""What other programs get of an attack."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest

from jma_core.metrics import distortion
from jma_core.records import Trace
from lab import exports
from lab.archive import unpack
from models.registry import ASSETS, MODELS


def test_the_arrays_of_an_attack_without_an_update_on_labels_have_none_that_is_empty() -> None:
    request, result = unpack((ASSETS / "example.npz").read_bytes())
    empty = replace(result, steps=(), trace=Trace.of([]), curve=np.empty((0, 2)))
    with np.load(
        io.BytesIO(exports.npz(MODELS[request.model], request, empty, saved=empty)), allow_pickle=False
    ) as file:
        told = dict(file)
    assert all(array.size for array in told.values())
    np.testing.assert_array_equal(told["decoded"], told["logits"] > told["thresholds"])


def test_a_record_is_json_where_numbers_are_not_finite() -> None:
    request, result = unpack((ASSETS / "example.npz").read_bytes())
    unchanged = replace(result, distortion=distortion(result.original, result.original))
    endless = replace(request, settings=replace(request.settings, max_seconds=float("inf")))
    told = json.loads(exports.record(MODELS[request.model], endless, unchanged), parse_constant=pytest.fail)
    assert (told["distortion"]["psnr"], told["distortion"]["ssim"]) == (None, 1)
    assert told["request"]["settings"]["max_seconds"] is None
