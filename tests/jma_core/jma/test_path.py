from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from jma_core import (
    ECOC,
    AttackResult,
    Level,
    Linearisation,
    MultiLabel,
    OneHot,
    Phase,
    Solution,
    Step,
    StopReason,
    hadamard_codebook,
    jma,
    run,
    run_batch,
)
from jma_core.attacks.trail import Attack
from jma_core.records import FREE, reads

Floats = NDArray[np.float64]
Build = Callable[..., Any]
Attacked = Callable[..., tuple["Case", AttackResult]]

LEVELS = ["lazy", "paper", "boxed"]
ENCODINGS = ["one-hot", "ecoc", "multi-label", "free labels"]
STEP = 0.1

each_level = pytest.mark.parametrize("level", LEVELS)
each_encoding = pytest.mark.parametrize("name", ENCODINGS)
SEEDS = [0, 2, 19]
each_seed = pytest.mark.parametrize("seed", SEEDS)


@dataclass
class Case:
    """A network on images (3, 6, 6) that counts what it sees, an image, and labels that it does not have."""

    net: nn.Module
    image: Tensor
    encoding: Any
    target: Any
    seen: int = 0

    def __call__(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        z: Tensor = self.net(images)
        return z

    def attack(self, **kwargs: Any) -> AttackResult:
        return run(jma(self, self.image, self.encoding, self.target, **{"step": STEP, **kwargs}))

    def logits(self, image: Any) -> Tensor:
        z: Tensor = self.net(torch.as_tensor(image)[None])[0]
        return z

    def reads_target(self, image: Any) -> bool:
        """What the decoder says, in numpy, from its definition."""
        z = self.logits(image).double().numpy()
        if isinstance(self.encoding, MultiLabel):
            return all(wanted in (FREE, now) for wanted, now in zip(self.target, z > 0, strict=True))
        scores = self.encoding.codebook.numpy() @ np.tanh(z) if isinstance(self.encoding, ECOC) else z
        return bool(scores.argmax() == self.target)


@pytest.fixture(scope="module")
def case(mlp_network: Build, conv_network: Build) -> Callable[..., Case]:
    """Even seeds give a perceptron, odd ones convolutions. The target ranks fourth, or flips three labels.

    With free labels, the other three may be either.
    """

    def make(name: str, seed: int = 0, dtype: torch.dtype = torch.float64) -> Case:
        image = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
        net = (conv_network if seed % 2 else mlp_network)(8 if name == "ecoc" else 6, seed=seed, dtype=dtype)
        z = net(image[None])[0]
        if name in ("multi-label", "free labels"):
            others = [FREE] * 3 if name == "free labels" else (z > 0).tolist()[3:]
            return Case(net, image, MultiLabel(6), [*(z <= 0).tolist()[:3], *others])
        encoding = ECOC(hadamard_codebook(6, 8)) if name == "ecoc" else OneHot(6)
        scores = encoding.scores(z) if isinstance(encoding, ECOC) else z
        return Case(net, image, encoding, int(scores.argsort()[2]))

    return make


@pytest.fixture(scope="module")
def attacked(case: Callable[..., Case]) -> Callable[..., tuple[Case, AttackResult]]:
    """A case and its attack, run once for all tests that only look."""

    @functools.cache
    def attack(name: str, seed: int = 0, level: str = "lazy") -> tuple[Case, AttackResult]:
        it = case(name, seed)
        return it, it.attack(level=level)

    return attack


def drained(attack: Attack, look: Callable[[Step], None]) -> AttackResult:
    """The result of an attack, with a look at each step before the next is asked for."""
    while True:
        try:
            look(next(attack))
        except StopIteration as end:
            result: AttackResult = end.value
            return result


@dataclass
class Plain:
    """One line of a network: f from images (1, 2, 2) to logits, for what goes wrong."""

    f: Callable[[Tensor], Tensor]
    encoding: Any
    target: Any
    image: Tensor

    def attack(self, **kwargs: Any) -> AttackResult:
        return run(jma(self.f, self.image, self.encoding, self.target, **kwargs))


GREY = torch.full((1, 2, 2), 0.5, dtype=torch.float64)


def two_classes(images: Tensor) -> Tensor:
    """Class 1 where the pixels add up to 3 and more; 2 at GREY."""
    total = images.flatten(1).sum(1)
    return torch.stack([3 - total, total - 3], dim=1)


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


# Types and devices


@each_encoding
@each_level
def test_float32_images_are_attacked_in_float32(case: Callable[..., Case], name: str, level: str) -> None:
    it = case(name, dtype=torch.float32)
    result = it.attack(level=level)
    assert result.reason == StopReason.SUCCESS
    assert it.reads_target(result.image)
    assert {result.image.dtype, result.original.dtype, result.steps[0].image.dtype} == {np.dtype(np.float32)}
    assert all(step.certificate.holds() for step in result.steps)
    exact = case(name).attack(level=level)
    assert result.n_it == exact.n_it
    np.testing.assert_allclose(result.image, exact.image, atol=STEP / 64)  # a halving may fall the other way


DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")),
    pytest.param("mps", marks=pytest.mark.skipif(not torch.backends.mps.is_available(), reason="needs MPS")),
]


