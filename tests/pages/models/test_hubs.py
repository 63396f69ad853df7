"""Models of the hubs on the page Models; nothing is fetched that was not asked for."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from torchvision.models._meta import _COCO_CATEGORIES, _VOC_CATEGORIES

from lab.runs.pool import models
from models import downloads, hubs, loaders
from models.architectures import Classifier
from models.cards import ModelSpec
from models.downloads import SUGGESTIONS, HubError
from models.encodings import Encoding, MultiLabel, OneHot
from models.loaders import LoadedModel, encoding_of
from models.photos import Preprocessing
from models.registry import MODELS
from tests.markdown import seen
from tests.pages.models.driving import errors, loaded, offer, open_in_lab, titles, toy
from tests.pages.page import PATIENCE, Page

# --- the hubs


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No network, and empty caches."""

    def fail(*_: object, **__: object) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(downloads, "urlopen", fail)
    monkeypatch.setattr(downloads, "find_spec", lambda package: package)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    downloads._unreachable.cache_clear()
    yield
    downloads._unreachable.cache_clear()


def look_up(at: Page, address: str, words: str = "", kind: str | None = None) -> Page:
    at.widget("text_input", "Address").set_value(address)
    at.widget("text_input", "Label words, with commas between them").set_value(words)
    if kind:
        at.widget("radio", "Encoding").set_value(kind)
    return at.press("Look it up")


@pytest.mark.parametrize("address", ["timm:resnet81", "torchvision:mobilnet_v3_small", "resnet18", "open_clip:RN50"])
def test_an_unknown_address_is_refused_with_those_like_it(address: str, page: Page) -> None:
    with pytest.raises(HubError) as refused:
        hubs.describe(address)
    look_up(page, address)
    assert errors(page) == [str(refused.value)]
    assert ("Did you mean" in errors(page)[0]) == (":" in address)
    assert titles(page) == [spec.title for spec in MODELS.values()]


def test_the_suggestions_are_greyed_out_with_the_reason_where_there_is_no_network(page: Page, offline: None) -> None:
    assert not {each.address for each in SUGGESTIONS} & {seen(each.label) for each in page.button}
    begun = time.monotonic()
    page.widget("toggle", "Show some to try").set_value(True).run()
    assert time.monotonic() - begun < 10
    assert not page.exception
    for each in SUGGESTIONS:
        assert page.labelled(each.address).disabled
        (line,) = [text for text in map(seen, (c.value for c in page.caption)) if text.startswith(each.line)]
        host = "download.pytorch.org" if each.address.startswith("torchvision") else "huggingface.co"
        assert f"{host} cannot be reached (" in line
        assert "check the network" in line


def test_a_suggestion_that_can_be_had_is_one_click_from_the_address(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "unreachable", lambda url: "")
    monkeypatch.setattr(downloads, "find_spec", lambda package: package)
    page.widget("toggle", "Show some to try").set_value(True).run()
    for each in SUGGESTIONS:
        assert not page.labelled(each.address).disabled
        assert each.line in [seen(caption.value).strip() for caption in page.caption]
    page.press(SUGGESTIONS[2].address)
    assert page.widget("text_input", "Address").value == SUGGESTIONS[2].address


def test_a_suggestion_that_needs_a_package_says_which(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "unreachable", lambda url: "")
    monkeypatch.setattr(downloads, "find_spec", lambda package: None)
    page.widget("toggle", "Show some to try").set_value(True).run()
    (needing,) = [each for each in SUGGESTIONS if each.package]
    assert [each.address for each in SUGGESTIONS if page.labelled(each.address).disabled] == [needing.address]
    assert any(seen(each.value).endswith("pip install transformers.") for each in page.caption)


@pytest.mark.parametrize(
    ("words", "known"),
    [
        ("COCO, 80 things", [name for name in _COCO_CATEGORIES if name not in ("__background__", "N/A")]),
        ("VOC, 20 things", _VOC_CATEGORIES[1:]),
    ],
)
def test_a_list_of_words_is_filled_in(words: str, known: list[str], page: Page, described: list[Any]) -> None:
    page.widget("menu_button", "Fill in label words").click(words).run()
    filled = page.widget("text_input", "Label words, with commas between them").value.split(", ")
    assert [each.replace(" ", "") for each in filled] == [each.replace(" ", "") for each in known]
    page.widget("text_input", "Address").set_value("open_clip:RN50/openai")
    page.press("Look it up")
    assert described == [("open_clip:RN50/openai", tuple(filled), None)]


