"""Addresses of the lab: every request comes back from its own, and no address breaks the page."""

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlencode

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from jma_core.attacks.registry import Setting
from jma_core.records import FREE
from lab.comparison import first_attacks
from lab.links import ENTRIES, from_comparison, from_link, read_step, sample_names, to_comparison, to_link
from lab.photos.samples import samples
from lab.request import OFFERED, PERIODS, Canvas, Choice, Request, Settings, offered
from lab.stencil import PRESETS, written
from models.cards import ModelSpec
from models.encodings import MultiLabel, OneHot
from models.registry import DEFAULT, MODELS

STRANGE = replace(
    MODELS[DEFAULT],
    name="http://hub/a b?c=d&e#f",
    encoding=MultiLabel(("a, b", "a", "b=c&d", "ü+%20", " x ", "`c`")),
)
"""A model that a user added, with names that an address has to be careful with."""
ZOO = {**MODELS, STRANGE.name: STRANGE}
FIRST = sample_names(MODELS[DEFAULT])


def sides(draw: some.DrawFn) -> tuple[float, float]:
    first, last = sorted(draw(some.sets(some.integers(0, 20), min_size=2, max_size=2)))
    return 5 * first / 100, 5 * last / 100


def targets(spec: ModelSpec) -> some.SearchStrategy:
    if isinstance(spec.encoding, OneHot):
        classes = some.integers(0, len(spec.encoding.labels) - 1)
        many = {"min_size": 2, "max_size": spec.encoding.most}
        return classes | some.lists(classes, unique=True, **many).map(tuple) | some.frozensets(classes, **many)
    if not spec.encoding.several:
        return some.integers(0, len(spec.encoding.labels) - 1)
    count = len(spec.encoding.labels)
    bits = some.integers(0, 2**count - 1).map(lambda number: tuple(bool(number >> i & 1) for i in range(count)))
    floating = some.tuples(bits, bits.filter(any)).map(
        lambda pair: tuple(int(want) if asked else FREE for want, asked in zip(*pair, strict=True))
    )
    return bits | floating


def values(setting: Setting) -> some.SearchStrategy:
    if setting.kind == "choice":
        return some.sampled_from(setting.choices)
    if setting.kind == "text":
        return some.text(some.characters(exclude_categories=["Cs"]), max_size=20)
    low, high = setting.limits
    if setting.kind == "int":
        return some.integers(int(low or 0), int(high or 10**6))
    return some.floats(low, 1e6 if high is None else high)


@some.composite
def requests(draw: some.DrawFn) -> tuple[Request, ModelSpec]:
    spec = draw(some.sampled_from(list(ZOO.values())))
    target = draw(targets(spec))
    entry = draw(some.sampled_from(list(offered(spec.encoding.asked(target)).values())))
    own = {each.name: draw(some.just(each.default) | values(each)) for each in entry.settings}
    kappa, max_seconds = draw(some.integers(0, 10)) / 2, draw(some.floats(1, 3600))
    chosen = Settings.of(entry.name, kappa=kappa, max_seconds=max_seconds, **own)
    (left, right), (top, bottom) = sides(draw), sides(draw)
    painted, region = some.sampled_from(list(PRESETS.values())).map(written), (left, top, right, bottom)
    parts = some.builds(dict, region=some.sampled_from([None, region]), period=some.sampled_from(PERIODS))
    canvas = Canvas(draw(some.booleans()), **draw(parts | some.builds(dict, painted=painted)))
    photo = draw(some.sampled_from(list(samples(spec.samples))))
    return Request(spec.name, photo, target, chosen, canvas), spec


def through_an_address(link: dict[str, list[str]]) -> dict[str, list[str]]:
    return parse_qs(urlencode(link, doseq=True), keep_blank_values=True, strict_parsing=bool(link))


@settings(deadline=None)
@given(requests(), some.data())
def test_every_request_comes_back_from_its_address(asked: tuple[Request, ModelSpec], data: some.DataObject) -> None:
    request, spec = asked
    proposed = data.draw(some.just(request.target) | targets(spec))
    choice, problems = from_link(through_an_address(to_link(request, spec, proposed)), ZOO)
    assert problems == []
    target = None if request.target == proposed else request.target
    assert choice == Choice(request.model, request.photo, target, request.settings, request.canvas)


