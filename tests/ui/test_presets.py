"""Presets against the encodings of jma_core, and against hand-made logits."""

import numpy as np
import pytest
import torch

from jma_core.records import reads
from models.loaders import encoding_of
from models.registry import MODELS
from ui.presets import OF_CLASSES, OF_LABELS, flip_random, flip_top, least_likely, presets, random_class

SCENES = MODELS["scenes"]


def places(target: object) -> list[int]:
    return np.flatnonzero(target).tolist()


def above(**logits: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the scenes model so far above its thresholds, -3 where none is given, and which are present."""
    z = np.full(len(SCENES.labels), -3.0)
    for name, value in logits.items():
        z[SCENES.labels.index(name)] = value
    return z + SCENES.thresholds, z > 0


def named(target: object) -> set[str]:
    return {SCENES.labels[i] for i in places(target)}


@pytest.mark.parametrize("name", list(MODELS))
def test_every_preset_is_a_target_of_its_model_and_asks_for_a_change(name: str) -> None:
    spec, encoding, rng = MODELS[name], encoding_of(MODELS[name]), np.random.default_rng(0)
    assert presets(spec) is (OF_LABELS if spec.thresholds else OF_CLASSES)
    for _ in range(20):
        logits = rng.normal(scale=3, size=encoding.n)
        decoded = encoding.decode(torch.tensor(logits)).numpy()
        for preset in presets(spec).values():
            target = preset(spec, logits, decoded, 3, rng)
            encoding.check_target(target)
            assert not reads(decoded, np.array(target))


def test_the_top_label_goes_or_comes_if_there_is_none() -> None:
    assert named(flip_top(SCENES, *above(cat=4, snow=1, cars=-1))) == {"snow"}
    assert named(flip_top(SCENES, *above(cars=-1, snow=-2))) == {"cars"}


def test_labels_are_swapped_removed_and_flipped() -> None:
    logits, has = above(cat=4, snow=1, cars=-1)
    rng = np.random.default_rng(0)
    assert named(OF_LABELS["Swap two"](SCENES, logits, has, 0, rng)) == {"snow", "cars"}
    assert named(OF_LABELS["Remove all"](SCENES, logits, has, 0, rng)) == set()
    assert [(np.array(flip_random(has, k, rng)) != has).sum() for k in (1, 5, 24)] == [1, 5, 24]


def test_chance_draws_anew_draws_every_label_and_can_be_repeated() -> None:
    has = np.arange(20) < 3
    rng = np.random.default_rng(7)
    drawn = [flip_random(has, 5, rng) for _ in range(60)]
    assert len(set(drawn)) > 50  # of 15504 sets
    assert (np.array(drawn) != has).any(0).all()
    rng = np.random.default_rng(7)
    assert drawn == [flip_random(has, 5, rng) for _ in range(60)]


def test_a_random_class_is_any_other_one() -> None:
    rng = np.random.default_rng(0)
    assert {random_class(10, 3, rng) for _ in range(300)} == set(range(10)) - {3}


def test_the_least_likely_class_is_the_farthest_from_the_decoded_one() -> None:
    assert least_likely(MODELS["gtsrb-onehot"], np.arange(43.0), 42) == 0
    assert least_likely(MODELS["gtsrb-onehot"], np.zeros(43), 0) == 1
    spec = MODELS["cifar10-ecoc16"]
    for i, word in enumerate(spec.codebook):
        correlations = np.delete(spec.codebook @ word, i)
        found = least_likely(spec, 2.0 * word, i)
        assert spec.codebook[found] @ word == correlations.min()