@pytest.mark.parametrize("device", DEVICES)
@each_encoding
@each_level
def test_an_attack_runs_on_the_device_it_is_told(case: Callable[..., Case], name: str, level: str, device: str) -> None:
    it = case(name, dtype=torch.float32)
    expected = it.attack(level=level)
    devices = set()

    def f(images: Tensor) -> Tensor:
        devices.add(images.device.type)
        z: Tensor = net(images)
        return z

    net = it.net.to(device)
    result = run(jma(f, it.image, it.encoding, it.target, step=STEP, level=level, device=device))
    it.net.to("cpu")
    assert devices == {device}
    assert result.success
    np.testing.assert_allclose(result.image, expected.image, atol=STEP / 64)


def test_the_image_is_left_as_it_was(case: Callable[..., Case]) -> None:
    it = case("one-hot")
    before = it.image.clone()
    it.image.requires_grad_(True)
    result = it.attack()
    assert torch.equal(it.image.detach(), before)
    assert it.image.grad is None
    result.image[:] = 0.5
    assert torch.equal(it.image.detach(), before)


@each_level
@each_encoding
def test_the_same_inputs_give_the_same_bits(case: Callable[..., Case], name: str, level: str) -> None:
    first, second = (case(name, 19).attack(level=level) for _ in range(2))
    assert first.image.tobytes() == second.image.tobytes()
    assert first.logits.tobytes() == second.logits.tobytes()
    assert [step.image.tobytes() for step in first.steps] == [step.image.tobytes() for step in second.steps]


def test_memory_changes_the_chunks_only(case: Callable[..., Case]) -> None:
    small, large = (case("one-hot").attack(level="paper", memory=memory) for memory in (1, 2**28))
    np.testing.assert_allclose(small.image, large.image, rtol=0, atol=1e-12)
    assert small.backward == large.backward


@each_level
def test_a_network_with_trainable_weights_can_be_attacked(case: Callable[..., Case], level: str) -> None:
    """As any torch.nn.Module is when it is made."""
    it = case("one-hot", 19)
    expected = it.attack(level=level)
    it.net.requires_grad_(True)
    np.testing.assert_allclose(it.attack(level=level).image, expected.image, rtol=0, atol=1e-12)


# How an attack ends


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
    result = run(jma(ticking(it, clock), it.image, it.encoding, it.target, step=STEP, level=level, max_seconds=12.5))
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

    attack = jma(f, it.image, it.encoding, it.target, step=STEP, level=level, max_seconds=1e3)
    result = drained(attack, slow_down_after_a_hit)
    assert sum(step.phase == Phase.BISECT for step in result.steps) == 1
    assert result.success
    assert it.reads_target(result.image)


@each_level
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_request_to_stop_ends_with_the_best_iterate(case: Callable[..., Case], level: str, steps: int) -> None:
    it = case("multi-label", 2)
    seen: list[Step] = []
    settings: Any = {"step": STEP, "level": level, "should_stop": lambda: len(seen) >= steps}
    result = drained(jma(it, it.image, it.encoding, it.target, **settings), seen.append)
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
    settings: Any = {"step": STEP, "level": level, "should_stop": lambda: any(step.success for step in seen)}
    result = drained(jma(it, it.image, it.encoding, it.target, **settings), seen.append)
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
    result = run(jma(tight, it.image, it.encoding, it.target, step=STEP, level=level))
    assert result.reason == StopReason.SUCCESS
    np.testing.assert_allclose(result.image, expected.image, rtol=0, atol=1e-12)


