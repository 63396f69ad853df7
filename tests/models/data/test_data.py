"""Image sets: how they are split and added, and what is said of one that is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.data import (
    VALIDATION,
    DataError,
    ImageSet,
    Pictures,
    Split,
    cifar10,
    coco,
    corel5k,
    gtsrb,
    held_out,
    mnist,
    voc2007,
)
from tests.models.data.sets import noise

# --- splits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 10, 100, 999])
def test_validation_is_its_share_and_the_same_on_every_call(count: int) -> None:
    mask = held_out(count)
    assert mask.shape == (count,)
    assert abs(mask.sum() - VALIDATION * count) <= 0.5
    np.testing.assert_array_equal(mask, held_out(count))


def test_another_seed_holds_out_others() -> None:
    assert (held_out(1000) != held_out(1000, seed=1)).any()


def test_splits_add_up_and_are_chosen_from_by_number() -> None:
    a, b = noise(3, 8, 8, 3), noise(2, 8, 8, 3, seed=1)
    both = Split(Pictures(a), np.array([0, 1, 2])) + Split(Pictures(b), np.array([3, 4]))
    np.testing.assert_array_equal(both.pictures(), np.concatenate([a, b]))
    chosen = both.take(np.array([4, 0, 3]))
    np.testing.assert_array_equal(chosen.pictures(), np.stack([b[1], a[0], b[0]]))
    assert chosen.targets.tolist() == [4, 0, 3]
    assert len(list(both.photos)) == len(both) == 5


def test_the_sum_of_two_sets_keeps_the_test_part_of_each() -> None:
    parts = [Split(Pictures(noise(n, 8, 8, 3, seed=n)), np.full(n, n)) for n in range(1, 7)]
    both = ImageSet(parts[0], parts[1], {"one": parts[2]}) + ImageSet(parts[3], parts[4], {"two": parts[5]})
    assert (len(both.train), len(both.validation)) == (1 + 4, 2 + 5)
    assert {name: len(split) for name, split in both.tests.items()} == {"one": 3, "two": 6}
    np.testing.assert_array_equal(both.validation.targets, [2, 2, 5, 5, 5, 5, 5])
    np.testing.assert_array_equal(both.train.pictures()[1:], parts[3].pictures())


# --- what is missing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reader", "expected"),
    [
        (gtsrb, ["gtsrb32.npz", "torchvision.datasets.GTSRB"]),
        (corel5k, ["Corel-5k", "corel5k/labels_objects.csv"]),
        (voc2007, ["VOC 2007", "voc2007/labels.csv"]),
        (coco, ["COCO", "annotations/instances_val2017.json", "val2017"]),
    ],
)
def test_a_set_that_is_not_there_is_said_to_be_missing_and_what_was_expected(
    tmp_path: Path, reader: Callable[[Path], object], expected: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        reader(tmp_path)
    for words in (*expected, str(tmp_path)):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("reader", "folder"),
    [(gtsrb, "gtsrb"), (cifar10, "cifar-10-batches-py"), (mnist, "MNIST/raw"), (voc2007, "VOCdevkit/VOC2007")],
)
def test_a_download_that_was_cut_short_is_refused(
    tmp_path: Path, reader: Callable[[Path], object], folder: str
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(DataError, match="expected"):
        reader(tmp_path)
