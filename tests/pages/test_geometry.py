"""The Geometry page in Streamlit's own simulator, with the real networks."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Selectbox

from jma_core import Network
from jma_core.geometry import geometry, section_through_points
from jma_core.records import Halt, StopReason
from models.loaders import LoadedModel, to_tensor
from models.registry import DEFAULT, MODELS
from ui import backend
from ui.backend import measuring
from ui.request import Request, Settings
from ui.runner import AttackRun
from ui.state import example, example_space, samples
from ui.uploads import Photo

ROOT = Path(__file__).resolve().parents[2]
PAGE = "pages/geometry.py"
PATIENCE = 120.0  # seconds
BUSY = re.compile("network is loading|Taking the gradients")


def open_page(**kept: Any) -> AppTest:
    """The page, in a session that has made some choices before."""
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).switch_page(PAGE)
    at.session_state["kept"] = kept
    return settle(at)


def settle(at: AppTest) -> AppTest:
    """Rerun the page, as its own timer would, until everything is there."""
    deadline = time.monotonic() + PATIENCE
    at.run()
    while any(BUSY.search(info.value) for info in at.info):
        assert time.monotonic() < deadline, texts(at)
        time.sleep(0.05)
        at.run()
    assert not at.exception, [each.value for each in at.exception]
    return at


def texts(at: AppTest) -> list[str]:
    kinds = (at.title, at.markdown, at.caption, at.info, at.warning, at.error)
    return [element.value for kind in kinds for element in kind]


def says(at: AppTest, text: str) -> bool:
    return any(text in each for each in texts(at))


def table(at: AppTest) -> dict[str, list[str]]:
    """The table of costs: r', r* and their ratio by row."""
    value = at.main.table[0].value
    return {row.iloc[0]: [str(cell) for cell in row.iloc[1:]] for _, row in value.iterrows()}


def charts(at: AppTest) -> list[dict[str, Any]]:
    """The figures on the page, as plotly has them."""
    return [json.loads(each.proto.spec) for each in at.main.get("plotly_chart")]


def picker(at: AppTest, label: str) -> Selectbox:
    return next(box for box in at.selectbox if box.label == label)


def trace(chart: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in chart["data"] if each.get("name") == name)


def loaded(name: str) -> LoadedModel:
    return backend.models().request(name).result(PATIENCE)


def sample(model: str, name: str) -> Photo:
    return next(photo for photo in samples(MODELS[model].samples).values() if photo.name.startswith(name))


FIRST_PAINT = """
import json, sys, threading
import models.registry  # the package, before AppTest puts pages/, which has a models.py too, on the path
from streamlit.testing.v1 import AppTest
from ui import backend

release = threading.Event()
backend.ModelPool._load = staticmethod(lambda spec, *rest: release.wait())  # a network that is never there
at = AppTest.from_file("pages/geometry.py", default_timeout=60)
at.session_state["framed"] = True
at.run()
print(json.dumps({
    "torch": sorted({"torch", "timm", "torchvision", "open_clip"} & set(sys.modules)),
    "exceptions": [e.value for e in at.exception],
    "headlines": [e.value for e in at.markdown if "not the cheapest" in e.value],
}))
release.set()
"""