@each_level
def test_running_out_of_memory_with_one_row_ends_the_attack(
    case: Callable[..., Case], rationed: Build, out_of_memory: RuntimeError, level: str
) -> None:
    it = case("multi-label")
    result = run(jma(rationed(it, 0, out_of_memory), it.image, it.encoding, it.target, level=level))
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


# Bad arguments


@pytest.mark.parametrize(
    ("settings", "received"),
    [
        ({"step": 0.0}, "0"),
        ({"step": -1.0}, "-1"),
        ({"step": math.nan}, "nan"),
        ({"max_iter": 0}, "0"),
        ({"bisections": -1}, "-1"),
        ({"kappa": -0.5}, "-0.5"),
        ({"kappa": math.nan}, "nan"),
        ({"kappa": math.inf}, "inf"),
        ({"max_seconds": math.nan}, "nan"),
        ({"level": "fast"}, "fast"),
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_refused_with_what_was_expected_and_what_came(
    settings: dict[str, Any], received: str
) -> None:
    with pytest.raises(ValueError, match=rf"expected .*got .*{received}"):
        Plain(two_classes, OneHot(2), 1, GREY).attack(**settings)


@pytest.mark.parametrize(
    ("image", "received"),
    [
        (GREY[None], r"\(1, 1, 2, 2\)"),
        (GREY[0], r"\(2, 2\)"),
        (torch.zeros(1, 2, 2, dtype=torch.uint8), "uint8"),
        (GREY * 255, "127.5"),
        (GREY - 1, "-0.5"),
        (GREY * math.nan, "nan"),
        (torch.zeros(3, 0, 0), r"\(3, 0, 0\)"),
    ],
)
def test_a_wrong_image_is_refused_with_what_was_expected_and_what_came(image: Tensor, received: str) -> None:
    with pytest.raises(ValueError, match=rf"expected .*got .*{received}"):
        Plain(two_classes, OneHot(2), 1, image).attack()


@pytest.mark.parametrize("n", [1, 2, 4, 9])
@pytest.mark.parametrize("name", ENCODINGS[:3])
def test_a_network_with_other_logits_than_the_encoding_is_refused(name: str, n: int) -> None:
    encodings: dict[str, Any] = {
        "one-hot": OneHot(3),
        "ecoc": ECOC(torch.tensor([[1, 1, 1], [-1, -1, -1]])),
        "multi-label": MultiLabel(3),
    }
    target = [1, 1, 1] if name == "multi-label" else 1
    with pytest.raises(ValueError, match=f"expected 3 logits.*got {n}"):
        Plain(lambda images: images.mean() + torch.zeros(1, n), encodings[name], target, GREY).attack()


@pytest.mark.parametrize(("encoding", "target"), [(OneHot(2), 2), (MultiLabel(2), [1]), (OneHot(2), [0, 1])])
def test_a_wrong_target_is_refused_before_the_network_is_asked(encoding: Any, target: Any) -> None:
    def f(images: Tensor) -> Tensor:
        raise AssertionError("asked")

    with pytest.raises(ValueError, match=r"expected .*got"):
        Plain(f, encoding, target, GREY).attack()


def test_levels_have_names() -> None:
    assert [Level("paper"), Level("lazy")] == [Level.PAPER, Level.LAZY]


# Batches


@pytest.mark.parametrize("targets", [[], [1], [1, 1, 1]], ids=len)
def test_a_batch_with_another_number_of_targets_is_refused_before_anything_runs(targets: list[int]) -> None:
    def f(images: Tensor) -> Tensor:
        raise AssertionError("asked")

    with pytest.raises(ValueError, match=f"expected .*2.*got {len(targets)}"):
        run_batch(jma, f, torch.stack([GREY, GREY]), OneHot(2), iter(targets))
