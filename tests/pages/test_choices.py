"""What sets the lab's widgets beside clicks on them: presets, and the address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs

import numpy as np
import pytest

from lab.links import sample_names
from lab.photos.samples import samples
from lab.runs.pool import models
from models.cards import ModelSpec
from models.encodings import MultiLabel, Prediction
from models.registry import DEFAULT, IMAGENET, MODELS
from tests.pages.page import PATIENCE, Page
from ui.shell import cached
from ui.shell.cached import predict

SIGNS, CODE = "gtsrb-onehot", "cifar10-ecoc16"
SCENES = MODELS[DEFAULT]


def preset(at: Page, name: str) -> Page:
    at.widget("menu_button", "Preset").click(name).run()
    at.intact()
    return at


def lit(at: Page) -> set[str]:
    return {SCENES.encoding.labels[i] for i, wanted in enumerate(at.asked()) if wanted == 1}


def link(at: Page) -> str:
    return at.code[0].value.partition("?")[2]


def sight(spec: ModelSpec, name: str) -> Prediction:
    photo = samples(spec.samples)[sample_names(spec)[name]]
    return predict(spec.name, spec.preprocessing(photo.image))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """One entry for each forward pass of the default network from now on, but those of gradients."""
    monkeypatch.setattr(cached, "gradient", lambda *_: None)
    predict.clear()
    counted: list[int] = []
    network = models().request(DEFAULT).result(PATIENCE).network
    hook = network.register_forward_pre_hook(lambda _, inputs: counted.append(len(inputs[0])))
    yield counted
    hook.remove()


def test_a_preset_sets_the_labels_and_asks_the_network_nothing(passes: list[int]) -> None:
    at = Page(photo="bridge").settle()
    now = sight(SCENES, "bridge")
    assert passes, "the counter counts"
    passes.clear()
    has = {SCENES.encoding.labels[i] for i in np.flatnonzero(now.decoded)}
    rng = np.random.default_rng()
    for name in list(SCENES.encoding.presets)[:3]:
        wanted = SCENES.encoding.presets[name](now, 0, rng)
        assert lit(preset(at, name)) == {SCENES.encoding.labels[i] for i in np.flatnonzero(wanted)}
        assert at.says(f"→ {SCENES.encoding.wish(wanted)}")
    at.widget("number_input", "k, flips at random").set_value(5).run()
    drawn = [frozenset(lit(preset(at, "Flip k at random"))) for _ in range(3)]
    assert [len(each ^ has) for each in drawn] == [5, 5, 5]
    assert len(set(drawn)) == 3
    assert at.says("Flips 5 of 24: ")
    assert passes == []
    assert lit(Page(photo="bridge", want=sorted(drawn[-1])).settle()) == drawn[-1]


def test_presets_of_a_class() -> None:
    at = Page(model=CODE).settle()
    spec, now = MODELS[CODE], sight(MODELS[CODE], "cat")
    assert at.widget("selectbox", "Wanted class").value == spec.encoding.proposed(now)
    assert not [each for each in at.number_input if each.label == "k, flips at random"]
    preset(at, "Least likely")
    assert at.widget("selectbox", "Wanted class").value == spec.encoding.least_likely(now)
    preset(at, "Runner-up")
    assert at.widget("selectbox", "Wanted class").value == spec.encoding.runner_up(now)
    drawn = {preset(at, "Random class").widget("selectbox", "Wanted class").value for _ in range(8)}
    assert len(drawn) > 1
    assert int(now.decoded) not in drawn


@pytest.fixture
def thousand() -> Iterator[ModelSpec]:
    """A model of a thousand labels that a user has added: ImageNet's network, each class by itself."""
    spec = replace(IMAGENET, name="thousand", encoding=MultiLabel(IMAGENET.encoding.labels, (6.0,) * 1000))
    models().add(spec)
    models().request(spec.name).result(PATIENCE)  # it is offered from then on
    yield spec
    models().remove(spec.name)


def test_a_thousand_labels_are_searched_and_told_in_short(thousand: ModelSpec) -> None:
    at = Page(model=thousand.name, want=["tabby", "espresso"]).settle()
    box = at.widget("multiselect", "Wanted labels")
    assert [thousand.encoding.labels[i] for i in box.value] == ["tabby", "espresso"]
    at.widget("number_input", "k, flips at random").set_value(500).run()
    preset(at, "Flip k at random")
    assert at.says("Flips 500 of 1000: ")
    (told,) = [each.value for each in at.sidebar.markdown if each.value.startswith("Flips")]
    assert len(told) < 500
    assert "more**" in told
    preset(at, "Remove all")
    assert at.widget("multiselect", "Wanted labels").value == []


