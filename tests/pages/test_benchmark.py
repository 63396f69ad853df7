"""The page Benchmark in Streamlit's own simulator: the results that ship, a sweep of one's own, and how one is made."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import streamlit as st

from lab.benchmark import HEAD, SHIPPED, Board
from lab.request import Settings
from lab.runs import sweeps
from lab.sweep.store import Sweep
from models.registry import ASSETS
from tests.pages.page import Page
from tests.sessions import session_of

SIGNS = "gtsrb-onehot"
DDN = Settings.of("ddn")
MADE = {
    "status": "done", "success": True, "target": "3", "wanted": "limit 60", "before": "stop", "read": "limit 60",
    "l2": 1.0, "linf": 0.1, "ssim": 0.9, "forward": 9, "backward": 9, "seconds": 0.1, "reason": "success",
}  # fmt: skip
"""What a row says of an attack that has reached its target."""
RESTING = "import time; print('at work', flush=True); time.sleep(60)"


@pytest.fixture
def at() -> Page:
    """The page with the results of traffic signs, one-hot."""
    at = Page("benchmark")
    session_of(at).lasting.kept = {"benchmark-results": "Traffic signs", "benchmark-model": SIGNS}
    return at.run().intact()


def standings(at: Page) -> dict[str, dict[str, Any]]:
    """The table's lines by attack."""
    frame = at.dataframe[0].value
    assert tuple(frame.columns) == HEAD
    return {line["attack"]: line for line in frame.to_dict("records")}


def shipped(attack: str) -> list[dict[str, Any]]:
    """The rows that ship of an attack, by case."""
    rows = pq.read_table(SHIPPED / "signs" / "shards" / "packed.parquet")
    wanted = (pc.field("model") == SIGNS) & (pc.field("attack") == attack) & (pc.field("status") == "done")
    return list(rows.filter(wanted).sort_by("case").to_pylist())


def distances(attack: str) -> np.ndarray:
    return np.array([row["l2"] if row["success"] else np.inf for row in shipped(attack)])


def test_the_page_needs_no_torch(first_paint: dict[str, Any]) -> None:
    page = first_paint["benchmark"]
    assert (page["titles"], page["exceptions"], page["heavy"]) == (["Benchmark"], [], [])
    assert page["charts"] == 3


def test_the_table_says_what_the_rows_say(at: Page) -> None:
    told = standings(at)
    assert list(told) == ["C&W", "DDN", "FMN", "JMA", "Refined"]
    assert told["JMA"]["median L2"] == pytest.approx(np.median(distances("lazy")))
    assert told["C&W"]["reached"] == pytest.approx(np.isfinite(distances("cw")).mean())
    ours, theirs = distances("refined"), distances("ddn")
    assert at.says(
        f"{len(ours)} cases, on which all of these attacks were tried. Ratio, wins and p are against Refined"
    )
    assert told["DDN"]["ratio"] == pytest.approx(np.exp(np.log(theirs / ours).mean()))
    assert told["DDN"]["low"] < told["DDN"]["ratio"] < told["DDN"]["high"]
    assert told["DDN"]["wins"] + told["DDN"]["ties"] + told["DDN"]["losses"] == len(ours)
    assert len(at.get("plotly_chart")) == 3
    assert at.dataframe[1].value["attack"].tolist() == ["C&W"] * int(np.isinf(distances("cw")).sum())


def test_attacks_and_encodings_are_filtered_and_the_rival_changed(at: Page) -> None:
    attacks = at.widget("multiselect", "Attacks")
    attacks.set_value([each for each in attacks.value if '"ddn"' in each or '"fmn"' in each]).run()
    assert list(standings(at.intact())) == ["DDN", "FMN"]
    against = at.widget("selectbox", "Against")
    assert against.options == ["DDN", "FMN"]
    against.select("FMN").run()
    assert standings(at.intact())["FMN"]["ties"] == len(distances("fmn"))
    assert at.says("None: every attack has reached every target.")
    at.widget("selectbox", "Encoding").set_value("ECOC").run()
    assert at.widget("selectbox", "Model").value == "gtsrb-ecoc32"
    assert len(standings(at.intact())) == 5
    at.widget("multiselect", "Attacks").set_value([]).run()
    assert at.intact().says("Choose attacks to see how they did.")


