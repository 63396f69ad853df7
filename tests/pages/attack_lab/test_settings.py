"""What the settings of the attack lab do, and what it tells of the attack."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from jma_core.records import REACHED
from lab.markup import plain
from lab.request import OFFERED, Settings
from lab.runs import launch
from lab.runs.attack_run import AttackRun
from lab.story import story
from models.registry import DEFAULT, MODELS
from tests.pages.attack_lab.driving import ONE_HOT, SIGNS, check_success
from tests.pages.page import Page, came_true
from tests.sessions import session_of


def test_every_setting_reaches_the_attack(lab: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[dict[str, Any]] = []

    def attack(*_: object, **settings: Any) -> None:
        received.append(settings)
        raise RuntimeError("seen enough")

    monkeypatch.setattr(launch, "find", {"paper": attack}.__getitem__)
    lab.widget("radio", "Attack").set_value("paper").run()
    lab.widget("number_input", "Step length ε").set_value(0.5).run()
    lab.widget("slider", "Margin κ").set_value(1.5).run()
    lab.widget("number_input", "Most iterations").set_value(7).run()
    lab.widget("number_input", "Most seconds").set_value(12.0).run()
    lab.press("Run").settle()
    (settings,) = received
    assert callable(settings.pop("should_stop"))
    assert settings.pop("kept") >= 256
    assert settings.pop("mask").all()
    assert settings.pop("period") == 0
    assert settings == {"step": 0.5, "max_iter": 7, "bisections": 6, "kappa": 1.5, "max_seconds": 12.0}
    assert lab.shown().request.settings == Settings.of("paper", **settings)


def test_what_happened_is_told_in_words_as_the_attack_goes_on(imagenet: Page) -> None:
    lab = imagenet
    assert not any(each.value == "What happened" for each in lab.main.subheader)
    lab.press("Step").settle()
    assert lab.main.text[0].value.startswith("So far it took 1 iteration (1 update), ")
    assert "The latest image is not read as wanted: it violates " in lab.main.text[0].value
    lab.press("Run").settle()
    result, request = check_success(lab), lab.shown().request
    (words,) = [each.value for each in lab.main.text]
    assert words == "\n".join(story(MODELS[ONE_HOT], request, result.original, result.steps, result))
    assert f" ({len(result.trace)} updates), {result.backward} backward passes" in words
    last = result.steps[-1]
    rivals = [label for label in MODELS[ONE_HOT].encoding.labels if label != "espresso"]
    assert f"against {rivals[last.active[last.multipliers.argmax()]]} (" in words


def test_the_refined_attack_spends_its_iterations_on_coming_closer(lab: Page) -> None:
    stored = lab.shown().result
    assert stored is not None
    lab.widget("radio", "Attack").set_value("refined").run()
    lab.widget("number_input", "Gradients").set_value(24).run()
    lab.press("Run").settle()
    result = lab.shown().result
    assert result is not None
    assert result.success
    assert (result.n_it, result.backward) == (24, 24)
    assert result.distortion.l2 < stored.distortion.l2
    assert not any("Optimal to" in str(each.value) for each in (*lab.table, *lab.caption))


def test_most_seconds_ends_an_attack_of_the_published_kind_too(imagenet: Page) -> None:
    """One iteration of it takes about a minute: the cap has to be looked at inside the iteration."""
    lab = imagenet
    lab.widget("radio", "Attack").set_value("paper").run()
    lab.widget("number_input", "Most seconds").set_value(1.0).run()
    lab.press("Run")
    attack = lab.shown()
    assert came_true(15, lambda: attack.ended), "it goes on long after its second"
    assert lab.settle().says("The time cap of 1 s was reached.")


def test_what_else_is_to_be_said_of_a_success_and_which_pictures_were_dropped(lab: Page) -> None:
    shown = lab.shown()
    assert shown.result is not None
    updates = len(shown.result.steps)
    assert not lab.says("updates were kept")
    assert lab.success[0].value.endswith(f"{shown.result.seconds:.1f} s.")
    thin = replace(shown.result, steps=shown.result.steps[::-3][::-1], detail=f"{REACHED} Its goal was made_up.")
    session_of(lab).lasting.runs[shown.request] = AttackRun.finished(shown.request, thin)
    lab.run()
    assert lab.success[0].value.endswith(f"s. {plain('Its goal was made_up.')}")
    assert lab.says(f"Pictures of {len(thin.steps)} of {updates} updates were kept; the curves have all of them.")


@pytest.mark.parametrize("name", OFFERED)
def test_every_attack_of_the_registry_is_picked_set_and_run(name: str) -> None:
    """By an address: the widgets show it, and the attack takes what they say."""
    entry = OFFERED[name]
    budget = entry.within(6)
    model = next(each for each in ("mnist-ecoc16", DEFAULT, SIGNS) if MODELS[each].encoding.name in entry.encodings)
    lab = Page(model=model, attack=name, **{key: str(each) for key, each in budget.items()}).settle()
    assert lab.widget("selectbox", "Attacks").value == entry.group
    assert lab.widget("radio", "Attack").value == name
    shown_settings = {
        each.label: each.value for kind in (lab.number_input, lab.selectbox, lab.text_input) for each in kind
    }
    assert {
        each.label: budget.get(each.name, each.default) for each in entry.settings
    }.items() <= shown_settings.items()
    lab.press("Run").settle()
    attack = lab.shown()
    assert attack.request.settings == Settings.of(name, **budget)
    assert attack.result is not None
    assert len(attack.result.trace) > 0
    assert attack.result.backward > 0
    lab.close()
