"""The Learn page in Streamlit's own simulator: its numbers are those of jma_core, and of the real networks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from jma_core import MultiLabel, Network
from jma_core.geometry import effort
from jma_core.linearise import Linearisation
from models.loaders import LoadedModel, to_tensor
from models.registry import MODELS
from ui.backend import models
from ui.lessons import FAR, LESSONS, MANY
from ui.state import example, example_space, samples

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0  # seconds
BUSY = re.compile("network is loading|Asking the network")


def open_step(number: int) -> AppTest:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).switch_page("pages/learn.py")
    at.query_params["step"] = str(number)
    return settle(at)


def settle(at: AppTest) -> AppTest:
    """Rerun the page, as its own timer would, until everything is there."""
    deadline = time.monotonic() + PATIENCE
    at.run()
    while any(BUSY.search(info.value) for info in at.info):
        assert time.monotonic() < deadline, [info.value for info in at.info]
        time.sleep(0.05)
        at.run()
    assert not at.exception, [each.value for each in at.exception]
    return at


def metrics(at: AppTest) -> dict[str, str]:
    return {each.label: each.value for each in at.metric}


def says(at: AppTest, text: str) -> bool:
    return any(text in each.value for kind in (at.markdown, at.caption) for each in kind)


def press(at: AppTest, label: str) -> AppTest:
    next(each for each in at.button if each.label == label).click()
    return settle(at)


def loaded(name: str) -> LoadedModel:
    return models().request(name).result(PATIENCE)


FIRST_PAINT = """
import json, sys, threading
import models.registry  # the package, before AppTest puts pages/, which has a models.py too, on the path
from streamlit.testing.v1 import AppTest
from ui import backend

release = threading.Event()
backend.ModelPool._load = staticmethod(lambda spec, *rest: release.wait())  # a network that is never there
charts = {}
at = AppTest.from_file("pages/learn.py", default_timeout=60)
for step in range(1, 7):
    at.session_state["lesson"], at.session_state["framed"] = step, True
    at.run()
    assert not at.exception, [e.value for e in at.exception]
    charts[step] = len(at.get("plotly_chart"))
