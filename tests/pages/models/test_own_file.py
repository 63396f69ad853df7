"""A model of one's own on the page Models: its two files, and what is refused."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch

from lab.photos.samples import samples
from lab.runs.pool import models
from models import loaders
from models.cards import ModelSpec
from models.loaders import LoadedModel, to_tensor
from models.registry import DEFAULT, HOW_TO_CONVERT, IMAGENET, MODELS
from tests.markdown import seen
from tests.pages.attack_lab.driving import choose
from tests.pages.models.driving import (
    CARD,
    LAB,
    PAGE,
    errors,
    facts,
    give,
    loaded,
    newest,
    offer,
    open_in_lab,
    open_page,
    titles,
    toy,
    weights,
)
from tests.pages.page import Page
from tests.sessions import session_of


def test_a_file_of_ones_own_is_added_opened_in_the_lab_and_attacked(page: Page) -> None:
    network = toy()
    offer(page, CARD, weights(network))
    loaded(page, newest())
    assert not page.error
    assert titles(page) == ["Toy colours", *(spec.title for spec in MODELS.values())]
    said = facts(page)[0]
    for fact in ("**Encoding**: one-hot.", "**Network**: VGG-style\n", "32 × 32 pixels", "**Licence**: not stated"):
        assert fact in said
    page.session_state[f"labels-{newest()}"] = True
    assert "red, green, blue" in page.run().texts()
    open_in_lab(page, newest())
    cat = next(iter(samples("cifar10").values()))
    with torch.no_grad():
        z = network((to_tensor(np.asarray(cat.image))[None] - 0.5) / 0.25)[0]
    order = [CARD["labels"][i] for i in z.argsort(descending=True)]
    assert f"{order[0]} → {order[2]}" in page.texts()
    page.press("Run").settle()
    assert page.success[0].value.startswith(f"The result reads as **{order[2]}**")
    with torch.no_grad():
        run = list(session_of(page).lasting.runs.values())[-1]
        again = network((torch.from_numpy(run.result.image)[None] - 0.5) / 0.25)[0]
    assert CARD["labels"][int(again.argmax())] == order[2]


CODED = {**CARD, "encoding": "ECOC", "labels": ["a", "b", "c", "d"], "codebook": ["+++", "+--", "-+-", "--+"]}


@pytest.mark.parametrize("encoding", ["ECOC", "multi-label"])
def test_a_file_of_ones_own_may_have_any_encoding(encoding: str, page: Page) -> None:
    card, network = CODED, toy()
    if encoding == "multi-label":
        cat = next(iter(samples("cifar10").values()))
        with torch.no_grad():
            z = network((to_tensor(np.asarray(cat.image))[None] - 0.5) / 0.25)[0]
        near = (z - torch.tensor([0.3, -0.3, -3.0])).tolist()  # the first label is there, but hardly
        card = {**CARD, "encoding": encoding, "thresholds": near}
    offer(page, card, weights(network))
    loaded(page, newest())
    assert not page.error
    assert f"**Encoding**: {encoding}." in facts(page)[0]
    open_in_lab(page, newest())
    if encoding == "ECOC":
        choose(page, "b")  # the proposal, a, is out of reach of this network, which nobody has trained
    page.press("Run").settle()
    assert page.success[0].value.startswith("The result reads as")


def test_a_file_of_ones_own_is_removed_again(page: Page) -> None:
    offer(page, CARD, weights(toy()))
    loaded(page, newest())
    page.button(key=f"remove-{newest()}").click().run()
    assert not page.exception
    assert titles(page) == [spec.title for spec in MODELS.values()]
    assert set(models().specs) == set(MODELS)


def test_the_lab_falls_back_to_the_default_when_its_model_is_removed(page: Page) -> None:
    offer(page, CARD, weights(toy()))
    loaded(page, newest())
    open_in_lab(page, newest()).switch_page(PAGE).run()
    page.button(key=f"remove-{newest()}").click().run()
    for _ in range(2):  # it is said until another model is chosen
        page.switch_page(LAB).run()
        page.intact()
        assert page.widget("selectbox", "Model").value == DEFAULT
        assert [seen(each.value) for each in page.warning] == [
            f"file:toy was removed. {MODELS[DEFAULT].title} is shown instead."
        ]
    page.widget("selectbox", "Model").select(IMAGENET.name).run()
    assert not page.warning
    page.widget("selectbox", "Model").select(DEFAULT).run()
    assert not page.warning


@pytest.mark.parametrize("changed", [{}, {"encoding": "multi-label"}], ids=["weights", "encoding"])
def test_another_file_under_the_same_name_is_read_anew(changed: dict[str, Any], page: Page) -> None:
    for favourite, card in ((0, CARD), (2, {**CARD, **changed})):
        offer(page, card, weights(toy(favourite)))
        loaded(page, newest())
        open_in_lab(page, newest())
        model = models().request(newest()).result()
        image = to_tensor(np.asarray(next(iter(samples("cifar10").values())).image), model.device)
        with torch.no_grad():
            read = model.spec.encoding.names(model.encoding.decode(model.network(image[None])[0]).cpu().numpy())
        assert any(text.startswith(f"{read} → ") for text in page.texts())
        page.switch_page(PAGE).run()


@pytest.mark.parametrize("suffix", ["pt", "pth", "bin", "ckpt"])
def test_a_pickled_checkpoint_is_refused_and_never_opened(suffix: str, page: Page) -> None:
    file = io.BytesIO()
    torch.save(toy().state_dict(), file)
    give(page, "Weights", f"net.{suffix}", file.getvalue())
    assert errors(page) == [f"net.{suffix} is a pickled checkpoint. {HOW_TO_CONVERT}"]
    give(page, "Card", "toy.toml", tomli_w.dumps(CARD).encode())
    assert "Add this model" not in [each.label for each in page.button]
    assert titles(page) == [spec.title for spec in MODELS.values()]


def test_a_pickle_under_another_name_is_refused_in_the_same_words(page: Page) -> None:
    file = io.BytesIO()
    torch.save(toy().state_dict(), file)
    offer(page, CARD, file.getvalue())
    loaded(page, newest())
    (error,) = errors(page)
    assert error.startswith("Its weights are not a safetensors file (")
    assert error.endswith(HOW_TO_CONVERT)


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("labels = [", "This is not a TOML file: "),
        ({key: value for key, value in CARD.items() if key != "labels"}, "Missing entries: l"),
        ({**CARD, "colour": "red"}, "Unknown entries: colour. A card may hold "),
        (
            {**CARD, "encoding": "ECOC"},
            "codebook: expected a codeword of its own for each class",
        ),
        ({**CARD, "std": [1, 1, 0]}, "mean and std: expected three numbers each"),
        (
            {**CARD, "preprocessing": {"size": 4}},
            "preprocessing: expected a size of 8 to 2048",
        ),
    ],
    ids=["no TOML", "missing", "unknown", "no codebook", "std", "size"],
)
def test_a_card_that_cannot_be_used_says_which_entry_is_wrong(card: Any, expected: str, page: Page) -> None:
    offer(page, card, weights(toy()))
    (error,) = errors(page)
    assert error.startswith(f"The card cannot be used. {expected}")
    assert titles(page) == [spec.title for spec in MODELS.values()]
    offer(page, CARD, weights(toy()))  # mended
    assert not errors(loaded(page, newest()))
    assert "Toy colours" in titles(page)


@pytest.mark.parametrize(
    "entry",
    [
        {"scores": {"accuracy": 1}},
        {"scores": {"accuracy": 10**400}},
        {"scores": {"note": "good"}},
        {"scores": {"per label": {"red": 0.5}}},
        {"samples": "no such folder"},
        {"samples": "../weights"},
        {"parameters": "many"},
        {"labels": [1, 2, 3]},
    ],
    ids=str,
)
def test_no_card_can_break_the_pages_of_everybody(entry: dict[str, Any], page: Page) -> None:
    """It may be refused or shown, but the page has to stay there for all, and the lab, and a way to be rid of it."""
    offer(page, {**CARD, **entry}, weights(toy()))
    other = open_page()
    if newest() not in MODELS:
        open_in_lab(loaded(other, newest()), newest()).switch_page(PAGE).run()
        other.button(key=f"remove-{newest()}").click().run()
        other.intact()


def test_weights_that_do_not_fit_say_so_and_can_be_tried_again_or_removed(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(page, {**CARD, "options": {**CARD["options"], "width": 8}}, weights(toy()))
    loaded(page, newest())
    (error,) = errors(page)
    assert error.startswith("Its weights do not fit vgg: ")
    page.press("Try again")
    loaded(page, newest())
    assert errors(page) == [error], "it was tried, and failed again"
    real, tried = loaders.load, []

    def load(spec: ModelSpec, *rest: Any, **named: Any) -> LoadedModel:
        tried.append(spec.name)
        return real(replace(spec, options=CARD["options"]), *rest, **named)

    with monkeypatch.context() as patched:
        patched.setattr(loaders, "load", load)
        page.press("Try again")
        loaded(page, newest())
    assert tried == [newest()]
    assert not errors(page)
    page.button(key=f"remove-{newest()}").click().run()
    assert titles(page) == [spec.title for spec in MODELS.values()]


def test_what_was_added_last_comes_first_and_can_be_removed_when_its_weights_do_not_fit(page: Page) -> None:
    loaded(offer(page, CARD, weights(toy())), newest())
    offer(page, {**CARD, "title": "Two words", "labels": ["yes", "no"]}, weights(toy()))
    loaded(page, newest())
    assert errors(page)[0].startswith("Its weights do not fit vgg: ")
    shipped = [spec.title for spec in MODELS.values()]
    assert titles(page) == ["Two words", "Toy colours", *shipped]
    page.button(key=f"remove-{newest()}").click().run()
    assert not errors(page)
    assert titles(page) == ["Toy colours", *shipped]


def test_a_card_of_a_network_that_there_is_not_says_so(page: Page) -> None:
    offer(page, {**CARD, "network": "resnet"}, weights(toy()))
    loaded(page, newest())
    assert errors(page) == ["network: expected vgg, lite0-mlp, timm:NAME or torchvision:NAME, got 'resnet'"]
