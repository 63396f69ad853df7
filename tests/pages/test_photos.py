"""The page Many photos in Streamlit's own simulator: a sheet is begun, outlives its session, and opens in the lab."""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lab.runs import sweeps
from lab.runs.sweeps import OwnSweep, own_sweeps
from lab.sweep.plan import Plan
from tests.pages.page import Page
from tests.pages.test_benchmark import RESTING
from tests.sessions import session_of
from tests.sheets import REACHED, SIGN, SIGNS, half_filled
from ui.parts.sheets import LARGEST

pytestmark = pytest.mark.usefixtures("data_of_its_own")


@pytest.fixture
def half() -> OwnSweep:
    return half_filled()


def test_the_page_needs_no_torch(first_paint: dict[str, Any]) -> None:
    page = first_paint["photos"]
    assert (page["titles"], page["exceptions"], page["heavy"]) == (["Many photos"], [], [])


def test_a_sheet_is_begun_with_all_its_pictures_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "PROGRAM", (sys.executable, "-c", RESTING))
    at = Page("photos").run().intact()
    at.widget("selectbox", "Model", key="sheet-model").select(SIGNS).run()
    at.widget("selectbox", "Pictures").select("A folder on this computer").run()
    assert at.says("Choose photos and an attack.")
    at.widget("text_input", "Folder").set_value(str(SIGN.parent)).run()
    at.widget("selectbox", "Targets").select("Least likely").run()
    at.widget("multiselect", "Attacks").set_value(["ddn"]).run()
    at.number_input(key="sheet-ddn-steps").set_value(7).run()
    at.press("Attack all photos")
    (own,) = own_sweeps()
    planned = Plan.of(tomllib.loads(own.plan), Path("/"))
    assert (planned.models, planned.keep) == ((SIGNS,), LARGEST)
    assert (planned.pictures.place, planned.pictures.take) == (SIGN.parent, LARGEST)
    assert [rule.rule for rule in planned.targets] == ["Least likely"]
    assert [dict(each.own)["steps"] for each in planned.attacks] == [7]
    at.until(lambda: at.says("at work"))
    assert at.labelled("Attack all photos").disabled
    at.press("Stop")
    at.until(lambda: not own.running)


def test_what_has_ended_is_shown_and_opens_in_the_lab(half: OwnSweep) -> None:
    at = Page("photos").run().intact()  # a session that knows nothing of the one that began it
    assert at.get("progress")[0].proto.text == "2 of 3 units are finished"
    assert at.says("**1 of 2** targets reached, at a median L2 of 1.000; 1 are read as wanted as files.")
    thumbs = [each for each in at.button if each.key and each.key.startswith("photo-")]
    assert [each.disabled for each in thumbs] == [False, False, True]
    assert "L2 1.000" in thumbs[0].label
    assert len(at.get("plotly_chart")) == 1
    assert len(at.get("download_button")) == 2
    assert half.begun is not None
    row = half.begun.row(half.begun.blocks[0], 0)
    thumbs[0].click().run()
    assert [each.value for each in at.intact().title] != ["Many photos"]
    kept = session_of(at).lasting
    assert (kept.kept["model"], kept.kept["photo"]) == (SIGNS, row["picture_sha256"])
    assert [*kept.asked.values()] == [int(REACHED["target"])]
    assert kept.restored is not None
    assert kept.restored.digest == row["picture_sha256"]


def test_a_photo_that_is_gone_is_said_to_be_so(half: OwnSweep) -> None:
    at = Page("photos").run().intact()
    shutil.rmtree(half.folder / "pictures")
    next(each for each in at.button if each.key == "photo-0").click().run()
    assert "cannot be read in" in at.intact().error[0].value
    at.press("Yes, delete it")
    assert own_sweeps() == []
    assert not any(each.label == "Sheet" for each in at.selectbox)
