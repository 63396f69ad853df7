from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from jma_core.dual import Certificate
from jma_core.metrics import Distortion
from jma_core.records import AttackResult, Halt, History, Phase, Step, StopReason, Trace


def blank(record: type, **given: Any) -> Any:
    return record(**{field.name: given.get(field.name) for field in dataclasses.fields(record)})


RECORDS = [
    blank(AttackResult),
    blank(Step),
    Certificate(0, 0, 0, 0, 1, 1),
    Distortion(0, 0, 0, 0, math.inf, 1),
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


@pytest.mark.parametrize("kept", [2, 3, 8, 256])
@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 100])
def test_a_history_keeps_all_scalars_a_few_even_steps_the_last_and_the_best(count: int, kept: int) -> None:
    steps = [blank(Step, number=i, phase=Phase.WALK, l2=1 / i) for i in range(1, count + 1)]
    for best in range(1, count + 1):
        history = History(kept)
        for step in steps:
            history.add(step, best=step.number in (1, best))
        numbers = [step.number for step in history.steps]
        assert numbers == sorted(set(numbers))
        assert {1, best, count} <= set(numbers)
        assert len(numbers) <= kept + 2
        assert len({*np.diff([number for number in numbers if number not in (best, count)])}) <= 2  # evenly, else
        np.testing.assert_array_equal(history.trace.number, range(1, count + 1))
        np.testing.assert_array_equal(history.trace.l2, [step.l2 for step in steps])
        assert len(history.trace) == count


def test_the_trace_of_nothing_is_empty() -> None:
    assert len(Trace.of([])) == len(History(2).trace) == 0
    assert History(2).steps == ()


def test_the_best_step_is_that_of_the_results_number() -> None:
    steps = tuple(blank(Step, number=i, l2=1.0) for i in (1, 4, 9))
    assert blank(AttackResult, steps=steps, update=4).best is steps[1]
    assert blank(AttackResult, steps=steps, update=0).best is None
