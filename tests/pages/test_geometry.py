"""The Geometry page in Streamlit's own simulator, with the real networks."""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1.element_tree import Selectbox

from jma_core import Network
from jma_core.geometry import geometry, section_through_points
from jma_core.records import Halt, StopReason
from lab import probes
from lab.photos.samples import samples
from lab.photos.uploads import Photo
from lab.request import Request, Settings
from lab.runs.attack_run import AttackRun
from lab.runs.example import example, example_comparison, example_space
from lab.runs.measurements import measurements, measuring
from lab.runs.pool import models
from models.loaders import LoadedModel, to_tensor
from models.registry import DEFAULT, MODELS
from tests.pages.page import PATIENCE, Page
from tests.sessions import session_of

PAGE = "pages/geometry.py"


def open_page(**kept: Any) -> Page:
    """The page, in a session that has made some choices before."""
    at = Page("geometry")
    session_of(at).lasting.kept = kept
    return at.settle()


def table(at: Page) -> dict[str, list[str]]:
    """The table of costs: r', r* and their ratio by row."""
    value = at.main.table[0].value
    return {row.iloc[0]: [str(cell) for cell in row.iloc[1:]] for _, row in value.iterrows()}


def charts(at: Page) -> list[dict[str, Any]]:
    """The figures on the page, as plotly has them."""
    return [json.loads(each.proto.spec) for each in at.main.get("plotly_chart")]


def plane(at: Page) -> dict[str, Any]:
    """What the drawing was sent."""
    told = [json.loads(each.proto.json)[0] for each in at.main.get("bidi_component")]
    return next(each for each in told if isinstance(each, dict))


def paths(at: Page) -> dict[str, Any]:
    """The paths in the drawing, by name."""
    return {each["name"]: each for each in plane(at)["paths"]}


def picker(at: Page, label: str) -> Selectbox:
    return next(box for box in at.selectbox if box.label == label)


def loaded(name: str) -> LoadedModel:
    return models().request(name).result(PATIENCE)


def sample(model: str, name: str) -> Photo:
    return next(photo for photo in samples(MODELS[model].samples).values() if photo.name.startswith(name))


def test_the_claim_is_there_at_once_without_torch(first_paint: dict[str, Any]) -> None:
    page = first_paint["geometry"]
    assert (page["heavy"], page["exceptions"]) == ([], [])
    (headline,) = [text for text in page["texts"] if "not the cheapest" in text]
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
    assert paths(at)["path of the last attack"]["updates"] == list(range(len(run.result.steps) + 1))
    assert not at.says("its path has no others")
    assert at.says(f"rank {space.rank}")


def test_of_an_attack_whose_updates_were_not_all_kept_those_that_were_have_their_own_numbers() -> None:
    at, run = Page("geometry"), example()
    assert run.result is not None
    kept = run.result.steps[2::3]
    thin = AttackRun.finished(run.request, replace(run.result, steps=kept))
    session_of(at).lasting.runs[run.request] = thin
    assert paths(at.settle())["path of the last attack"]["updates"] == [0, *(step.number for step in kept)]
    assert at.says(f"Of the last attack {len(kept)} of {len(run.result.steps)} updates were kept")


def test_the_paths_of_attacks_that_were_compared_are_in_one_picture() -> None:
    at = Page("geometry")
    shipped = [*example_comparison().values()]
    elsewhere = replace(shipped[0], request=replace(shipped[0].request, photo="another"))
    session_of(at).lasting.reopened = {each.request: each for each in (shipped[1], shipped[2], elsewhere)}
    run = example()
    session_of(at).lasting.bouts[run.request] = run
    assert list(paths(at.settle()))[1:] == ["Refined", "DDN", "JMA"]
    assert at.says("Thin lines are the paths of the attacks that you have compared")
    anew = AttackRun(shipped[2].request, np.zeros((8, 8, 3), np.uint8))
    session_of(at).lasting.bouts[anew.request] = anew
    assert list(paths(at.run().settle()))[1:] == ["Refined", "JMA"]


def test_a_point_of_ones_own_has_its_price_and_its_address() -> None:
    section = section_through_points(example_space().space)
    at = Page("geometry", at="10,12").settle()
    cost = section.effort(np.array([10.0, 12.0]))
    assert plane(at)["free"] == [10, 12]
    assert at.says(f"in the target region and costs **{cost:.3f}** in pixels")
    laid = {"subject": plane(at)["subject"], "point": [10.0, 1.0], "chosen": "r′, the nearest"}
    session_of(at).lasting.kept["plane"] = laid
    at.run().settle()
    assert at.says("outside the target region")
    assert "Photo after the full step to r′" in str(at.pictures())
    assert any("at=10%2C1" in each.value or "at=10,1" in each.value for each in at.code), [
        each.value for each in at.code
    ]
    picker(at, "Model").select("scenes-mlp")
    at.settle()
    (point,) = np.array([plane(at)["free"]])
    assert point.tolist() != [10, 1], "what was dragged in another space counts no more"


