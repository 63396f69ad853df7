"""Below an attack: does it hold, and for whom? Asked in Streamlit's own simulator, on traffic signs."""

from __future__ import annotations

from typing import Any

import pytest

from lab.runs import aftermath
from models.registry import MODELS
from tests.pages.attack_lab.driving import SIGNS, choose, enabled
from tests.pages.page import Page
from tests.sessions import session_of


def test_nothing_is_found_out_before_it_is_asked_and_then_it_is_kept(
    signs: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    seen = aftermath._seen

    def counted(spec: Any, pictures: Any) -> Any:
        looks.append(spec.name)
        return seen(spec, pictures)

    monkeypatch.setattr(aftermath, "_seen", counted)
    assert "Does it hold?" not in [each.value for each in signs.subheader]
    signs.press("Run").settle()
    assert "Does it hold?" in [each.value for each in signs.subheader]
    run = signs.shown()
    assert looks == []
    assert run not in session_of(signs).lasting.findings or not session_of(signs).lasting.findings[run]

    charts = len(signs.get("plotly_chart"))
    signs.press("Try 17 transformations").loaded()
    assert looks == ["gtsrb-onehot"]
    assert len(signs.get("plotly_chart")) == charts + 1
    assert signs.says("of 17** transformations the attacked picture is read as wanted")
    (trials,) = [each.value for each in signs.table if "transformation" in each.value]
    assert trials["attacked reads"][0] == "stop", "as saved, it is read as wanted"
    assert trials["original reads"][0] == "give way"

    others = [name for name, spec in MODELS.items() if spec.samples == "gtsrb" and name != SIGNS]
    ask = f"Ask {len(others)} other model{'s' * (len(others) > 1)}"
    signs.press(ask).loaded()
    assert looks[1:] == others
    (reports,) = [each.value for each in signs.table if "sureness" in each.value]
    assert all(each.startswith("give way → ") for each in reports["original → attacked"])
    assert len(reports) == len(others)

    signs.press("Show where it looks").loaded()
    looked = [each for each in signs.pictures() if each.endswith(("gradient", "its size", "Grad-CAM"))]
    assert len(looked) == 2 * 2 * 3
    assert signs.says("**Gradient**: of the logit, the label's row of the Jacobian")

    signs.run()
    assert len(looks) == 1 + len(others), "what was found out is kept"
    assert {"Try 17 transformations", ask, "Show where it looks"}.isdisjoint(enabled(signs))
    signs.press("Reset")
    assert run not in signs.attacks().values()


def test_what_cannot_be_found_out_is_said_and_may_be_asked_again(signs: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(signs, "no entry").press("Run").settle()

    def broken(*_: Any) -> Any:
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patched:
        patched.setattr(aftermath, "_seen", broken)
        signs.press("Try 17 transformations")
        signs.until(lambda: signs.says("This could not be found out (survival): out of luck"))
    signs.press("Try again").loaded()
    assert signs.says("of 17** transformations the attacked picture is read as wanted")