print(json.dumps({"torch": sorted({"torch", "timm", "torchvision", "open_clip"} & set(sys.modules)), "charts": charts}))
release.set()
"""


def test_four_steps_are_drawn_without_torch_and_the_others_say_what_they_wait_for() -> None:
    ran = subprocess.run([sys.executable, "-c", FIRST_PAINT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout.splitlines()[-1])
    assert seen == {"torch": [], "charts": {"1": 1, "2": 1, "3": 0, "4": 1, "5": 2, "6": 0}}


def test_back_and_next_go_through_all_steps_and_the_address_follows() -> None:
    at = open_step(1)
    seen = []
    for number, lesson in enumerate(LESSONS, start=1):
        seen.append(at.title[0].value)
        assert np.ravel(at.query_params["step"]) == [str(number)]
        assert at.main.latex, lesson.name
        if number < len(LESSONS):
            press(at, "Next")
    assert seen == [lesson.question for lesson in LESSONS]
    assert press(at, "Back").title[0].value == LESSONS[-2].question


@pytest.mark.parametrize("asked", ["7", "x"])
def test_an_address_that_asks_for_no_step_gives_the_first(asked: str) -> None:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).switch_page("pages/learn.py")
    at.query_params["step"] = asked
    assert settle(at).title[0].value == LESSONS[0].question


def test_1_a_label_has_its_logit_threshold_and_confidence() -> None:
    at = open_step(1)
    run, spec = example(), MODELS[example().request.model]
    assert run.result is not None
    at.selectbox[0].select("flowers")
    settle(at)
    i = spec.labels.index("flowers")
    away = torch.tensor(run.result.logits_before[i] - spec.thresholds[i])
    assert metrics(at) == {
        "Logit": f"{run.result.logits_before[i]:.2f}",
        "Threshold": f"{spec.thresholds[i]:.2f}",
        "Confidence": f"{float(torch.sigmoid(away)):.2%}",
    }


def test_2_the_violated_constraints_are_those_of_the_encoding() -> None:
    at = open_step(2)
    run, spec = example(), MODELS[example().request.model]
    assert run.result is not None
    wanted = [spec.labels.index(name) for name in ("snow", "cat", "tiger")]
    for labels in (at.button_group[1].value, wanted):
        at.button_group[1].set_value(labels)
        settle(at)
        goal = MultiLabel(spec.thresholds).constraints([i in labels for i in range(len(spec.labels))])
        values = goal.values(torch.from_numpy(run.result.logits_before))
        violated = f"{int((values < 0).sum())} of {len(values)}"
        assert metrics(at) == {"Violated constraints": violated, "Worst margin": f"{float(values.min()):.2f}"}
    press(at, "Open this example in the attack lab")
    assert at.title[0].value == "Attack lab"
    assert says(at, "Wanted: **snow, cat, tiger**")


def test_3_the_error_of_the_linear_model_is_that_of_the_network() -> None:
    at = open_step(3)
    request, space, model = example().request, example_space().space, loaded(example().request.model)
    photo = samples(model.spec.samples)[request.photo]
    x, cat = to_tensor(model.spec.preprocessing(photo.image), model.device), model.spec.labels.index("cat")
    network, delta = Network(model.network), torch.from_numpy(space.cheapest.delta).to(model.device)
    options = [float(each) for each in at.select_slider[0].options]
    shown = {}
    for t in (1.0, options[0]):
        at.select_slider[0].set_value(t)
        settle(at)
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
        settle(at)
        way = (1 - weight) * space.nearest.logits + weight * space.cheapest.logits - space.z
        assert metrics(at)["Distance, logits"] == f"{np.linalg.norm(way):.2f}"
        assert float(metrics(at)["Cost, pixels"]) == pytest.approx(effort(space.gram, way), abs=2e-3)
    assert says(at, "costs **1.00 times** what r∗ costs")
    press(at, "Open this example in the geometry page")
    assert at.title[0].value == "Mahalanobis against Euclid"
    assert says(at, f"r′ costs **{space.price:.1f} times as much**")


def test_5_the_walk_is_the_stored_attack_and_opens_with_its_own_settings() -> None:
    at = open_step(5)
    result = example().result
    assert result is not None
    assert says(at, f"at length **{result.distortion.l2:.3f}**")
    for update in (0, 3):
        at.slider[0].set_value(update)
        settle(at)
        step = result.steps[update - 1]
        expected = f"{step.l2:.3f}" if update else "0.000"
        assert metrics(at)["Length, pixels"] == expected
        assert ("Duality gap" in metrics(at)) == bool(update)
    assert metrics(at)["Worst margin"] == f"{step.values.min():.2f}"
    at.session_state["kept"] = {**at.session_state["kept"], "step": 1.0, "model": "mnist-ecoc16", "native": True}
    press(at, "Open this example in the attack lab")
    assert any(f"L2 {result.distortion.l2:.3f}" in each.value for each in at.success)  # the stored attack itself


def test_6_the_rounds_end_at_the_optimum_of_all_constraints() -> None:
    at = open_step(6)
    model = loaded(MANY)
    photo = next(each for each in samples(model.spec.samples).values() if each.name == "cat.png")
    network, x = Network(model.network), to_tensor(model.spec.preprocessing(photo.image), model.device)
    goal = model.encoding.constraints(model.spec.labels.index(FAR))
    solution = Linearisation(network, x, goal).solve_lazy()
    classes = len(model.spec.labels)
    slider = at.select_slider[0]
    assert metrics(at)["Others violated"] != "0"
    slider.set_value(len(slider.options))
    settle(at)
    assert metrics(at) == {"Rows asked for": f"{network.backward} of {classes - 1}", "Others violated": "0"}
    gained = goal.values(network.logits(x) + network.push(x, solution.delta))
    assert float(gained.min()) > -1e-3  # measured apart from the solver: all constraints hold in the linear model
    assert says(at, f"{classes - 1} of {classes - 1} constraints covered")
    assert says(at, f"**{classes / network.backward:.0f} times fewer**")
    press(at, "Open this example in the attack lab")
    assert says(at, f"Wanted: **{FAR}**")
