"""Cards: what is written is what is read, and what is refused is refused by name."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from models.cards import SAMPLES, CardError, Kind, ModelSpec, as_card, read_card
from models.photos import Preprocessing
from models.recipes import RECIPES

WEIGHTS = Path("toy.safetensors")
COLOUR = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
LABELLED = {"encoding": "multi-label", "labels": ["cat", "dog"], "network": "timm:resnet18", **COLOUR}
CODED = {
    "encoding": "ECOC",
    "labels": ["a", "b", "c"],
    "network": "vgg",
    "codebook": ["++++", "+-+-", "++--"],
    **COLOUR,
}


def read(card: dict[str, Any], name: str = "toy") -> ModelSpec:
    return read_card(tomli_w.dumps(card), name, WEIGHTS)


def assert_same(actual: ModelSpec, expected: ModelSpec) -> None:
    for each in fields(ModelSpec):
        if each.name == "codebook":
            continue
        assert getattr(actual, each.name) == getattr(expected, each.name), each.name
    assert (actual.codebook is None) == (expected.codebook is None)
    if expected.codebook is not None:
        assert actual.codebook is not None
        np.testing.assert_array_equal(actual.codebook, expected.codebook)
        assert actual.codebook.dtype == np.int8


# --- what is written is what is read -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_a_trained_models_card_gives_its_spec(name: str) -> None:
    spec = replace(
        RECIPES[name].spec,
        weights=WEIGHTS,
        sha256="0f" * 32,
        parameters=123_456,
        scores={"accuracy": 0.9, "per label, test": {"cat": {"AP": 0.5, "photos": 3}}},
        training={"pictures": {"train": 100, "test, VOC 2007": 7}, "epochs": 3, "minutes": 1.5, "machine": "a"},
    )
    if spec.encoding is Kind.MULTI_LABEL:
        spec = replace(spec, thresholds=tuple(float(t) for t in np.random.default_rng(0).normal(size=len(spec.labels))))
    assert_same(read_card(tomli_w.dumps(as_card(spec)), spec.name, WEIGHTS), spec)


@pytest.mark.parametrize("name", RECIPES)
def test_the_card_of_a_model_with_unknown_parameters_gives_its_spec(name: str) -> None:
    spec = replace(RECIPES[name].spec, weights=WEIGHTS)
    assert_same(read_card(tomli_w.dumps(as_card(spec)), spec.name, WEIGHTS), spec)


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ['say "cat"', "it's", '"""', "'''", "back\\slash", "naïve", "猫", "🐈", "a\nb", "tab\t", "\x00", "# no", "= []"]
)
finite = st.floats(-1e6, 1e6)


@st.composite
def specs(draw: st.DrawFn) -> ModelSpec:
    kind = draw(st.sampled_from(Kind))
    labels = tuple(draw(st.lists(words, min_size=2, max_size=6, unique=True)))
    bits = draw(st.integers(3, 5))
    word = st.lists(st.sampled_from([-1, 1]), min_size=bits, max_size=bits)
    book = draw(st.lists(word, min_size=len(labels), max_size=len(labels), unique_by=tuple))
    return ModelSpec(
        name=draw(words),
        title=draw(words.filter(bool)),
        encoding=kind,
        labels=labels,
        network=draw(words.filter(bool)),
        weights=WEIGHTS,
        options=draw(st.dictionaries(words, st.integers(-9, 9) | st.booleans() | st.lists(st.integers(0, 9)) | words)),
        preprocessing=Preprocessing(
            size=draw(st.integers(8, 2048)),
            crop=draw(st.floats(0.1, 1)),
            interpolation=draw(st.sampled_from(["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"])),
            squash=draw(st.booleans()),
        ),
        mean=tuple(draw(st.lists(finite, min_size=3, max_size=3))),
        std=tuple(draw(st.lists(st.floats(1e-6, 1e6), min_size=3, max_size=3))),
        thresholds=tuple(draw(finite) for _ in labels) if kind is Kind.MULTI_LABEL else (),
        codebook=np.array(book, dtype=np.int8) if kind is Kind.ECOC else None,
        summary=draw(words),
        data=draw(words.filter(bool)),
        licence=draw(words.filter(bool)),
        sha256=draw(st.sampled_from(["", "ab" * 32])),
        parameters=draw(st.integers(0, 10**9)),
        samples=draw(st.sampled_from(SAMPLES)),
        scores=draw(st.dictionaries(words, finite)),
        training=draw(st.dictionaries(words, st.dictionaries(words, st.integers(0, 9)))),
    )


