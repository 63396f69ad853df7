"""Encodings without torch against those of jma_core, on any logits and targets, and against hand-made ones."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jma_core import TopK, asked
from jma_core.attacks.registry import ALL
from jma_core.codes import hadamard_codebook
from jma_core.records import FREE
from models.cards import ModelSpec
from models.encodings import (
    ECOC,
    ENCODINGS,
    Bits,
    Encoding,
    Flips,
    MultiLabel,
    Odds,
    OneHot,
    Prediction,
    Ranks,
    Target,
)
from models.loaders import encoding_of
from models.registry import MODELS

SCENES, SIGNS, CODE, IMAGENET = (
    MODELS[name].encoding for name in ("scenes", "gtsrb-onehot", "cifar10-ecoc16", "imagenet-onehot")
)
FINITE = st.floats(-50, 50, width=32) | st.sampled_from([-1.0, 0.0, 1.0])
ODD = st.sampled_from([np.nan, np.inf, -np.inf])


def tensors(encoding: Encoding, target: Target = 0) -> Any:
    """jma_core's encoding, as it answers to a target."""
    return asked(encoding_of(ModelSpec("m", "M", encoding, "vgg")), target)


@st.composite
def encodings(draw: st.DrawFn) -> Encoding:
    labels = tuple(f"label {i}" for i in range(draw(st.integers(2, 6))))
    bits = draw(st.integers(3, 6))
    word = st.lists(st.sampled_from([-1, 1]), min_size=bits, max_size=bits)
    book = draw(st.lists(word, min_size=len(labels), max_size=len(labels), unique_by=tuple))
    thresholds = draw(st.lists(st.floats(-3, 3), min_size=len(labels), max_size=len(labels)))
    made = OneHot(labels), ECOC(labels, np.array(book, np.int8)), MultiLabel(labels, tuple(thresholds))
    return draw(st.sampled_from(made))


def targets(encoding: Encoding) -> st.SearchStrategy[Target]:
    classes = st.integers(0, len(encoding.labels) - 1)
    if isinstance(encoding, OneHot) and encoding.most > 1:
        many = {"min_size": 2, "max_size": encoding.most}
        return classes | st.lists(classes, unique=True, **many).map(tuple) | st.frozensets(classes, **many)
    if not encoding.several:
        return classes
    wish = st.sampled_from([0, 1, FREE])
    return st.tuples(*[wish] * len(encoding.labels)).filter(lambda target: set(target) != {FREE})


def logits(encoding: Encoding, numbers: st.SearchStrategy[float] = FINITE) -> st.SearchStrategy[np.ndarray]:
    """Logits (n,) of either precision, some on a threshold, or equal."""
    some = numbers | st.sampled_from(np.float32(encoding.constants.get("thresholds", [0.0])).tolist())
    types = st.sampled_from([np.float32, np.float64])
    vectors = st.lists(some, min_size=encoding.n, max_size=encoding.n)
    return st.builds(np.array, vectors, types)


def seen(encoding: Encoding, z: np.ndarray, target: Target = 0) -> Prediction:
    return Prediction(z, tensors(encoding, target).decode(torch.tensor(z)).numpy())


def test_every_encoding_of_jma_core_is_here_by_its_name() -> None:
    assert {*ENCODINGS, TopK.name} == set(ALL)
    assert {type(spec.encoding) for spec in MODELS.values()} == set(ENCODINGS.values())
    for spec in MODELS.values():
        assert encoding_of(spec).name == spec.encoding.name


# --- against the tensors


@given(encoding=encodings(), data=st.data())
def test_decoders_agree_also_where_logits_are_equal_or_not_finite(encoding: Encoding, data: st.DataObject) -> None:
    """For codewords ties are left out: float sums of correlations may part what is equal in other orders."""
    z, mirror = data.draw(logits(encoding, FINITE | ODD)), tensors(encoding)
    decoded = mirror.decode(torch.tensor(z)).numpy()
    if isinstance(encoding, ECOC):
        compared = np.sort(encoding.scores(np.float64(z)))
        if np.isfinite(compared).all() and compared[-1] - compared[-2] < 1e-4:
            assert encoding.scores(np.float64(z))[int(decoded)] == pytest.approx(compared[-1], abs=1e-4)
            return
    np.testing.assert_array_equal(encoding.decode(z), decoded)
    np.testing.assert_array_equal(encoding.decode(np.stack([z, z])), np.stack([decoded, decoded]))


