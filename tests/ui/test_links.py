"""Addresses of the lab: every request comes back from its own, and no address breaks the page."""

from dataclasses import replace
from urllib.parse import parse_qs, urlencode

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from jma_core.records import FREE
from models.cards import Kind, ModelSpec
from models.registry import DEFAULT, MODELS
from ui.links import ENTRIES, from_link, quoted, sample_names, to_link
from ui.request import LEVELS, STEPS, Canvas, Choice, Request, Settings
from ui.state import samples

STRANGE = replace(
    MODELS[DEFAULT],
    name="http://hub/a b?c=d&e#f",
    labels=("a, b", "a", "b=c&d", "ü+%20", " x ", "`c`"),
    thresholds=(0.0,) * 6,
)
"""A model that a user added, with names that an address has to be careful with."""
ZOO = {**MODELS, STRANGE.name: STRANGE}
FIRST = sample_names(MODELS[DEFAULT])


def sides(draw: some.DrawFn) -> tuple[float, float]:
    first, last = sorted(draw(some.sets(some.integers(0, 20), min_size=2, max_size=2)))
    return 5 * first / 100, 5 * last / 100


def targets(spec: ModelSpec) -> some.SearchStrategy:
    if spec.encoding is not Kind.MULTI_LABEL:
        return some.integers(0, len(spec.labels) - 1)
    count = len(spec.labels)
    bits = some.integers(0, 2**count - 1).map(lambda number: tuple(bool(number >> i & 1) for i in range(count)))
    floating = some.tuples(bits, bits.filter(any)).map(
        lambda pair: tuple(int(want) if asked else FREE for want, asked in zip(*pair, strict=True))
    )
    return bits | floating


@some.composite
def requests(draw: some.DrawFn) -> tuple[Request, ModelSpec]:
    spec = draw(some.sampled_from(list(ZOO.values())))
    chosen = Settings(
        draw(some.sampled_from(list(LEVELS))),
        draw(some.sampled_from(STEPS)),
        draw(some.integers(1, 1000)),
        draw(some.integers(0, 10)) / 2,
        draw(some.floats(1, 3600)),
    )
    (left, right), (top, bottom) = sides(draw), sides(draw)
    canvas = Canvas(draw(some.booleans()), draw(some.sampled_from([None, (left, top, right, bottom)])))
    photo = draw(some.sampled_from(list(samples(spec.samples))))
    return Request(spec.name, photo, draw(targets(spec)), chosen, canvas), spec


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
    if isinstance(choice.target, tuple):
        assert len(choice.target) == len(spec.labels)
        assert set(choice.target) <= {0, 1, FREE}
        assert set(choice.target) != {FREE}
    else:
        assert choice.target is None or 0 <= choice.target < len(spec.labels)
    chosen, region = choice.settings, choice.canvas.region
    assert chosen.level in LEVELS
    assert chosen.step in STEPS
    assert chosen.kappa in np.arange(0, 5.5, 0.5)
    assert type(chosen.max_iter) is int
    assert 1 <= chosen.max_iter <= 1000
    assert 1 <= chosen.max_seconds <= 3600
    if region:
        left, top, right, bottom = region
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1


LABELS = [name for spec in ZOO.values() for name in spec.labels[:6]]
VALUES = some.one_of(
    some.text(),
    some.sampled_from(["", "1", "0", "nan", "inf", "-1", "1e999", "0.2", "2", "25-75", "75-25", "0-100", "../../etc"]),
    some.sampled_from([*ZOO, *LEVELS, *FIRST, *LABELS]),
)


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
        ({"model": ["resnet"]}, "**model** is `resnet`, where one of scenes, "),
        ({"model": ["resnet"]}, "The page shows Scenes, 24 labels."),
        ({"model": ["resnet"], "want": ["stop"]}, "Its photo and its labels are left out as well."),
        ({"photo": ["../../etc/passwd"]}, "**photo** is `../../etc/passwd`, where one of cat, "),
        ({"photo": ["cat", "bridge"]}, "**photo** is `cat` and `bridge`, where one of cat, "),
        ({"photo": ["cat.png"]}, "The page shows cat."),
        ({"want": ["unicorn", "snow"]}, "Not among the labels of Scenes, 24 labels: `unicorn`. It has water, people, "),
        ({"model": ["imagenet-onehot"], "want": ["unicorn"]}, " and 976 more. The page proposes a target instead."),
        ({"want": ["snow"], "not": ["snow"]}, "Both wanted and unwanted: `snow`. The page proposes a target instead."),
        ({"free": ["1"]}, "With **free**, a label was expected in **want** or **not**."),
        ({"want": ["snow"], "free": ["yes"]}, "**free** is `yes`, where 1 or 0 was expected."),
        ({"model": ["gtsrb-onehot"], "want": ["stop", "no entry"]}, "one **want** was expected, which names a class"),
        ({"model": ["gtsrb-onehot"], "not": ["stop"]}, "one **want** was expected, which names a class"),
        ({"level": ["fast"]}, "**level** is `fast`, where one of lazy, boxed, paper, refined was expected."),
        ({"step": ["0.3"]}, "where one of 0.05, 0.1, 0.2, 0.5, 1 was expected. The page shows 0.2."),
        ({"kappa": ["0.3"]}, "where a number from 0 to 5 in steps of 0.5 was expected. The page shows 0."),
        ({"kappa": ["nan"]}, "**kappa** is `nan`, where a number"),
        ({"iterations": ["1001"]}, "where a whole number from 1 to 1000 was expected. The page shows 200."),
        ({"seconds": ["0"]}, "where a number from 1 to 3600 was expected. The page shows 300."),
        ({"native": ["yes"]}, "where 1 or 0 was expected. The page shows the picture that the network sees."),
        ({"across": ["75-25"]}, "**across** is `75-25`, where two per cents like 25-75"),
        ({"utm_source": ["x"]}, "`utm_source`: the lab has nothing of this name. It knows model, photo, want"),
    ],
)
def test_what_cannot_be_shown_is_said(query: dict[str, list[str]], words: str) -> None:
    choice, problems = from_link(query, MODELS)
    check(choice)
    assert words in " ".join(problems)


def test_what_can_be_shown_is_shown_beside_what_cannot() -> None:
    query = {"photo": ["bridge"], "want": ["unicorn"], "step": ["9"], "kappa": ["1.5"], "down": ["0-50"]}
    choice, problems = from_link(query, MODELS)
    assert choice == Choice(DEFAULT, FIRST["bridge"], None, Settings(kappa=1.5), Canvas(region=(0.0, 0.0, 1.0, 0.5)))
    assert len(problems) == 2


def test_labels_that_are_not_wanted_alone_float() -> None:
    labels = MODELS[DEFAULT].labels
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


def test_a_stranger_s_text_does_nothing_on_the_page() -> None:
    assert quoted("![x](http://a/b.png)\n# `now`") == "`![x](http://a/b.png) # 'now'`"
    assert quoted("a" * 1000) == f"`{'a' * 40}…`"
    assert quoted(" \n") == "empty"
