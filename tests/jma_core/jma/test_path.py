"""JMA walks the path of Algorithm 1, and what it records of it is true when measured again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from jma_core import (
    ECOC,
    AttackResult,
    Linearisation,
    MultiLabel,
    OneHot,
    Phase,
    Solution,
    StopReason,
    hadamard_codebook,
)
from jma_core.records import FREE, reads
from tests.jma_core.jma.cases import (
    ENCODINGS,
    GREY,
    LEVELS,
    STEP,
    Build,
    Case,
    Plain,
    each_encoding,
    each_level,
    two_classes,
)

Floats = NDArray[np.float64]
Attacked = Callable[..., tuple["Case", AttackResult]]
SEEDS = [0, 2, 19]
each_seed = pytest.mark.parametrize("seed", SEEDS)


@pytest.fixture(scope="module")
def attacked(case: Callable[..., Case]) -> Callable[..., tuple[Case, AttackResult]]:
    """A case and its attack, run once for all tests that only look."""

    @functools.cache
    def attack(name: str, seed: int = 0, level: str = "lazy") -> tuple[Case, AttackResult]:
        it = case(name, seed)
        return it, it.attack(level=level)

    return attack


# The path: Algorithm 1 again, in a few lines, with its quadratic programs solved in pixel space


def algorithm_1(case: Case, a: Floats, h: Floats, shortest: Build, boxed: bool = False) -> list[tuple[str, Tensor]]:
    x, path = case.image, []
    hit = miss = None
    while hit is None:
        jacobian = torch.autograd.functional.jacobian(case.logits, x).flatten(1).numpy()
        bounds = (-x.numpy().ravel(), 1 - x.numpy().ravel()) if boxed else ()
        delta = torch.tensor(shortest(a @ jacobian, h - a @ case.logits(x).numpy(), *bounds)).reshape(x.shape)
        if case.reads_target(full := (x + delta).clip(0, 1)):
            hit, miss = full, x
            path.append(("leap", full))
        else:
            before, x = x, (x + STEP * delta / delta.norm()).clip(0, 1)
            path.append(("walk", x))
            if case.reads_target(x):
                hit, miss = x, before
    for _ in range(6):
        middle = (hit + miss) / 2
        path.append(("bisect", middle))
        hit, miss = (middle, miss) if case.reads_target(middle) else (hit, middle)
    return path


@each_level
@each_encoding
@each_seed
def test_the_attack_walks_the_path_of_algorithm_1(
    attacked: Attacked, written_out: Build, shortest_by_quadratic_program: Build, name: str, seed: int, level: str
) -> None:
    """DAQP in pixel space is exact to about 1e-6 of a step; the network passes that on."""
    it, result = attacked(name, seed, level)
    constraints = written_out(it.encoding, it.target)
    expected = algorithm_1(it, *constraints, shortest_by_quadratic_program, boxed=level == "boxed")
    assert [step.phase for step in result.steps] == [phase for phase, _ in expected]
    for step, (_, image) in zip(result.steps, expected, strict=True):
        np.testing.assert_allclose(step.image, image.numpy(), rtol=0, atol=1e-5)


@each_encoding
@each_seed
def test_paper_and_lazy_walk_the_same_path(attacked: Attacked, name: str, seed: int) -> None:
    (_, paper), (_, lazy) = attacked(name, seed, "paper"), attacked(name, seed, "lazy")
    assert [step.phase for step in lazy.steps] == [step.phase for step in paper.steps]
    for ours, theirs in zip(lazy.steps, paper.steps, strict=True):
        np.testing.assert_allclose(ours.image, theirs.image, rtol=1e-5)
        np.testing.assert_allclose(ours.predicted, theirs.predicted, rtol=1e-5, atol=1e-8)
        np.testing.assert_array_equal(ours.active, theirs.active)
        np.testing.assert_allclose(ours.multipliers, theirs.multipliers, rtol=1e-5)


# What the records say, measured again


@each_level
@each_encoding
@each_seed
def test_success_is_what_the_decoder_says(attacked: Attacked, name: str, seed: int, level: str) -> None:
    it, result = attacked(name, seed, level)
    assert result.success
    assert result.reason == StopReason.SUCCESS
    assert it.reads_target(result.image)
    assert not it.reads_target(result.original)
    assert result.fraction_right == 1 or name == "ecoc"  # a right codeword may have wrong bits
    assert reads(result.decoded, result.target)
    np.testing.assert_array_equal(result.target, it.target)
    np.testing.assert_array_equal(result.decoded_before, it.encoding.decode(it.logits(it.image)))
    np.testing.assert_array_equal(result.original, it.image)
    np.testing.assert_allclose(result.logits, it.logits(result.image), rtol=1e-12)
    np.testing.assert_allclose(result.logits_before, it.logits(it.image), rtol=1e-12)


@each_level
@each_encoding
@each_seed
def test_every_step_says_where_it_is(attacked: Attacked, written_out: Build, name: str, seed: int, level: str) -> None:
    it, result = attacked(name, seed, level)
    a, h = written_out(it.encoding, it.target)
    for step in result.steps:
        z = it.logits(step.image).numpy()
        np.testing.assert_allclose(step.logits, z, rtol=1e-12)
        np.testing.assert_allclose(step.values, a @ z - h, atol=1e-12)
        assert step.success == it.reads_target(step.image)
        np.testing.assert_array_equal(step.decoded, it.encoding.decode(torch.tensor(z)))
        np.testing.assert_allclose(step.l2, np.linalg.norm(step.image - it.image.numpy()), rtol=1e-12)
        assert 0 <= step.image.min() <= step.image.max() <= 1


@each_level
@each_encoding
@each_seed
def test_every_step_says_how_far_it_moved(attacked: Attacked, name: str, seed: int, level: str) -> None:
    _, result = attacked(name, seed, level)
    before = result.original
    for step in result.steps:
        np.testing.assert_allclose(step.moved, np.linalg.norm(step.image - before), rtol=1e-12, err_msg=step.phase)
        if step.phase == Phase.WALK:
            assert step.moved <= STEP * (1 + 1e-12)  # less where it is clipped
        if step.phase != Phase.BISECT or step.success:
            before = step.image  # a bisection is measured from the last hit


@each_level
@each_encoding
@each_seed
def test_every_step_says_what_it_predicted_and_what_came_of_it(
    attacked: Attacked, written_out: Build, name: str, seed: int, level: str
) -> None:
    it, result = attacked(name, seed, level)
    a, _ = written_out(it.encoding, it.target)
    x = it.image
    for step in result.steps:
        if step.phase == Phase.BISECT:
            continue
        jacobian = torch.autograd.functional.jacobian(it.logits, x).flatten(1).numpy()
        delta = (a @ jacobian)[step.active].T @ step.multipliers
        if level == "boxed":
            delta = delta.clip(-x.numpy().ravel(), 1 - x.numpy().ravel())
        full = (x + torch.tensor(delta).reshape(x.shape)).clip(0, 1)
        np.testing.assert_allclose(step.predicted, jacobian @ delta, atol=1e-10)
        np.testing.assert_allclose(step.realised, it.logits(full) - it.logits(x), atol=1e-10)
        np.testing.assert_allclose(step.full_length, np.linalg.norm(delta), rtol=1e-10)
        assert step.certificate.holds(1e-8)
        x = torch.tensor(step.image)


@each_level
@each_encoding
@each_seed
def test_updates_are_counted_as_the_paper_counts_them(attacked: Attacked, name: str, seed: int, level: str) -> None:
    _, result = attacked(name, seed, level)
    phases = [step.phase for step in result.steps]
    v = max(step.iteration for step in result.steps)
    leaps = phases.count(Phase.LEAP)
    assert phases == [Phase.WALK] * (v - leaps) + [Phase.LEAP] * leaps + [Phase.BISECT] * 6
    assert [step.iteration for step in result.steps] == [*range(1, v + 1), *[v] * 6]
    assert result.n_it == (v - 1) + 6 if leaps else v + 6


def test_the_cases_above_have_walks_leaps_and_landings(attacked: Attacked) -> None:
    """Without these the tests above would see a part of the algorithm only."""
    results = [attacked(name, seed)[1] for name in ENCODINGS for seed in SEEDS]
    leapt = [any(step.phase == Phase.LEAP for step in result.steps) for result in results]
    walks = [sum(step.phase == Phase.WALK for step in result.steps) for result in results]
    halved = [{step.success for step in result.steps if step.phase == Phase.BISECT} for result in results]
    assert 0 < sum(leapt) < len(results)
    assert max(walks) > 5
    assert {True, False} in halved


@each_encoding
@each_seed
def test_bisection_ends_at_the_nearest_image_that_the_decoder_has_accepted(
    attacked: Attacked, name: str, seed: int
) -> None:
    _, result = attacked(name, seed)
    hits = [step for step in result.steps if step.success]
    nearest = min(hits, key=lambda step: step.l2)
    np.testing.assert_array_equal(result.image, nearest.image)
    assert result.distortion.l2 == pytest.approx(nearest.l2, rel=1e-12)
    np.testing.assert_array_equal(result.last, result.steps[-1].image)


@each_encoding
@each_seed
def test_every_bisection_halves_the_segment(attacked: Attacked, name: str, seed: int) -> None:
    _, result = attacked(name, seed)
    path = [result.original, *(step.image for step in result.steps)]
    miss, hit = path[-8:-6]
    expected = np.linalg.norm(hit - miss) / 2.0 ** np.arange(1, 7)
    np.testing.assert_allclose([step.moved for step in result.steps[-6:]], expected, rtol=1e-10)


def test_more_bisections_come_closer(case: Callable[..., Case]) -> None:
    lengths = [case("one-hot").attack(bisections=k).distortion.l2 for k in (0, 1, 3, 10)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] < lengths[0]
    assert case("one-hot").attack(bisections=0).steps[-1].phase != Phase.BISECT


@each_encoding
@each_seed
def test_the_paper_level_counts_n_backward_passes_an_iteration(attacked: Attacked, name: str, seed: int) -> None:
    it, result = attacked(name, seed, "paper")
    assert result.backward == it.encoding.n * result.steps[-1].iteration
    assert result.forward == it.seen


@each_encoding
@each_seed
def test_the_lazy_level_counts_its_forward_derivatives_twice(attacked: Attacked, name: str, seed: int) -> None:
    """The network sees each forward-mode derivative once; at least one was taken in each iteration."""
    it, result = attacked(name, seed)
    derivatives = result.forward - it.seen
    assert result.steps[-1].iteration <= derivatives <= it.encoding.n * result.steps[-1].iteration
    assert result.backward <= it.encoding.n * result.steps[-1].iteration


def test_the_lazy_level_starts_from_the_constraints_that_were_active(
    case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[list[int]] = []
    solve_lazy = Linearisation.solve_lazy

    def spy(local: Linearisation, start: Any = ()) -> Solution:
        starts.append(list(start))
        return solve_lazy(local, start)

    monkeypatch.setattr(Linearisation, "solve_lazy", spy)
    steps = case("multi-label", 2).attack().steps
    active = [step.active.tolist() for step in steps if step.phase != Phase.BISECT]
    assert starts == [[], *active[: len(starts) - 1]]
    assert any(starts)


@each_level
def test_counts_and_seconds_never_fall(attacked: Attacked, level: str) -> None:
    _, result = attacked("multi-label", 0, level)
    for name in ("forward", "backward", "seconds"):
        seen = [getattr(step, name) for step in result.steps] + [getattr(result, name)]
        assert seen == sorted(seen)
        assert seen[0] > 0


@each_level
@each_encoding
@pytest.mark.parametrize("kappa", [0.1, 0.5])
def test_a_margin_is_kept(
    case: Callable[..., Case], attacked: Attacked, written_out: Build, name: str, level: str, kappa: float
) -> None:
    it = case(name)
    result = it.attack(level=level, kappa=kappa)
    a, h = written_out(it.encoding, it.target, kappa)
    assert result.reason == StopReason.SUCCESS
    assert (a @ it.logits(result.image).numpy() >= h - 1e-12).all()
    assert it.reads_target(result.image)
    assert result.distortion.l2 > attacked(name, 0, level)[1].distortion.l2


def test_labels_that_are_right_but_not_by_the_margin_are_attacked() -> None:
    bright = torch.full((1, 2, 2), 0.8, dtype=torch.float64)  # the total is 3.2, the margin 2 * 0.2
    assert Plain(two_classes, OneHot(2), 1, bright).attack().reason == StopReason.NOTHING_TO_DO
    result = Plain(two_classes, OneHot(2), 1, bright).attack(kappa=1.0)
    assert result.reason == StopReason.SUCCESS
    assert result.image.sum() >= 3.5 - 1e-12


def test_the_shortest_way_on_a_linear_network_is_found() -> None:
    """The total must rise from 2 to 3: 1/4 a pixel, an L2 distance of 1/2; bisection comes within 1/64 of a step."""
    result = Plain(two_classes, OneHot(2), 1, GREY).attack(step=0.2)
    assert 0.5 <= result.distortion.l2 <= 0.5 + 0.2 / 64 + 1e-12
    np.testing.assert_allclose(result.image, result.image.mean())


@settings(max_examples=30)
@given(
    name=st.sampled_from(ENCODINGS),
    level=st.sampled_from(LEVELS),
    step=st.floats(0.01, 3),
    max_iter=st.integers(1, 30),
    bisections=st.integers(0, 8),
    kappa=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 2**32),
)
def test_whatever_the_settings_the_result_is_consistent(
    mlp_network: Build, name: str, level: str, step: float, max_iter: int, bisections: int, kappa: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    net = mlp_network(8, seed=seed % 100)
    image = torch.tensor(rng.random((3, 6, 6)).round(1))  # some pixels at their limits
    classes = {"one-hot": OneHot(8), "ecoc": ECOC(hadamard_codebook(8, 8))}
    encoding: Any = classes.get(name, MultiLabel(8))
    target: Any = int(rng.integers(8)) if name in classes else rng.integers(2, size=8).tolist()
    if name == "free labels":
        target[2:] = [FREE] * 6
    it = Case(net, image, encoding, target)
    result = it.attack(level=level, step=step, max_iter=max_iter, bisections=bisections, kappa=kappa)
    images = [step.image for step in result.steps]
    assert result.success == it.reads_target(result.image)
    assert result.success or not any(it.reads_target(image) for image in [result.original, *images])
    assert 0 <= result.image.min() <= result.image.max() <= 1
    assert any(np.array_equal(result.image, image) for image in [result.original, *images])
    assert max((step.iteration for step in result.steps), default=0) <= max_iter
    assert result.reason != StopReason.SUCCESS or result.success