def test_the_case_that_is_shown_first_is_where_two_differ_most_and_opens_in_the_lab() -> None:
    at = Page("benchmark")
    first = shipped("ddn")[0]["settings"]
    session_of(at).lasting.kept = {
        "benchmark-model": SIGNS,
        "benchmark-results": "Traffic signs",
        "benchmark-first": first,
    }
    at.run().intact()
    case = at.widget("selectbox", "Case").value
    row = {each["case"]: each for each in shipped("ddn")}[case]
    ratios = np.abs(np.log(distances("ddn") / distances("refined")))
    assert case == shipped("ddn")[int(ratios.argmax())]["case"]
    facts = at.table[0].value
    assert facts.iloc[:, 1].tolist()[:2] == [row["read"], f"{row['l2']:.3f}"]
    at.press("Open DDN in the lab")
    assert at.in_the_lab()
    kept = session_of(at).lasting
    assert (kept.kept["model"], kept.kept["photo"]) == (SIGNS, row["picture_sha256"])
    assert kept.kept["setting-ddn-steps"] == 50
    assert [*kept.asked.values()] == [int(row["target"])]


@pytest.fixture
def own(tmp_path: Path) -> Sweep:
    """A sweep of two pictures of a folder, with rows as if one attack had reached both targets."""
    for name in ("stop.png", "no_entry.png"):
        (tmp_path / name).write_bytes((ASSETS / "samples" / "gtsrb" / name).read_bytes() + b"\0")
    plan = {"models": [SIGNS], "pictures": {"folder": "."}, "targets": [{"rule": "Random class"}]}
    sweep = Sweep.begin(plan | {"attacks": [{"attack": "ddn"}]}, tmp_path, tmp_path / "out")
    sweep.write(0, [sweep.row(sweep.blocks[0], number) | MADE for number in (0, 1)])
    return sweep


def test_a_folder_of_ones_own_is_shown_and_its_pictures_open_in_the_lab(at: Page, own: Sweep) -> None:
    at.widget("selectbox", "Results").set_value("A folder on this computer").run()
    at.widget("text_input", "Folder").set_value(str(own.folder)).run()
    assert list(standings(at.intact())) == ["DDN"]
    assert at.says("2 cases, on which")
    case = at.widget("selectbox", "Case").value
    at.press("Open DDN in the lab")
    restored = session_of(at).lasting.restored
    assert restored is not None
    assert (
        session_of(at).lasting.kept["photo"]
        == restored.digest
        == Board(own.folder).unit(case, own_settings(own))["picture_sha256"]
    )


def own_settings(own: Sweep) -> str:
    return str(own.row(own.blocks[0], 0)["settings"])


def test_a_sweep_that_was_made_here_is_shown(at: Page, own: Sweep) -> None:
    made = sweeps.OwnSweep.of(sweeps.plan("Mine", SIGNS, {"samples": "gtsrb"}, ("Random class", 1), [DDN]))
    own.folder.rename(made.results)
    title = made.title
    at.run().intact().press("Show")
    assert at.widget("selectbox", "Results").value == title
    assert list(standings(at)) == ["DDN"]
    assert at.says(": finished")
    at.press("Yes, delete it")
    assert title not in at.widget("selectbox", "Results").options


def test_a_picture_that_is_not_at_hand_is_said_to_be_so(at: Page, own: Sweep) -> None:
    (own.folder.parent / "stop.png").unlink()
    (own.folder.parent / "no_entry.png").unlink()
    at.widget("selectbox", "Results").set_value("A folder on this computer").run()
    at.widget("text_input", "Folder").set_value(str(own.folder)).run()
    assert at.intact().says("the picture is not at hand.")
    assert at.labelled("Open DDN in the lab").disabled


