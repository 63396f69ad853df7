"""Which labels are wanted, in the attack lab: every model, every encoding."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lab.photos.samples import samples
from lab.request import Canvas
from lab.stencil import PRESETS, laid_over, written
from models.registry import DEFAULT, MODELS, readings
from tests.pages.attack_lab.driving import (
    CODE,
    ONE_HOT,
    SIGNS,
    captions,
    check_success,
    choose,
    choose_model,
    eight_bits,
    enabled,
    gallery,
    logits,
    moment,
    network,
    reading,
    seen,
    sent,
    swap,
    words,
)
from tests.pages.page import Page
from ui.parts import downloads
from ui.shell import cached


def outcomes(at: Page) -> dict[str, str]:
    """What became of each label."""
    data, shown = sent(at), moment(at)
    labels = data["parcels"][data["labels"]]
    return {name: labels["outcomes"][letter] for name, letter in zip(labels["names"], shown["outcomes"], strict=True)}


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], list[int]]]:
    """Counts forward passes of a model's network from now on, one entry a pass, its batch size; not for gradients."""
    monkeypatch.setattr(cached, "gradient", lambda *_: None)
    hooks = []

    def count(name: str) -> list[int]:
        sizes: list[int] = []
        hooks.append(network(name).network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0]))))
        return sizes

    yield count
    for hook in hooks:
        hook.remove()


def test_the_labels_that_the_photo_has_already_cannot_be_attacked(imagenet: Page) -> None:
    lab = choose(imagenet, "tiger cat")
    assert lab.says("The photo already has the wanted labels")
    assert not {"Step", "Run", "Run again"} & enabled(lab)
    choose(lab, "Persian cat")
    assert {"Step", "Run"} <= enabled(lab)


def test_choosing_a_target_again_shows_its_finished_attack_again(signs: Page, started: list[dict[str, Any]]) -> None:
    lab = signs
    lab.press("Run").settle()
    finished = lab.success[0].value
    assert finished.startswith("The result reads as **stop**")
    choose(lab, "no entry")
    assert not lab.success
    choose(lab, "stop")
    assert lab.success[0].value == finished
    assert captions(lab)[1] == "Attacked: stop"
    choose_model(lab, DEFAULT)
    _, _, wanted = swap(DEFAULT, seen(DEFAULT, "cat"))
    assert lab.success[0].value.startswith(f"The result reads as **{words(wanted)}**"), "the stored example"
    choose_model(lab, SIGNS)
    assert lab.success[0].value == finished
    assert len(started) == 1


def test_toggling_labels_neither_starts_an_attack_nor_asks_the_network(
    imagenet: Page, started: list[dict[str, Any]], passes: Callable[[str], list[int]]
) -> None:
    lab = choose(imagenet, "Persian cat")
    counted = passes(ONE_HOT)
    before = lab.attacks()
    for name in ("lynx", "missile", "tiger cat", "espresso"):
        choose(lab, name)
    assert lab.attacks() == before
    choose_model(lab, DEFAULT)
    of_labels = passes(DEFAULT)
    lit = np.flatnonzero(lab.asked()).tolist()
    for label in [i for i in range(len(lab.asked())) if i not in lit][:3]:
        lit.append(label)
        lab.ask(*lit)
        assert np.flatnonzero(lab.asked()).tolist() == sorted(lit)
    lab.ask()
    assert lab.says("→ none of its labels")
    assert lab.attacks() == before
    assert started == []
    assert counted == of_labels == []


@pytest.mark.parametrize("name", [DEFAULT, SIGNS])
def test_every_step_is_taken_with_the_network_that_was_asked_for(
    name: str, lab: Page, passes: Callable[[str], list[int]]
) -> None:
    """Proves that the counter above can count."""
    choose_model(lab, name)
    lab.press("statue" if name == DEFAULT else "give way").settle()
    counted = passes(name)
    lab.press("Step").settle()
    assert counted


LIKE_ANOTHER = ("scenes-mlp", "corel-words", "cifar10-ecoc16-robust", "imagenet-lite1", "imagenet-lite2")
OTHERS = [pytest.param(name, marks=[pytest.mark.slow] * (name in LIKE_ANOTHER)) for name in MODELS if name != DEFAULT]


