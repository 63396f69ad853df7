"""How an attack by JMA ends, by its own doing, by a cap, or because something is wrong."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from jma_core import ECOC, AttackResult, MultiLabel, OneHot, Phase, Step, StopReason, find, jma, run
from jma_core.attacks.trail import Attack
from tests.jma_core.jma.cases import GREY, STEP, Build, Case, Plain, each_encoding, each_level, two_classes


def drained(attack: Attack, look: Callable[[Step], None]) -> AttackResult:
    """The result of an attack, with a look at each step before the next is asked for."""
    while True:
        try:
            look(next(attack))
        except StopIteration as end:
            result: AttackResult = end.value
            return result


@each_level
@each_encoding
def test_labels_that_are_there_already_need_nothing(case: Callable[..., Case], name: str, level: str) -> None:
    it = case(name)
    now = it.encoding.decode(it.logits(it.image))
    it.target = now.tolist()
    result = it.attack(level=level)
    assert (result.reason, result.success, result.steps, result.n_it) == (StopReason.NOTHING_TO_DO, True, (), 0)
    np.testing.assert_array_equal(result.image, it.image)
    assert (result.distortion.l2, result.distortion.psnr, result.backward) == (0, math.inf, 0)


@each_level
@pytest.mark.parametrize("cap", [1, 3])
def test_the_iteration_cap_ends_with_the_best_iterate(case: Callable[..., Case], level: str, cap: int) -> None:
    it = case("multi-label", 2)
    result = it.attack(level=level, max_iter=cap)
    assert (result.reason, result.success, len(result.steps)) == (StopReason.ITERATIONS, False, cap)
    assert_best_iterate(result)


def assert_best_iterate(result: AttackResult) -> None:
    best = max(result.steps, key=lambda step: step.values.min())
    np.testing.assert_array_equal(result.image, best.image)
    np.testing.assert_array_equal(result.last, result.steps[-1].image)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still unless a test moves it."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def ticking(case: Case, clock: list[float]) -> Callable[[Tensor], Tensor]:
    """The network of a case, each pass through which takes a second."""

    def f(images: Tensor) -> Tensor:
        clock[0] += 1.0
        return case(images)

    return f


def test_the_clock_excludes_what_happens_between_steps(case: Callable[..., Case], clock: list[float]) -> None:
    it = case("one-hot")
    attack = jma(ticking(it, clock), it.image, it.encoding, it.target, step=STEP)
    clock[0] += 1000

    def pause(step: Step) -> None:
        assert step.seconds == it.seen
        clock[0] += 1000

    result = drained(attack, pause)
    assert result.seconds == it.seen
    assert len(result.steps) > 6


@each_level
def test_the_time_cap_ends_with_the_best_iterate(case: Callable[..., Case], clock: list[float], level: str) -> None:
    it = case("multi-label", 2)
    uncapped = it.attack(level=level)
    it.seen = 0
    result = run(find(level)(ticking(it, clock), it.image, it.encoding, it.target, step=STEP, max_seconds=12.5))
    assert (result.reason, result.success) == (StopReason.TIME, False)
    assert 12.5 < result.seconds < 12.5 + 2 * it.encoding.n  # the cap is looked at once an iteration
    assert 0 < len(result.steps) < len(uncapped.steps)
    assert_best_iterate(result)


def test_pauses_do_not_use_up_the_time(case: Callable[..., Case], clock: list[float]) -> None:
    it = case("one-hot")

    def pause(step: Step) -> None:
        clock[0] += 1000

    assert drained(jma(it, it.image, it.encoding, it.target, step=STEP, max_seconds=0.5), pause).success


@each_level
def test_time_that_runs_out_in_the_bisection_leaves_a_success(
    case: Callable[..., Case], clock: list[float], level: str
) -> None:
    it = case("one-hot")
    pace = 1.0

    def f(images: Tensor) -> Tensor:
        clock[0] += pace
        return it(images)

    def slow_down_after_a_hit(step: Step) -> None:
        nonlocal pace
        if step.success:
            pace = 1e4

    attack = find(level)(f, it.image, it.encoding, it.target, step=STEP, max_seconds=1e3)
    result = drained(attack, slow_down_after_a_hit)
    assert sum(step.phase == Phase.BISECT for step in result.steps) == 1
    assert result.success
    assert it.reads_target(result.image)


@each_level
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_request_to_stop_ends_with_the_best_iterate(case: Callable[..., Case], level: str, steps: int) -> None:
    it = case("multi-label", 2)
    seen: list[Step] = []
    settings: Any = {"step": STEP, "should_stop": lambda: len(seen) >= steps}
    result = drained(find(level)(it, it.image, it.encoding, it.target, **settings), seen.append)
    assert (result.reason, result.success) == (StopReason.STOPPED, False)
    assert len(result.steps) == steps
    if steps:
        assert_best_iterate(result)
    else:
        np.testing.assert_array_equal(result.image, it.image)


def test_a_request_to_stop_is_heard_between_rows(case: Callable[..., Case]) -> None:
    """One question before an iteration, and one before each of its six rows: the tenth is for the second row of the
    second iteration."""
    it = case("multi-label", 2)
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == 10

    result = it.attack(level="paper", memory=1, should_stop=should_stop)
    assert (result.reason, result.backward, len(result.steps)) == (StopReason.STOPPED, 7, 1)


@each_level
def test_a_request_to_stop_is_heard_in_the_bisection(case: Callable[..., Case], level: str) -> None:
    it = case("one-hot")
    seen: list[Step] = []
    settings: Any = {"step": STEP, "should_stop": lambda: any(step.success for step in seen)}
    result = drained(find(level)(it, it.image, it.encoding, it.target, **settings), seen.append)
    assert seen[-1].phase != Phase.BISECT
    assert result.success
    assert it.reads_target(result.image)


@each_level
@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_no_numbers_end_the_attack(level: str, target: int, bad: float) -> None:
    def f(images: Tensor) -> Tensor:
        return two_classes(images) * bad

    result = Plain(f, OneHot(2), target, GREY).attack(level=level)
    assert (result.reason, result.success, result.steps) == (StopReason.NOT_FINITE, False, ())
    np.testing.assert_array_equal(result.image, GREY)
    assert result.fraction_right != 1  # whatever argmax makes of nan


@each_level
def test_logits_that_break_on_the_way_end_with_the_best_iterate(level: str) -> None:
    def f(images: Tensor) -> Tensor:
        z = two_classes(images)
        return torch.where(images.flatten(1).sum(1, keepdim=True) > 2.5, torch.nan, z)

    result = Plain(lambda images: f(images), OneHot(2), 1, GREY).attack(level=level, step=0.1)
    assert (result.reason, result.success) == (StopReason.NOT_FINITE, False)
    assert np.isfinite(result.logits).all()


@each_level
def test_infinite_gradients_end_the_attack(level: str) -> None:
    """d sqrt(x) / dx at the black image."""

    def f(images: Tensor) -> Tensor:
        return two_classes(images.sqrt())

    result = Plain(f, OneHot(2), 1, torch.zeros(1, 2, 2)).attack(level=level)
    assert (result.reason, result.success) == (StopReason.NOT_FINITE, False)
    assert np.isfinite(result.logits).all()


@each_level
@pytest.mark.parametrize(
    "f",
    [lambda images: 0 * two_classes(images) + torch.tensor([1.0, 0.0]), lambda images: torch.tensor([[1.0, 0.0]])],
    ids=["times zero", "constant"],
)
def test_a_zero_jacobian_ends_the_attack(level: str, f: Callable[[Tensor], Tensor]) -> None:
    result = Plain(f, OneHot(2), 1, GREY).attack(level=level)
    assert (result.reason, result.success) == (StopReason.ZERO_GRADIENT, False)
    np.testing.assert_array_equal(result.image, GREY)


@each_level
def test_labels_that_exclude_each_other_end_the_attack(level: str) -> None:
    """z = (s, -s): not both above 0.5."""

    def f(images: Tensor) -> Tensor:
        s = images.flatten(1).sum(1) - 2
        return torch.stack([s, -s], dim=1)

    result = Plain(f, MultiLabel([0.5, 0.5]), [1, 1], GREY).attack(level=level)
    assert (result.reason, result.success) == (StopReason.INFEASIBLE, False)
    assert result.detail
    np.testing.assert_array_equal(result.image, GREY)


@each_level
def test_an_image_that_cannot_get_darker_stalls(level: str) -> None:
    def f(images: Tensor) -> Tensor:
        total = images.flatten(1).sum(1)
        return torch.stack([total + 1, -total], dim=1)

    dark = torch.zeros(1, 2, 2)
    dark[0, 0, 0] = 0.25
    result = Plain(f, OneHot(2), 1, dark).attack(level=level, step=0.1)
    assert (result.reason, result.success) == (StopReason.STALLED, False)
    np.testing.assert_array_equal(result.last, 0)
    np.testing.assert_array_equal(result.image, 0)


@each_level
def test_ecoc_asks_for_more_margin_while_its_decoder_disagrees(level: str) -> None:
    """z = (10, -1, -1) satisfies z_0 + z_1 + z_2 >= 0, yet tanh(10) - 2 tanh(1) < 0: the other codeword."""

    def f(images: Tensor) -> Tensor:
        return 40 * (images.flatten(1) - 0.5)

    encoding = ECOC(torch.tensor([[1, 1, 1], [-1, -1, -1]]))
    image = torch.tensor([[[0.75, 0.475, 0.475]]], dtype=torch.float64)
    assert (encoding.constraints(0).values(f(image[None])[0]) > 0).all()
    result = Plain(f, encoding, 0, image).attack(level=level, step=0.05)
    assert (result.reason, result.success) == (StopReason.SUCCESS, True)
    assert np.tanh(40 * (result.image - 0.5)).sum() > 0
    # the nearest image of that kind has 2 tanh(-z) = 1: both small bits rise by 1 - atanh(1/2), at 40 a pixel
    nearest = (1 - np.arctanh(0.5)) * 2**0.5 / 40
    assert nearest <= result.distortion.l2 <= 3 * nearest


@each_level
@pytest.mark.parametrize("name", ["one-hot", "multi-label"])
def test_logits_that_are_all_zero_can_be_attacked(level: str, name: str) -> None:
    """A network without biases on a black image: every constraint holds with equality, the decoder says class 0."""
    w = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0]])
    encoding: Any = OneHot(3) if name == "one-hot" else MultiLabel(3)
    target = 2 if name == "one-hot" else [0, 0, 1]
    result = Plain(lambda images: images.flatten(1) @ w.T, encoding, target, torch.zeros(1, 2, 2)).attack(level=level)
    assert result.success
    assert result.image.ravel()[2] > result.image.ravel()[:2].max()


# Memory


@each_level
def test_running_out_of_memory_takes_smaller_chunks(
    case: Callable[..., Case], rationed: Build, out_of_memory: RuntimeError, level: str
) -> None:
    it = case("multi-label")
    expected = it.attack(level=level)
    tight = rationed(it, 2, out_of_memory)
    result = run(find(level)(tight, it.image, it.encoding, it.target, step=STEP))
    assert result.reason == StopReason.SUCCESS
    np.testing.assert_allclose(result.image, expected.image, rtol=0, atol=1e-12)


@each_level
def test_running_out_of_memory_with_one_row_ends_the_attack(
    case: Callable[..., Case], rationed: Build, out_of_memory: RuntimeError, level: str
) -> None:
    it = case("multi-label")
    result = run(find(level)(rationed(it, 0, out_of_memory), it.image, it.encoding, it.target))
    assert (result.reason, result.success) == (StopReason.OUT_OF_MEMORY, False)
    np.testing.assert_array_equal(result.image, it.image)
    np.testing.assert_allclose(result.logits, it.logits(it.image), rtol=1e-12)


@each_level
def test_a_network_that_does_not_fit_into_memory_ends_the_attack(level: str, out_of_memory: RuntimeError) -> None:
    def f(images: Tensor) -> Tensor:
        raise out_of_memory

    result = Plain(f, OneHot(2), 1, GREY).attack(level=level)
    assert (result.reason, result.success) == (StopReason.OUT_OF_MEMORY, False)
    np.testing.assert_array_equal(result.image, GREY)
