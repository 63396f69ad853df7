"""What is said of an attacked picture that was transformed, or that other models read: by models made of rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lab.aftermath import Fate, farthest, kin, survival, transfer
from lab.transformations import TRANSFORMATIONS
from models.encodings import MultiLabel, OneHot, Prediction
from models.photos import Preprocessing
from models.registry import MODELS

SIGNS = replace(MODELS["gtsrb-onehot"], encoding=OneHot(("dark", "middling", "light")), preprocessing=Preprocessing(32))
DARK, LIGHT = Image.new("RGB", (40, 40), (20, 20, 20)), Image.new("RGB", (40, 40), (230, 230, 230))


def by_brightness(pictures: Sequence[np.ndarray]) -> list[Prediction]:
    """A model of three classes, whose logits are how near the mean is to 0, 1/2 and 1."""
    logits = [-np.abs(picture.mean() / 255 - np.array([0, 0.5, 1])) for picture in pictures]
    return [Prediction(z, np.asarray(z.argmax())) for z in logits]


def test_each_transformation_of_both_pictures_is_read_and_told_by_its_fate() -> None:
    trials = survival(SIGNS, 2, by_brightness, attacked=LIGHT, original=DARK)
    assert [trial.title for trial in trials] == [*TRANSFORMATIONS]
    assert {trial.attacked.fate for trial in trials} == {Fate.WANTED}
    assert {(trial.original.fate, trial.original.reads) for trial in trials} == {(Fate.ORIGINAL, "dark")}
    nearest = np.array([230 / 255, 230 / 255 - 0.5])
    assert trials[0].attacked.margin == pytest.approx((nearest - (1 - 230 / 255)).min())
    assert trials[0].original.margin == pytest.approx(20 / 255 - (1 - 20 / 255))


def test_a_reading_that_is_neither_is_something_else() -> None:
    grey = Image.new("RGB", (40, 40), (128, 128, 128))
    assert survival(SIGNS, 2, by_brightness, attacked=grey, original=DARK)[0].attacked.fate == Fate.OTHER
    assert survival(SIGNS, 1, by_brightness, attacked=DARK, original=DARK)[0].attacked.fate == Fate.ORIGINAL


@pytest.mark.parametrize(
    ("labels", "target", "fate"),
    [
        (("dark", "middling", "light"), 2, Fate.WANTED),
        (("dark", "grey", "bright"), 2, Fate.OTHER),  # it knows the wanted label by no name
        (("dark", "middling", "light"), 1, Fate.OTHER),
    ],
)
def test_another_model_is_judged_by_the_names_of_its_labels(labels: tuple[str, ...], target: int, fate: Fate) -> None:
    other = replace(SIGNS, name="other", title="Other", encoding=OneHot(labels))
    report = transfer(SIGNS, target, other, by_brightness, attacked=LIGHT, original=DARK)
    assert (report.title, report.before, report.after, report.fate) == ("Other", labels[0], labels[2], fate)
    before, after = (
        other.encoding.confidences(by_brightness([np.asarray(each)])[0].logits)[0] for each in (DARK, LIGHT)
    )
    assert (report.label, report.sureness) == (labels[0], pytest.approx((before, after)))
    same = transfer(SIGNS, target, other, by_brightness, attacked=DARK, original=DARK)
    assert same.fate == Fate.ORIGINAL


def test_the_kin_of_a_model_reads_the_same_kind_of_picture() -> None:
    twin, photos = replace(SIGNS, name="twin"), replace(SIGNS, name="photos", samples="photos")
    assert kin(SIGNS, [SIGNS, twin, photos]) == [twin]
    assert kin(photos, [SIGNS, twin, photos]) == []


def test_the_farthest_labels_are_one_that_comes_and_one_that_goes() -> None:
    labels = MultiLabel(("a", "b", "c", "d"))
    seen = Prediction(z := np.array([2.0, 1.0, -3.0, -1.0]), z > 0)
    assert farthest(labels, seen, (0, 0, 1, 1)) == [2, 0]
    assert farthest(labels, seen, (0, 1, 0, 0)) == [1, 0], "no label has to come"
    assert farthest(labels, seen, (-1, -1, -1, 1)) == [3], "none has to go"
    classes = OneHot(("a", "b", "c"))
    assert farthest(classes, Prediction(np.array([2.0, 1.0, 0.0]), np.array(0)), 2) == [2, 0]
