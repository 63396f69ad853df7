from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from jma_core import ECOC, MultiLabel, OneHot, Phase, Solution, StopReason
from jma_core.attacks.registry import Norm
from jma_core.attacks.trail import KEPT, Task, Trail, check_image
from jma_core.dual import Certificate
from jma_core.records import AttackResult, Halt

TWO_CLASSES = OneHot(2)
ORIGIN = torch.zeros(1, 1, 2, dtype=torch.float64)
SOLUTION = Solution(
    ORIGIN, np.array([0]), np.array([1.0]), np.zeros(2), 0.5, Certificate(0, 0, 0, 0, covered=1, total=1)
)


def image(first: float, second: float = 0.0) -> Tensor:
    return torch.tensor([[[first, second]]], dtype=torch.float64)


def logits(*z: float) -> Tensor:
    return torch.tensor(z, dtype=torch.float64)


@pytest.fixture
def trail() -> Callable[..., Trail]:
    """A trail from logits (1, 0), or (1, 0, 0), to class 1 unless told otherwise."""

    def start(encoding: Any = TWO_CLASSES, target: Any = 1, first: Any = (1, 0, 0), **settings: Any) -> Trail:
        norm = settings.pop("norm", Norm.L2)
        started = Trail(Task(lambda images: images.flatten(1), ORIGIN, encoding, target, **settings), norm)
        started.start(logits(*first[: encoding.n]))
        return started

    return start


def follow(trail: Trail, *visited: tuple[Tensor, Tensor]) -> AttackResult:
    for x, z in visited:
        list(trail.emit(1, Phase.WALK, x, z, SOLUTION, z))
    return trail.result(StopReason.ITERATIONS, "")


def test_among_misses_the_best_worst_constraint_is_kept(trail: Callable[..., Trail]) -> None:
    """Class 1 lags behind class 0 and class 2 by (0.5, 1), (0.75, 0.75), (1, 0)."""
    first, second, third = logits(0.5, 0, 1), logits(0.75, 0, 0.75), logits(1, 0, 0)
    result = follow(trail(OneHot(3)), (image(0.1), first), (image(0.2), second), (image(0.3), third))
    np.testing.assert_array_equal(result.image, image(0.2))
    np.testing.assert_array_equal(result.last, image(0.3))
    assert not result.success


def test_labels_that_are_right_are_kept_before_margins_that_are_nearly_there(trail: Callable[..., Trail]) -> None:
    """The sum of (10, -1, -1) comes closer to the margin, but tanh makes it the other codeword."""
    encoding = ECOC(torch.tensor([[1, 1, 1], [-1, -1, -1]]))
    right, wrong = (image(0.1), logits(0.1, 0.1, 0.1)), (image(0.2), logits(10, -1, -1))
    for visited in [(right, wrong), (wrong, right)]:
        result = follow(trail(encoding, 0, kappa=30.0, first=(-1, -1, -1)), *visited)
        np.testing.assert_array_equal(result.image, right[0])
        assert result.success


def test_the_original_is_kept_when_every_miss_is_worse(trail: Callable[..., Trail]) -> None:
    result = follow(trail(), (image(0.1), logits(3, 0)), (image(0.2), logits(2, 0)))
    np.testing.assert_array_equal(result.image, ORIGIN)
    np.testing.assert_array_equal(result.logits, [1, 0])
    assert result.distortion.l2 == 0


