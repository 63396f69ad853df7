"""Recipes: codes, losses and samplers against what numpy and torch compute otherwise."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torch.nn import functional

from models.data import Pictures, Split
from models.loaders import blank
from models.recipes import (
    BIGGEST_32,
    GTSRB,
    HEADS,
    OBJECT_WORDS,
    RECIPES,
    SCENES,
    TASKS,
    WORDS,
    Jitter,
    RandomCrops,
    Sampler,
    codebook,
    hinge_and_logistic,
    logistic,
)

Array = np.ndarray


def pictures(count: int, height: int = 32, width: int = 32, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def split_of(photos: Array) -> Split:
    return Split(Pictures(photos), np.zeros(len(photos), dtype=np.int64))


def draw(sampler: Sampler, photos: Array, seed: int = 0) -> Array:
    """All images of some photos, once, as (N, H, W, 3)."""
    images = sampler(split_of(photos), np.arange(len(photos)), np.random.default_rng(seed))
    assert images.dtype == torch.float32
    return images.permute(0, 2, 3, 1).numpy()


# --- codes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "bits"), [(10, 16), (32, 32)])
def test_any_two_codewords_differ_in_half_of_the_bits(classes: int, bits: int) -> None:
    codewords = codebook(classes, bits)
    assert codewords.shape == (classes, bits)
    assert set(np.unique(codewords)) == {-1, 1}
    for i in range(classes):
        for j in range(i):
            assert sum(a != b for a, b in zip(codewords[i], codewords[j], strict=True)) == bits // 2


@pytest.mark.parametrize(("classes", "bits"), [(10, 16), (32, 32)])
def test_every_bit_is_a_question_of_its_own(classes: int, bits: int) -> None:
    """A bit that is the same for all classes teaches nothing; two alike, or opposite, would always err together."""
    columns = [tuple(column) for column in codebook(classes, bits).T.tolist()]
    assert all(len(set(column)) == 2 for column in columns)
    assert len({*columns, *(tuple(-bit for bit in column) for column in columns)}) == 2 * bits


# --- losses --------------------------------------------------------------------------------------------------------


def test_the_loss_of_bits_is_the_mean_of_what_tanh_lacks_and_of_the_surprise() -> None:
    rng = np.random.default_rng(0)
    codewords, z, targets = codebook(10, 16), rng.normal(size=(7, 16)), rng.integers(0, 10, 7)
    expected = np.mean(
        [
            max(0.0, 1 - codewords[t, b] * np.tanh(z[k, b])) - np.log((1 + codewords[t, b] * np.tanh(z[k, b])) / 2)
            for k, t in enumerate(targets)
            for b in range(16)
        ]
    )
    actual = hinge_and_logistic(codewords)(torch.tensor(z), torch.tensor(targets))
    assert actual.shape == ()
    assert float(actual) == pytest.approx(expected, rel=1e-6)


def test_the_loss_of_two_bits_by_hand() -> None:
    loss = hinge_and_logistic(np.array([[1, 1], [1, -1]]))
    z = torch.atanh(torch.tensor([[0.5, 0.25]]))
    assert float(loss(z, torch.tensor([0]))) == pytest.approx((0.5 + 0.75 - np.log(0.75 * 0.625)) / 2)
    assert float(loss(z, torch.tensor([1]))) == pytest.approx((0.5 + 1.25 - np.log(0.75 * 0.375)) / 2)


def test_the_logistic_loss_is_summed_over_known_labels_and_averaged_over_photos() -> None:
    rng = np.random.default_rng(1)
    z, targets = 3 * rng.normal(size=(9, 6)), rng.integers(-1, 2, (9, 6))
    expected = 0.0
    for score, target in zip(z.ravel(), targets.ravel(), strict=True):
        p = 1 / (1 + np.exp(-score))
        expected -= {1: np.log(p), 0: np.log(1 - p), -1: 0.0}[int(target)]
    actual = logistic(torch.tensor(z, dtype=torch.float32), torch.tensor(targets))
    assert float(actual) == pytest.approx(expected / 9, rel=1e-5)


def test_labels_that_are_not_known_have_no_gradient_and_the_others_push_their_way() -> None:
    z = torch.tensor([[0.5, 0.5, 0.5], [2.0, -1.0, 1.0]], requires_grad=True)
    logistic(z, torch.tensor([[-1, 1, 0], [-1, -1, -1]])).backward()
    assert z.grad is not None
    assert z.grad[0, 0] == 0
    assert z.grad[0, 1] < 0 < z.grad[0, 2]
    assert (z.grad[1] == 0).all()


@pytest.mark.parametrize("size", [1e3, 1e6])
def test_the_losses_of_extreme_logits_are_finite(size: float) -> None:
    z = torch.tensor([[size, -size, size, -size, size]], requires_grad=True)
    loss = logistic(z, torch.tensor([[1, 1, 0, 0, -1]])) + hinge_and_logistic(np.ones((1, 5)))(z, torch.tensor([0]))
    loss.backward()
    assert loss.isfinite()
    assert z.grad.isfinite().all()


# --- small pictures ------------------------------------------------------------------------------------------------


def moved(photo: Array, shift: int) -> dict[bytes, bool]:
    """Every crop that a shift can give, and its mirror image: whether it is mirrored, by the crop's bytes."""
    padded = np.pad(photo, ((shift, shift), (shift, shift), (0, 0)), mode="reflect")
    side = len(photo)
    crops = [padded[i : i + side, j : j + side] for i in range(2 * shift + 1) for j in range(2 * shift + 1)]
    return {crop.tobytes(): False for crop in crops} | {crop[:, ::-1].tobytes(): True for crop in crops}