@given(encoding=encodings(), data=st.data())
def test_margins_and_constraints_agree(encoding: Encoding, data: st.DataObject) -> None:
    z, target = data.draw(logits(encoding)), data.draw(targets(encoding))
    mirror = tensors(encoding, target)
    mirror.check_target(target)
    found = encoding.margins(z, target)
    # Sums of up to 6 differences, each below 100: float32 keeps them to 1e-4, float64 to 1e-12.
    close = 1e-4 if z.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, mirror.margins(torch.tensor(z), target).numpy(), rtol=0, atol=close)
    # Two rows are summed in another order than one, where there are sums.
    twice = encoding.margins(np.stack([z, z]), target)
    np.testing.assert_allclose(twice, [found, found], rtol=0, atol=0 if encoding.linear else close)
    goal = mirror.constraints(target)
    if encoding.linear:
        np.testing.assert_allclose(found, goal.values(torch.tensor(z)).numpy(), rtol=0, atol=close)
    rivals = [encoding.labels[i] for i in goal.labels.tolist()]
    names = encoding.constraint_names(target)
    assert [name.rpartition("against ")[2] for name in names] == rivals
    if not encoding.several and not isinstance(target, int):
        larger = [encoding.labels[i] for i in goal.rows(torch.arange(len(names))).argmax(1).tolist()]
        assert [name.partition(" against ")[0] for name in names] == larger


@given(encoding=encodings(), data=st.data())
def test_what_meets_a_target_is_what_the_decoder_reads_so(encoding: Encoding, data: st.DataObject) -> None:
    z, target = data.draw(logits(encoding)), data.draw(targets(encoding))
    now, margins = seen(encoding, z, target), encoding.margins(z, target)
    met = encoding.meets(now, target)
    assert met == encoding.meets(seen(encoding, z), target) == tensors(encoding, target).meets(torch.tensor(z), target)
    if (margins > 1e-4).all():
        assert met
    if (margins < -1e-4).any():
        assert not met


@given(encoding=encodings(), data=st.data())
def test_the_fraction_right_is_that_of_the_wishes_or_bits_that_came_true(
    encoding: Encoding, data: st.DataObject
) -> None:
    z, target = data.draw(logits(encoding)), data.draw(targets(encoding))
    now = seen(encoding, z)
    match encoding.change(now, target):
        case Odds():
            right = float(encoding.meets(now, target))
        case Ranks(ranks):
            places = {i: place for place, i in enumerate(target, 1)}
            ordered = isinstance(target, tuple)
            right = np.mean([rank == places[i] if ordered else rank <= len(target) for i, rank in ranks.items()])
        case Bits(bits, wanted):
            right = (bits == wanted).mean()
        case Flips(gone, new):
            right = 1 - len([*gone, *new]) / (encoding.wishes(target) != FREE).sum()
    assert tensors(encoding, target).fraction_right(torch.tensor(z), target) == pytest.approx(right)


@given(encoding=encodings(), data=st.data())
def test_leads_are_the_margins_label_by_label(encoding: Encoding, data: st.DataObject) -> None:
    z, target = data.draw(logits(encoding)), data.draw(targets(encoding))
    clearances, margins = encoding.clearances(z, target), encoding.margins(z, target)
    goal = tensors(encoding, target).constraints(target)
    about = goal.labels.numpy()
    if not encoding.several and not isinstance(target, int):
        takes_part = goal.rows(torch.arange(len(about))).numpy() != 0
        least = np.where(takes_part, margins[:, None], np.inf).min(0)
        np.testing.assert_array_equal(clearances, least)
        return
    np.testing.assert_array_equal(clearances[about], margins)
    others = np.delete(clearances, about)
    if encoding.several:
        assert (others >= 0).all(), "a free label is right on both sides"
    else:
        np.testing.assert_array_equal(others, margins.min())