def test_the_claim_is_there_at_once_without_torch() -> None:
    ran = subprocess.run([sys.executable, "-c", FIRST_PAINT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout.splitlines()[-1])
    assert (seen["torch"], seen["exceptions"]) == ([], [])
    (headline,) = seen["headlines"]
    assert f"{example_space().space.price:.1f} times as much" in headline


def test_the_stored_space_is_what_the_network_gives() -> None:
    request, stored = example().request, example_space()
    photo = samples(MODELS[DEFAULT].samples)[request.photo]
    picture = MODELS[DEFAULT].preprocessing(photo.image)
    model = loaded(DEFAULT)
    x = to_tensor(picture, model.device)
    made = geometry(Network(model.network), x, model.encoding.constraints(request.target))
    np.testing.assert_allclose(stored.space.gram, made.gram, rtol=1e-2, atol=1e-3 * np.abs(made.gram).max())
    np.testing.assert_allclose(stored.space.cheapest.logits, made.cheapest.logits, atol=0.05)
    assert stored.space.price == pytest.approx(made.price, rel=1e-2)


def test_the_example_shows_its_costs_and_the_path_of_its_attack() -> None:
    at = open_page()
    space, run = example_space().space, example()
    rows = table(at)
    far = [np.linalg.norm(point.logits - space.z) for point in (space.nearest, space.cheapest)]
    lengths = rows["Euclidean length of r − z, in logits"]
    assert lengths == [f"{far[0]:.3f}", f"{far[1]:.3f}", f"**{far[0] / far[1]:.2f}**"]
    predicted = [f"{space.nearest.length:.3f}", f"{space.cheapest.length:.3f}", f"**{space.price:.2f}**"]
    assert rows["Mahalanobis length of r − z, in pixels"] == predicted
    assert run.result is not None
    last = rows["‖δ‖ of the last attack, new gradients at each step"]
    assert last == ["", f"{run.result.distortion.l2:.3f}", ""]
    plane = charts(at)[0]
    assert len(trace(plane, "path of the last attack")["customdata"]["bdata"]) > 0
    assert says(at, f"rank {space.rank}")


def test_a_point_of_ones_own_has_its_price() -> None:
    at = open_page()
    section = section_through_points(example_space().space)
    at.slider[0].set_value(10.0)
    at.slider[1].set_value(12.0)
    settle(at)
    cost = section.effort(np.array([10.0, 12.0]))
    assert says(at, f"in the target region and costs **{cost:.3f}** in pixels")
    at.slider[1].set_value(1.0)
    settle(at)
    assert says(at, "outside the target region")


@pytest.mark.parametrize(("view", "pickers"), [("Two logits", 2), ("Three logits", 3)])
def test_logits_can_be_chosen(view: str, pickers: int) -> None:
    at = open_page()
    at.segmented_control[0].set_value(view)
    settle(at)
    boxes = [box for box in at.main.selectbox if box.label.endswith("logit of")]
    assert len({box.value for box in boxes}) == len(boxes) == pickers
    assert boxes[0].options[boxes[0].index] == "cat"  # whose border binds
    boxes[0].select_index(0)
    settle(at)
    layout = charts(at)[0]["layout"]
    assert layout.get("scene", layout)["xaxis"]["title"]["text"] == MODELS[DEFAULT].labels[0]


def test_another_photo_of_another_model_is_measured_and_shown_with_its_code() -> None:
    model = "mnist-ecoc16"
    photo = sample(model, "2")
    at = open_page(model=model, photo=photo.digest)
    spec = MODELS[model]
    target = picker(at, "Wanted class").value
    picture = spec.preprocessing(photo.image)
    measured = measuring(model, photo.digest, target, picture).result(PATIENCE)
    rows = table(at)
    assert rows["Mahalanobis length of r − z, in pixels"][2] == f"**{measured.space.price:.2f}**"
    needed = rows["‖δ‖ needed in the real network, straight on"]
    assert needed[1] == f"{measured.cheapest.needed:.3f} ({measured.cheapest.factor:.2f} × δ)"
    assert says(at, "Run the attack in the lab")
    run = AttackRun(Request(model, photo.digest, target, Settings()), picture)
    run.go()
    assert run._thread is not None
    run._thread.join(PATIENCE)
    assert run.result is not None
    at.session_state["runs"][run.request] = run
    at = settle(at)
    assert not says(at, "Run the attack in the lab")
    assert f"{run.result.distortion.l2:.3f}" in table(at)["‖δ‖ of the last attack, new gradients at each step"]
    bits = next(chart["data"][0] for chart in charts(at) if "reached" in chart["data"][0].get("y", []))
    soft = np.frombuffer(base64.b64decode(bits["z"]["bdata"]), bits["z"]["dtype"]).reshape(3, 16)
    np.testing.assert_allclose(soft[2], np.tanh(run.result.logits), atol=1e-6)
    assert any("distance to the codeword" in str(chart["layout"].get("yaxis")) for chart in charts(at))


def test_of_a_thousand_classes_the_competitors_that_matter_are_shown() -> None:
    model = "imagenet-onehot"
    at = open_page(model=model, photo=sample(model, "cars").digest)
    assert says(at, "Of 1000 logits the 12 that matter are shown")
    numbers = at.main.dataframe[-1].value
    target = picker(at, "Wanted class").value
    assert MODELS[model].labels[target] in list(numbers["logit"][numbers["binds r∗"] == "yes"])


def test_a_photo_that_has_the_wanted_labels_has_no_way_to_go() -> None:
    request, run = example().request, example()
    assert run.result is not None
    reads = np.flatnonzero(run.result.decoded_before).tolist()
    at = open_page(**{f"target-{request.model}-{request.photo}": reads})
    assert says(at, "there is no way to go")
    assert not charts(at)


def test_why_there_is_no_geometry_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def halt(*_: Any) -> None:
        raise Halt(StopReason.INFEASIBLE, "These labels contradict each other.")

    model = "mnist-ecoc16"
    monkeypatch.setattr(backend, "measure", halt)
    measuring.clear()
    at = open_page(model=model, photo=sample(model, "0").digest)
    measuring.clear()
    assert [each.value for each in at.warning] == ["These labels contradict each other."]


def test_the_choice_made_in_the_lab_is_the_choice_here() -> None:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    picker(at, "Model").select("mnist-ecoc16")
    settle(at)
    picker(at, "Wanted class").select_index(7)
    settle(at)
    settle(at.switch_page(PAGE))
    assert picker(at, "Model").value == "mnist-ecoc16"
    assert says(at, f"is to read as **{MODELS['mnist-ecoc16'].labels[7]}**")
