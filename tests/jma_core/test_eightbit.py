"""The end of an attack on the grid of 8 bits, against Pillow's files, an integer program, and what it must not do."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from jma_core import ECOC, MultiLabel, OneHot, eight_bit, hadamard_codebook, jma, run, run_batch
from jma_core.attacks.eightbit import rounded
from jma_core.records import AttackResult, Phase, StopReason

Build = Callable[..., Any]
ENCODINGS: dict[str, Any] = {
    "one-hot": OneHot(6),
    "ecoc": ECOC(hadamard_codebook(6, 8)),
    "multi-label": MultiLabel(6),
}
CROSSING = partial(jma, bisections=12)
"""Ends so close to the border that rounding is as likely as not to undo it."""
each_encoding = pytest.mark.parametrize("name", ENCODINGS)


def photo(seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """An image (3, 6, 6) as from a file, black and white pixels among it."""
    levels = torch.randint(-40, 296, (3, 6, 6), generator=torch.Generator().manual_seed(seed))
    return levels.clamp(0, 255).to(dtype) / 255


class Case:
    """A smooth network that counts what it sees, a photo, and the labels that are second best or two flips away."""

    def __init__(self, build: Build, name: str, seed: int) -> None:
        self.encoding = ENCODINGS[name]
        self.net = build(self.encoding.n, seed=seed, dtype=torch.float32)
        self.seen = 0
        self.image = photo(seed)
        z = self.net(self.image[None])[0]
        scores = self.encoding.scores(z) if name == "ecoc" else z
        flipped = z.abs().argsort()[:2].tolist()
        labels = [bool(value > 0) != (j in flipped) for j, value in enumerate(z)]
        self.target: Any = labels if name == "multi-label" else int(scores.argsort()[-2])

    def __call__(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        z: Tensor = self.net(images)
        return z

    def attacked(self, attack: Any = CROSSING, **settings: Any) -> AttackResult:
        return run(attack(self, self.image, self.encoding, self.target, **settings))

    def ended(self, start: Any, **settings: Any) -> AttackResult:
        return self.attacked(partial(eight_bit, start=start), **settings)

    def read_back(self, image: Any) -> Tensor:
        """The labels of an image that was written to a PNG and read again."""
        file = io.BytesIO()
        Image.fromarray(np.round(np.moveaxis(image, 0, 2) * 255).astype(np.uint8)).save(file, "PNG")
        pixels = np.moveaxis(np.asarray(Image.open(file)), 2, 0)
        tensor = torch.from_numpy(pixels.copy()).float() / 255
        np.testing.assert_array_equal(tensor, image)  # so it was on the grid, bit for bit
        labels: Tensor = self.encoding.decode(self.net(tensor[None])[0])
        return labels


@pytest.fixture(scope="module")
def case(mlp_network: Build) -> Callable[..., Case]:
    return lambda name="one-hot", seed=0: Case(mlp_network, name, seed)


@each_encoding
@settings(max_examples=6)
@given(seed=st.integers(0, 10_000))
def test_a_successful_attack_still_succeeds_as_a_file(case: Callable[..., Case], name: str, seed: int) -> None:
    it = case(name, seed)
    attacked = it.attacked()
    assume(attacked.reason == StopReason.SUCCESS)
    result = it.ended(attacked.image)
    assert (result.success, result.reason) == (True, StopReason.SUCCESS)
    assert torch.equal(it.read_back(result.image), it.encoding.check_target(it.target))
    assert result.distortion.l2 == pytest.approx(np.linalg.norm(result.image - it.image.numpy()))
    assert result.distortion.l2 == pytest.approx(min(step.l2 for step in result.steps if step.success))


@each_encoding
def test_plain_rounding_would_undo_some_of_these_attacks(case: Callable[..., Case], name: str) -> None:
    """Or the tests above would show nothing."""
    undone = 0
    for seed in range(8):
        it = case(name, seed)
        attacked = it.attacked()
        labels = it.encoding.decode(it.net(rounded(torch.as_tensor(attacked.image))[None])[0])
        undone += attacked.success and not torch.equal(labels, it.encoding.check_target(it.target))
    assert undone >= 2


def test_distances_are_from_an_original_that_is_off_the_grid(case: Callable[..., Case]) -> None:
    it = case()
    it.image = (it.image + 0.3 / 255).clamp(0, 1)
    result = it.ended(it.attacked().image)
    assert torch.equal(it.read_back(result.image), it.encoding.check_target(it.target))
    np.testing.assert_array_equal(result.original, it.image)
    assert result.distortion.l2 == pytest.approx(np.linalg.norm(result.image - it.image.numpy()))


def test_a_perturbation_far_below_a_level_leads_to_one_on_the_grid(case: Callable[..., Case]) -> None:
    it = case()
    attacked = torch.as_tensor(it.attacked().image)
    start = it.image + 1e-3 * (attacked - it.image)
    assert torch.equal(rounded(start), it.image)
    result = it.ended(start)
    assert torch.equal(it.read_back(result.image), it.encoding.check_target(it.target))
    assert result.distortion.l2 <= 1.2 * float((attacked - it.image).norm())


# A linear model of one constraint, whose nearest image on the grid is an integer program.

PIXELS, DEEPEST = 48, 12


def nearest_on_the_grid(gains: Any, missing: float, room: Any) -> float:
    """Least L2, in levels, of integer moves with so much gain, from below and to 0.05 %.

    Each pixel's k-th level costs 2 k - 1 in squares and is a binary.
    """
    depth = np.arange(1, DEEPEST + 1)
    allowed = (depth <= room[:, None]).astype(float)
    found = scipy.optimize.milp(
        np.tile(2.0 * depth - 1, len(gains)),
        integrality=1,
        bounds=scipy.optimize.Bounds(0, allowed.ravel()),
        constraints=scipy.optimize.LinearConstraint(np.repeat(gains, DEEPEST)[None], missing, np.inf),
        options={"mip_rel_gap": 1e-3},
    )
    assert found.success
    assert found.x.reshape(-1, DEEPEST)[:, -1].sum() == 0  # no pixel needs more levels than it was given
    return math.sqrt(found.mip_dual_bound)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("levels", [0.7, 2.0])
def test_the_best_image_of_a_linear_model_is_nearly_found_and_is_not_lost(
    linear_network: Build, seed: int, levels: float
) -> None:
    """The optimum of the Lagrangian is beyond that of the program by less than its last move: 2 k - 1 in squares.

    The interval of the border, 5 % halved three times, adds 0.6 % of the distance, the program's gap 0.05 %.
    """
    rng = np.random.default_rng(seed)
    w = rng.normal(size=PIXELS)
    x = torch.from_numpy(rng.integers(0, 256, size=(3, 4, 4))).double() / 255
    room = np.where(w > 0, 255 - 255 * x.numpy().ravel(), 255 * x.numpy().ravel()).round()
    missing = levels * np.linalg.norm(w) * math.sqrt(PIXELS) / 255
    f = linear_network(np.stack([w * 0, w]), np.array([0, -w @ x.numpy().ravel() - missing]))
    attacked = run(jma(f, x, OneHot(2), 1))
    optimum = nearest_on_the_grid(np.abs(w), missing * 255 * (1 + 1e-9), room)
    result = run(eight_bit(f, x, OneHot(2), 1, start=attacked.image))
    assert result.success
    ours = 255 * result.distortion.l2
    deepest = 255 * result.distortion.linf
    assert optimum <= ours * (1 + 1e-9)
    assert ours <= math.sqrt(optimum**2 + 2 * deepest - 1) * 1.007
    again = run(eight_bit(f, x, OneHot(2), 1, start=result.image))
    assert again.distortion.l2 <= result.distortion.l2


def test_a_grid_image_that_already_is_best_stays(linear_network: Build) -> None:
    """One pixel brings a third of what is missing by every level, and the others a hundredth of that: three levels."""
    w = np.full(48, 0.01)
    w[7] = 1.0
    x = torch.full((3, 4, 4), 100 / 255, dtype=torch.float64)
    f = linear_network(np.stack([w * 0, w]), np.array([0, -w.sum() * 100 / 255 - 2.999 / 255]))
    best = x.clone()
    best.view(-1)[7] = 103 / 255
    result = run(eight_bit(f, x, OneHot(2), 1, start=best))
    np.testing.assert_array_equal(result.image, best)
    assert result.success


# What every attack must do.


def test_a_target_out_of_reach_is_reported_with_the_best_attempt(linear_network: Build) -> None:
    """The second logit gains at most 48 x 0.01 over the first, and lags behind by one."""
    x = photo(0, torch.float64)
    f = linear_network(np.stack([np.zeros(108), np.full(108, 0.01)]), np.array([2.2, 0]))
    result = run(eight_bit(f, x, OneHot(2), 1, start=(x + 0.01).clamp(0, 1)))
    assert (result.success, result.reason) == (False, StopReason.ITERATIONS)
    assert result.logits[1] - result.logits[0] == max(step.values[0] for step in result.steps)
    np.testing.assert_array_equal(result.image, rounded(torch.as_tensor(result.image)))
    assert result.decoded == 0


@each_encoding
def test_a_margin_is_kept_on_the_grid(case: Callable[..., Case], name: str) -> None:
    it = case(name)
    result = it.ended(it.attacked().image, kappa=0.3)
    assert (result.success, result.reason) == (True, StopReason.SUCCESS)
    values = it.encoding.constraints(it.target).values(it.net(torch.as_tensor(result.image)[None])[0])
    assert float(values.min()) >= 0.3 - 1e-6


@pytest.mark.parametrize("turns", [0, 1, 5])
def test_a_turn_costs_one_gradient_and_every_pass_is_counted(case: Callable[..., Case], turns: int) -> None:
    it = case()
    start = it.attacked().image
    it.seen = 0
    result = it.ended(start, turns=turns)
    assert (result.forward, result.backward) == (it.seen, turns)
    assert result.n_it == it.seen - turns - 1  # all but the original and the gradients' own
    assert {step.phase for step in result.steps} == {Phase.ROUND}
    assert [step.iteration for step in result.steps][-1] == turns + 1


def test_it_stops_when_it_is_told_and_when_time_is_up(case: Callable[..., Case]) -> None:
    it = case()
    start = it.attacked().image
    it.seen = 0
    stopped = it.ended(start, should_stop=lambda: it.seen > 3)
    assert (stopped.reason, it.seen) == (StopReason.STOPPED, 4)
    assert it.ended(start, max_seconds=0.0).reason == StopReason.TIME


def test_an_original_with_the_labels_needs_nothing(case: Callable[..., Case]) -> None:
    it = case()
    start, it.target = it.attacked().image, int(it.net(it.image[None])[0].argmax())
    result = it.ended(start)
    assert result.reason == StopReason.NOTHING_TO_DO
    np.testing.assert_array_equal(result.image, it.image)


def test_a_batch_takes_its_starts_in_order(case: Callable[..., Case]) -> None:
    it = case()
    images = torch.stack([photo(seed) for seed in range(3)])
    targets = [int(z.argsort()[-2]) for z in it.net(images)]
    floats = [result.image for result in run_batch(CROSSING, it, images, it.encoding, targets)]
    starts = iter(floats)
    together = run_batch(
        lambda *given, **rest: eight_bit(*given, start=next(starts), **rest), it, images, it.encoding, targets
    )
    for x, target, start, one in zip(images, targets, floats, together, strict=True):
        alone = run(eight_bit(it, x, it.encoding, target, start=start))
        assert (one.success, one.backward) == (alone.success, alone.backward)
        assert one.distortion.l2 == pytest.approx(alone.distortion.l2, rel=0.01)


@pytest.mark.parametrize(
    "settings", [{"start": torch.zeros(3, 5, 5)}, {"start": torch.full((3, 6, 6), 1.1)}, {"turns": -1}]
)
def test_what_is_out_of_range_is_refused_before_the_network_is_asked(
    case: Callable[..., Case], settings: dict[str, Any]
) -> None:
    it = case()
    with pytest.raises(ValueError, match=r"expected .*got"):
        eight_bit(it, it.image, it.encoding, it.target, **{"start": it.image, **settings})
    assert it.seen == 0