def test_among_hits_the_nearest_is_kept(trail: Callable[..., Trail]) -> None:
    result = follow(
        trail(),
        (image(0.3), logits(0, 1)),
        (image(0.1), logits(0, 0.5)),
        (image(0.2), logits(0, 9)),
        (image(0.01), logits(0.5, 0.4)),
    )
    np.testing.assert_array_equal(result.image, image(0.1))
    assert result.success
    assert result.distortion.l2 == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("norm", "nearest", "curve"),
    [(Norm.L2, (0.1, 0.1), [0.2, 0.02**0.5]), (Norm.LINF, (0.1, 0.1), [0.2, 0.1]), (Norm.L0, (0.2, 0.0), [1])],
)
def test_which_hit_is_nearest_is_said_by_the_attack_s_norm(
    trail: Callable[..., Trail], norm: Norm, nearest: tuple[float, float], curve: list[float]
) -> None:
    """One value changed by 0.2, then two by 0.1, or in the other order."""
    hits = (image(0.2), logits(0, 1)), (image(0.1, 0.1), logits(0, 1))
    result = follow(trail(norm=norm), *hits)
    np.testing.assert_array_equal(result.image, image(*nearest))
    np.testing.assert_allclose(result.curve[:, 1], curve)
    np.testing.assert_array_equal(follow(trail(norm=norm), *hits[::-1]).image, image(*nearest))


def test_with_a_margin_a_far_hit_beats_a_near_one_without_it(trail: Callable[..., Trail]) -> None:
    near, far, miss = (image(0.1), logits(0, 0.5)), (image(0.9), logits(0, 2)), (image(0.05), logits(1, 0.9))
    np.testing.assert_array_equal(follow(trail(kappa=1.0), far, near, miss).image, far[0])
    np.testing.assert_array_equal(follow(trail(kappa=1.0), miss, near).image, near[0])
    assert follow(trail(kappa=1.0), near).success  # the decoder reads the target all the same


def test_a_hit_needs_the_decoder_and_the_margin(trail: Callable[..., Trail]) -> None:
    assert trail().hit(logits(0, 0.1))
    assert not trail().hit(logits(0.1, 0))
    assert not trail(kappa=1.0).hit(logits(0, 0.5))
    assert trail(kappa=1.0).hit(logits(0, 1.0))
    assert not trail(MultiLabel(2), [1, 1]).hit(logits(1, 0))


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
def test_updates_are_all_steps_but_the_leap(trail: Callable[..., Trail], phases: list[Phase], updates: int) -> None:
    followed = trail()
    for phase in phases:
        list(followed.emit(1, phase, image(0.1), logits(1, 0.5), SOLUTION, logits(0, 0)))
    assert followed.result(StopReason.ITERATIONS, "").n_it == updates


@pytest.mark.parametrize("count", [1, KEPT - 1, KEPT, KEPT + 1, 5 * KEPT + 3])
def test_a_long_attack_keeps_steps_from_all_along_it_and_the_last(trail: Callable[..., Trail], count: int) -> None:
    followed = trail()
    for iteration in range(1, count + 1):
        list(followed.emit(iteration, Phase.WALK, image(0.1), logits(1, 0.5)))
    result = followed.result(StopReason.ITERATIONS, "")
    kept = [step.iteration for step in result.steps]
    assert (kept[0], kept[-1], result.n_it) == (1, count, count)
    assert len(kept) <= KEPT
    assert kept == [step.number for step in result.steps]
    np.testing.assert_array_equal(result.trace.iteration, range(1, count + 1))
    assert len(set(np.diff(kept)[:-1])) <= 1  # evenly, but for the last
    assert len(kept) == count or len(kept) >= KEPT // 2


def test_the_curve_has_every_success_that_came_nearer(trail: Callable[..., Trail]) -> None:
    miss, hit = logits(1, 0.5), logits(0, 0.5)
    visited = [(image(0.1), miss), (image(0.6), hit), (image(0.7), hit), (image(0.5), hit), (image(0.4), miss)]
    assert follow(trail(), *visited).curve.tolist() == [[0, pytest.approx(0.6)], [0, pytest.approx(0.5)]]


