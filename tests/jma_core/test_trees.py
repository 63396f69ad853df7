"""Trees of labels: the files they come from, and what has to flip with a label."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from jma_core.trees import LabelTree
from models.registry import ASSETS, MODELS

LABELS = ("animal", "cat", "tiger", "lion", "dog", "car")
LISTS = '{"animal": ["cat", "dog"], "cat": ["big cat"], "big cat": ["tiger", "lion"]}'
TREE = LabelTree(((), (0,), (1,), (1,), (0,), ()))


def told(name: str, *children: object) -> object:
    return {"LabelName": name, "Subcategory": list(children)}


@pytest.mark.parametrize(
    "text",
    [
        LISTS,
        "animal\tcat\nanimal\tdog\ncat\tbig cat\n\nbig cat\ttiger\nbig cat\tlion\n",
        "animal cat\nanimal dog\ncat tiger\ncat lion",
        json.dumps(
            told("Entity", told("animal", told("cat", told("big cat", told("tiger"), told("lion"))), told("dog")))
        ),
    ],
)
def test_every_form_of_a_file_gives_the_same_tree_whose_links_may_pass_over_what_is_no_label(text: str) -> None:
    assert LabelTree.read(text, LABELS) == TREE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("animal cat dog", "a parent and a child in each line, got 'animal cat dog'"),
        ('{"animal": "cat"}', "a list of children of each parent, got 'cat' of 'animal'"),
        ("cat dog\ndog cat", "cycle"),
        ("big small\nsmall big\nbig cat", "cycle: cat > big > small > big"),
    ],
)
def test_what_is_no_tree_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LabelTree.read(text, LABELS)


def vector(*names: str) -> tuple[bool, ...]:
    return tuple(label in names for label in LABELS)


@pytest.mark.parametrize(
    ("present", "labels", "target"),
    [
        (("animal", "cat", "tiger"), ["tiger"], ()),
        (("animal", "cat", "tiger", "lion"), ["tiger"], ("animal", "cat", "lion")),
        (("animal", "cat", "tiger", "dog", "car"), ["cat"], ("animal", "dog", "car")),
        (("animal", "dog"), ["animal"], ()),
        ((), ["lion"], ("animal", "cat", "lion")),
        (("animal", "dog"), ["cat"], ("animal", "cat", "tiger", "dog")),
        (("animal", "cat", "lion"), ["lion", "car"], ("car",)),
        (("cat", "tiger", "lion"), ["tiger"], ("cat", "lion")),
        (("tiger", "lion", "dog"), ["tiger"], ("dog",)),
    ],
)
def test_labels_flip_with_those_that_go_with_them(
    present: tuple[str, ...], labels: list[str], target: tuple[str, ...]
) -> None:
    assert TREE.flipped(vector(*present), [LABELS.index(label) for label in labels]) == vector(*target)


@some.composite
def trees(draw: some.DrawFn) -> LabelTree:
    """Each label has an earlier one for its parent, or none."""
    count = draw(some.integers(1, 9))
    return LabelTree(
        tuple(tuple(draw(some.sets(some.integers(0, i - 1), max_size=1))) if i else () for i in range(count))
    )


@given(trees(), some.lists(some.integers(0, 8)), some.data())
def test_what_was_consistent_stays_so_and_the_labels_do_flip(
    tree: LabelTree, seeds: list[int], data: some.DataObject
) -> None:
    count = len(tree.parents)
    present = (False,) * count
    for seed in seeds:
        present = tree.flipped(present, [seed % count])
        assert tree.consistent(present)
    label = data.draw(some.integers(0, count - 1))
    assert tree.flipped(present, [label])[label] != present[label]


def test_several_parents_are_allowed_one_of_which_has_to_be_there() -> None:
    tree = LabelTree(((), (), (0, 1)))
    assert tree.flipped((False,) * 3, [2]) == (True, False, True)
    assert tree.flipped((False, True, True), [2]) == (False, False, False)
    assert [tree.consistent(present) for present in ((0, 1, 1), (1, 1, 0), (0, 0, 1), (0, 0, 0))] == [
        True,
        False,
        False,
        True,
    ]


def test_the_scenes_model_s_tree_is_of_its_labels() -> None:
    labels = MODELS["scenes"].encoding.labels
    tree = LabelTree.read((ASSETS / "labels" / "scenes.json").read_text("utf-8"), labels)
    pairs = {(labels[up], labels[i]) for i, above in enumerate(tree.parents) for up in above}
    assert pairs == {("plane", "jet"), ("cat", "tiger")}
    jet = tree.flipped([False] * len(labels), [labels.index("jet")])
    assert [label for label, there in zip(labels, jet, strict=True) if there] == ["plane", "jet"]