def test_an_address_restores_the_view() -> None:
    at = Page("geometry", view="two", axis=["snow", "cat"], at="1,2").settle()
    assert plane(at)["axes"] == ["snow", "cat"]
    assert plane(at)["free"] == [1, 2]
    assert any("view=two&axis=snow&axis=cat&at=1,2" in each.value for each in at.code)
    at = Page("geometry", view="four", axis=["snow", "snow"], at="x").settle()
    (warning,) = at.warning
    for said in ("**view** is “four”", "**axis** is “snow”, “snow”", "**at** is “x”"):
        assert said in warning.value
    assert plane(at)["axes"] == ["logits, across", "logits, from z towards r′"]


@pytest.mark.parametrize(("view", "pickers"), [("two", 2), ("three", 3)])
def test_logits_can_be_chosen(view: str, pickers: int) -> None:
    at = open_page()
    at.segmented_control[0].set_value(view)
    at.settle()
    boxes = [box for box in at.main.selectbox if box.label.endswith("logit of")]
    assert len({box.value for box in boxes}) == len(boxes) == pickers
    assert boxes[0].options[boxes[0].index] == "cat"  # whose border binds
    boxes[0].select_index(0)
    at.settle()
    up = next(box for box in at.main.selectbox if box.label == "Up: logit of")
    across_and_up = MODELS[DEFAULT].encoding.labels[0], up.options[up.index]
    if view == "two":
        assert plane(at)["axes"] == [*across_and_up]
    else:
        axes = charts(at)[0]["layout"]["scene"]
        assert (axes["xaxis"]["title"]["text"], axes["zaxis"]["title"]["text"]) == across_and_up


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
    cheapest = measured.cheapest
    landed = f"{cheapest.needed:.3f} ({cheapest.factor:.2f} × δ)"
    assert needed[1] == (landed if np.isfinite(cheapest.needed) else f"never, up to {cheapest.cap:g} × δ")
    assert at.says("Run the attack in the lab")
    run = AttackRun(Request(model, photo.digest, target, Settings()), picture)
    run.go()
    assert run._thread is not None
    run._thread.join(PATIENCE)
    assert run.result is not None
    session_of(at).lasting.runs[run.request] = run
    at = at.settle()
    assert not at.says("Run the attack in the lab")
    assert f"{run.result.distortion.l2:.3f}" in table(at)["‖δ‖ of the last attack, new gradients at each step"]
    bits = next(chart["data"][0] for chart in charts(at) if "reached" in chart["data"][0].get("y", []))
    soft = np.frombuffer(base64.b64decode(bits["z"]["bdata"]), bits["z"]["dtype"]).reshape(3, 16)
    np.testing.assert_allclose(soft[2], np.tanh(run.result.logits), atol=1e-6)
    assert any("distance to the codeword" in str(chart["layout"].get("yaxis")) for chart in charts(at))


def test_of_a_thousand_classes_the_competitors_that_matter_are_shown() -> None:
    model = "imagenet-onehot"
    at = open_page(model=model, photo=sample(model, "cars").digest)
    assert at.says("Of 1000 logits the 12 that matter are shown")
    numbers = at.main.dataframe[-1].value
    target = picker(at, "Wanted class").value
    assert MODELS[model].encoding.labels[target] in list(numbers["logit"][numbers["binds r∗"] == "yes"])


def test_a_photo_that_has_the_wanted_labels_has_no_way_to_go() -> None:
    request, run = example().request, example()
    assert run.result is not None
    reads = tuple(run.result.decoded_before.astype(int).tolist())
    at = open_page(**{f"target-{request.model}-{request.photo}": reads})
    assert at.says("there is no way to go")
    assert not charts(at)


def test_why_there_is_no_geometry_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def halt(*_: Any) -> None:
        raise Halt(StopReason.INFEASIBLE, "These labels contradict each other.")

    model = "mnist-ecoc16"
    monkeypatch.setattr(probes, "measure", halt)
    monkeypatch.setattr(measurements, "_asked", OrderedDict())
    at = open_page(model=model, photo=sample(model, "0").digest)
    assert [each.value for each in at.warning] == ["These labels contradict each other."]


def test_the_choice_made_in_the_lab_is_the_choice_here() -> None:
    at = Page().run()
    picker(at, "Model").select("mnist-ecoc16")
    at.settle()
    picker(at, "Wanted class").select_index(7)
    at.settle()
    at.switch_page(PAGE).settle()
    assert picker(at, "Model").value == "mnist-ecoc16"
    assert at.says(f"is to read as **{MODELS['mnist-ecoc16'].encoding.labels[7]}**")