@pytest.mark.parametrize("kept", [2, 5, 300])
def test_the_result_knows_its_step_though_others_are_as_long_and_few_are_kept(
    trail: Callable[..., Trail], kept: int
) -> None:
    """A miss of the very same length comes right before and right after the hit."""
    miss, hit = logits(1, 0.5), logits(0, 0.5)
    visited = [(image(0.1 * k), miss) for k in range(1, 10)]
    visited[6:6] = [(image(0.5, 0.1), miss), (image(0.1, 0.5), hit), (image(0.5, 0.1), miss)]
    result = follow(trail(kept=kept), *visited)
    assert result.update == 8
    assert result.best is not None
    np.testing.assert_array_equal(result.best.image, result.image)
    np.testing.assert_array_equal(result.best.logits, result.logits)
    assert result.best.success
    np.testing.assert_array_equal(np.flatnonzero(result.trace.success), [7])
    np.testing.assert_allclose(result.trace.margin, [0.5 if z is hit else -0.5 for _, z in visited])


def test_no_label_is_read_in_logits_that_are_not_finite(trail: Callable[..., Trail]) -> None:
    """An attack that ends before it knows any logits."""
    for encoding, target, nothing in [(OneHot(3), 1, -1), (MultiLabel([-1.0, 1.0]), [1, 0], [False, False])]:
        task = Task(lambda images: images.flatten(1), ORIGIN, encoding, target)
        unknown = Trail(task).result(StopReason.NOT_FINITE, "")
        np.testing.assert_array_equal(unknown.decoded, nothing)
        np.testing.assert_array_equal(unknown.decoded_before, nothing)
        assert not unknown.success


def test_ecoc_margins_are_the_decoders(trail: Callable[..., Trail]) -> None:
    """Logits (10, -1, -1) satisfy the linear constraint for the first codeword; tanh of them reads the other one."""
    encoding = ECOC(torch.tensor([[1, 1, 1], [-1, -1, -1]]))
    z = logits(10, -1, -1)
    (step,) = trail(encoding, 0, first=(-1, -1, -1)).emit(1, Phase.WALK, image(0.1), z)
    assert step.values.min() == pytest.approx(16)
    assert step.margin == pytest.approx(2 * float(np.tanh(10) - 2 * np.tanh(1)))
    assert step.margin < 0
    assert not step.success


def test_a_step_without_a_linearised_problem_claims_nothing_of_one(trail: Callable[..., Trail]) -> None:
    (step,) = trail().emit(1, Phase.WALK, image(0.5), logits(0, 1))
    assert step.certificate is None
    assert len(step.active) == len(step.multipliers) == 0
    assert np.isnan([*step.predicted, *step.realised, step.full_length]).all()


def test_an_original_that_has_the_target_labels_halts(trail: Callable[..., Trail]) -> None:
    with pytest.raises(Halt) as halt:
        trail(first=(0, 1, 0))
    assert halt.value.reason == StopReason.NOTHING_TO_DO


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_no_hit(trail: Callable[..., Trail], bad: float) -> None:
    assert not trail().hit(logits(0, bad))


def test_the_cap_on_seconds_is_on_the_time_inside_the_attack(
    trail: Callable[..., Trail], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 50.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    capped = trail(max_seconds=10)
    now += 9
    capped.check_time()
    step = capped.emit(1, Phase.WALK, image(0.1), logits(1, 0.5), SOLUTION, logits(0, 0))
    assert next(step).seconds == 9
    now += 100  # a pause
    next(step, None)
    capped.check_time()
    now += 2
    with pytest.raises(Halt) as halt:
        capped.check_time()
    assert halt.value.reason == StopReason.TIME
    assert "10 s" in halt.value.detail
    assert capped.result(StopReason.TIME, "").seconds == 11


def test_records_do_not_share_memory_with_the_attack(trail: Callable[..., Trail]) -> None:
    x, z = image(0.5), logits(0, 1)
    followed = trail()
    (step,) = followed.emit(1, Phase.LEAP, x, z, SOLUTION, z)
    x += 0.25
    z += 5
    assert step.image.ravel()[0] == 0.5
    np.testing.assert_array_equal(step.logits, [0, 1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_good_image_is_passed_on_unchanged(dtype: torch.dtype) -> None:
    x = torch.rand(3, 4, 5, dtype=dtype, requires_grad=True)
    checked = check_image(x, "cpu")
    assert torch.equal(checked, x)
    assert checked.dtype == dtype
    assert not checked.requires_grad