FOUND = ModelSpec(
    name="timm:toy",
    title="toy",
    encoding=OneHot(("red", "green", "blue")),
    network="timm:toy",
    preprocessing=Preprocessing(size=32, crop=1.0),
    licence="free",
    download=47_000_000,
)


def fetched(device: Any) -> LoadedModel:
    """What the download of that model gives."""
    network = Classifier(toy(), FOUND.mean, FOUND.std).eval().requires_grad_(False).to(device)
    return LoadedModel(FOUND, network, encoding_of(FOUND), torch.device(device))


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[str, ...], type[Encoding] | None]]:
    """Every address is found from now on; what the hubs were asked."""
    asked = []

    def describe(address: str, *, labels: tuple[str, ...], encoding: type[Encoding] | None) -> ModelSpec:
        asked.append((address, labels, encoding))
        return FOUND

    monkeypatch.setattr(hubs, "describe", describe)
    return asked


def test_a_model_is_described_with_its_size_before_anything_is_fetched(page: Page, described: list[Any]) -> None:
    look_up(page, "open_clip:RN50/openai", words="a cat, a dog ,,", kind=MultiLabel.name)
    assert described == [("open_clip:RN50/openai", ("a cat", "a dog"), MultiLabel)]
    assert [each.value for each in page.success] == ["**toy**: one-hot, 3 labels. Licence: free."]
    assert page.labelled("Download 47 MB and add it")
    assert "toy" not in titles(page)


def test_a_download_shows_how_far_it_has_come_and_ends_with_the_model(
    page: Page, described: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, release = threading.Event(), threading.Event()

    def load(spec: ModelSpec, device: Any, *, progress: Callable[[int, int], None]) -> LoadedModel:
        progress(10_000_000, 47_000_000)
        begun.set()
        assert release.wait(PATIENCE)
        return fetched(device)

    monkeypatch.setattr(loaders, "load", load)
    look_up(page, "timm:toy")
    page.press("Download 47 MB and add it")
    assert begun.wait(PATIENCE)
    page.run()
    assert titles(page)[0] == "toy"
    assert not page.success, "what was found is added, and asked about no more"
    (bar,) = page.get("progress")
    assert (bar.value, bar.text) == (21, "10 of 47 MB")
    release.set()
    loaded(page, FOUND.name)
    assert not page.get("progress")
    assert not errors(page)
    open_in_lab(page, FOUND.name)


def test_a_download_that_breaks_off_says_so_and_can_be_tried_again(
    page: Page, described: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = HubError("The download of toy broke off (the cable). Trying again goes on from there.")
    tried = []

    def load(spec: ModelSpec, device: Any, **_: Any) -> LoadedModel:
        tried.append(spec.name)
        if len(tried) == 1:
            raise broken
        return fetched(device)

    monkeypatch.setattr(loaders, "load", load)
    look_up(page, "timm:toy")
    page.press("Download 47 MB and add it")
    loaded(page, FOUND.name)
    assert errors(page) == [str(broken)]
    page.press("Try again")
    loaded(page, FOUND.name)
    assert tried == [FOUND.name] * 2
    assert not errors(page)


# --- nothing is fetched that was not asked for

CLIP_MLP = {
    "encoding": "multi-label",
    "labels": ["people", "cat"],
    "network": "clip-mlp:ViT-B-32/openai",
    "options": {"width": 512, "hidden": 4},
    "mean": [0.5] * 3,
    "std": [0.5] * 3,
}


def test_a_card_whose_network_has_to_be_fetched_says_how_much_before(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.parts.adding.missing", lambda file: 605_000_000)
    offer(page, CLIP_MLP, b"")
    assert not models().added
    (said,) = [each.value for each in page.success]
    assert "multi-label, 2 labels" in said
    assert page.labelled("Download 605 MB and add it")


def test_a_card_whose_network_has_to_be_fetched_is_refused_without_a_way_to_it(page: Page, offline: None) -> None:
    offer(page, CLIP_MLP, b"")
    (error,) = errors(page)
    assert error.startswith("The card cannot be used. huggingface.co cannot be reached")
    offer(page, {**CLIP_MLP, "network": "clip-mlp:ViT-B-32/openia"}, b"")
    assert "Did you mean ViT-B-32/openai" in errors(page)[0]
    assert not models().added