@pytest.fixture
def signs_set(tmp_path: Path) -> Path:
    """A folder with a small set of traffic signs."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (48, 32, 32, 3), np.uint8)
    places = {"x_train": slice(0, 43), "x_test": slice(43, 48)}
    arrays = {name: pictures[place] for name, place in places.items()}
    known = {"y_train": np.arange(43), "track_train": np.zeros(43, int), "y_test": np.arange(5)}
    (tmp_path / "sets").mkdir()
    np.savez(tmp_path / "sets" / "gtsrb32.npz", **arrays, **known)
    return tmp_path / "sets"


def test_a_picture_of_an_image_set_opens_in_the_lab_once_its_folder_is_named(
    at: Page, signs_set: Path, tmp_path: Path
) -> None:
    plan = {"models": [SIGNS], "pictures": {"data": SIGNS, "folder": "sets"}, "targets": [{"rule": "Random class"}]}
    begun = Sweep.begin(plan | {"attacks": [{"attack": "ddn"}]}, tmp_path, tmp_path / "out")
    begun.write(0, [begun.row(begun.blocks[0], number) | MADE for number in range(len(begun.pictures))])
    begun.pack(tmp_path / "packed")  # which knows of no folder
    at.widget("selectbox", "Results").set_value("A folder on this computer").run()
    at.widget("text_input", "Folder").set_value(str(tmp_path / "packed")).run()
    case = at.intact().widget("selectbox", "Case").value
    assert at.says("GTSRB is not in ")
    assert at.labelled("Open DDN in the lab").disabled
    at.widget("text_input", "Folder with the image sets").set_value(str(signs_set)).run()
    at.press("Open DDN in the lab")
    row, photo = Board(begun.folder).unit(case, own_settings(begun)), session_of(at).lasting.restored
    assert photo is not None
    with np.load(signs_set / "gtsrb32.npz") as arrays:
        assert np.array_equal(np.asarray(photo.image), arrays["x_test"][int(row["picture"])])
    assert session_of(at).lasting.kept["photo"] == photo.digest == row["picture_sha256"]
    assert photo.name == f"gtsrb-onehot test {row['picture']}.png"


def test_a_folder_without_a_sweep_is_refused_in_words(at: Page, tmp_path: Path) -> None:
    at.widget("selectbox", "Results").set_value("A folder on this computer").run()
    at.widget("text_input", "Folder").set_value(str(tmp_path)).run()
    assert "There are no rows of a sweep in" in at.intact().error[0].value


@pytest.mark.parametrize("option", [("server.address", "0.0.0.0"), ("server.allowedHosts", ["lab.example.org"])])
def test_a_server_for_others_reads_no_folders(option: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    get = st.get_option
    monkeypatch.setattr(st, "get_option", lambda name: option[1] if name == option[0] else get(name))
    at = Page("benchmark")
    session_of(at).lasting.kept = {
        "benchmark-results": "A folder on this computer", "benchmark-folder": "/",
        "sweep-pictures": "A folder on this computer",
    }  # fmt: skip
    at.run().intact()
    assert "A folder on this computer" not in at.widget("selectbox", "Results").options
    assert at.widget("selectbox", "Pictures").options == ["The sample photos", "Files", "A directory to be uploaded"]
    assert not any(each.label == "Folder" for each in at.text_input)


def planned(at: Page) -> str:
    """The plan that the form gives."""
    (plan,) = (each.value for each in at.code if "[[attacks]]" in each.value)
    return str(plan).strip()


def test_the_form_asks_for_the_settings_of_each_attack(at: Page) -> None:
    at.widget("selectbox", "Model", key="sweep-model").select(SIGNS).run()
    at.widget("multiselect", "Attacks", key="sweep-one-hot").set_value(["ddn", "apgd"]).run()
    assert planned(at.intact()).endswith('[[attacks]]\nattack = "ddn"\n\n[[attacks]]\nattack = "apgd"')
    at.number_input(key="sweep-ddn-steps").set_value(7).run()
    at.slider(key="sweep-kappa").set_value(0.5).run()
    ddn = '[[attacks]]\nattack = "ddn"\nsteps = 7\nkappa = 0.5\n'
    assert planned(at.intact()).endswith(f'{ddn}\n[[attacks]]\nattack = "apgd"\nkappa = 0.5')
    assert "sweep-apgd-seed" not in [each.key for each in at.number_input]
    assert session_of(at).lasting.kept.get("contest-ddn-steps", 100) == 100, "the page Compare has its own"


def test_a_sweep_is_estimated_started_watched_and_stopped(at: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "PROGRAM", (sys.executable, "-c", RESTING))
    plan = planned(at)
    assert 'models = ["scenes"]' in plan
    at.press("Estimate")
    (sweep,) = sweeps.own_sweeps()
    assert sweep.running
    assert sweep.plan.strip() == plan
    at.until(lambda: at.says("at work"))
    assert at.labelled("Estimate").disabled
    at.press("Stop")
    at.until(lambda: not sweep.running)
    at.run()
    assert not at.labelled("Estimate").disabled
    at.press("Yes, delete it")
    assert sweeps.own_sweeps() == []