def check(choice: Choice) -> None:
    """The lab can show it."""
    spec = ZOO[choice.model]
    assert choice.photo in samples(spec.samples)
    if isinstance(spec.encoding, OneHot) and isinstance(choice.target, tuple | frozenset):
        assert 2 <= len(set(choice.target)) == len(choice.target) <= spec.encoding.most
        assert set(choice.target) <= set(range(len(spec.encoding.labels)))
    elif isinstance(choice.target, tuple):
        assert len(choice.target) == len(spec.encoding.labels)
        assert set(choice.target) <= {0, 1, FREE}
        assert set(choice.target) != {FREE}
    else:
        assert choice.target is None or 0 <= choice.target < len(spec.encoding.labels)
    chosen, region = choice.settings, choice.canvas.region
    assert chosen == Settings.of(**chosen.told())
    assert chosen.kappa in np.arange(0, 5.5, 0.5)
    assert 1 <= chosen.max_seconds <= 3600
    if region:
        left, top, right, bottom = region
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
    assert choice.canvas.period in PERIODS


LABELS = [name for spec in ZOO.values() for name in spec.encoding.labels[:6]]
VALUES = some.one_of(
    some.text(),
    some.sampled_from(["", "1", "0", "nan", "inf", "-1", "1e999", "0.2", "2", "25-75", "75-25", "0-100", "../../etc"]),
    some.sampled_from([*ZOO, *OFFERED, *FIRST, *LABELS]),
)


def test_a_part_that_is_the_whole_picture_asks_for_no_other_attack() -> None:
    assert from_link({"across": ["0-100"], "down": ["0-100"]}, ZOO)[0].canvas == Canvas()


@settings(deadline=None)
@given(
    some.dictionaries(some.sampled_from(ENTRIES) | some.text(), some.lists(VALUES, min_size=1, max_size=3), max_size=8)
)
def test_any_address_gives_a_choice_that_can_be_shown_and_words(query: dict[str, list[str]]) -> None:
    choice, problems = from_link(query, ZOO)
    check(choice)
    assert all(problem.endswith(".") and len(problem) < 1000 for problem in problems)
    if set(query) - set(ENTRIES):
        assert "nothing of this name" in problems[0]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"model": ["resnet"]}, "**model** is “resnet”, where one of scenes, "),
        ({"model": ["resnet"]}, "The page shows Scenes, 24 labels."),
        ({"model": ["resnet"], "want": ["stop"]}, "Its photo and its labels are left out as well."),
        ({"photo": ["../../etc/passwd"]}, "**photo** is “../../etc/passwd”, where one of cat, "),
        ({"photo": ["cat", "bridge"]}, "**photo** is “cat” and “bridge”, where one of cat, "),
        ({"photo": ["cat.png"]}, "The page shows cat."),
        ({"want": ["unicorn", "snow"]}, "Not among the labels of Scenes, 24 labels: “unicorn”. It has water, people, "),
        ({"model": ["imagenet-onehot"], "want": ["unicorn"]}, " and 976 more. The page proposes a target instead."),
        ({"want": ["snow"], "not": ["snow"]}, "Both wanted and unwanted: “snow”. The page proposes a target instead."),
        ({"free": ["1"]}, "With **free**, a label was expected in **want** or **not**."),
        ({"want": ["snow"], "free": ["yes"]}, "**free** is “yes”, where 1 or 0 was expected."),
        ({"model": ["gtsrb-onehot"], "want": ["stop", "stop"]}, "which names a class, or up to 20 different ones, and"),
        ({"model": ["gtsrb-onehot"], "want": ["stop"], "order": ["x"]}, "**order** is “x”, where any was expected."),
        ({"model": ["cifar10-ecoc16"], "want": ["cat", "dog"]}, "one **want** was expected, which names a class, and"),
        ({"want": ["snow"], "order": ["any"]}, "no **order** was expected: its labels have none."),
        ({"model": ["gtsrb-onehot"], "not": ["stop"]}, "one **want** was expected, which names a class"),
        ({"attack": ["fast"]}, "**attack** is “fast”, where one of lazy, boxed, paper, "),
        ({"level": ["fast"]}, "**attack** is “fast”, where one of lazy, boxed, paper, "),
        (
            {"attack": ["sema"], "model": ["gtsrb-onehot"]},
            "**attack** is “sema”, where one of lazy, boxed, paper, ",
        ),
        ({"step": ["0"]}, "where a finite number above 0 was expected. The page shows 0.2."),
        ({"step": ["nan"]}, "**step** is “nan”, where a finite number above 0 was expected."),
        ({"attack": ["refined"], "step": ["0.5"]}, "“step”: this page has nothing of this name. It knows model, "),
        ({"level": ["refined"], "step": ["0.5"]}, "“step”: this page has nothing of this name. It knows model, "),
        (
            {"attack": ["ddn"], "gamma": ["1"]},
            "where a finite number above 0 and below 1 was expected. ",
        ),
        ({"attack": ["ddn"], "surrogate": ["x"]}, "where one of cross-entropy, logistic, worst was expected. The page"),
        ({"attack": ["fmn"], "steps": ["1.5"]}, "a whole number from 1 to 100000 was expected. The page shows 100."),
        ({"max_iter": ["1000000000"]}, "“1000000000”, where a whole number from 1 to 100000 was expected."),
        ({"kappa": ["0.3"]}, "where a number from 0 to 5 in steps of 0.5 was expected. The page shows 0."),
        ({"kappa": ["nan"]}, "**kappa** is “nan”, where a number"),
        ({"iterations": ["0"]}, "**max_iter** is “0”, where a whole number from 1 to 100000 was expected."),
        ({"seconds": ["0"]}, "where a number from 1 to 3600 was expected. The page shows 300."),
        ({"native": ["yes"]}, "where 1 or 0 was expected. The page shows the picture that the network sees."),
        ({"painted": ["1.2.3"]}, "**painted** is “1.2.3”, where how many of 64 x 64 cells in turn are not painted and"),
        ({"painted": ["4096"]}, "was expected. The page shows no painted part."),
        ({"painted": ["0.4096"], "period": ["8"]}, "**painted** goes with none of across, down and period."),
        ({"period": ["7"]}, "**period** is “7”, where one of 0, 4, 8, 16, 32 was expected. The page shows pert"),
        ({"across": ["75-25"]}, "**across** is “75-25”, where two per cents like 25-75"),
        ({"utm_source": ["x"]}, "“utm&#95;source”: this page has nothing of this name. It knows model, photo, want"),
    ],
)
def test_what_cannot_be_shown_is_said(query: dict[str, list[str]], words: str) -> None:
    choice, problems = from_link(query, MODELS)
    check(choice)
    assert words in " ".join(problems)