@pytest.mark.parametrize("name", OTHERS)
def test_one_click_attacks_the_first_photo_of_a_model(name: str, lab: Page) -> None:
    """The default's is the stored example."""
    choose_model(lab, name)
    spec = MODELS[name]
    first = next(iter(samples(spec.samples).values()))
    right = readings(name)
    assert gallery(lab) == [
        photo.name.rpartition(".")[0].replace("_", " ")
        for photo in samples(spec.samples).values()
        if photo is first or photo.name in right
    ]
    picture = spec.preprocessing(first.image)
    assert picture.shape == (spec.preprocessing.size,) * 2 + (3,)
    before = words(reading(name, picture))
    assert lab.says(f"{before} → ")
    assert captions(lab) == [f"Original: {before}", f"Attacked: {before}"]
    lab.press("Run").settle()
    result = check_success(lab)
    np.testing.assert_array_equal(result.original, picture.transpose(2, 0, 1).astype(np.float32) / 255)
    assert captions(lab)[0] == f"Original: {before}"
    assert captions(lab)[1] == f"Attacked: {spec.encoding.names(result.decoded)}"
    files = downloads.files(lab.shown().request, result)
    png = Image.open(io.BytesIO(files.png))
    assert png.size == spec.preprocessing.layout(first.image.size)[0]  # not enlarged
    again = spec.preprocessing(png)
    np.testing.assert_array_equal(again, eight_bits(files.end))
    assert words(reading(name, again)) == spec.encoding.names(result.decoded)
    assert files.verdicts["PNG, 8 bits"].survives


@pytest.mark.parametrize("name", [ONE_HOT, CODE])
def test_a_class_starts_from_one_that_is_far(name: str, lab: Page) -> None:
    choose_model(lab, name)
    spec, z = MODELS[name], logits(name, seen(name, "cat")).cpu().numpy()
    score = z if spec.encoding.codebook is None else np.tanh(z) @ spec.encoding.codebook.T
    classes = lab.widget("selectbox", "Wanted class")
    assert classes.options[classes.value] == spec.encoding.labels[np.argsort(-score)[round(len(score) ** 0.5)]]


def test_multi_label_starts_from_the_strongest_label_swapped_for_the_next(lab: Page) -> None:
    lab.press("bridge").settle()
    strongest, following, wanted = swap(DEFAULT, seen(DEFAULT, "bridge"))
    labels = MODELS[DEFAULT].encoding.labels
    asked = np.flatnonzero(lab.asked()).tolist()
    assert asked == [labels.index(label) for label in wanted]
    assert lab.says(f"Flips 2 of 24: remove **{strongest}**; add **{following}**.")
    lab.press("Run").settle()
    assert np.flatnonzero(check_success(lab).decoded).tolist() == asked


def test_multi_label_adds_a_label_beside_the_ones_there(lab: Page) -> None:
    lab.press("cars").settle()
    labels, there = MODELS[DEFAULT].encoding.labels, reading(DEFAULT, seen(DEFAULT, "cars"))
    _, new, _ = swap(DEFAULT, seen(DEFAULT, "cars"))
    wanted = sorted(labels.index(name) for name in (*there, new))
    lab.ask(*wanted)
    assert lab.says(f"Flips 1 of 24: add **{new}**.")
    lab.press("Run").settle()
    assert np.flatnonzero(check_success(lab).decoded).tolist() == wanted
    outcome = outcomes(lab)
    assert outcome.pop(new) == "✓ flipped as asked"
    assert set(outcome.values()) == {"kept"}
    assert sorted(moment(lab)["now"]) == wanted


def test_labels_that_are_not_held_float(lab: Page) -> None:
    lab.press("bridge").settle()
    strongest, following, _ = swap(DEFAULT, seen(DEFAULT, "bridge"))
    lab.press("Free the other labels")
    assert {*lab.asked()} == {1, 0, -1}
    assert lab.says(f"→ {following}, not {strongest} (other labels float)")
    assert lab.says(f"Flips 2 of 24: remove **{strongest}**; add **{following}**.")
    lab.press("Run").settle()
    attack, labels = lab.shown(), MODELS[DEFAULT].encoding.labels
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


def test_a_photo_is_attacked_at_its_own_size_and_in_a_part_only(signs: Page) -> None:
    lab = signs
    lab.widget("checkbox", "Attack the photo at its own size").check().run()
    lab.widget("segmented_control", "Which pixels").set_value("Rectangle").run()
    lab.press("Run").settle()
    attack, photo = lab.shown(), next(iter(samples(MODELS[SIGNS].samples).values()))
    assert attack.request.canvas == Canvas(native=True, region=(0.25, 0.25, 0.75, 0.75))
    result = attack.result
    assert result is not None
    assert result.success
    width, height = photo.image.size
    assert result.image.shape == (3, height, width)
    ys, xs = (result.image != result.original).any(0).nonzero()
    assert round(0.25 * height) <= ys.min() <= ys.max() < round(0.75 * height)
    assert round(0.25 * width) <= xs.min() <= xs.max() < round(0.75 * width)
    opened = Image.open(io.BytesIO(downloads.files(attack.request, result).png))
    assert reading(SIGNS, MODELS[SIGNS].preprocessing(opened)) == [MODELS[SIGNS].encoding.labels[attack.request.target]]
    assert lab.says("**PNG, 8 bits**: :material/check_circle: still read as wanted")


