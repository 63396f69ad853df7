"""Cards: what is written is what is read, and what is refused is refused by name."""

from __future__ import annotations

import time
import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from models.cards import LARGEST_CARD, SAMPLES, CardError, ModelSpec, as_card, read_card, visible
from models.encodings import ECOC, MultiLabel, OneHot
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
        if each.name != "encoding":
            assert getattr(actual, each.name) == getattr(expected, each.name), each.name
    read, written = actual.encoding, expected.encoding
    assert (type(read), read.labels) == (type(written), written.labels)
    np.testing.assert_equal(read.constants, written.constants)
    assert read.codebook is None or read.codebook.dtype == np.int8


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
    if spec.encoding.several:
        thresholds = np.random.default_rng(0).normal(size=spec.encoding.n).tolist()
        spec = replace(spec, encoding=replace(spec.encoding, thresholds=tuple(thresholds)))
    assert_same(read_card(tomli_w.dumps(as_card(spec)), spec.name, WEIGHTS), spec)


@pytest.mark.parametrize("name", RECIPES)
def test_the_card_of_a_model_with_unknown_parameters_gives_its_spec(name: str) -> None:
    spec = replace(RECIPES[name].spec, weights=WEIGHTS)
    assert_same(read_card(tomli_w.dumps(as_card(spec)), spec.name, WEIGHTS), spec)


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ['say "cat"', "it's", '"""', "'''", "back\\slash", "naïve", "猫", "🐈", "a\nb", "tab\t", "\x00", "# no", "= []"]
)
seen = words.filter(visible)
finite = st.floats(-1e6, 1e6)


@st.composite
def specs(draw: st.DrawFn) -> ModelSpec:
    labels = tuple(draw(st.lists(seen, min_size=2, max_size=6, unique_by=visible)))
    bits = draw(st.integers(3, 5))
    word = st.lists(st.sampled_from([-1, 1]), min_size=bits, max_size=bits)
    book = draw(st.lists(word, min_size=len(labels), max_size=len(labels), unique_by=tuple))
    thresholds = tuple(draw(finite) for _ in labels)
    encodings = OneHot(labels), ECOC(labels, np.array(book, dtype=np.int8)), MultiLabel(labels, thresholds)
    return ModelSpec(
        name=draw(words),
        title=draw(seen),
        encoding=draw(st.sampled_from(encodings)),
        network=draw(words.filter(bool)),
        weights=WEIGHTS,
        options=draw(st.dictionaries(words, st.integers(-9, 9) | st.booleans() | st.lists(st.integers(0, 9)) | words)),
        preprocessing=Preprocessing(
            size=draw(st.integers(8, 2048)),
            crop=draw(st.floats(0.5, 1)),
            interpolation=draw(st.sampled_from(["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"])),
            squash=draw(st.booleans()),
        ),
        mean=tuple(draw(st.lists(st.floats(0, 1), min_size=3, max_size=3))),
        std=tuple(draw(st.lists(st.floats(1e-6, 1), min_size=3, max_size=3))),
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


@given(labels=st.lists(seen, min_size=1, max_size=6, unique_by=visible))
def test_labels_come_back_in_their_order_whatever_they_are_called(labels: list[str]) -> None:
    assert read({**LABELLED, "labels": labels}).encoding.labels == tuple(labels)


def test_what_is_empty_is_not_written() -> None:
    spec = ModelSpec("a", "A", OneHot(("x", "y")), "vgg", parameters=1)
    expected = {"title", "encoding", "labels", "network", "preprocessing", "mean", "std", "data", "licence"}
    assert as_card(spec).keys() == expected | {"parameters", "samples"}


def test_a_card_is_plain_toml_and_its_codewords_are_signs() -> None:
    spec = ModelSpec("a", "A", ECOC(("x", "y"), np.array([[1, -1, 1], [-1, -1, 1]])), "vgg", parameters=1)
    card = tomllib.loads(tomli_w.dumps(as_card(spec)))
    assert card["encoding"] == "ECOC"
    assert card["codebook"] == ["+-+", "--+"]
    assert card["preprocessing"] == {"size": 224, "crop": 0.875, "interpolation": "bicubic", "squash": False}
    padded = replace(spec, preprocessing=replace(spec.preprocessing, pad=True))
    assert as_card(padded)["preprocessing"] == card["preprocessing"] | {"pad": True}


def test_the_least_that_a_card_may_hold() -> None:
    spec = read({**LABELLED, "encoding": "one-hot"}, name="mine")
    assert (spec.name, spec.title, spec.encoding) == ("mine", "mine", OneHot(("cat", "dog")))
    assert (spec.network, spec.weights) == ("timm:resnet18", WEIGHTS)
    assert (spec.mean, spec.std) == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert spec.preprocessing == Preprocessing()
    assert (spec.encoding.constants, spec.encoding.codebook, spec.encoding.n) == ({}, None, 2)


def test_thresholds_are_zero_where_a_card_gives_none() -> None:
    assert read(LABELLED).encoding.thresholds == (0.0, 0.0)
    assert read({**LABELLED, "thresholds": [0.5, -1.5]}).encoding.thresholds == (0.5, -1.5)


def test_an_ecoc_model_has_as_many_outputs_as_its_code_has_bits() -> None:
    spec = read(CODED)
    assert spec.encoding.n == 4
    np.testing.assert_array_equal(spec.encoding.codebook, [[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1]])


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
    assert read({**LABELLED, "labels": ["cat"]}).encoding.n == 1
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


# --- numbers are numbers, of a size that a model can have ----------------------------------------------------------

PIXELS = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}