@given(encoding=encodings(), data=st.data())
def test_the_decoder_follows_scores_and_confidences(encoding: Encoding, data: st.DataObject) -> None:
    z = data.draw(logits(encoding))
    now, scores, sure = seen(encoding, z), encoding.scores(z), encoding.confidences(z)
    assert ((sure >= 0) & (sure <= 1)).all()
    assert len(scores) == len(sure) == len(encoding.labels)
    assert len(encoding.logit_names) == encoding.n == tensors(encoding).n
    there = encoding.present(now.decoded)
    if encoding.several:
        assert (sure[there] >= 0.5).all()
        assert (np.delete(sure, there) <= 0.5).all()
        return
    (read,) = there
    assert scores[read] == pytest.approx(scores.max(), abs=1e-4)
    assert sure[read] == pytest.approx(sure.max(), abs=1e-4)
    assert sure.sum() == pytest.approx(1 if scores.max() > 1e-4 else sure.sum())


@given(encoding=encodings(), data=st.data())
def test_what_is_not_finite_is_read_as_nothing(encoding: Encoding, data: st.DataObject) -> None:
    """The answer that attacks record there."""
    target = data.draw(targets(encoding))
    lost = np.full(encoding.n, np.nan)
    nothing = Prediction(lost, np.zeros(len(encoding.labels), bool) if encoding.several else np.array(-1))
    for each in (nothing, encoding.answering(nothing, target)):
        assert encoding.present(each.decoded) == []
        assert encoding.names(each.decoded) == "none of its labels"
        if 1 in encoding.wishes(target):
            assert not encoding.meets(each, target)


@given(encoding=encodings(), data=st.data())
def test_an_answer_has_the_form_of_the_target_s_and_back(encoding: Encoding, data: st.DataObject) -> None:
    z, target = data.draw(logits(encoding)), data.draw(targets(encoding))
    own, expected = seen(encoding, z), seen(encoding, z, target)
    np.testing.assert_array_equal(encoding.answering(own, target).decoded, expected.decoded)
    np.testing.assert_array_equal(encoding.answering(expected).decoded, own.decoded)
    if encoding.meets(own, target) and FREE not in encoding.wishes(target):
        assert encoding.names(expected.decoded) == encoding.wish(target)
        np.testing.assert_array_equal(encoding.placed(expected.decoded, target), encoding.wishes(target) == 1)


# --- targets, and how they are chosen and written


@given(encoding=encodings(), data=st.data())
def test_a_target_comes_back_from_its_link(encoding: Encoding, data: st.DataObject) -> None:
    target = data.draw(targets(encoding))
    link = encoding.to_link(target)
    want, unwanted = ([name for name in link.get(key, []) if name] for key in ("want", "not"))
    assert encoding.from_link(want, unwanted, free="free" in link, any_order=link.get("order") == ["any"]) == target


@given(encoding=encodings(), data=st.data())
def test_a_target_comes_back_from_the_widget_that_shows_it(encoding: Encoding, data: st.DataObject) -> None:
    """With what it holds as it is, where labels are left free; without that, all are free that do not change."""
    target, now = data.draw(targets(encoding)), seen(encoding, data.draw(logits(encoding)))
    shown = encoding.chosen(target, now)
    if isinstance(encoding, OneHot) and not isinstance(target, int):
        assert encoding.together(shown, ordered=isinstance(target, tuple)) == target
        return
    if FREE not in encoding.wishes(target):
        assert encoding.asking(shown, now) == target
        return
    assert encoding.asking(shown, now, held=encoding.standing(target, now)) == target
    floating = encoding.wishes(encoding.asking(shown, now, held=()))
    flips = encoding.change(now, target)
    assert isinstance(flips, Flips)
    if flips.gone or flips.new:
        assert np.flatnonzero(floating != FREE).tolist() == sorted([*flips.gone, *flips.new])
        assert encoding.change(now, tuple(floating.tolist())) == flips
    else:
        np.testing.assert_array_equal(floating, now.decoded)