def test_several_classes_are_named_in_order_or_in_any() -> None:
    query = {"model": ["gtsrb-onehot"], "want": ["stop", "give way", "no entry"]}
    wanted = tuple(MODELS["gtsrb-onehot"].encoding.labels.index(name) for name in query["want"])
    assert from_link(query, MODELS)[0].target == wanted
    assert from_link(query | {"order": ["any"]}, MODELS)[0].target == frozenset(wanted)


def test_what_can_be_shown_is_shown_beside_what_cannot() -> None:
    query = {"photo": ["bridge"], "want": ["unicorn"], "step": ["-9"], "kappa": ["1.5"], "down": ["0-50"]}
    choice, problems = from_link(query, MODELS)
    assert choice == Choice(DEFAULT, FIRST["bridge"], None, Settings(kappa=1.5), Canvas(region=(0.0, 0.0, 1.0, 0.5)))
    assert len(problems) == 2


def test_labels_that_are_not_wanted_alone_float() -> None:
    labels = MODELS[DEFAULT].encoding.labels
    target = from_link({"want": ["cat"], "not": ["snow"]}, MODELS)[0].target
    assert target == tuple({"cat": 1, "snow": 0}.get(name, FREE) for name in labels)
    assert from_link({"want": [""]}, MODELS)[0].target == (False,) * len(labels)


def test_an_address_holds_only_what_differs_from_the_proposal() -> None:
    spec = MODELS[DEFAULT]
    request = Request(DEFAULT, FIRST["cat"], (True,) * 24, Settings())
    assert to_link(request, spec, request.target) == {}
    assert to_link(replace(request, photo=FIRST["bridge"]), spec, request.target) == {"photo": ["bridge"]}
    assert to_link(replace(request, settings=Settings(max_seconds=12.0)), spec, request.target) == {"seconds": ["12"]}


def test_an_address_does_not_tell_the_user_s_own_photo_nor_what_is_wanted_of_it() -> None:
    request = Request(DEFAULT, "0" * 64, (True,) * 24, Settings(kappa=1.0))
    assert to_link(request, MODELS[DEFAULT], (False,) * 24) == {"kappa": ["1"]}


def test_no_setting_of_an_attack_is_called_as_something_else_in_addresses() -> None:
    names = {each.name for entry in OFFERED.values() for each in entry.settings}
    assert names.isdisjoint({*ENTRIES, "level", "iterations"})


def test_an_address_names_the_settings_of_its_attack_that_are_not_the_default() -> None:
    photo = next(iter(samples(MODELS[DEFAULT].samples)))
    settings = Settings.of("refined", steps=60, kappa=0.5)
    link = to_link(Request(DEFAULT, photo, (True,) * 24, settings), MODELS[DEFAULT], (True,) * 24)
    assert link == {"attack": ["refined"], "steps": ["60"], "kappa": ["0.5"]}