@pytest.mark.parametrize(
    "colour",
    [
        PIXELS,
        {"mean": PIXELS["mean"]},
        {"std": PIXELS["std"]},
        {"mean": [-0.1, 0.5, 0.5]},
        {"mean": [0.5, 0.5, 1.01]},
        {"std": [0.5, 0.5, 1.01]},
    ],
    ids=str,
)
def test_normalisation_of_pixels_from_0_to_255_is_refused_with_what_to_do(colour: dict[str, Any]) -> None:
    with pytest.raises(CardError, match=r"^mean and std: expected numbers of 0 to 1, .* by 255\); got "):
        read({**LABELLED, **colour})


def test_the_normalisations_that_libraries_use_are_taken() -> None:
    for mean, std in (((0.0,) * 3, (1.0,) * 3), ((0.0,) * 3, (1 / 255,) * 3), ((0.485, 0.456, 0.406), (0.229,) * 3)):
        spec = read({**LABELLED, "mean": list(mean), "std": list(std)})
        assert (spec.mean, spec.std) == (mean, std)


@pytest.mark.parametrize(
    "entry",
    [
        {"mean": [True, 0.5, 0.5]},
        {"std": [0.5, True, 0.5]},
        {"thresholds": [False, 0.5]},
        {"parameters": True},
        {"preprocessing": {"size": True}},
        {"preprocessing": {"crop": True}},
    ],
    ids=str,
)
def test_true_is_no_number(entry: dict[str, Any]) -> None:
    with pytest.raises(CardError, match=rf"^{next(iter(entry))}: expected .*got .*(True|False)"):
        read({**LABELLED, **entry})


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("parameters", "1" + 309 * "0"),
        ("parameters", "0x" + 400 * "f"),
        ("parameters", "0x" + 90 * "f"),
        ("parameters", 5000 * "9"),
        ("parameters", "1e400"),
        ("parameters", str(10**16)),
        ("scores", "{accuracy = 1" + 400 * "0" + "}"),
        ("scores", "{accuracy = 1e300}"),
        ("scores", "{accuracy = inf}"),
        ("training", "{minutes = [[-1e16]]}"),
        ("thresholds", "[inf, 0]"),
        ("thresholds", "[nan, 0]"),
        ("mean", "[nan, 0.5, 0.5]"),
        ("options", "{depth = 1e308}"),
        ("options", "{depth = 4" + 300 * "0" + "}"),
        ("preprocessing", "{size = 9" + 90 * "0" + "}"),
        ("preprocessing", "{size = 2048, crop = 0.1}"),
    ],
    ids=lambda text: text[:24],
)
def test_numbers_are_bounded_whatever_they_are_of(entry: str, value: str) -> None:
    card = tomli_w.dumps({key: each for key, each in LABELLED.items() if key != entry})
    with pytest.raises(CardError) as refused:
        read_card(f"{entry} = {value}\n{card}", "toy", WEIGHTS)
    assert len(str(refused.value)) < 400


def test_scores_may_be_unknown() -> None:
    """Training writes nan for a label that no test photo shows."""
    assert np.isnan(read({**LABELLED, "scores": {"AP": float("nan")}}).scores["AP"])


# --- labels can be seen and told apart -----------------------------------------------------------------------------

BLANK = ["", " ", "\t\n", "\x00", "\x7f", "\u200b", "\ufeff", "\u2060\u00ad", "\u3164", "\u2800", "\u202e", "\ufe0f"]


@pytest.mark.parametrize("label", [*BLANK, "\u0301"], ids=ascii)
@pytest.mark.parametrize("encoding", ["multi-label", "one-hot"])
def test_a_label_that_cannot_be_seen_is_refused_by_its_number(label: str, encoding: str) -> None:
    with pytest.raises(CardError, match=r"^labels: expected names .* that can be seen; got .* as number 2 of 3$"):
        read({**LABELLED, "encoding": encoding, "labels": ["cat", label, "dog"]})


@pytest.mark.parametrize("twin", ["cat", "cat ", "c\u200bat", "\ufeffcat"], ids=ascii)
def test_labels_that_look_alike_are_named_with_their_numbers(twin: str) -> None:
    labels = [f"class {number}" for number in range(1000)]
    labels[133], labels[517] = "cat", twin
    with pytest.raises(CardError, match=r"^labels: .* different names, got '.*' as number 134 and as number 518$"):
        read({**LABELLED, "labels": labels})


