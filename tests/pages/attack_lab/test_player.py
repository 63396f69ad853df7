"""Step, Run, Stop and Reset in the attack lab, and what the player is sent."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jma_core.attacks.trail import Attack
from lab.request import Settings
from lab.runs import launch
from lab.runs.pool import models
from models.registry import DEFAULT, MODELS
from tests.pages.attack_lab.driving import (
    CODE,
    SIGNS,
    captions,
    check_success,
    choose,
    choose_model,
    enabled,
    moment,
    reading,
    seen,
    sent,
    words,
)
from tests.pages.page import PATIENCE, Page, came_true

REST = 0.3
"""Seconds."""


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Until it is set, attacks rest before each update: they last for seconds, and are no work."""
    event, find = threading.Event(), launch.find

    def resting(name: str) -> Callable[..., Attack]:
        def attack(*args: Any, **settings: Any) -> Attack:
            steps = find(name)(*args, **settings)
            while True:
                event.wait(REST)
                try:
                    yield next(steps)
                except StopIteration as end:
                    return end.value

        return attack

    monkeypatch.setattr(launch, "find", resting)
    return event


@pytest.fixture
def slow(signs: Page, hurry: threading.Event) -> Page:
    """The lab with an attack that has not ended when one looks again: a small network's, in short steps with rests."""
    return signs.widget("number_input", "Step length ε").set_value(0.05).run()


def go_to(at: Page, update: int) -> Page:
    """What the browser tells when the player has come to rest at an update."""
    at.session_state["player"] = {"at": {"id": sent(at)["id"], "update": update}}
    return at.run()


def measures(at: Page) -> dict[str, str]:
    table = at.main.table[0].value
    return dict(zip(table["measure"], table["value"], strict=True))


def test_an_attack_goes_step_by_step_then_to_its_end_and_back_to_the_original(imagenet: Page) -> None:
    lab = choose(imagenet, "Persian cat")
    assert lab.says("tiger cat → Persian cat")
    assert lab.says("Step makes one update")
    assert captions(lab) == ["Original: tiger cat", "Attacked: tiger cat"]
    assert enabled(lab) == {"Step", "Run"}
    for number in (1, 2):
        lab.press("Step").settle()
        assert len(lab.shown().steps) == number
        assert not lab.shown().ended
        assert lab.says("Paused.")
        assert enabled(lab) == {"Step", "Run", "Reset"}
        assert measures(lab)["L2"] == f"{lab.shown().steps[-1].l2:.3f}"
    early = lab.shown()
    lab.press("Run").settle()
    assert lab.shown() is early, "Run went on with the attack that was stepped"
    result = early.result
    assert result is not None
    assert result.success
    assert lab.success[0].value.startswith("The result reads as **Persian cat**")
    assert captions(lab) == ["Original: tiger cat", "Attacked: Persian cat"]
    questions = {"Try 17 transformations", "Ask 5 other models", "Show where it looks"}
    assert enabled(lab) == {"Run again", "Reset", "Go closer", *questions}
    assert 0 < np.abs(result.image - result.original).max() <= 1
    assert measures(lab)["L2"] == f"{result.distortion.l2:.3f}"
    lab.press("Reset")
    assert captions(lab) == ["Original: tiger cat", "Attacked: tiger cat"]
    assert moment(lab)["change"] is None
    assert moment(lab)["gradient"]["scale"] > 0
    assert measures(lab)["PSNR"] == "∞ dB"
    assert not lab.get("download_button")
    assert enabled(lab) == {"Step", "Run"}
    lab.press("Run").settle()
    assert lab.shown() is not early
    assert lab.success[0].value.startswith("The result reads as **Persian cat**")


def test_a_double_click_on_run_starts_one_attack(slow: Page, started: list[dict[str, Any]]) -> None:
    lab = slow
    run = lab.labelled("Run")
    run.click().run()
    attack = lab.shown()
    run.click().run()  # the browser's second click: the same button, whatever the page has made of it since
    assert attack.busy, "the second click came too late to prove anything"
    assert lab.shown() is attack
    lab.press("Stop").settle()
    assert len(started) == 1


def test_stop_pauses_and_step_goes_on_from_there(
    imagenet: Page, hurry: threading.Event, started: list[dict[str, Any]]
) -> None:
    """On a photo on which the box clips no step."""
    lab = imagenet.widget("number_input", "Step length ε").set_value(0.05).run()
    lab.press("Run")
    assert enabled(lab) == {"Stop", "Reset"}
    attack = lab.shown()
    lab.until(lambda: len(attack.steps) >= 2)
    assert lab.says("Running: iteration")
    lab.press("Stop").settle()
    assert not attack.ended
    halted = len(attack.steps)
    assert lab.says("Paused.")
    assert enabled(lab) == {"Step", "Run", "Reset"}
    lab.press("Step").settle()
    assert lab.shown() is attack
    assert len(attack.steps) == halted + 1
    assert attack.steps[-1].moved == pytest.approx(0.05, rel=0.01)
    assert len(started) == 1


def test_reset_ends_a_running_attack_and_shows_the_original(slow: Page) -> None:
    lab = slow
    lab.press("Run")
    attack = lab.shown()
    lab.until(lambda: len(attack.steps) >= 1)
    lab.press("Reset")
    assert attack not in lab.attacks().values()
    assert came_true(PATIENCE, lambda: not attack.busy)
    assert len(attack.steps) < 30
    assert moment(lab.run())["change"] is None
    assert enabled(lab) == {"Step", "Run"}