@given(encoding=encodings(), data=st.data(), seed=st.integers(0, 99))
def test_every_preset_is_a_target_and_asks_for_a_change(encoding: Encoding, data: st.DataObject, seed: int) -> None:
    now, rng = seen(encoding, data.draw(logits(encoding))), np.random.default_rng(seed)
    for name, preset in encoding.presets.items():
        target = preset(now, 2, rng)
        tensors(encoding).check_target(target)
        if name != "Remove all" or now.decoded.any():
            assert not encoding.meets(now, target), name
    if isinstance(encoding, OneHot) and encoding.most > 1:
        for ordered in (True, False):
            for name, preset in encoding.presets_together(ordered=ordered).items():
                target = preset(now, 2, rng)
                tensors(encoding, target).check_target(target)
                assert type(target) is (tuple if ordered else frozenset)
                if name != "Least likely k" or len(encoding.labels) > 3:  # of three, the last two may be the first two
                    assert not encoding.meets(now, target), name
    assert not encoding.meets(now, encoding.proposed(now))


def test_what_no_target_of_the_encoding_is_is_refused_in_a_sentence() -> None:
    for entries in (
        {"want": []},
        {"want": ["stop", "stop"]},
        {"want": list(SIGNS.labels[:21])},
        {"unwanted": ["stop"]},
        {"want": ["stop"], "free": True},
    ):
        with pytest.raises(ValueError, match=r"one \*\*want\*\* was expected, which names a class"):
            SIGNS.from_link(**{"want": [], "unwanted": [], "free": False} | entries)
    for entries in ({"want": ["cat", "dog"]}, {"want": ["cat"], "any_order": True}):
        with pytest.raises(ValueError, match=r"one \*\*want\*\* was expected, which names a class, and no"):
            CODE.from_link(**{"unwanted": [], "free": False} | entries)
    with pytest.raises(ValueError, match=r"no \*\*order\*\* was expected"):
        SCENES.from_link(["cat"], [], free=False, any_order=True)
    with pytest.raises(ValueError, match=r"With \*\*free\*\*, a label was expected"):
        SCENES.from_link([], [], free=True)


# --- by hand


def above(**values: float) -> Prediction:
    """Logits of the scenes model so far above its thresholds, -3 where none is given, and which are present."""
    z = np.full(len(SCENES.labels), -3.0)
    for name, value in values.items():
        z[SCENES.labels.index(name)] = value
    return Prediction(z + SCENES.constants["thresholds"], z > 0)


def named(target: Target) -> set[str]:
    return {SCENES.labels[i] for i in np.flatnonzero(target)}


def at(z: np.ndarray, decoded: int) -> Prediction:
    return Prediction(z, np.array(decoded))


def test_the_proposal_of_a_class_is_far_and_not_the_farthest() -> None:
    """Of 43 classes the seventh after the first, for 6.56 is the root of 43; of two the other one."""
    ranked = at(np.arange(43.0), 42)
    assert (SIGNS.proposed(ranked), SIGNS.runner_up(ranked), SIGNS.least_likely(ranked)) == (35, 41, 0)
    assert OneHot(("a", "b")).proposed(at(np.array([1.0, 0.0]), 0)) == 1


def test_what_asks_for_less_frees_what_stays_or_leaves_out_what_was_hardest() -> None:
    before, labels = above(cat=2, snow=1), SCENES.labels
    flips = {"cat": 0, "flowers": 1, "sun": 1}
    target = tuple(flips.get(name, int(before.decoded[i])) for i, name in enumerate(labels))
    less = SCENES.easier(target, before, above(cat=-1, flowers=1, sun=-2, snow=1).logits)
    assert list(less) == ["Free the other labels", "Leave out sun"]
    assert less["Free the other labels"] == tuple(flips.get(name, FREE) for name in labels)
    assert less["Leave out sun"] == tuple(0 if name == "sun" else w for name, w in zip(labels, target, strict=True))
    floating = less["Free the other labels"]
    assert list(SCENES.easier(floating, before, before.logits)) == ["Leave out flowers"]
    order = SIGNS.easier((3, 5, 7), at(np.zeros(43), 0), np.eye(43)[3] * 9 + np.eye(43)[5] * 8)
    assert order == {f"Leave out {SIGNS.labels[7]}": (3, 5)}
    assert SIGNS.easier(3, at(np.zeros(43), 0), np.zeros(43)) == {}