def as_bytes(images: Array) -> list[bytes]:
    return [np.rint(255 * image).astype(np.uint8).tobytes() for image in images]


@pytest.mark.parametrize("flip", [False, True])
def test_a_shift_is_a_crop_of_the_mirrored_surroundings_flipped_only_if_asked(flip: bool) -> None:
    photos = np.repeat(pictures(1, 12, 12), 300, axis=0)
    known = moved(photos[0], shift=2)
    images = draw(Jitter(shift=2, flip=flip), photos)
    assert images.shape == photos.shape
    seen = as_bytes(images)
    assert {known[image] for image in seen} == ({False, True} if flip else {False})
    # 300 draws from 25 or 50 crops miss a given one with a chance below 0.3 %.
    assert len(set(seen)) >= (45 if flip else 23)


def test_pixels_that_are_not_moved_are_untouched() -> None:
    photos = pictures(8)
    expected = photos.astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(draw(Jitter(shift=0), photos), expected)
    np.testing.assert_array_equal(draw(Jitter(shift=0, turn=0.0, zoom=0.0, light=0.0), photos), expected)


@given(seed=st.integers(0, 2**32))
def test_jittered_images_stay_in_range(seed: int) -> None:
    sampler = Jitter(shift=3, flip=True, turn=0.4, zoom=0.3, light=1.5)
    images = draw(sampler, pictures(4, 16, 16), seed)
    assert images.shape == (4, 16, 16, 3)
    assert np.isfinite(images).all()
    assert images.min() >= 0
    assert images.max() <= 1


def fixed(share: float, middle: int) -> Any:
    """A generator that draws this share of every range, and this integer."""
    return SimpleNamespace(
        uniform=lambda low, high, size: np.full(size, low + share * (high - low)),
        integers=lambda low, high, size: np.full(size, middle),
        random=lambda size: np.ones(size),
    )


@pytest.mark.parametrize(("share", "quarters"), [(1.0, 1), (0.0, -1)])
def test_a_quarter_turn_is_numpys(share: float, quarters: int) -> None:
    photo = pictures(1)
    images = Jitter(shift=0, turn=np.pi / 2)(split_of(photo), np.array([0]), fixed(share, 0))
    expected = np.rot90(photo[0], quarters) / 255
    np.testing.assert_allclose(images[0].permute(1, 2, 0).numpy(), expected, atol=2e-4)


def test_a_zoom_by_two_reads_every_second_place_about_the_centre() -> None:
    """On a ramp, sampling twice as far from the centre doubles the distance from the middle value."""
    ramp = np.broadcast_to(np.arange(32, dtype=np.uint8)[None, :, None] * 4 + 60, (1, 32, 32, 3))
    images = Jitter(shift=0, zoom=float(np.log(2)))(split_of(ramp), np.array([0]), fixed(1.0, 0))
    row = images[0, 0, 5].numpy() * 255
    centre = 60 + 4 * 15.5
    np.testing.assert_allclose(row[8:24], centre + 2 * 4 * (np.arange(8, 24) - 15.5), atol=1e-2)


