"""Asking a one-hot network for several classes: in order, or in any."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
import torch

from jma_core import asked
from lab import exports
from lab.archive import pack, unpack
from lab.markup import plain
from models.encodings import Prediction
from models.registry import MODELS
from tests.pages.attack_lab.driving import SIGNS, logits, moment, network, seen, sent
from tests.pages.page import Page
from ui.parts import downloads
from ui.parts.controls import ORDER, SET

ENCODING = MODELS[SIGNS].encoding


def form(at: Page, name: str) -> Page:
    """Choose whether one class is asked for, or several."""
    at.widget("segmented_control", "Wanted").set_value(name).run()
    return at.intact()


def before() -> np.ndarray:
    """The logits of the photo that the fixture of signs shows."""
    return logits(SIGNS, seen(SIGNS, "give_way")).cpu().numpy()


def check(at: Page, target: Any) -> None:
    """The attack on the page reached this target by jma_core's decoder, and its files and its stored run hold it."""
    request, result = at.shown().request, at.shown().result
    assert result is not None
    assert request.target == target
    model = network(SIGNS)
    decoder = asked(model.encoding, target)
    assert result.success
    assert decoder.meets(torch.from_numpy(result.logits), target)
    np.testing.assert_array_equal(result.target, decoder.check_target(target).numpy())
    np.testing.assert_array_equal(result.decoded, result.target)
    assert at.says(f"The result reads as **{plain(ENCODING.wish(target))}**")
    again, stored = unpack(pack(request, result))
    assert again == request
    np.testing.assert_array_equal(stored.target, result.target)
    assert json.loads(exports.record(MODELS[request.model], request, result))["target_names"] == ENCODING.wish(target)
    page = downloads.html(request, result, downloads.files(request, result), "a sign")
    assert ENCODING.wish(target) in page
    assert all(f">{word}<" in page for word in ENCODING.wishes_in_words(target) if word)


def test_one_class_is_asked_for_unless_somebody_asks_for_more(signs: Page) -> None:
    assert not signs.multiselect
    assert signs.widget("selectbox", "Wanted class").value == ENCODING.labels.index("stop")


def test_several_classes_are_asked_for_in_order(signs: Page) -> None:
    lab, ranking = form(signs, ORDER), np.argsort(-before()).tolist()
    box = lab.widget("multiselect", "Wanted classes, in order")
    assert box.value == ranking[1:4]
    wanted = (ranking[2], ranking[0], ranking[4])
    box.set_value(list(wanted)).run()
    assert lab.says(plain(f"→ {ENCODING.wish(wanted)}"))
    now = ENCODING.answering(Prediction(before(), np.array(ranking[0])), wanted)
    assert lab.says(f"{plain(ENCODING.names(now.decoded))} → ")
    first, second, third = (ENCODING.labels[i] for i in wanted)
    assert lab.says(f"Ranks now: {first} **3**, {second} **1**, {third} **5**.")
    lab.press("Run").settle()
    check(lab, wanted)
    data, result = sent(lab), moment(lab)
    assert data["parcels"][data["labels"]]["places"] == {str(i): f"rank {place}" for place, i in enumerate(wanted, 1)}
    original = data["parcels"][data["film"][0]["parcel"]]
    assert [[each["ranks"][i] for i in wanted] for each in (original, result)] == [[3, 1, 5], [1, 2, 3]]
    assert [result["outcomes"][i] for i in wanted] == ["f"] * 3


def test_several_classes_are_asked_for_in_any_order(signs: Page) -> None:
    lab, ranking = form(signs, SET), np.argsort(-before()).tolist()
    wanted = frozenset(ranking[1:4])
    assert lab.says(plain(f"→ {ENCODING.wish(wanted)}"))
    lab.press("Run").settle()
    check(lab, wanted)
    form(lab, ORDER)
    assert lab.says(plain(f"→ {ENCODING.wish(tuple(ranking[1:4]))}"))


def test_presets_set_several_and_nothing_chosen_is_explained(signs: Page) -> None:
    lab, ranking = form(signs, ORDER), np.argsort(-before()).tolist()
    lab.widget("number_input", "k classes").set_value(5).run()
    lab.widget("menu_button", "Preset").click("Top k reversed").run()
    box = lab.intact().widget("multiselect", "Wanted classes, in order")
    assert box.value == ranking[:5][::-1]
    box.set_value([]).run()
    assert lab.says("Choose a class, or a preset. Until then the runner-up is wanted.")
    assert lab.says(f"→ {ENCODING.labels[ranking[1]]}")


@pytest.mark.parametrize("order", [{}, {"order": "any"}])
def test_an_address_asks_for_several_and_the_page_gives_it_back(order: dict[str, str]) -> None:
    names = sorted(["stop", "no entry", "give way"], key=ENCODING.labels.index, reverse=not order)
    query = {"model": SIGNS, "want": names, **order}
    at = Page(**query).settle()
    assert not at.warning
    target = ENCODING.from_link(names, [], free=False, any_order=bool(order))
    assert at.says(plain(f"→ {ENCODING.wish(target)}"))
    assert parse_qs(at.code[0].value.partition("?")[2]) == {"model": [SIGNS], "want": names} | {
        name: [value] for name, value in order.items()
    }
    at.close()


@pytest.mark.parametrize("order", [{}, {"order": "any"}])
def test_the_geometry_of_several_is_drawn_and_told(order: dict[str, str]) -> None:
    at = Page("geometry", model=SIGNS, want=["stop", "no entry"], **order).settle()
    at.intact()
    assert any("r′" in each.value and "r∗" in each.value for each in at.markdown)
    assert not at.warning
    at.close()