def test_the_proposal_of_labels_swaps_the_strongest_for_the_next_best() -> None:
    z = np.full(24, -3.0)
    z[[2, 5, 7]] = 4, 1, -1
    wanted = SCENES.proposed(Prediction(z + SCENES.constants["thresholds"], z > 0))
    assert np.flatnonzero(wanted).tolist() == [5, 7]


def test_the_top_label_goes_or_comes_if_there_is_none() -> None:
    assert named(SCENES.flip_top(above(cat=4, snow=1, cars=-1))) == {"snow"}
    assert named(SCENES.flip_top(above(cars=-1, snow=-2))) == {"cars"}


def test_labels_are_swapped_removed_and_flipped() -> None:
    now, rng = above(cat=4, snow=1, cars=-1), np.random.default_rng(0)
    assert named(SCENES.presets["Swap two"](now, 0, rng)) == {"snow", "cars"}
    assert named(SCENES.presets["Remove all"](now, 0, rng)) == set()
    assert [(np.array(SCENES.flip_random(now, k, rng)) != now.decoded).sum() for k in (1, 5, 24)] == [1, 5, 24]


def test_chance_draws_anew_draws_every_label_and_can_be_repeated() -> None:
    encoding = MultiLabel(tuple(f"label {i}" for i in range(20)))
    now = Prediction(np.zeros(20), np.arange(20) < 3)
    rng = np.random.default_rng(7)
    drawn = [encoding.flip_random(now, 5, rng) for _ in range(60)]
    assert len(set(drawn)) > 50  # of 15504 sets
    assert (np.array(drawn) != now.decoded).any(0).all()
    rng = np.random.default_rng(7)
    assert drawn == [encoding.flip_random(now, 5, rng) for _ in range(60)]


def test_a_random_class_is_any_other_one() -> None:
    rng = np.random.default_rng(0)
    assert {CODE.random_class(at(np.zeros(16), 3), rng) for _ in range(300)} == set(range(10)) - {3}


def test_an_error_pattern_leads_to_another_codeword_or_to_the_next_class() -> None:
    """Against all patterns, decoded by distance; of 32 bits five wrong ones are always corrected."""
    rng = np.random.default_rng(0)
    led: set[int] = set()
    for places in combinations(range(1, 16), 5):
        word = CODE.codebook[3].copy()
        word[[*places]] *= -1
        led.add(int((CODE.codebook != word).sum(1).argmin()))
    assert len(led) > 2
    assert {CODE.error_pattern(at(np.zeros(16), 3), 5, rng) for _ in range(2000)} == led - {3}
    long = ECOC(tuple(f"sign {i}" for i in range(32)), hadamard_codebook(32, 32))
    assert [long.error_pattern(at(np.zeros(32), i), 5, rng) for i in (0, 30, 31)] == [1, 31, 0]


def test_the_least_likely_class_is_the_farthest_from_the_decoded_one() -> None:
    assert SIGNS.least_likely(at(np.arange(43.0), 42)) == 0
    assert SIGNS.least_likely(at(np.zeros(43), 0)) == 1
    for i, word in enumerate(CODE.codebook):
        correlations = np.delete(CODE.codebook @ word, i)
        assert CODE.codebook[CODE.least_likely(at(2.0 * word, i))] @ word == correlations.min()


def test_answers_are_named() -> None:
    assert SCENES.names(np.array([True, True] + [False] * 22)) == "water, people"
    assert SCENES.names(np.zeros(24, dtype=bool)) == "none of its labels"
    assert IMAGENET.names(np.array(657)) == "missile"


