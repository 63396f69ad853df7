"""The Learn page in Streamlit's own simulator: its numbers are those of jma_core, and of the real networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from jma_core import MultiLabel, Network
from jma_core.geometry import effort
from jma_core.linearise import Linearisation
from lab.markup import quoted
from lab.photos.samples import samples
from lab.runs.example import example, example_space
from lab.runs.pool import models
from models.cards import ModelSpec
from models.loaders import LoadedModel, to_tensor
from models.registry import MODELS
from tests.pages.page import PATIENCE, Page
from tests.sessions import session_of
from ui.parts.lessons import FAR, HALF, MANY, lessons
from ui.parts.resistance import DEEP, LINEAR, ROBUST


def open_step(number: int) -> Page:
    return Page("learn", step=str(number)).settle()


def metrics(at: Page) -> dict[str, str]:
    return {each.label: each.value for each in at.metric}


def loaded(name: str) -> LoadedModel:
    return models().request(name).result(PATIENCE)


def test_four_steps_are_drawn_without_torch_and_the_others_say_what_they_wait_for(first_paint: dict[str, Any]) -> None:
    pages = [first_paint[f"learn {step}"] for step in range(1, HALF + 1)]
    assert [page["charts"] for page in pages] == [1, 1, 0, 0, 2, 0, 0]
    assert not any(page["heavy"] or page["exceptions"] for page in pages)


@pytest.fixture
def undefended(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModelSpec]:
    """The models on offer, none of which is the robust twin of another: attacks on those take seconds."""
    alone = {name: each for name, each in models().specs.items() if not name.endswith(ROBUST)}
    monkeypatch.setattr(models(), "specs", alone)
    return alone


def test_back_and_next_go_through_all_steps_and_the_address_follows(undefended: dict[str, ModelSpec]) -> None:
    at = open_step(1)
    seen = []
    steps = lessons()
    for number, lesson in enumerate(steps, start=1):
        seen.append(at.title[0].value)
        assert np.ravel(at.query_params["step"]) == [str(number)]
        assert at.main.latex or number >= HALF, lesson.name
        if number < len(steps):
            assert not at.main.get("page_link")
            at.press("Next").settle()
    assert seen == [lesson.question for lesson in steps]
    assert len(at.main.get("page_link")) == 4, "the last step leads on"
    assert at.press("Back").settle().title[0].value == steps[-2].question


@pytest.mark.parametrize(("asked", "shown"), [("99", None), ("-1", 1), ("abc", 1), ("3.5", 1)])
def test_an_address_that_asks_for_no_step_is_explained_and_the_nearest_shown(
    asked: str, shown: int | None, undefended: dict[str, ModelSpec]
) -> None:
    shown, at = shown or len(lessons()), Page("learn", step=asked).settle()
    assert at.title[0].value == lessons()[shown - 1].question
    (warning,) = at.warning
    assert (
        f"**step** is {quoted(asked)}, where a number from 1 to {len(lessons())} was expected. The page shows {shown}."
        in warning.value
    )
    at.press("2 Target").settle()
    assert not at.warning


def test_1_a_label_has_its_logit_threshold_and_confidence() -> None:
    at = open_step(1)
    run, spec = example(), MODELS[example().request.model]
    assert run.result is not None
    at.selectbox[0].select("flowers")
    at.settle()
    i = spec.encoding.labels.index("flowers")
    away = torch.tensor(run.result.logits_before[i] - spec.encoding.thresholds[i])
    assert metrics(at) == {
        "Logit": f"{run.result.logits_before[i]:.2f}",
        "Threshold": f"{spec.encoding.thresholds[i]:.2f}",
        "Confidence": f"{float(torch.sigmoid(away)):.2%}",
    }


def test_2_the_violated_constraints_are_those_of_the_encoding() -> None:
    at = open_step(2)
    run, spec = example(), MODELS[example().request.model]
    assert run.result is not None
    wanted = [spec.encoding.labels.index(name) for name in ("snow", "cat", "tiger")]
    for labels in (at.button_group[0].value, wanted):
        at.button_group[0].set_value(labels)
        at.settle()
        goal = MultiLabel(spec.encoding.thresholds).constraints([i in labels for i in range(len(spec.encoding.labels))])
        values = goal.values(torch.from_numpy(run.result.logits_before))
        violated = f"{int((values < 0).sum())} of {len(values)}"
        assert metrics(at) == {"Violated constraints": violated, "Worst margin": f"{float(values.min()):.2f}"}
    at.press("Open this example in the attack lab").loaded()
    assert at.in_the_lab()
    assert at.says("→ snow, cat, tiger")


def test_3_the_error_of_the_linear_model_is_that_of_the_network() -> None:
    at = open_step(3)
    request, space, model = example().request, example_space().space, loaded(example().request.model)
    photo = samples(model.spec.samples)[request.photo]
    x, cat = to_tensor(model.spec.preprocessing(photo.image), model.device), model.spec.encoding.labels.index("cat")
    network, delta = Network(model.network), torch.from_numpy(space.cheapest.delta).to(model.device)
    options = [float(each) for each in at.select_slider[0].options]
    shown = {}
    for t in (1.0, options[0]):
        at.select_slider[0].set_value(t)
        at.settle()
        shown[t] = float(metrics(at)["Error of the linear model"].rstrip("%"))
        change = float((network.logits(x + t * delta) - network.logits(x))[cat])
        promised = t * (space.cheapest.logits - space.z)[cat]
        assert shown[t] == pytest.approx(100 * abs(change / promised - 1), abs=0.2)
        assert metrics(at)["Length of t δ, pixels"] == f"{t * space.cheapest.length:.4f}"
    assert shown[options[0]] < 10 < shown[1.0]


def test_4_points_between_the_nearest_and_the_cheapest_have_their_costs() -> None:
    at = open_step(4)
    space = example_space().space
    for weight in (0.0, 0.3, 1.0):
        at.slider[0].set_value(weight)
        at.settle()
        way = (1 - weight) * space.nearest.logits + weight * space.cheapest.logits - space.z
        assert metrics(at)["Distance, logits"] == f"{np.linalg.norm(way):.2f}"
        assert float(metrics(at)["Cost, pixels"]) == pytest.approx(effort(space.gram, way), abs=2e-3)
    assert at.says("costs **1.00 times** what r∗ costs")
    at.press("Open this example in the geometry page").loaded()
    assert at.title[0].value == "Mahalanobis against Euclid"
    assert at.says(f"r′ costs **{space.price:.1f} times as much**")


def test_5_the_walk_is_the_stored_attack_and_opens_with_its_own_settings() -> None:
    at = open_step(5)
    result = example().result
    assert result is not None
    assert at.says(f"at length **{result.distortion.l2:.3f}**")
    for update in (0, 3):
        at.slider[0].set_value(update)
        at.settle()
        step = result.steps[update - 1]
        expected = f"{step.l2:.3f}" if update else "0.000"
        assert metrics(at)["Length, pixels"] == expected
        assert ("Duality gap" in metrics(at)) == bool(update)
    assert metrics(at)["Worst margin"] == f"{step.values.min():.2f}"
    session_of(at).lasting.kept |= {"step": 1.0, "model": "mnist-ecoc16", "native": True}
    at.press("Open this example in the attack lab").loaded()
    assert any(f"L2 {result.distortion.l2:.3f}" in each.value for each in at.success)  # the stored attack itself


def test_6_the_rounds_end_at_the_optimum_of_all_constraints() -> None:
    at = open_step(6)
    model = loaded(MANY)
    photo = next(each for each in samples(model.spec.samples).values() if each.name == "cat.png")
    network, x = Network(model.network), to_tensor(model.spec.preprocessing(photo.image), model.device)
    goal = model.encoding.constraints(model.spec.encoding.labels.index(FAR))
    solution = Linearisation(network, x, goal).solve_lazy()
    classes = len(model.spec.encoding.labels)
    slider = at.select_slider[0]
    assert metrics(at)["Others violated"] != "0"
    slider.set_value(len(slider.options))
    at.settle()
    assert metrics(at) == {"Rows asked for": f"{network.backward} of {classes - 1}", "Others violated": "0"}
    gained = goal.values(network.logits(x) + network.push(x, solution.delta))
    assert float(gained.min()) > -1e-3  # measured apart from the solver: all constraints hold in the linear model
    assert at.says(f"{classes - 1} of {classes - 1} constraints covered")
    assert at.says(f"**{classes / network.backward:.0f} times fewer**")
    at.press("Open this example in the attack lab").loaded()
    assert at.says(f"→ {FAR}")


def answer(at: Page) -> str:
    """What the class is told when the answer is shown; nothing of it is there before."""
    before = set(at.texts())
    at.toggle[0].set_value(True)
    (told,) = set(at.settle().texts()) - before
    return told


def test_the_answers_are_computed_from_the_record() -> None:
    run, spec, space = example(), MODELS[example().request.model], example_space().space
    assert run.result is not None
    z, taus, labels = run.result.logits_before, np.array(spec.encoding.thresholds), spec.encoding.labels
    away = np.where(run.result.decoded_before, np.inf, taus - z)
    assert f"**{labels[int(away.argmin())]}**: its logit is {away.min():.2f} below" in answer(open_step(1))
    wanted = np.array(run.request.target)
    short = np.where(wanted == 1, taus - z, z - taus).clip(min=0)
    assert f"**{np.linalg.norm(short):.2f}**" in answer(open_step(2))
    lengths = np.sqrt(space.gram.diagonal())
    assert f"**{labels[int(lengths.argmax())]}**, at {1 / lengths.max():.3f}" in answer(open_step(4))
    walked = [step.image for step in run.result.steps if step.phase == "walk"]
    ends = float(np.linalg.norm(walked[-1].astype(float) - run.result.original))
    assert f"end **{ends:.3f}** from the photo" in answer(open_step(5))


def test_7_the_cosines_are_those_of_the_two_heads_and_half_of_the_labels_are_to_flip() -> None:
    at = open_step(HALF)
    photo = next(each for each in samples("photos").values() if each.name == "cat.png")
    cosines = {}
    for name in (LINEAR, DEEP):
        model = loaded(name)
        x = to_tensor(model.spec.preprocessing(photo.image), model.device).requires_grad_()
        logits = model.network(x[None])[0]
        rows = torch.stack([torch.autograd.grad(z, x, retain_graph=True)[0].flatten() for z in logits])
        unit = rows / rows.norm(dim=1, keepdim=True)
        cosines[name] = float((unit @ unit.T).abs()[np.triu_indices(len(rows), 1)].mean())
    assert metrics(at) == {"Cosine, linear": f"{cosines[LINEAR]:.2f}", "Cosine, network": f"{cosines[DEEP]:.2f}"}
    assert cosines[LINEAR] < cosines[DEEP]
    assert "under the linear head" in answer(at)
    at.press("Open this example in the attack lab").loaded()
    assert at.says("Flips 12 of 24"), at.texts()


def test_8_a_defence_is_shown_while_the_zoo_has_a_defended_twin(
    monkeypatch: pytest.MonkeyPatch, undefended: dict[str, ModelSpec]
) -> None:
    """The stand-in is the network itself under another name: nothing defends it."""
    spec = MODELS["mnist-ecoc16"]
    twin = replace(spec, name=f"{spec.name}{ROBUST}", title="The same", scores={"accuracy": 0.5})
    monkeypatch.setattr(models(), "specs", undefended | {twin.name: twin})
    at = open_step(8)
    assert at.title[0].value == lessons()[-1].question
    assert metrics(at)["Distance, as it is"] == metrics(at)["Distance, defended"] != "0.00"
    assert at.says("goes **1.0 times as far**")
    assert "its test accuracy is **50.0%**" in answer(at)
    at.press("Open this example in the attack lab").loaded()
    assert session_of(at).lasting.kept["model"] == twin.name
    monkeypatch.setattr(models(), "specs", undefended)
    assert len(lessons()) == HALF