def test_an_empty_part_is_refused(signs: Page) -> None:
    signs.widget("segmented_control", "Which pixels").set_value("Rectangle").run()
    signs.widget("slider", "From left to right").set_value((50, 50)).run()
    assert signs.says("This part is empty")


def test_a_part_that_is_all_of_the_picture_is_the_whole_picture(signs: Page) -> None:
    signs.widget("segmented_control", "Which pixels").set_value("Rectangle").run()
    for side in ("From left to right", "From top to bottom"):
        signs.widget("slider", side).set_value((0, 100)).run()
    signs.press("Step").settle()
    assert signs.shown().request.canvas == Canvas()


def test_a_painted_part_is_taken_from_the_address_and_nothing_else_changes() -> None:
    lab = Page(model=SIGNS, painted=written(PRESETS["Centre"])).settle()
    lab.press("Run").settle()
    result, request = lab.shown().result, lab.shown().request
    assert request.canvas == Canvas(painted=written(PRESETS["Centre"]))
    assert result is not None
    changed = (result.image != result.original).any(0)
    assert changed.any()
    assert not changed[~laid_over(PRESETS["Centre"], *changed.shape)].any()
    lab.close()


def test_an_attack_that_cannot_be_held_to_long_waves_is_refused_and_another_is_not() -> None:
    lab = Page(model=SIGNS, attack="boxed", period="8").settle()
    assert lab.says(
        "this attack cannot be held to long waves. Choose another one, or any waves under “What may change”."
    )
    assert enabled(lab) == set()
    lab.widget("selectbox", "Waves of the perturbation").select(0.0).run()
    assert {"Step", "Run"} <= enabled(lab)
    lab.close()


def test_multi_label_takes_every_label_away(lab: Page) -> None:
    lab.press("people").settle()
    there = reading(DEFAULT, seen(DEFAULT, "people"))
    lab.ask()
    assert lab.says(f"Flips {len(there)} of 24: remove **{', '.join(there)}**.")
    lab.press("Run").settle()
    assert not check_success(lab).decoded.any()
    assert captions(lab)[1] == "Attacked: none of its labels"


def bits_text(at: Page) -> str:
    return next(text for text in at.texts() if "Bits that would flip" in text)


def test_ecoc_shows_the_bits_that_would_flip(lab: Page) -> None:
    choose_model(lab, CODE)
    spec = MODELS[CODE]
    signs = np.sign(logits(CODE, seen(CODE, "cat")).cpu().numpy())
    for name in ("dog", "airplane", "ship"):
        choose(lab, name)
        codeword = spec.encoding.codebook[spec.encoding.labels.index(name)]
        apart = [str(bit) for bit, differs in enumerate(codeword != signs, start=1) if differs]
        assert f"**{len(apart)} of 16** (number {', '.join(apart)})" in bits_text(lab)
        before, wanted = re.findall(r"`([+-]{16})`", bits_text(lab))
        assert sum(a != b for a, b in zip(before, wanted, strict=True)) == len(apart)
        assert wanted == "".join("+" if bit > 0 else "-" for bit in codeword)
    lab.press("Run").settle()
    assert spec.encoding.labels[int(check_success(lab).decoded)] == "ship"


def test_ecoc_names_no_bits_when_none_would_flip(lab: Page) -> None:
    choose_model(lab, CODE)
    codewords = dict(zip(MODELS[CODE].encoding.labels, MODELS[CODE].encoding.codebook, strict=True))
    signs = {
        name: np.sign(logits(CODE, seen(CODE, name)).cpu().numpy()) for name in ("cat", "airplane", "ship", "truck")
    }
    faultless = [name for name, bits in signs.items() if (bits == codewords[name]).all()]
    assert faultless, "the test needs a photo read without a wrong bit"
    lab.press(faultless[0]).settle()
    choose(lab, faultless[0])
    assert "0 of 16" in bits_text(lab)
    assert "(number )" not in bits_text(lab)


def test_another_model_brings_its_own_photos_and_the_photo_before_comes_back(lab: Page) -> None:
    lab.press("statue").settle()
    before, offered = lab.texts(), gallery(lab)
    choose_model(lab, CODE)
    assert gallery(lab) == [
        "cat", "airplane", "automobile", "dog", "frog", "horse", "ship", "truck",
    ]  # fmt: skip
    assert lab.says(f"{words(reading(CODE, seen(CODE, 'cat')))} → ")
    choose_model(lab, DEFAULT)
    assert gallery(lab) == offered
    assert lab.texts() == before
