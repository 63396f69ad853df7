from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from jma_core.dual import Certificate
from jma_core.metrics import Distortion
from jma_core.records import AttackResult, Halt, Phase, Step, StopReason


def blank(record: type, **given: Any) -> Any:
    return record(**{field.name: given.get(field.name) for field in dataclasses.fields(record)})


RECORDS = [
    blank(AttackResult),
    blank(Step),
    Certificate(0, 0, 0, 0, 1, 1),
    Distortion(0, 0, 0, math.inf, 1),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_cannot_be_changed(record: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, dataclasses.fields(record)[0].name, None)


def test_a_halt_carries_its_reason_and_a_sentence() -> None:
    halt = Halt(StopReason.TIME, "The time is up.")
    assert (halt.reason, halt.detail, str(halt)) == (StopReason.TIME, "The time is up.", "The time is up.")


def test_reasons_and_phases_read_as_words() -> None:
    assert [f"{reason}" for reason in (StopReason.NOTHING_TO_DO, StopReason.ITERATIONS)] == [
        "nothing to do",
        "iteration cap",
    ]
    assert np.array([Phase.WALK])[0] == "walk"