@pytest.mark.parametrize(
    ("query", "settings"),
    [
        (
            "level=boxed&step=0.5&kappa=1.5&iterations=7&seconds=12.5",
            ("boxed", 1.5, 12.5, {"step": 0.5, "max_iter": 7}),
        ),
        ("level=paper", ("paper", 0.0, 300.0, {"step": 0.2, "max_iter": 200})),
        ("level=refined&iterations=60", ("refined", 0.0, 300.0, {"steps": 60})),
        ("level=refined", ("refined", 0.0, 300.0, {"steps": 200})),
        ("iterations=1000&step=1", ("lazy", 0.0, 300.0, {"step": 1.0, "max_iter": 1000})),
    ],
)
def test_addresses_of_the_first_versions_ask_for_what_they_did(query: str, settings: tuple[Any, ...]) -> None:
    attack, kappa, max_seconds, own = settings
    choice, problems = from_link(parse_qs(query), MODELS)
    assert problems == []
    assert choice.settings == Settings.of(attack, kappa=kappa, max_seconds=max_seconds, **own)


@pytest.mark.parametrize(
    ("query", "step", "words"),
    [
        ({}, 4, []),
        ({"step": ["2"]}, 2, []),
        ({"step": ["2", "3"]}, 1, ["**step** is “2” and “3”, where a number from 1 to 6 was expected. "]),
        ({"step": ["9" * 5000]}, 1, ["The page shows 1."]),
        ({"step": [""]}, 1, ["**step** is empty"]),
        ({"model": ["scenes"]}, 4, ["“model”: this page has nothing of this name. It knows step."]),
    ],
)
def test_a_step_of_the_lecture_is_read_or_explained(query: dict[str, list[str]], step: int, words: list[str]) -> None:
    number, problems = read_step(query, 4, 6)
    assert number == step
    assert [word in problem for word, problem in zip(words, problems, strict=True)] == [True] * len(words)


def test_a_comparison_survives_its_address() -> None:
    spec = MODELS[DEFAULT]
    photo = next(iter(samples(spec.samples)))
    target = tuple([1] + [0] * (len(spec.encoding.labels) - 1))
    first = first_attacks(spec.encoding.name)
    asked = [Request(spec.name, photo, target, each) for each in first]
    assert to_comparison(asked, spec, target) == {}
    assert from_comparison({}, MODELS)[1:] == (first, [])
    others = [Settings.of("ddn", steps=7, kappa=1.0), Settings.of("sema", tau=-0.5, kappa=1.0)]
    link = to_comparison([Request(spec.name, photo, target, each) for each in others], spec, ())
    assert link | {"want": None} == {
        "want": None, "attacks": ["ddn,sema"], "ddn.steps": ["7"], "sema.tau": ["-0.5"], "kappa": ["1"],
    }  # fmt: skip
    choice, attacks, problems = from_comparison(link, MODELS)
    assert (choice.model, choice.photo, choice.target) == (spec.name, photo, target)
    assert (attacks, problems) == (others, [])


def test_an_attack_may_stand_in_an_address_twice_with_other_settings() -> None:
    spec = MODELS["gtsrb-onehot"]
    asked = [Settings.of("ddn", steps=7), Settings.of("fmn"), Settings.of("ddn", steps=9), Settings.of("ddn")]
    photo = next(iter(samples(spec.samples)))
    link = to_comparison([Request(spec.name, photo, 3, each) for each in asked], spec, 3)
    assert link == {
        "model": ["gtsrb-onehot"], "attacks": ["ddn,fmn,ddn,ddn"], "ddn.steps": ["7"], "ddn-2.steps": ["9"],
    }  # fmt: skip
    assert from_comparison(link, MODELS)[1:] == (asked, [])


def test_a_comparison_has_no_more_attacks_than_fit_none_twice_alike_and_none_of_another_encoding() -> None:
    every = ",".join(OFFERED)
    _, attacks, problems = from_comparison({"attacks": [every]}, MODELS)
    assert len(attacks) == 8
    assert problems[0].startswith("**attacks** names ")
    _, attacks, problems = from_comparison({"model": ["gtsrb-onehot"], "attacks": ["ddn,ddn,ml_cw"]}, MODELS)
    assert [each.attack for each in attacks] == ["ddn"]
    assert "ml_cw" in problems[0].replace("&#95;", "_")
    assert problems[1] == "**attacks** names “ddn” twice with equal settings: it stands there once."
    (strange,) = from_comparison({"attacks": ["ddn"], "ddn.budget": ["9"]}, MODELS)[2]
    assert strange.startswith("“ddn.budget”: this page has nothing of this name. It knows model, photo, want, ")
    assert "attacks, ddn.steps, ddn.gamma, " in strange
    assert from_comparison({"attack": ["ddn"]}, MODELS)[2][0].startswith("“attack”: this page has nothing of this ")
