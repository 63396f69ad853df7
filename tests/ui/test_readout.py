"""Logits in words and numbers, against the encodings of jma_core."""

import numpy as np
import pytest
import torch

from jma_core.records import FREE
from models.loaders import encoding_of
from models.registry import MODELS
from ui.readout import as_target, confidences, constraint_names, listed, margins, names, present, preset_target, wish

ENCODINGS = {name: encoding_of(spec) for name, spec in MODELS.items()}


def random_logits(name: str, rng: np.random.Generator) -> np.ndarray:
    shift = np.array(MODELS[name].thresholds or 0.0)
    return rng.normal(scale=3, size=ENCODINGS[name].n) + shift


@pytest.mark.parametrize("name", list(MODELS))
def test_confidences_rank_as_the_decoder_does(name: str) -> None:
    spec, encoding, rng = MODELS[name], ENCODINGS[name], np.random.default_rng(0)
    for _ in range(20):
        logits = random_logits(name, rng)
        sure = confidences(spec, logits)
        decoded = encoding.decode(torch.tensor(logits)).numpy()
        assert ((sure >= 0) & (sure <= 1)).all()
        expected = np.flatnonzero(sure > 0.5) if decoded.ndim else [sure.argmax()]
        assert present(decoded) == list(expected)
        if not decoded.ndim:
            assert sure.sum() == pytest.approx(1)


@pytest.mark.parametrize("name", list(MODELS))
def test_the_preset_target_asks_for_a_change(name: str) -> None:
    spec, encoding, rng = MODELS[name], ENCODINGS[name], np.random.default_rng(1)
    for _ in range(20):
        logits = random_logits(name, rng)
        decoded = encoding.decode(torch.tensor(logits)).numpy()
        target = preset_target(spec, logits, decoded)
        encoding.check_target(target)
        assert target != as_target(decoded)


def test_the_preset_of_a_class_is_the_runner_up() -> None:
    assert preset_target(MODELS["gtsrb-onehot"], np.arange(43.0), np.array(42)) == 41


def test_the_preset_of_labels_swaps_the_strongest_for_the_next_best() -> None:
    spec = MODELS["scenes"]
    above = np.full(24, -3.0)
    above[[2, 5, 7]] = 4, 1, -1
    wanted = preset_target(spec, above + spec.thresholds, above > 0)
    assert np.flatnonzero(wanted).tolist() == [5, 7]


def test_answers_are_named() -> None:
    spec = MODELS["scenes"]
    assert names(spec, np.array([True, True] + [False] * 22)) == "water, people"
    assert names(spec, np.zeros(24, dtype=bool)) == "none of its labels"
    assert names(MODELS["imagenet-onehot"], np.array(657)) == "missile"


def test_long_lists_are_cut_short() -> None:
    assert listed(["a", "b", "c"], 3) == "a, b, c"
    assert listed(["a", "b", "c", "d", "e"], 3) == "a, b, c and 2 more"


def test_wishes_are_named_and_free_labels_said_to_be_free() -> None:
    spec = MODELS["scenes"]
    assert wish(MODELS["imagenet-onehot"], 657) == "missile"
    assert wish(spec, (1, 1) + (0,) * 22) == "water, people"
    assert wish(spec, (0,) * 24) == "none of its labels"
    assert wish(spec, (1, 0) + (FREE,) * 22) == "water, not people (other labels float)"
    assert wish(spec, (0, 0) + (FREE,) * 22) == "not water, not people (other labels float)"


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("labels_wanted", [(True,) * 24, (1, 0, FREE) * 8])
def test_constraints_are_named_as_jma_core_numbers_them(name: str, labels_wanted: tuple[int, ...]) -> None:
    spec, encoding = MODELS[name], ENCODINGS[name]
    target = labels_wanted if spec.thresholds else 3
    labels = encoding.constraints(target).labels.tolist()
    assert [text.removeprefix("against ") for text in constraint_names(spec, target)] == [
        spec.labels[i] for i in labels
    ]


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("labels_wanted", [(True,) * 24, (1, 0, FREE) * 8])
def test_margins_are_those_of_jma_core(name: str, labels_wanted: tuple[int, ...]) -> None:
    spec, encoding = MODELS[name], ENCODINGS[name]
    target = labels_wanted if spec.thresholds else 3
    logits = random_logits(name, np.random.default_rng(2))
    expected = encoding.constraints(target).values(torch.tensor(logits)).numpy()
    np.testing.assert_allclose(margins(spec, target, logits), expected, atol=1e-12)
