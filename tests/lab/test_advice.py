"""What is offered after an attack: other requests, each for its reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jma_core.records import FREE, AttackResult, StopReason
from lab.advice import after, held_up
from lab.archive import unpack
from lab.request import Request, Settings
from models.registry import ASSETS, MODELS

SCENES = MODELS["scenes"]


@pytest.fixture(scope="module")
def example() -> tuple[Request, AttackResult]:
    return unpack((ASSETS / "example.npz").read_bytes())


def test_after_a_success_the_attack_that_ends_closest_is_offered_unless_it_was_that(
    example: tuple[Request, AttackResult],
) -> None:
    request, result = example
    request = replace(request, settings=Settings.of(kappa=0.5, step=0.1))
    closer = replace(request, settings=Settings.of("refined", kappa=0.5))
    assert after(SCENES, request, result) == {"Go closer": closer}
    assert after(SCENES, closer, result) == {}


def test_after_a_failure_less_is_asked_or_it_is_asked_otherwise(example: tuple[Request, AttackResult]) -> None:
    request, result = example
    failed = replace(result, success=False, reason=StopReason.ITERATIONS)
    tries = after(SCENES, request, failed)
    free, fewer, longer, other = tries.values()
    assert next(iter(tries)) == "Free the other labels"
    assert free.target.count(FREE) == len(request.target) - 2
    assert sum(a != b for a, b in zip(fewer.target, request.target, strict=True)) == 1
    assert [*tries][2] == "Take steps of 0.5"
    assert (longer.target, dict(longer.settings.own)["step"]) == (request.target, 0.5)
    assert (other.target, other.settings.attack) == (request.target, "refined")


def test_the_hardest_of_what_was_missed_is_named_first(example: tuple[Request, AttackResult]) -> None:
    request, result = example
    tau = SCENES.encoding.constants["thresholds"]
    wanted = np.array(request.target)
    logits = np.where(wanted == 1, 1.0, -1.0) + tau
    names = SCENES.encoding.labels
    assert held_up(SCENES, request, replace(result, logits=logits)) == ""
    logits[[0, 3, 7]] = tau[[0, 3, 7]] - np.where(wanted[[0, 3, 7]] == 1, 1, -1) * np.array([0.5, 3.0, 1.0])
    assert held_up(SCENES, request, replace(result, logits=logits)) == (
        f"Held up by {names[3]} (3 short), {names[7]} (1 short) and 1 more, in logits."
    )


def test_an_attack_at_the_limits_of_the_pixels_is_followed_by_one_that_knows_them(
    example: tuple[Request, AttackResult],
) -> None:
    request, result = example
    stalled = replace(result, success=False, reason=StopReason.STALLED)
    *_, last = after(SCENES, request, stalled).values()
    assert last.settings.attack == "boxed"
    assert not any(said.startswith("Take steps") for said in after(SCENES, request, stalled))
    *_, last = after(SCENES, last, stalled).values()
    assert last.settings.attack == "refined"
