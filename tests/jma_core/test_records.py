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


def result_of(*phases: Phase) -> AttackResult:
    result: AttackResult = blank(AttackResult, steps=tuple(blank(Step, phase=phase) for phase in phases))
    return result


@pytest.mark.parametrize(
    ("phases", "updates"),
    [
        ([], 0),
        ([Phase.LEAP], 0),  # v = 1, no bisections
        ([Phase.LEAP, *[Phase.BISECT] * 6], 6),  # v = 1: (1 - 1) + 6
        ([*[Phase.WALK] * 3, Phase.LEAP, *[Phase.BISECT] * 6], 9),  # v = 4: (4 - 1) + 6
        ([*[Phase.WALK] * 3, *[Phase.BISECT] * 6], 9),  # the third walk landed
        ([Phase.WALK] * 200, 200),
    ],
    ids=["nothing", "leap", "leap and halvings", "the paper's", "landed", "cap"],
)
def test_updates_are_all_steps_but_the_leap(phases: list[Phase], updates: int) -> None:
    assert result_of(*phases).n_it == updates


RECORDS = [
    result_of(),
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