def test_the_page_follows_the_player_to_each_update(lab: Page) -> None:
    steps = lab.shown().steps
    film = sent(lab)["film"]
    assert film[0]["title"] == "0: original"
    assert [each["update"] for each in film] == list(range(len(steps) + 1))
    assert len(film) >= 3
    go_to(lab, 0)
    before = words(reading(DEFAULT, seen(DEFAULT, "cat")))
    assert captions(lab) == [f"Original: {before}", f"Attacked: {before}"]
    assert measures(lab)["L2"] == "0.000"
    for number, step in enumerate(steps[:3], start=1):
        go_to(lab, number)
        assert measures(lab)["L2"] == f"{step.l2:.3f}"
        assert measures(lab)["Backward passes"] == str(step.backward)
        there = [
            label for label, is_there in zip(MODELS[DEFAULT].encoding.labels, step.decoded, strict=True) if is_there
        ]
        assert captions(lab)[1] == f"Attacked: {words(there)}"


def test_where_the_player_was_does_not_matter_to_another_attack(lab: Page) -> None:
    go_to(lab, 1)
    lab.press("people").settle()
    assert measures(lab)["L2"] == "0.000"
    lab.press("Run").settle()
    result = check_success(lab)
    assert measures(lab)["L2"] == f"{result.distortion.l2:.3f}"
    assert moment(lab)["title"].endswith(" (result)")


def test_what_was_sent_is_not_sent_again_unless_the_browser_asks(lab: Page) -> None:
    everything = sent(lab)["parcels"]
    data = json.loads(lab.run().main.get("bidi_component")[0].proto.json)[0]
    assert data["parcels"] == {}
    assert {each["parcel"] for each in data["film"]} | {data["labels"], data["original"]} == everything.keys()
    lab.press("Reset").settle()
    assert json.loads(lab.main.get("bidi_component")[0].proto.json)[0]["parcels"] == {}, "the same original and labels"


def test_an_attack_that_misses_its_target_says_so_and_offers_no_files(lab: Page) -> None:
    lab.widget("number_input", "Most iterations").set_value(1).run()
    lab.press("Run").settle()
    (warning,) = lab.warning
    assert warning.value.startswith("The target was not reached in 1 iterations. Held up by ")
    assert warning.value.endswith(", in logits.")
    assert not lab.success
    assert not lab.get("download_button")
    tries = enabled(lab) - {"Run again", "Reset"}
    assert {"Free the other labels", "Take steps of 0.5"} < tries
    assert len(tries) == 4
    before = lab.shown().request
    lab.labelled("Take steps of 0.5").click().run()
    lab.settle()
    assert lab.shown().request == replace(before, settings=Settings.of(max_iter=1, step=0.5))
    assert lab.widget("number_input", "Step length ε").value == 0.5


def test_while_one_attack_runs_no_other_can_be_begun(slow: Page) -> None:
    lab = slow
    lab.press("Run")
    choose(lab, "no entry")
    assert lab.shown().busy
    assert lab.says("Another attack of yours is not done: give&#95;way.png towards stop. Running: iteration")
    assert enabled(lab) == {"Stop it", "Show it"}
    lab.press("Show it")
    assert lab.says("→ stop")
    lab.press("Stop").settle()
    assert {"Step", "Run"} <= enabled(choose(lab, "no entry"))


def test_an_attack_of_another_session_waits_its_turn_and_says_so(slow: Page, hurry: threading.Event) -> None:
    lab, other = slow, choose_model(Page().settle(), CODE)
    try:
        lab.press("Run")
        lab.until(lambda: len(lab.shown().steps) >= 1)
        other.press("Run")
        assert other.says("Waiting: 1 other attack goes before this one, which has its turn in about 10 s at most.")
        assert lab.shown().busy
        assert other.shown().steps == ()
        lab.press("Stop").settle()
        hurry.set()
        other.settle()
        assert other.shown().result is not None
        assert other.shown().result.success
    finally:
        other.close()


def test_an_attack_that_waits_for_another_session_can_be_given_up(slow: Page) -> None:
    lab, other = slow, choose_model(Page().settle(), CODE)
    try:
        lab.press("Run")
        lab.until(lambda: len(lab.shown().steps) >= 1)
        other.press("Run")
        other.press("Stop").settle()
        assert lab.shown().busy
        assert other.shown().steps == ()
        assert {"Step", "Run"} <= enabled(other)
    finally:
        other.close()


def noise(seed: int) -> bytes:
    """A photo of one's own, as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_an_attack_on_an_upload_can_be_stopped_and_shown_from_the_next_upload(slow: Page) -> None:
    lab = slow.file_uploader[0].set_value(("noise-1.png", noise(1), "image/png")).run().settle()
    choose(lab, "stop")
    lab.press("Run")
    first = lab.shown()
    lab.until(lambda: len(first.steps) >= 1)
    lab.file_uploader[0].set_value(("other.png", noise(2), "image/png")).run()
    assert lab.says("Another attack of yours is not done: noise-1.png towards stop.")
    lab.press("Show it")
    assert lab.says("→ stop")
    lab.press("Stop")
    lab.settle()
    assert not first.busy
    assert first.steps
    lab.press("Run")
    lab.file_uploader[0].set_value(("third.png", noise(3), "image/png")).run()
    lab.press("Stop it").settle()
    assert not first.busy
    assert not lab.says("Another attack of yours")


def test_an_attack_whose_model_was_removed_can_be_stopped(slow: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = slow
    lab.press("Run")
    lab.until(lambda: len(lab.shown().steps) >= 1)
    pool = models()
    monkeypatch.setattr(pool, "specs", {name: spec for name, spec in pool.specs.items() if name != SIGNS})
    lab.run()
    assert not lab.exception
    assert lab.says("Another attack of yours is not done: one on a model that was removed.")
    lab.press("Stop it")
    lab.settle()
    assert not lab.shown().busy
