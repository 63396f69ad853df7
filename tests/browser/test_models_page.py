"""The models page on a phone, and adding a model of one's own through the real file inputs.

What is slow here has a twin in tests/pages/models, which asks the same of the page without a browser.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
import safetensors.torch
import tomli_w
import torch
from playwright.sync_api import Page, expect

from models.architectures import VGG
from models.registry import HOW_TO_CONVERT, MODELS
from tests.browser.looks import assert_nothing_sticks_out, wear

if TYPE_CHECKING:
    from tests.browser.conftest import Lab, Visit

CARD = {
    "title": "Toy colours",
    "encoding": "one-hot",
    "labels": ["red", "green", "blue"],
    "network": "vgg",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "preprocessing": {"size": 32, "crop": 1.0},
    "samples": "cifar10",
}


def toy() -> tuple[bytes, bytes]:
    """A card and the weights of an untrained network, small but for its hidden layer."""
    torch.manual_seed(0)
    options = {"bottom": [[4, 4]], "width": 4, "hidden": 12_000}
    network = VGG(outputs=3, **options)
    return tomli_w.dumps({**CARD, "options": options}).encode(), safetensors.torch.save(network.state_dict())


def give(page: Page, box: str, name: str, data: bytes) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("region", name=box).get_by_role("button", name="Upload", exact=True).click()
    chooser.value.set_files({"name": name, "mimeType": "application/octet-stream", "buffer": data})


@pytest.mark.slow
def test_on_a_phone_the_models_page_never_scrolls_sideways(visit: Callable[..., Visit]) -> None:
    page = visit("/models", width=380).page
    expect(page.get_by_role("button", name="Open in the lab")).to_have_count(len(MODELS))
    assert_nothing_sticks_out(page)
    wear(page, "dark")
    assert_nothing_sticks_out(page)
    for spec in MODELS.values():
        page.get_by_text(f"All {len(spec.encoding.labels)} labels", exact=True).first.click()
    for title in {
        f"Codebook, {spec.encoding.n} bits" for spec in MODELS.values() if spec.encoding.codebook is not None
    }:
        for summary in page.get_by_text(title, exact=True).all():
            summary.click()
    codebooks = sum(spec.encoding.codebook is not None for spec in MODELS.values())
    expect(page.locator(".js-plotly-plot")).to_have_count(codebooks)
    for chart in page.locator(".js-plotly-plot").all():
        expect(chart).to_be_visible()
    assert_nothing_sticks_out(page)
    page.get_by_text("Show some to try").click()
    expect(page.get_by_role("button", name="timm:resnet18.a1_in1k")).to_be_visible()
    assert_nothing_sticks_out(page)
    wear(page, "light")
    assert_nothing_sticks_out(page)
    page.get_by_role("tab", name="From a file").click()
    expect(page.get_by_role("region", name="Weights")).to_be_visible()
    assert_nothing_sticks_out(page)


@pytest.fixture
def forgetful(visit: Callable[..., Visit]) -> Iterator[Callable[..., Visit]]:
    """``visit``; what was added is removed again, since the server is shared."""
    yield visit
    page = visit("/models").page
    expect(page.get_by_role("button", name="Open in the lab").first).to_be_visible()
    page.wait_for_timeout(500)
    if page.get_by_role("button", name="Remove").count():
        page.get_by_role("button", name="Remove").click()
        expect(page.get_by_role("button", name="Remove")).to_have_count(0)


def test_a_model_of_ones_own_of_more_than_ten_megabytes_is_added_and_attacked_with_a_few_clicks(
    forgetful: Callable[..., Visit], lab: Lab
) -> None:
    page, (card, weights) = lab.page, toy()
    assert 11 < len(weights) / 1e6 < 30
    page.get_by_role("link", name="Models").click()
    page.get_by_role("tab", name="From a file").click()
    give(page, "Weights", "toy.safetensors", weights)
    give(page, "Card", "toy.toml", card)
    page.get_by_role("button", name="Add this model").click()
    expect(page.get_by_role("heading", name="Toy colours")).to_be_visible()
    expect(page.get_by_role("button", name="Open in the lab")).to_have_count(len(MODELS) + 1)
    page.get_by_role("button", name="Open in the lab").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(" → ")
    expect(page.get_by_role("combobox", name="Model")).to_have_value("Toy colours")
    lab.ready().button("Run").click()
    expect(lab.success).to_contain_text("The result reads as")
    assert lab.picture("Original:").shape == (32, 32, 3)
    record = json.loads(lab.download("Record (JSON)"))
    assert record["request"]["model"].startswith("file:toy#")
    assert record["success"] is True


@pytest.mark.slow
def test_a_pickled_checkpoint_is_refused_in_words_that_help(visit: Callable[..., Visit]) -> None:
    page = visit("/models").page
    page.get_by_role("tab", name="From a file").click()
    give(page, "Weights", "net.pt", b"never opened")
    expect(page.get_by_role("alert")).to_have_text(f"net.pt is a pickled checkpoint. {HOW_TO_CONVERT}")