def test_of_a_thousand_labels_those_toggled_and_those_chosen_are_constrained(thousand: ModelSpec) -> None:
    encoding, now = thousand.encoding, sight(thousand, "espresso")
    has, others = np.flatnonzero(now.decoded).tolist(), np.argsort(now.logits * ~now.decoded)
    new, absent = int(others[-1]), int(others[0])
    assert has
    at = Page(model=thousand.name, photo="espresso").settle()
    assert not at.widget("checkbox", "Hold the other labels").value
    at.widget("multiselect", "Wanted labels").set_value([*has, new]).run()
    at.widget("multiselect", "Hold only").set_value([absent]).run()
    wanted = f"{encoding.labels[new]}, not {encoding.labels[absent]} (other labels float)"
    assert at.says(f"→ {wanted}")
    at.press("Run").settle()
    result = at.shown().result
    assert result is not None
    assert result.success
    assert [len(step.values) for step in result.steps] == [2] * len(result.steps)
    again = Page(**parse_qs(link(at))).settle()
    assert again.widget("multiselect", "Hold only").value == [absent]
    assert again.says(f"→ {wanted}")
    at.widget("checkbox", "Hold the other labels").check().run()
    assert "Hold only" not in [each.label for each in at.multiselect]
    assert at.says(f"→ {encoding.wish(encoding.asking([*has, new], now))}")


def test_an_address_sets_every_widget_and_the_page_gives_it_back() -> None:
    query = {
        "photo": "cars", "want": ["snow", "bridge"], "attack": "boxed", "step": "0.5", "kappa": "1.5",
        "max_iter": "7", "seconds": "12.5", "native": "1", "across": "0-50", "down": "25-100",
    }  # fmt: skip
    at = Page(**query).settle()
    assert lit(at) == {"snow", "bridge"}
    assert at.widget("radio", "Attack").value == "boxed"
    assert at.widget("number_input", "Step length ε").value == 0.5
    assert at.widget("slider", "Margin κ").value == 1.5
    assert at.widget("number_input", "Most iterations").value == 7
    assert at.widget("number_input", "Most seconds").value == 12.5
    assert at.widget("checkbox", "Attack the photo at its own size").value
    assert at.widget("slider", "From left to right").value == (0, 50)
    assert at.widget("slider", "From top to bottom").value == (25, 100)
    assert not at.warning
    assert link(at) == (
        "photo=cars&want=snow&want=bridge&attack=boxed&step=0.5&max_iter=7&kappa=1.5&seconds=12.5"
        "&native=1&across=0-50&down=25-100"
    )


def test_labels_that_float_come_back_from_an_address() -> None:
    at = Page(photo="bridge", want="snow", **{"not": "bridge"}).settle()
    assert lit(at) == {"snow"}
    assert at.labelled("Hold the other labels")
    assert at.says("→ snow, not bridge (other labels float)")
    assert link(at) == "photo=bridge&want=snow&not=bridge&free=1"


def test_a_click_counts_more_than_the_address_that_one_came_by() -> None:
    at = Page(photo="bridge", step="0.5", want="snow").settle()
    at.widget("number_input", "Step length ε").set_value(0.1).run()
    assert link(at) == "photo=bridge&want=snow&step=0.1"
    at.button(key=f"photo-{sample_names(SCENES)['cat']}").click().run()
    assert link(at) == "step=0.1"


def test_an_address_that_asks_for_what_there_is_not_is_explained_until_that_is_dismissed() -> None:
    at = Page(photo="../../etc/passwd", want="unicorn", kappa="9").settle()
    (warning,) = at.warning
    for word in ("“../../etc/passwd”", "“unicorn”", "**kappa** is “9”"):
        assert word in warning.value
    assert at.says("cat → ")
    at.widget("button", "Dismiss").click().run()
    assert not at.warning
    assert link(at) == ""


def test_more_iterations_than_a_browser_can_count_are_explained_too() -> None:
    at = Page(photo="bridge", max_iter="1" + 20 * "0").settle()
    (warning,) = at.warning
    assert "where a whole number from 1 to 100000 was expected. The page shows 200." in warning.value
    assert at.widget("number_input", "Most iterations").value == 200