@pytest.mark.parametrize("label", ["naïve", "猫", "🐈", "👩‍🚀", "नमस्ते", "ﷺ", "a\nb", "..."])
def test_labels_of_any_script_are_taken(label: str) -> None:
    assert read({**LABELLED, "labels": ["cat", label]}).encoding.labels == ("cat", label)


@pytest.mark.parametrize("title", BLANK, ids=ascii)
def test_a_title_can_be_seen(title: str) -> None:
    with pytest.raises(CardError, match=r"^title: expected a text that can be seen, got "):
        read({**LABELLED, "title": title})


def test_every_error_is_a_line_or_two_long() -> None:
    many, long = [str(number) for number in range(5000)], "x" * 100_000
    for card in (
        {**LABELLED, "labels": [*many, "7"]},
        {**LABELLED, "labels": [long, long]},
        {**LABELLED, "labels": [1] * 5000},
        {**LABELLED, "title": long},
        {**LABELLED, "encoding": long},
        {**LABELLED, "samples": long},
        {**LABELLED, "mean": [1e9] * 5000},
        {**LABELLED, "mean": many},
        {**LABELLED, "options": {long[:90]: 1}, "network": "clip-mlp:x"},
        {**LABELLED, "preprocessing": {"interpolation": long}},
        {**LABELLED, "preprocessing": dict.fromkeys(many, 1)},
        {**CODED, "codebook": many},
        LABELLED | dict.fromkeys(many, 1),
    ):
        with pytest.raises(CardError) as refused:
            read(card)
        assert len(str(refused.value)) < 500


# --- files ---------------------------------------------------------------------------------------------------------


def test_a_card_may_begin_with_a_byte_order_mark() -> None:
    text = tomli_w.dumps({**LABELLED, "labels": ["naïve", "猫"]})
    for content in (text, "\ufeff" + text, text.encode(), text.encode("utf-8-sig")):
        assert read_card(content, "toy", WEIGHTS).encoding.labels == ("naïve", "猫")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_a_card_in_utf_16_is_named_as_such(encoding: str) -> None:
    with pytest.raises(CardError, match=r"^This card is in UTF-16 or UTF-32: save it as UTF-8\.$"):
        read_card(tomli_w.dumps(LABELLED).encode(encoding), "toy", WEIGHTS)


def test_a_card_in_latin_1_is_refused_by_its_line() -> None:
    text = 'encoding = "one-hot"\nlabels = ["café", "tea"]\n'
    with pytest.raises(CardError, match=r"^This card is not in UTF-8, by line 2: save it as UTF-8\.$"):
        read_card(text.encode("latin-1"), "toy", WEIGHTS)


MILLION = 1_000_000
HOSTILE = {
    "dotted keys": "a." * (MILLION // 2 - 4) + "a = 1",
    "dotted keys with spaces": "a . " * (MILLION // 4 - 4) + "a = 1",
    "dotted quoted keys": '"a".' * (MILLION // 4 - 4) + "a = 1",
    "dotted header": "[" + "a." * (MILLION // 2 - 4) + "a]",
    "many dotted keys": "".join(f"a.{'b.' * 40}c{number} = 1\n" for number in range(9000)),
    "nested lists": "a = " + "[" * 300 + "]" * 300,
    "a million brackets": "a = " + "[" * (MILLION - 4),
    "nested tables": "a = " + "{b = " * 300 + "1" + "}" * 300,
    "5000 digits": "a = " + "9" * 5000,
    "a million digits": "a = " + "9" * (MILLION - 4),
    "unfinished text": 'a = "' + "x" * (MILLION - 9),
    "unfinished texts": "a = " + '"' * (MILLION - 9),
    "escapes": 'a = """' + '\\"""' * 200_000 + "\\",
    "many quotes": "'" * (MILLION - 9),
    "too long": "#" * (LARGEST_CARD + 1),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_card_that_would_keep_the_parser_busy_is_refused_at_once(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(CardError) as refused:
        read_card(text, "toy", WEIGHTS)
    assert time.process_time() - begun < 2  # a few tenths on a quiet machine; dotted keys took 30 s and 6.5 GB
    assert len(str(refused.value)) < 500


def test_what_looks_like_nesting_in_texts_and_comments_is_neither() -> None:
    labels = ["a." * 100, "[" * 100, "it's", 'say "{{{{{{{{{{{{{{"', "9" * 200]
    text = f"# {'[' * 100} {'9' * 200}\n{tomli_w.dumps({**LABELLED, 'labels': labels})}# {'a.' * 100}\n"
    text += f'summary = """{"[" * 50}"" ""\\""""\n' + f"data = '''{'{' * 50}'' '''"
    assert read_card(text, "toy", WEIGHTS).encoding.labels == tuple(labels)