@pytest.mark.parametrize(("share", "factor"), [(1.0, 2.0), (0.0, 0.5), (0.5, 1.0)])
def test_light_is_a_factor_that_is_cut_at_white(share: float, factor: float) -> None:
    photo = pictures(1)
    images = Jitter(shift=0, light=1.0)(split_of(photo), np.array([0]), fixed(share, 0))
    expected = np.minimum(photo[0] / 255 * factor, 1)
    np.testing.assert_allclose(images[0].permute(1, 2, 0).numpy(), expected, atol=1e-6)


def test_a_zoomed_picture_is_filled_with_its_mirror_image() -> None:
    """Nothing black may come in from outside of a picture that has no black."""
    photos = np.maximum(pictures(20), 100)
    assert draw(Jitter(shift=4, turn=0.5, zoom=0.5), photos).min() >= 100 / 255 - 1e-6


# --- photographs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(40, 70), (70, 40), (16, 16), (200, 20)])
def test_random_crops_have_the_side_that_is_asked_for(height: int, width: int) -> None:
    images = draw(RandomCrops(24), pictures(6, height, width))
    assert images.shape == (6, 24, 24, 3)
    assert images.min() >= 0
    assert images.max() <= 1


def test_half_of_the_crops_are_flipped_and_none_leaves_the_photo() -> None:
    """A ramp from left to right shows which way a crop looks, and how much of the photo's width it has."""
    ramp = np.broadcast_to(np.linspace(60, 180, 64).astype(np.uint8)[None, None, :, None], (400, 64, 64, 3))
    images = draw(RandomCrops(16), ramp)
    slopes = images[:, 8, -3, 0] - images[:, 8, 2, 0]
    # 400 fair coins: five standard deviations are 50.
    assert 150 <= (slopes < 0).sum() <= 250
    assert (slopes != 0).all()
    assert images.min() >= 60 / 255 * 2**-0.3 - 0.02
    assert images.max() <= 180 / 255 * 2**0.3 + 0.02


def test_some_crops_are_softened_and_half_are_not() -> None:
    """A blur takes the contrast out of noise; what is not blurred varies with its zoom and its brightness only."""
    photos = np.broadcast_to(pictures(1, 40, 40), (200, 40, 40, 3))
    images = draw(RandomCrops(40), photos)
    contrast = np.abs(np.diff(images, axis=2)).mean((1, 2, 3))
    assert (contrast < contrast.max() / 3).sum() >= 50
    assert (contrast > 0.45 * contrast.max()).sum() >= 80


@pytest.mark.parametrize("sampler", [Jitter(3, True, 0.2, 0.15, 0.8), RandomCrops(20)], ids=["jitter", "crops"])
def test_a_seed_says_what_is_drawn(sampler: Sampler) -> None:
    photos = pictures(10)
    np.testing.assert_array_equal(draw(sampler, photos, seed=1), draw(sampler, photos, seed=1))
    assert (draw(sampler, photos, seed=1) != draw(sampler, photos, seed=2)).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("sampler", [Jitter(0), RandomCrops(20)], ids=["jitter", "crops"])
def test_samplers_take_the_photos_of_the_numbers_they_are_given(sampler: Sampler) -> None:
    flat = np.broadcast_to(np.array([20, 100, 180], np.uint8)[:, None, None, None], (3, 32, 32, 3))
    images = sampler(split_of(flat), np.array([2, 0, 2, 1]), np.random.default_rng(0))
    assert np.argsort(images.mean((1, 2, 3)).numpy()).tolist() in ([1, 3, 0, 2], [1, 3, 2, 0])


# --- the zoo -------------------------------------------------------------------------------------------------------


def test_the_32_biggest_classes_are_32_of_the_43_in_order() -> None:
    assert len(GTSRB) == len(set(GTSRB)) == 43
    assert len(set(BIGGEST_32)) == 32
    assert list(BIGGEST_32) == sorted(BIGGEST_32)
    assert set(BIGGEST_32) <= set(range(43))


