"""What the player is sent: pixels, margins and outcomes of each moment, and which moments there are."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from dataclasses import replace
from math import isqrt
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from jma_core import ECOC, AttackResult, MultiLabel, OneHot
from jma_core.records import Phase, Step
from lab.pictures import signed_change
from lab.request import Request
from lab.runs.attack_run import AttackRun
from models.encodings import Encoding, Prediction, Target
from models.encodings import OneHot as Classes
from models.registry import DEFAULT, MODELS
from ui.pixels.pixels import PIXELS, change
from ui.player import player
from ui.player.moments import Moment, best_update, moments_of
from ui.player.player import FILM_BYTES, LEVELS, MOMENTS, OUTCOMES, PULLED, Film, choose, parcel_of

ONE_HOT, CODE = "gtsrb-onehot", "cifar10-ecoc16"
SIDE = isqrt(PIXELS)


def decoded(url: str) -> Image.Image:
    head, _, body = url.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


def outcomes(parcel: dict[str, Any]) -> list[str]:
    return [OUTCOMES[letter] for letter in parcel["outcomes"]]


@pytest.fixture
def attack(example: tuple[Request, AttackResult]) -> tuple[Encoding, Target, list[Moment], int]:
    """The stored example: its encoding, its target, its moments and the best of them."""
    request, result = example
    run = AttackRun.finished(request, result)
    moments = moments_of(run, result.original, Prediction(result.logits_before, result.decoded_before))
    return MODELS[request.model].encoding, request.target, moments, best_update(run, moments)


def original(image: NDArray[Any], z: NDArray[Any], read: Any) -> Moment:
    return Moment(0, "0: original", image, Prediction(z, np.array(read)), None)


def later(first: Moment, update: int, image: NDArray[Any], z: NDArray[Any], read: Any) -> Moment:
    nothing = np.zeros(0)
    step = Step(
        number=update, iteration=update, phase=Phase.WALK, image=image, logits=z, decoded=np.array(read), success=False,
        values=nothing, margin=-1.0, active=nothing.astype(np.int64), multipliers=nothing, predicted=nothing,
        realised=nothing, full_length=1.0, l2=float(np.linalg.norm(image - first.image)), moved=0.1,
        forward=2 * update, backward=update, seconds=0.1, certificate=None,
    )  # fmt: skip
    return Moment(update, f"{update}: step", image, Prediction(z, step.decoded), step)


@pytest.fixture
def walk() -> Callable[..., list[Moment]]:
    """An attack of so many updates on noise of a size, by the sign classifier: it never leaves class 0."""

    def walk(updates: int, side: int = 8) -> list[Moment]:
        random = np.random.default_rng(0)
        image = random.random((3, side, side)).astype(np.float32)
        z = np.zeros(len(MODELS[ONE_HOT].encoding.labels))
        z[0] = 1
        first = original(image, z, 0)
        noise = random.normal(0, 0.01, image.shape).astype(np.float32)
        return [first, *(later(first, i, image + i / updates * noise, z, 0) for i in range(1, updates + 1))]

    return walk


# --- one moment


def test_a_moment_is_sent_as_its_change_with_its_own_gain_and_the_original_as_none(
    attack: tuple[Any, ...],
) -> None:
    encoding, target, moments, best = attack
    first, moment = moments[0], moments[best]
    parcel = parcel_of(encoding, target, first, moment)
    assert parcel["change"] == change(first.image, moment.image, LEVELS)
    assert parcel["gain"] == signed_change(first.image, moment.image)[1]
    parcel = parcel_of(encoding, target, first, first)
    assert (parcel["change"], parcel["gradient"], parcel["gain"], parcel["l2"]) == (None, None, None, "0.000")


def test_before_an_attack_the_target_s_gradient_is_sent_at_a_gain_of_its_own(attack: tuple[Any, ...]) -> None:
    encoding, target, (first, *_), _ = attack
    pull = np.random.default_rng(0).normal(0, 1e-5, first.image.shape)
    pulled = replace(first, gradient=pull)
    parcel = parcel_of(encoding, target, pulled, pulled)
    nothing = np.zeros_like(pull)
    assert (parcel["change"], parcel["gradient"]) == (None, change(nothing, pull, PULLED))
    assert parcel["gain"] == signed_change(nothing, pull)[1]
    assert Film().data(encoding, target, [pulled], 0, live=False, ended=False)[0]["gain"] == 1


def test_one_gain_shows_no_update_stronger_than_its_own_would(attack: tuple[Any, ...]) -> None:
    encoding, target, moments, best = attack
    data, parcels = Film().data(encoding, target, moments, best, live=False, ended=True)
    gains = [signed_change(moments[0].image, each.image)[1] for each in moments[1:]]
    assert data["gain"] == min(gains) < max(gains)
    np.testing.assert_array_equal(
        np.asarray(decoded(parcels[data["original"]]["url"])), np.rint(moments[0].image.transpose(1, 2, 0) * 255)
    )
    still, _ = Film().data(encoding, target, moments[:1], 0, live=False, ended=False)
    assert still["gain"] == 1


def test_what_is_read_its_confidence_and_the_distance_are_those_of_the_step(attack: tuple[Any, ...]) -> None:
    encoding, target, moments, best = attack
    moment = moments[best]
    parcel = parcel_of(encoding, target, moments[0], moment)
    assert parcel["reads"] == encoding.names(moment.seen.decoded)
    assert parcel["now"] == np.flatnonzero(moment.seen.decoded).tolist()
    assert parcel["l2"] == f"{np.linalg.norm(moment.image - moments[0].image):.3f}"
    np.testing.assert_allclose(parcel["sure"], encoding.confidences(moment.seen.logits), atol=5e-4)
    np.testing.assert_allclose(parcel["scores"], moment.seen.logits, rtol=5e-4)


# --- margins and outcomes, against the encodings of the engine


def test_margins_of_labels_are_the_constraints_of_a_full_target() -> None:
    spec, random = MODELS[DEFAULT], np.random.default_rng(1)
    z, target = random.normal(0, 3, spec.encoding.n), tuple(random.integers(0, 2, spec.encoding.n).tolist())
    expected = MultiLabel(torch.tensor(spec.encoding.thresholds)).constraints(target).values(torch.from_numpy(z))
    np.testing.assert_allclose(spec.encoding.clearances(z, target), expected, rtol=1e-6)
    np.testing.assert_array_equal(spec.encoding.scores(z), z)


def test_a_free_label_is_right_on_both_sides_of_its_threshold() -> None:
    spec = MODELS[DEFAULT]
    z = np.array(spec.encoding.thresholds) + 0.5 * (-1) ** np.arange(spec.encoding.n)
    np.testing.assert_allclose(spec.encoding.clearances(z, (1, *[-1] * (spec.encoding.n - 1))), 0.5)


def test_margins_of_classes_are_the_constraints_and_the_worst_of_them() -> None:
    spec, t = MODELS[ONE_HOT], 7
    for seed in range(3):
        z = np.random.default_rng(seed).normal(0, 3, spec.encoding.n)
        constraints = OneHot(spec.encoding.n).constraints(t)
        values = constraints.values(torch.from_numpy(z)).numpy()
        found = spec.encoding.clearances(z, t)
        np.testing.assert_allclose(found[constraints.labels.numpy()], values)
        assert found[t] == pytest.approx(values.min())


def test_margins_of_codewords_follow_the_decoder() -> None:
    spec = MODELS[CODE]
    encoding, signs = ECOC(spec.encoding.codebook), set()
    for seed in range(40):
        z = np.random.default_rng(seed).normal(0, 1.5, spec.encoding.n)
        expected = encoding.scores(torch.from_numpy(z)).numpy()
        np.testing.assert_allclose(spec.encoding.scores(z), expected)
        found = spec.encoding.clearances(z, 3)
        rivals = np.delete(np.arange(len(spec.encoding.labels)), 3)
        np.testing.assert_allclose(found[rivals], expected[3] - expected[rivals])
        assert found[3] == pytest.approx(found[rivals].min())
        assert (found[3] > 0) == (int(encoding.decode(torch.from_numpy(z))) == 3)
        signs.add(found[3] > 0)
    assert signs == {True, False}


def test_the_outcome_of_every_kind_of_label_is_named() -> None:
    spec = MODELS[DEFAULT]
    image, n = np.zeros((3, 4, 4), np.float32), spec.encoding.n
    before, now, target = np.zeros(n, bool), np.zeros(n, bool), [0] * n
    cases = {
        (1, 0, 0): "✓ flipped as asked",
        (0, 1, 1): "✓ flipped as asked",
        (0, 0, 1): "… not yet",
        (1, 1, 0): "… not yet",
        (1, 1, 1): "kept",
        (0, 1, 0): "✗ collateral",
        (1, 0, 1): "✗ collateral",
        (1, 1, -1): "free",
        (0, 1, -1): "free, changed",
    }
    for i, (was, is_now, wanted) in enumerate(cases):
        before[i], now[i], target[i] = was, is_now, wanted
    first = original(image, np.zeros(n), before)
    found = outcomes(parcel_of(spec.encoding, tuple(target), first, later(first, 1, image, np.zeros(n), now)))
    assert found == [*cases.values(), *["kept"] * (n - len(cases))]


def test_for_one_class_the_wanted_and_the_former_flip_and_a_third_is_collateral() -> None:
    spec, image = MODELS[ONE_HOT], np.zeros((3, 4, 4), np.float32)
    z = np.zeros(spec.encoding.n)
    first = original(image, z, 4)
    reached = outcomes(parcel_of(spec.encoding, 2, first, later(first, 1, image, z, 2)))
    assert [i for i, what in enumerate(reached) if what == "✓ flipped as asked"] == [2, 4]
    assert set(np.delete(reached, [2, 4])) == {"not read"}  # whose probability may have fallen: nothing was kept
    astray = outcomes(parcel_of(spec.encoding, 2, first, later(first, 1, image, z, 9)))
    assert (astray[2], astray[4], astray[9]) == ("… not yet", "✓ flipped as asked", "✗ collateral")


def test_the_example_flips_what_it_was_asked_to_and_keeps_the_rest(attack: tuple[Any, ...]) -> None:
    encoding, target, moments, best = attack
    found = dict(zip(encoding.labels, outcomes(parcel_of(encoding, target, moments[0], moments[best])), strict=True))
    asked = {
        label
        for label, was, wanted in zip(encoding.labels, moments[0].seen.decoded, target, strict=True)
        if bool(was) != bool(wanted)
    }
    assert {label for label, what in found.items() if what == "✓ flipped as asked"} == asked != set()
    assert {what for label, what in found.items() if label not in asked} == {"kept"}


# --- which moments


def test_all_moments_of_a_short_attack_are_shown_beginning_with_the_result(attack: tuple[Any, ...]) -> None:
    encoding, target, moments, best = attack
    data, parcels = Film().data(encoding, target, moments, best, live=False, ended=True)
    assert [each["update"] for each in data["film"]] == list(range(len(moments)))
    assert data["shown"] == best
    titles = [each["title"] for each in data["film"]]
    assert titles[0] == "0: original"
    assert [title for title in titles if title.endswith(" (result)")] == [titles[best]]
    assert {each["parcel"] for each in data["film"]} | {data["labels"], data["original"]} == parcels.keys()
    for moment, each in zip(moments, data["film"], strict=True):
        assert parcels[each["parcel"]] == parcel_of(encoding, target, moments[0], moment)
    told = parcels[data["labels"]]
    assert told["names"] == list(encoding.labels)
    assert told["wanted"] == [int(wanted) for wanted in target]
    json.dumps([data, parcels])


def test_a_long_attack_is_thinned_evenly_and_keeps_its_ends_and_its_result(walk: Callable[..., list[Moment]]) -> None:
    moments = walk(200)
    data, _ = Film().data(MODELS[ONE_HOT].encoding, 1, moments, 137, live=False, ended=True)
    updates = [each["update"] for each in data["film"]]
    assert len(updates) == MOMENTS
    assert {0, 137, 200} <= set(updates)
    assert updates == sorted(set(updates))
    assert np.diff(updates).max() <= 2 * 200 / MOMENTS
    assert data["shown"] == 137


def test_large_pictures_are_thinned_to_the_budget(walk: Callable[..., list[Moment]]) -> None:
    data, parcels = Film().data(MODELS[ONE_HOT].encoding, 1, walk(30, SIDE), 30, live=False, ended=True)
    assert 3 <= len(data["film"]) < MOMENTS
    assert len(json.dumps(parcels)) <= FILM_BYTES * 1.02


@pytest.mark.parametrize(("known", "room", "chosen"), [
    (set(), 3, [0, 5, 10]),
    (set(), 5, [0, 2, 5, 7, 10]),
    ({1, 2}, 5, [0, 1, 2, 6, 10]),
    ({1, 2, 3, 9}, 3, [0, 3, 10]),
    ({5}, 99, list(range(11))),
])  # fmt: skip
def test_what_was_sent_is_shown_and_others_fill_the_gaps(known: set[int], room: int, chosen: list[int]) -> None:
    assert choose(range(11), {0, 10}, known, room) == chosen


def test_while_it_runs_only_what_is_new_is_added_in_growing_steps(walk: Callable[..., list[Moment]]) -> None:
    moments, film, spec = walk(60), Film(), MODELS[ONE_HOT]
    seen: list[int] = []
    ids, versions = set(), set()
    for made in range(1, 61):
        data, _ = film.data(spec.encoding, 1, moments[: made + 1], made, live=True, ended=False)
        updates = [each["update"] for each in data["film"]]
        assert updates[0] == 0
        assert data["shown"] == updates[-1]
        assert made / player.PACE < updates[-1] <= made
        assert set(seen) <= set(updates) | {0}
        ids.add(data["id"])
        versions.add(data["version"])
        seen = updates
    assert len(versions) == len(seen) - 1, "one for each new picture"
    ended, _ = film.data(spec.encoding, 1, moments, 60, live=False, ended=True)
    updates = [each["update"] for each in ended["film"]]
    assert len(updates) == MOMENTS
    assert set(seen) <= set(updates)
    assert ended["version"] not in versions
    assert ids == {ended["id"]}, "who looks at an earlier update is left there"


def test_an_attack_that_goes_on_or_starts_anew_is_followed_again(walk: Callable[..., list[Moment]]) -> None:
    moments, film, spec = walk(3), Film(), MODELS[ONE_HOT]
    ids = []
    for made, live in ((0, True), (1, False), (1, True), (2, True), (2, False), (3, False)):
        data, _ = film.data(spec.encoding, 1, moments[: made + 1], made, live=live, ended=False)
        ids.append(data["id"])
    run, paused, on, later, halted, step = ids
    assert (run, on, on) == (paused, later, halted)
    again, _ = Film().data(spec.encoding, 1, moments[:1], 0, live=True, ended=False)
    assert len({run, on, step, again["id"]}) == 4


def test_a_paused_attack_shows_its_newest_update(walk: Callable[..., list[Moment]]) -> None:
    moments, film = walk(60), Film()
    for made in range(1, 40):
        data, _ = film.data(MODELS[ONE_HOT].encoding, 1, moments[: made + 1], made, live=False, ended=False)
        assert data["shown"] == data["film"][-1]["update"] == made
        assert len(data["film"]) == min(MOMENTS, made + 1)


def test_each_moment_is_made_once_and_the_same_again(attack: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    encoding, target, moments, best = attack
    made: list[int] = []

    def counted(encoding: Encoding, target: Target, first: Moment, moment: Moment) -> dict[str, Any]:
        made.append(moment.update)
        return parcel_of(encoding, target, first, moment)

    monkeypatch.setattr(player, "parcel_of", counted)
    film = Film()
    first = film.data(encoding, target, moments, best, live=False, ended=True)
    assert film.data(encoding, target, moments, best, live=False, ended=True) == first
    assert sorted(made) == list(range(len(moments)))
    other, _ = Film().data(encoding, target, moments[:3], 2, live=False, ended=False)
    assert other["id"] != first[0]["id"]


def test_the_reduction_of_a_large_picture_is_told(walk: Callable[..., list[Moment]]) -> None:
    small, _ = Film().data(MODELS[ONE_HOT].encoding, 1, walk(1), 1, live=False, ended=True)
    large, _ = Film().data(MODELS[ONE_HOT].encoding, 1, walk(1, 640), 1, live=False, ended=True)
    assert small["note"] == ""
    assert "320 × 320 pixels" in large["note"]
    assert "the attack works on 640 × 640" in large["note"]


def test_who_looks_close_is_sent_all_pixels_of_the_original_once_and_of_the_moment(
    walk: Callable[..., list[Moment]],
) -> None:
    film, (first, before, after) = Film(), walk(2, 2 * SIDE)
    close, parcels = film.close(first, after)
    original, moment = (parcels[close[part]] for part in ("original", "moment"))
    np.testing.assert_array_equal(decoded(original["url"]), np.rint(first.image.transpose(1, 2, 0) * 255))
    assert (close["update"], moment["change"]) == (2, change(first.image, after.image, LEVELS))
    assert film.close(first, after)[1] is parcels
    assert film.close(first, before)[0] == close | {"update": 1, "moment": film.close(first, before)[0]["moment"]}


def test_a_thousand_labels_stay_small(walk: Callable[..., list[Moment]]) -> None:
    many = Classes(tuple(f"label {i}" for i in range(1000)))
    z = np.random.default_rng(0).normal(0, 3, 1000)
    first = original(walk(1)[0].image, z, int(z.argmax()))
    parcel = parcel_of(many, 5, first, later(first, 1, first.image, z, 5))
    assert len(json.dumps(parcel)) < 25_000
    assert len(parcel["clearances"]) == len(parcel["scores"]) == len(parcel["sure"]) == 1000


def test_logits_that_are_not_finite_reach_no_json() -> None:
    image, z = np.zeros((3, 4, 4), np.float32), np.full(43, np.nan, np.float32)
    first = original(image, np.zeros(43, np.float32), 0)
    parcel = parcel_of(MODELS[ONE_HOT].encoding, 1, first, later(first, 1, image, z, -1))
    assert json.loads(json.dumps(parcel), parse_constant=pytest.fail) == parcel
    assert parcel["scores"] == parcel["clearances"] == parcel["sure"] == [None] * 43