@given(spec=specs())
def test_any_card_that_is_written_gives_its_spec(spec: ModelSpec) -> None:
    assert_same(read_card(tomli_w.dumps(as_card(spec)), spec.name, WEIGHTS), spec)


@given(labels=st.lists(words, min_size=1, max_size=6, unique=True))
def test_labels_come_back_in_their_order_whatever_they_are_called(labels: list[str]) -> None:
    assert read({**LABELLED, "labels": labels}).labels == tuple(labels)


def test_what_is_empty_is_not_written() -> None:
    spec = ModelSpec("a", "A", Kind.ONE_HOT, ("x", "y"), "vgg", parameters=1)
    expected = {"title", "encoding", "labels", "network", "preprocessing", "mean", "std", "data", "licence"}
    assert as_card(spec).keys() == expected | {"parameters", "samples"}


def test_a_card_is_plain_toml_and_its_codewords_are_signs() -> None:
    spec = ModelSpec("a", "A", Kind.ECOC, ("x", "y"), "vgg", codebook=np.array([[1, -1, 1], [-1, -1, 1]]), parameters=1)
    card = tomllib.loads(tomli_w.dumps(as_card(spec)))
    assert card["encoding"] == "ECOC"
    assert card["codebook"] == ["+-+", "--+"]
    assert card["preprocessing"] == {"size": 224, "crop": 0.875, "interpolation": "bicubic", "squash": False}


def test_the_least_that_a_card_may_hold() -> None:
    spec = read({**LABELLED, "encoding": "one-hot"}, name="mine")
    assert (spec.name, spec.title, spec.encoding) == ("mine", "mine", Kind.ONE_HOT)
    assert (spec.labels, spec.network, spec.weights) == (("cat", "dog"), "timm:resnet18", WEIGHTS)
    assert (spec.mean, spec.std) == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert spec.preprocessing == Preprocessing()
    assert (spec.thresholds, spec.codebook, spec.outputs) == ((), None, 2)


def test_thresholds_are_zero_where_a_card_gives_none() -> None:
    assert read(LABELLED).thresholds == (0.0, 0.0)
    assert read({**LABELLED, "thresholds": [0.5, -1.5]}).thresholds == (0.5, -1.5)


def test_an_ecoc_model_has_as_many_outputs_as_its_code_has_bits() -> None:
    spec = read(CODED)
    assert spec.outputs == 4
    np.testing.assert_array_equal(spec.codebook, [[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1]])


# --- what is refused, is refused by name ---------------------------------------------------------------------------


@pytest.mark.parametrize("entry", ["encoding", "labels", "network", "mean", "std"])
def test_a_missing_entry_is_named(entry: str) -> None:
    with pytest.raises(CardError, match=rf"^Missing entries: {entry}\.$"):
        read({key: value for key, value in LABELLED.items() if key != entry})


def test_all_missing_entries_are_named_at_once() -> None:
    with pytest.raises(CardError, match=r"^Missing entries: encoding, labels, network, mean, std\.$"):
        read({})


@pytest.mark.parametrize("entry", ["label", "name", "weights", "download", "Labels"])
def test_an_unknown_entry_is_named_with_those_that_a_card_may_hold(entry: str) -> None:
    with pytest.raises(CardError, match=rf"^Unknown entries: {entry}\. A card may hold .*thresholds, .*labels"):
        read({**LABELLED, entry: "x"})


@pytest.mark.parametrize("text", ["labels = [", "{}", '"a" = 1\n"a" = 2', "labels", "\x00"])
def test_what_is_not_toml_is_refused_as_such(text: str) -> None:
    with pytest.raises(CardError, match=r"^This is not a TOML file: "):
        read_card(text, "toy", WEIGHTS)


@pytest.mark.parametrize("encoding", ["onehot", "ecoc", "", 3, ["ECOC"], {}, True])
def test_an_unknown_encoding_is_refused_with_those_that_there_are(encoding: Any) -> None:
    with pytest.raises(CardError, match=r"^encoding: expected one of one-hot, ECOC, multi-label, got "):
        read({**LABELLED, "encoding": encoding})


@pytest.mark.parametrize("labels", [["cat", "dog", "cat"], []])
def test_wrong_labels_are_refused(labels: list[str]) -> None:
    with pytest.raises(CardError, match=r"^labels: expected different names.*got "):
        read({**LABELLED, "labels": labels})


def test_one_label_is_enough_for_multi_label_only() -> None:
    assert read({**LABELLED, "labels": ["cat"]}).outputs == 1
    with pytest.raises(CardError, match=r"^labels: .*at least two classes or one label"):
        read({**LABELLED, "labels": ["cat"], "encoding": "one-hot"})


