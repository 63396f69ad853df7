"""On the page Models, what does not work is not offered."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
import torch

from lab.runs.pool import ModelPool, models
from models import loaders
from models.cards import ModelSpec
from models.loaders import LoadedModel
from models.registry import MODELS
from tests.pages.models.driving import CARD, errors, loaded, newest, offer, open_page, titles, toy, weights
from tests.pages.page import PATIENCE, Page


def offered(name: str) -> bool:
    """Whether a new tab's lab has a model in its list."""
    lab = Page().run()
    lab.intact()
    zoo = lab.widget("selectbox", "Model").options
    assert len(zoo) == len(models().specs)
    return name in models().specs


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"preprocessing": {"size": 64, "crop": 1.0}}, "It gives a tensor (1, 243) for a picture of 3 x 64 x 64, expe"),
        ({"preprocessing": {"size": 8, "crop": 1.0}}, "It cannot read a picture of 3 x 8 x 8 "),
        ({"labels": ["a", "b"]}, "Its weights do not fit vgg: "),
        ({"network": "timm:resnet18", "options": {}}, "Its weights do not fit timm:resnet18: "),
        ({"network": "torchvision:fcn_resnet50", "options": {}}, "network: expected a classifier of torchvision"),
    ],
    ids=["larger", "smaller", "labels", "network", "segmentation"],
)
def test_a_model_that_cannot_work_is_not_offered_to_anybody(changed: Any, says: str, page: Page) -> None:
    offer(page, {**CARD, **changed}, weights(toy()))
    loaded(page, newest())
    (error,) = errors(page)
    assert error.startswith(says)
    assert page.button(key=f"open-{newest()}").disabled
    assert [each.label for each in page.button if each.key and newest() in each.key] == [
        "Open in the lab",
        "Try again",
        "Remove",
    ]
    assert not offered(newest())
    page.button(key=f"remove-{newest()}").click().run()
    assert titles(page) == [spec.title for spec in MODELS.values()]


def test_a_model_whose_logits_are_not_finite_is_not_offered(page: Page) -> None:
    network = toy()
    with torch.no_grad():
        network[-2].weight.fill_(torch.nan)
    offer(page, CARD, weights(network))
    loaded(page, newest())
    assert errors(page)[0].startswith("Its logits are not finite: 3 of 3 are NaN")
    assert not offered(newest())


def test_a_model_that_does_not_look_at_its_picture_is_offered_with_a_warning(page: Page) -> None:
    network = toy()
    with torch.no_grad():
        network[-2].weight.zero_()
    offer(page, CARD, weights(network))
    loaded(page, newest())
    assert not page.error
    assert [each.value for each in page.warning] == [models().request(newest()).result().note]
    assert offered(newest())


def test_a_model_is_not_offered_while_it_loads(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    real, release = loaders.load, threading.Event()

    def load(spec: ModelSpec, *rest: Any, **named: Any) -> LoadedModel:
        assert release.wait(PATIENCE)
        return real(spec, *rest, **named)

    monkeypatch.setattr(loaders, "load", load)
    offer(page, CARD, weights(toy()))
    page.run()
    assert page.button(key=f"open-{newest()}").disabled
    assert [bar.text for bar in page.get("progress")] == ["Loading"]
    assert not offered(newest())
    release.set()
    loaded(page, newest())
    assert not page.button(key=f"open-{newest()}").disabled
    assert offered(newest())


@pytest.mark.parametrize("fault", [AssertionError(), KeyError("evil")], ids=repr)
def test_a_failure_that_says_nothing_is_no_loading(
    fault: Exception, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: Any, **__: Any) -> LoadedModel:
        raise fault

    monkeypatch.setattr(loaders, "load", load)
    offer(page, CARD, weights(toy()))
    loaded(page, newest())
    (error,) = errors(page)
    assert error.startswith(f"Loading it failed in a way that was not foreseen ({type(fault).__name__}")
    assert not page.get("progress")


def test_the_lab_of_a_network_that_cannot_be_loaded_says_so_and_waits_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(*_: Any, **__: Any) -> LoadedModel:
        raise AssertionError

    monkeypatch.setattr(loaders, "load", load)
    pool = ModelPool()
    monkeypatch.setattr("ui.parts.scene.models", lambda: pool)
    assert pool.request("mnist-ecoc16").exception(PATIENCE)
    lab = Page().run()
    lab.widget("selectbox", "Model").select("mnist-ecoc16").run()
    assert [text for text in errors(lab) if text.startswith("This model cannot be used. Loading it failed")]
    assert not [text for text in lab.texts() if "The network is loading" in text]


def test_a_card_that_cannot_be_drawn_leaves_the_others_and_can_be_removed(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(page, CARD, weights(toy()))
    loaded(page, newest())
    hostile = replace(models().added[newest()], parameters="many")
    monkeypatch.setitem(models().added, newest(), hostile)
    other = open_page()
    assert titles(other) == ["Toy colours", *(spec.title for spec in MODELS.values())]
    (error,) = errors(other)
    assert error.startswith("This card cannot be shown whole (TypeError)")
    assert other.widget("text_input", "Address")
    other.button(key=f"remove-{newest()}").click().run()
    assert not other.exception
    assert titles(other) == [spec.title for spec in MODELS.values()]
