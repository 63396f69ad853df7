"""What sets the lab's widgets beside clicks on them: presets, and the address."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from models.cards import Kind, ModelSpec
from models.registry import DEFAULT, IMAGENET, MODELS
from ui import backend
from ui.backend import Prediction
from ui.links import sample_names
from ui.presets import least_likely, presets
from ui.readout import names
from ui.state import samples

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0  # seconds
SIGNS, CODE = "gtsrb-onehot", "cifar10-ecoc16"
SCENES = MODELS[DEFAULT]


def open_lab(**query: str | list[str]) -> AppTest:
    """A session that has come to the lab by an address, once its network is there."""
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    at.query_params.update(query)
    deadline = time.monotonic() + PATIENCE
    while at.run() and any("The network is loading." in info.value for info in at.info):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not at.exception, at.exception
    return at


def widget(kind: Any, label: str) -> Any:
    return next(each for each in kind if each.label == label)


def preset(at: AppTest, name: str) -> AppTest:
    widget(at.menu_button, "Preset").click(name).run()
    assert not at.exception, at.exception
    return at


def lit(at: AppTest) -> set[str]:
    return {SCENES.labels[i] for i in widget(at.pills, "Wanted labels").value}


def says(at: AppTest, text: str) -> bool:
    return any(text in each.value for kind in (at.markdown, at.caption, at.warning) for each in kind)


def link(at: AppTest) -> str:
    return at.code[0].value.partition("?")[2]


def sight(spec: ModelSpec, name: str) -> Prediction:
    photo = samples(spec.samples)[sample_names(spec)[name]]
    return backend.predict(spec.name, photo.digest, spec.preprocessing(photo.image))


@pytest.fixture
def passes() -> Iterator[list[int]]:
    """One entry for each forward pass of the default network from now on."""
    backend.predict.clear()
    counted: list[int] = []
    network = backend.models().request(DEFAULT).result(PATIENCE).network
    hook = network.register_forward_pre_hook(lambda _, inputs: counted.append(len(inputs[0])))
    yield counted
    hook.remove()


def test_a_preset_sets_the_labels_and_asks_the_network_nothing(passes: list[int]) -> None:
    at = open_lab(photo="bridge")
    now = sight(SCENES, "bridge")
    assert passes, "the counter counts"
    passes.clear()
    has = {SCENES.labels[i] for i in np.flatnonzero(now.decoded)}
    rng = np.random.default_rng()
    for name in list(presets(SCENES))[:3]:
        wanted = presets(SCENES)[name](SCENES, now.logits, now.decoded, 0, rng)
        assert lit(preset(at, name)) == {SCENES.labels[i] for i in np.flatnonzero(wanted)}
        assert says(at, f"Wanted: **{names(SCENES, np.array(wanted))}**.")
    widget(at.number_input, "k, flips at random").set_value(5).run()
    drawn = [frozenset(lit(preset(at, "Flip k at random"))) for _ in range(3)]
    assert [len(each ^ has) for each in drawn] == [5, 5, 5]
    assert len(set(drawn)) == 3
    assert says(at, "Flips 5 of 24: ")
    assert passes == []
    assert lit(open_lab(photo="bridge", want=sorted(drawn[-1]))) == drawn[-1]


def test_presets_of_a_class() -> None:
    at = open_lab(model=CODE)
    spec, now = MODELS[CODE], sight(MODELS[CODE], "cat")
    box = widget(at.selectbox, "Wanted class")
    proposed = box.value
    assert not [each for each in at.number_input if each.label == "k, flips at random"]
    preset(at, "Least likely")
    assert widget(at.selectbox, "Wanted class").value == least_likely(spec, now.logits, int(now.decoded))
    preset(at, "Runner-up")
    assert widget(at.selectbox, "Wanted class").value == proposed
    drawn = {widget(preset(at, "Random class").selectbox, "Wanted class").value for _ in range(8)}
    assert len(drawn) > 1
    assert int(now.decoded) not in drawn


@pytest.fixture
def thousand() -> Iterator[ModelSpec]:
    """A model of a thousand labels that a user has added: ImageNet's network, each class by itself."""
    spec = replace(IMAGENET, name="thousand", encoding=Kind.MULTI_LABEL, thresholds=(6.0,) * 1000)
    backend.models().add(spec)
    yield spec
    backend.models().remove(spec.name)


def test_a_thousand_labels_are_searched_and_told_in_short(thousand: ModelSpec) -> None:
    at = open_lab(model=thousand.name, want=["tabby", "espresso"])
    assert not at.pills
    box = widget(at.multiselect, "Wanted labels")
    assert [thousand.labels[i] for i in box.value] == ["tabby", "espresso"]
    widget(at.number_input, "k, flips at random").set_value(500).run()
    preset(at, "Flip k at random")
    assert says(at, "Flips 500 of 1000: ")
    (told,) = [each.value for each in at.sidebar.markdown if each.value.startswith("Flips")]
    assert len(told) < 500
    assert "more**" in told
    preset(at, "Remove all")
    assert widget(at.multiselect, "Wanted labels").value == []


def test_an_address_sets_every_widget_and_the_page_gives_it_back() -> None:
    query = {
        "photo": "cars", "want": ["snow", "bridge"], "level": "boxed", "step": "0.5", "kappa": "1.5",
        "iterations": "7", "seconds": "12.5", "native": "1", "across": "0-50", "down": "25-100",
    }  # fmt: skip
    at = open_lab(**query)
    assert lit(at) == {"snow", "bridge"}
    assert widget(at.radio, "Attack").value == "boxed"
    assert widget(at.select_slider, "Step length ε").value == 0.5
    assert widget(at.slider, "Margin κ").value == 1.5
    assert widget(at.number_input, "Most iterations").value == 7
    assert widget(at.number_input, "Most seconds").value == 12.5
    assert widget(at.checkbox, "Attack the photo at its own size").value
    assert widget(at.slider, "From left to right").value == (0, 50)
    assert widget(at.slider, "From top to bottom").value == (25, 100)
    assert not at.warning
    assert link(at) == (
        "photo=cars&want=snow&want=bridge&level=boxed&step=0.5&kappa=1.5&iterations=7&seconds=12.5"
        "&native=1&across=0-50&down=25-100"
    )


def test_labels_that_float_come_back_from_an_address() -> None:
    at = open_lab(photo="bridge", want="snow", **{"not": "bridge"})
    assert lit(at) == {"snow"}
    assert not widget(at.checkbox, "Hold the other labels").value
    assert says(at, "Wanted: **snow, not bridge (other labels float)**.")
    assert link(at) == "photo=bridge&want=snow&not=bridge&free=1"


def test_a_click_counts_more_than_the_address_that_one_came_by() -> None:
    at = open_lab(photo="bridge", step="0.5", want="snow")
    widget(at.select_slider, "Step length ε").set_value(0.1).run()
    assert link(at) == "photo=bridge&want=snow&step=0.1"
    at.button(key=f"photo-{sample_names(SCENES)['cat']}").click().run()
    assert link(at) == "step=0.1"


def test_an_address_that_asks_for_what_there_is_not_is_explained_until_that_is_dismissed() -> None:
    at = open_lab(photo="../../etc/passwd", want="unicorn", kappa="9")
    (warning,) = at.warning
    for word in ("`../../etc/passwd`", "`unicorn`", "**kappa** is `9`"):
        assert word in warning.value
    assert says(at, "Reads as **cat**")
    widget(at.button, "Dismiss").click().run()
    assert not at.warning
    assert link(at) == ""