@pytest.mark.parametrize("thresholds", [[0.5], [0.5, 0.5, 0.5]])
def test_a_wrong_number_of_thresholds_is_refused(thresholds: list[float]) -> None:
    with pytest.raises(CardError, match=rf"^thresholds: expected one for each.*got {len(thresholds)} for 2 labels"):
        read({**LABELLED, "thresholds": thresholds})


@pytest.mark.parametrize("card", [{**LABELLED, "encoding": "one-hot"}, CODED])
def test_thresholds_are_for_multi_label_only(card: dict[str, Any]) -> None:
    with pytest.raises(CardError, match=r"^thresholds: .*none for others"):
        read({**card, "thresholds": [0.0] * len(card["labels"])})


@pytest.mark.parametrize("book", [["++", "+-"], ["++", "+-", "-+", "--"], []])
def test_a_wrong_number_of_codewords_is_refused(book: list[str]) -> None:
    with pytest.raises(CardError, match=r"^codebook: expected "):
        read({**CODED, "codebook": book})


def test_an_ecoc_model_needs_a_codebook_and_others_must_not_have_one() -> None:
    with pytest.raises(CardError, match=r"^codebook: expected a codeword of its own for each class.*got None"):
        read({key: value for key, value in CODED.items() if key != "codebook"})
    for encoding in ("one-hot", "multi-label"):
        with pytest.raises(CardError, match=r"^codebook: .*none for others; got 2"):
            read({**LABELLED, "encoding": encoding, "codebook": ["++", "+-"]})


@pytest.mark.parametrize("std", [[0.5, 0, 0.5], [0.5, -1.0, 0.5], [0.5], [0.5] * 4, []])
def test_a_wrong_std_is_refused(std: list[float]) -> None:
    with pytest.raises(CardError, match=r"^mean and std: expected three numbers each, std above 0; got "):
        read({**LABELLED, "std": std})


@pytest.mark.parametrize("mean", [[0.5], [0.5] * 4, []])
def test_a_wrong_mean_is_refused(mean: list[float]) -> None:
    with pytest.raises(CardError, match=r"^mean and std: expected three numbers each"):
        read({**LABELLED, "mean": mean})


@pytest.mark.parametrize(
    ("preprocessing", "says"),
    [
        ({"crop": 0}, r"a crop of 0.1 to 1, got 0"),
        ({"crop": 1.5}, r"a crop of 0.1 to 1, got 1.5"),
        ({"crop": "x"}, r"a crop of 0.1 to 1, got 'x'"),
        ({"size": 4}, "a size of 8 to 2048 pixels, got 4"),
        ({"size": 224.0}, "a size of 8 to 2048 pixels, got 224.0"),
        ({"interpolation": "cubic"}, "an interpolation of nearest, .*got 'cubic'"),
        ({"crops": 0.5}, "crops"),
        (3, "[Pp]reprocessing"),
        ("224", "[Pp]reprocessing"),
        ([1, 2], "[Pp]reprocessing"),
    ],
)
def test_wrong_preprocessing_is_refused(preprocessing: Any, says: str) -> None:
    with pytest.raises(CardError, match=says):
        read({**LABELLED, "preprocessing": preprocessing})


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("codebook", ["++++", "+-+x", "++--"]),
        ("codebook", ["++++", "+-+", "++--"]),
        ("codebook", [[1, -1], [1, 1], [-1, 1]]),
        ("codebook", 3),
        ("labels", [["cat"], ["dog"]]),
        ("labels", 3),
        ("thresholds", 0.5),
        ("mean", 0.5),
        ("std", 0.5),
        ("std", ["a", "b", "c"]),
        ("preprocessing", {"interpolation": 3}),
    ],
    ids=str,
)
def test_an_entry_of_the_wrong_type_is_named(entry: str, value: Any) -> None:
    with pytest.raises(CardError, match=entry):
        read({**(CODED if entry == "codebook" else LABELLED), entry: value})


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("codebook", ["++++", "++++", "++--"]),
        ("codebook", ["", "", ""]),
        ("codebook", "+-+"),
        ("options", 3),
        ("options", "x"),
        ("network", 3),
        ("title", 3),
        ("labels", [1, 2]),
        ("labels", "ab"),
        ("mean", ["a", "b", "c"]),
        ("std", [float("nan")] * 3),
        ("thresholds", ["a", "b"]),
        ("thresholds", [float("nan"), 0.0]),
        ("preprocessing", {"squash": "no"}),
    ],
    ids=str,
)
def test_an_entry_that_no_model_can_have_is_refused_and_named(entry: str, value: Any) -> None:
    with pytest.raises(CardError, match=entry):
        read({**(CODED if entry == "codebook" else LABELLED), entry: value})
