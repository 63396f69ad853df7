"""Driving the page Models in Streamlit's own simulator, and a small model to add to it."""

from __future__ import annotations

import time
from typing import Any

import safetensors.torch
import tomli_w
import torch

from lab.runs.pool import models
from models.architectures import VGG
from models.registry import MODELS
from tests.markdown import seen
from tests.pages.page import PATIENCE, Page

PAGE = "pages/models.py"
LAB = "pages/attack_lab.py"
CODES = {name: spec for name, spec in MODELS.items() if spec.encoding.codebook is not None}


def open_page() -> Page:
    """The page alone, without the lab before it."""
    at = Page("models").run()
    assert [title.value for title in at.title] == ["Models"]
    at.intact()
    return at


def open_in_lab(at: Page, name: str) -> Page:
    """Press a model's button; the lab has to open with it."""
    at.button(key=f"open-{name}").click().run()
    assert at.in_the_lab()
    assert at.widget("selectbox", "Model").value == name
    at.switch_page(LAB).run()  # the simulator would go back to the page where the button was
    assert at.widget("selectbox", "Model").value == name
    at.intact()
    return at


def titles(at: Page) -> list[str]:
    """Of the models on the page."""
    return [each.value for each in at.subheader]


def errors(at: Page) -> list[str]:
    return [seen(each.value) for each in at.error]


def facts(at: Page) -> list[str]:
    """What the cards say, one text a model."""
    return [each.value for each in at.markdown if "- **Encoding**" in each.value]


def loaded(at: Page, name: str) -> Page:
    """Wait until a model is there, or has failed to load; then draw the page as its own timer would."""
    deadline = time.monotonic() + PATIENCE
    while not models().request(name).done():
        assert time.monotonic() < deadline, f"{name} does not load"
        time.sleep(0.02)
    at.run()
    at.intact()
    return at


CARD: dict[str, Any] = {
    "title": "Toy colours",
    "encoding": "one-hot",
    "labels": ["red", "green", "blue"],
    "network": "vgg",
    "options": {"bottom": [[4, 4]], "width": 4, "hidden": 4},
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "preprocessing": {"size": 32, "crop": 1.0},
    "samples": "cifar10",
}


def toy(favourite: int | None = None) -> VGG:
    """A small network of three classes, untrained but not too flat to attack; ``favourite`` is all that it reads."""
    torch.manual_seed(0)
    network = VGG(outputs=3, bottom=[(4, 4)], width=4, hidden=4).eval()
    with torch.no_grad():
        network[-2].weight *= 30
        if favourite is not None:
            network[-2].bias[favourite] += 100
    return network


def weights(network: VGG) -> bytes:
    return safetensors.torch.save(network.state_dict())


def give(at: Page, label: str, name: str, data: bytes) -> Page:
    """Put a file into one of the two boxes."""
    at = at.widget("file_uploader", label).set_value((name, data, "application/octet-stream")).run()
    at.intact()
    return at


def offer(at: Page, card: dict[str, Any] | str, data: bytes, name: str = "toy.toml") -> Page:
    """Give a card and weights, and ask to add them."""
    give(at, "Weights", "toy.safetensors", data)
    give(at, "Card", name, (card if isinstance(card, str) else tomli_w.dumps(card)).encode())
    return at.press("Add this model")


def newest() -> str:
    """The name of the model that was added last; of one that ships, if there is none."""
    return [*MODELS, *models().added][-1]