def test_the_32_biggest_classes_are_those_of_the_benchmarks_training_part() -> None:
    """Its counts are published: so many tracks, of 30 frames each, for the classes 0 to 42."""
    tracks = (7, 74, 75, 47, 66, 62, 14, 48, 47, 49, 67, 44, 70, 72, 26, 21, 14, 37, 40, 7, 12, 11, 13, 17, 9, 50, 20)
    tracks += (8, 18, 9, 15, 26, 8, 23, 14, 40, 13, 7, 69, 10, 12, 8, 8)
    ranked = sorted(range(43), key=lambda k: -tracks[k])
    assert tracks[ranked[31]] > tracks[ranked[32]]
    assert set(BIGGEST_32) == set(ranked[:32])


def test_scenes_have_the_words_of_both_sets() -> None:
    assert len(OBJECT_WORDS) == 22
    assert (*OBJECT_WORDS, "bus", "motorbike") == SCENES
    assert len(set(SCENES)) == 24


def test_there_are_80_words_as_in_coco() -> None:
    assert len(set(WORDS)) == len(WORDS) == 80
    assert set(OBJECT_WORDS) <= set(WORDS)


@pytest.mark.parametrize("name", TASKS)
def test_every_recipe_builds_a_network_of_its_size(name: str) -> None:
    spec = TASKS[name].spec
    side = spec.preprocessing.size
    network = blank(spec).eval()
    with torch.no_grad():
        z = network(torch.rand(2, 3, side, side))
    assert z.shape == (2, spec.encoding.n)
    expected = {"ECOC": 16 if "16" in name else 32}.get(spec.encoding.name, len(spec.encoding.labels))
    assert spec.encoding.n == expected


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipes_loss_takes_its_logits(name: str) -> None:
    recipe = RECIPES[name]
    spec = recipe.spec
    several = spec.encoding.several
    targets = torch.zeros((4, len(spec.encoding.labels)) if several else 4, dtype=torch.int64)
    z = torch.randn(4, spec.encoding.n, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = recipe.loss(z, targets)
    loss.backward()
    assert loss.shape == ()
    assert z.grad.abs().sum() > 0


@pytest.mark.parametrize("name", RECIPES)
def test_what_begins_afresh_is_in_the_network(name: str) -> None:
    recipe = RECIPES[name]
    assert not recipe.fresh or any(each.startswith(recipe.fresh) for each in blank(recipe.spec).state_dict())


@pytest.mark.parametrize("name", HEADS)
def test_a_head_goes_on_the_body_of_a_model_that_was_trained(name: str) -> None:
    body, recipe = RECIPES[HEADS[name].body], HEADS[name]
    sides = [blank(spec).state_dict() for spec in (body.spec, recipe.spec)]
    of_body, of_head = ({key: value.shape for key, value in side.items() if "classifier" not in key} for side in sides)
    assert of_body == of_head
    assert (recipe.spec.mean, recipe.spec.std) == (body.spec.mean, body.spec.std)
    assert recipe.spec.preprocessing == body.spec.preprocessing


def test_labels_that_are_judged_are_labels() -> None:
    for recipe in TASKS.values():
        assert {label for labels in recipe.judged.values() for label in labels} <= set(recipe.spec.encoding.labels)


def test_the_one_hot_recipe_learns_by_cross_entropy() -> None:
    z, targets = torch.tensor([[0.0, 0.0], [np.log(3.0), 0.0]]), torch.tensor([0, 1])
    loss: Callable[[Tensor, Tensor], Tensor] = RECIPES["gtsrb-onehot"].loss
    assert float(loss(z, targets)) == pytest.approx((np.log(2) + np.log(4)) / 2)


def test_a_flat_photo_stays_flat_under_every_sampler() -> None:
    flat = np.full((5, 40, 40, 3), 128, dtype=np.uint8)
    for recipe in RECIPES.values():
        images = draw(recipe.sampler, flat)
        assert np.ptp(images, axis=(1, 2)).max() < 1e-5


def test_a_photo_may_have_any_size_of_its_own() -> None:
    photos = [Image.fromarray(pictures(1, *size)[0]) for size in [(30, 50), (64, 20), (128, 192)]]
    split = Split(photos, np.zeros((3, 2), dtype=np.int64))
    images = RandomCrops(32)(split, np.arange(3), np.random.default_rng(0))
    assert images.shape == (3, 3, 32, 32)
    assert functional.relu(-images).sum() == 0
