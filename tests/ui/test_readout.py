"""Logits in words and numbers, against the encodings of jma_core."""

import numpy as np
import pytest
import torch

from jma_core import ECOC, MultiLabel, OneHot
from models.registry import MODELS
from ui.readout import as_target, confidences, constraint_names, names, present, preset_target

ENCODINGS = {
    "imagenet-onehot": OneHot(1000),
    "imagenet-ecoc": ECOC(MODELS["imagenet-ecoc"].codebook),
    "imagenet-multilabel": MultiLabel([6.5] * 16),
}


@pytest.mark.parametrize("name", list(MODELS))
def test_confidences_rank_as_the_decoder_does(name: str) -> None:
    spec, encoding, rng = MODELS[name], ENCODINGS[name], np.random.default_rng(0)
    for _ in range(20):
        logits = rng.normal(scale=3, size=encoding.n) + (6 if "multi" in name else 0)
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
        logits = rng.normal(scale=3, size=encoding.n) + (6 if "multi" in name else 0)
        decoded = encoding.decode(torch.tensor(logits)).numpy()
        target = preset_target(spec, logits, decoded)
        encoding.check_target(target)
        assert target != as_target(decoded)


def test_a_picture_of_the_favourite_gets_another_target() -> None:
    spec = MODELS["imagenet-onehot"]
    espresso = spec.labels.index("espresso")
    assert preset_target(spec, np.eye(1000)[espresso], np.array(espresso)) == spec.labels.index("tabby")


def test_answers_are_named() -> None:
    spec = MODELS["imagenet-multilabel"]
    assert names(spec, np.array([True, True] + [False] * 14)) == "dog, cat"
    assert names(spec, np.zeros(16, dtype=bool)) == "none of its labels"
    assert names(MODELS["imagenet-onehot"], np.array(657)) == "missile"


@pytest.mark.parametrize("name", list(MODELS))
def test_constraints_are_named_as_jma_core_numbers_them(name: str) -> None:
    spec, encoding = MODELS[name], ENCODINGS[name]
    target = (True,) * 16 if "multi" in name else 3
    labels = encoding.constraints(target).labels.tolist()
    assert [text.removeprefix("against ") for text in constraint_names(spec, target)] == [
        spec.labels[i] for i in labels
    ]
