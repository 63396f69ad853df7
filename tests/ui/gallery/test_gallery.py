"""What the browser is sent for the gallery: changes that come back to what they were, in the order of their cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jma_core.records import AttackResult, Trace
from lab.comparison import Contender, approach
from lab.request import Request, Settings
from models.encodings import OneHot
from ui.gallery.gallery import FILM_BYTES, frames, gallery, nearest, note, places, told_of
from ui.pixels.pixels import pictured

NAMES = OneHot(("one", "two", "three", "four", "five"))


def asked(**settings: int) -> Request:
    return Request("m", "p", 1, Settings.of("lazy", **settings))


def test_the_result_is_last_and_room_is_kept(finished: AttackResult) -> None:
    told = frames(asked(), NAMES, finished, FILM_BYTES)
    spent = [each["spent"] for each in told]
    assert spent == sorted(spent)
    assert (spent[-1], told[-1]["title"]) == (finished.backward, "result")
    assert told[-1]["l2"] == f"{finished.distortion.l2:.3f}"
    assert len(told) > 2
    assert told[-1]["reads"] == NAMES.labels[int(finished.decoded)]
    assert len(frames(asked(), NAMES, finished, 1)) == 2, "the first update and the result are always there"


def shown(film: list[dict], axis: str, place: int) -> str:
    """The title of what the browser shows of an attack there."""
    before = [i for at, i in places(film)[axis] if at <= place]
    return film[before[-1]]["title"] if before else ""


def test_over_the_distance_nothing_is_larger_than_the_slider_says_and_both_axes_end_at_the_result() -> None:
    """A path that goes beyond its result and comes back: a first hit at 0.8 is followed by nearer ones."""
    way = {"a": 0.2, "b": 0.5, "c": 0.8, "d": 0.35, "e": 0.6, "result": 0.55}
    film = [told_of(10 * (i + 1), title, l2) for i, (title, l2) in enumerate(way.items())]
    assert [shown(film, "spent", at) for at in (9, 10, 35, 59, 60, 99)] == ["", "a", "c", "e", "result", "result"]
    shown_at = {
        0: "",
        199: "",
        200: "a",
        349: "a",
        350: "d",
        499: "d",
        500: "b",
        549: "b",
        550: "result",
        900: "result",
    }
    assert {at: shown(film, "distance", at) for at in shown_at} == shown_at


def test_a_result_that_went_nowhere_is_at_no_distance() -> None:
    film = [told_of(1, "update 1", 0.4), told_of(2, "result", 0.0)]
    assert places(film)["distance"] == [(0, 1)]


def test_the_nearest_hit_so_far_is_what_the_chart_draws(finished: AttackResult) -> None:
    hits = nearest(finished.trace)
    chart = approach(Contender(asked(), finished))
    assert [l2 for _, l2 in hits] == [f"{l2:.3f}" for l2 in chart[:-1, 1]]
    for (spent, _), passes in zip(hits, chart[:, 0], strict=False):
        assert passes - spent in finished.trace.forward[finished.trace.backward == spent]
    assert hits[-1][1] == f"{finished.distortion.l2:.3f}"
    assert nearest(Trace.of(())) == []


def test_one_original_and_one_gain_for_all(finished: AttackResult) -> None:
    missed = replace(finished, image=finished.original, update=0, backward=3, steps=())
    told = gallery(NAMES, ["A", "B"], [Contender(asked(), finished), Contender(asked(max_iter=3), missed)])
    assert [each["name"] for each in told["attacks"]] == ["A", "B"]
    assert told["most"] == {"spent": finished.backward, "distance": round(1000 * finished.distortion.l2)}
    assert told["original"] == pictured(finished.original) | {"reads": NAMES.labels[int(finished.decoded_before)]}
    strongest = np.abs(finished.image - finished.original).max()
    np.testing.assert_allclose(told["gain"], max(1, 2 / strongest))
    assert gallery(NAMES, ["A"], [Contender(asked(), missed)])["gain"] == 1


def test_pictures_that_are_shown_smaller_than_they_are_say_so_first_and_where_each_pixel_is_seen() -> None:
    large, small = np.zeros((3, 480, 640), np.float32), np.zeros((3, 224, 224), np.float32)
    assert note(large).startswith("Shown here at 370 × 277 pixels,")
    assert "“Open in the lab” shows each pixel" in note(large)
    assert "Shown here" not in note(small)