def test_wishes_are_named_and_free_labels_said_to_be_free() -> None:
    assert IMAGENET.wish(657) == "missile"
    assert SCENES.wish((1, 1) + (0,) * 22) == "water, people"
    assert SCENES.wish((0,) * 24) == "none of its labels"
    assert SCENES.wish((1, 0) + (FREE,) * 22) == "water, not people (other labels float)"
    assert SCENES.wish((0, 0) + (FREE,) * 22) == "not water, not people (other labels float)"


def test_several_classes_are_named_in_order_or_not() -> None:
    few = OneHot(("cat", "dog", "car", "sky"))
    assert few.wish((1, 0, 2)) == few.names(np.array([1, 0, 2])) == "1. dog, 2. cat, 3. car"
    assert few.wish(frozenset({2, 0, 1})) == "cat, dog and car, in any order"
    assert few.names(np.array([True, False, False, True])) == "cat and sky, in any order"
    assert few.wishes_in_words((1, 0)) == ["rank 2", "rank 1", "", ""]
    assert few.wishes_in_words(frozenset({1, 0})) == ["in the first 2", "in the first 2", "", ""]
    assert few.wishes_in_words(3) == ["", "", "", "wanted"]
    assert few.from_link(["dog", "cat"], [], free=False) == (1, 0)
    assert few.from_link(["dog", "cat"], [], free=False, any_order=True) == frozenset({0, 1})
    assert few.from_link(["dog"], [], free=False, any_order=True) == 1


def test_classes_are_ranked_and_those_out_of_place_are_not_there() -> None:
    few, z = OneHot(("cat", "dog", "car", "sky")), np.array([3.0, 2.0, 1.0, 0.0])
    assert few.change(at(z, 0), (3, 0)) == few.change(at(z, 0), frozenset({0, 3})) == Ranks({3: 4, 0: 1})
    ranks = few.ranks(z[::-1], (3, 0))
    assert ranks is not None
    assert ranks.tolist() == [4, 3, 2, 1]
    assert few.ranks(z, 3) is few.ranks(np.full(4, np.nan), (3, 0)) is None
    assert few.placed(np.array([0, 1, 2]), (0, 2, 3)).tolist() == [True, True, False, False]
    assert few.clearances(z, (0, 2)).tolist() == [2, -1, -1, 1]
    assert few.clearances(z, frozenset({0, 2})).tolist() == [1, -1, -1, 1]


def test_presets_of_several_classes_follow_the_model_s_own_order() -> None:
    few, now, rng = OneHot(tuple("abcdef")), at(np.arange(6.0), 5), np.random.default_rng(0)
    made = {name: preset(now, 3, rng) for name, preset in few.presets_together(ordered=True).items()}
    assert made.pop("k at random")
    assert made == {"Top k reversed": (3, 4, 5), "Next k": (4, 3, 2), "Least likely k": (0, 1, 2)}
    drawn = [few.presets_together(ordered=True)["k at random"](now, 3, rng) for _ in range(400)]
    assert len(set(drawn)) == 60  # orders of 3 of the 5 others
    assert "Top k reversed" not in few.presets_together(ordered=False)


def test_changes_are_counted() -> None:
    now = above(cat=4, snow=1)
    cat, snow, cars = (SCENES.labels.index(name) for name in ("cat", "snow", "cars"))
    assert SCENES.change(now, SCENES.from_link(["cars", "snow"], [], free=False)) == Flips([cat], [cars])
    assert SCENES.change(now, SCENES.from_link(["cars"], ["snow"], free=True)) == Flips([snow], [cars])
    bits = CODE.change(at(3.0 * CODE.codebook[0], 0), 1)
    assert isinstance(bits, Bits)
    np.testing.assert_array_equal(bits.now != bits.wanted, CODE.codebook[0] != CODE.codebook[1])
    odds = OneHot(("a", "b")).change(at(np.log([3.0, 1.0]), 0), 1)
    assert odds == Odds(pytest.approx(0.25))


def test_an_encoding_whose_parts_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^thresholds: expected one for each label.*got 1 for 2 labels"):
        MultiLabel(("a", "b"), (0.5,))
    with pytest.raises(ValueError, match=r"^codebook: expected a codeword of its own for each class.*got 1"):
        ECOC(("a", "b"), np.ones((2, 4), np.int8))
