"""The page Runs in Streamlit's own simulator: attacks that have ended are there, and come back as they were."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jma_core.records import FREE, StopReason
from lab.archive import pack_to_go, unpack
from lab.comparison import Contender, called
from lab.markup import plain
from lab.photos.samples import samples
from lab.photos.uploads import Photo, read_photo
from lab.pictures import BLUE, MIDDLE, ORANGE, as_png, perturbation_map, to_picture
from lab.request import Canvas, Request, Settings
from lab.runs.attack_run import AttackRun
from lab.runs.example import example, example_comparison
from lab.runs.pool import models
from lab.store import Store, store
from models.registry import DEFAULT, MODELS
from tests.fixtures import FromLater
from tests.pages.page import PATIENCE, ROOT, Page
from tests.sessions import session_of
from ui.shell.cached import predict

PAGE, LAB = "pages/runs.py", "pages/attack_lab.py"
SIGNS = "gtsrb-onehot"
STOP = MODELS[SIGNS].encoding.labels.index("stop")


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store of this test alone."""
    monkeypatch.setenv("JMA_LAB_DATA", str(tmp_path / "data"))
    return store()


@pytest.fixture
def attack() -> Iterator[Callable[..., AttackRun]]:
    """Runs an attack on a sign, or a photo of one's own, to its end."""
    begun: list[AttackRun] = []

    def attack(photo: Photo | None = None, canvas: Canvas = Canvas(), **settings: Any) -> AttackRun:  # noqa: B008
        photo = photo or sign("give_way")
        picture = np.asarray(photo.image) if canvas.native else MODELS[SIGNS].preprocessing(photo.image)
        begun.append(AttackRun(Request(SIGNS, photo.digest, STOP, Settings.of(**settings), canvas), picture))
        return ended(begun[-1])

    yield attack
    assert not any(run.busy for run in begun)


def ended(run: AttackRun) -> AttackRun:
    run.go()
    deadline = time.monotonic() + PATIENCE
    while run.busy:
        assert time.monotonic() < deadline, run.status
        time.sleep(0.01)
    assert run.result is not None, run.status
    return run


def sign(name: str) -> Photo:
    return next(photo for photo in samples("gtsrb").values() if photo.name.startswith(name))


def own_photo(side: int = 61) -> Photo:
    """A sign as nobody ships it."""
    file = io.BytesIO()
    sign("keep_right").image.resize((side, side + 9)).save(file, "PNG", compress_level=1)
    return read_photo(file.getvalue(), "own.png")


def open_page() -> Page:
    at = Page("runs").run()
    return check(at, "Runs")


def check(at: Page, title: str) -> Page:
    at.intact()
    assert [each.value for each in at.title] == [title]
    return at


def press(at: Page, key: str) -> Page:
    return check(at.button(key=key).click().run(), "Runs")


def reopened(number: int) -> Page:
    """A new session, as after a restart, in which a run has been opened."""
    at = open_page()
    at.button(key=f"open-{number}").click().run()
    assert at.intact().in_the_lab()
    at.switch_page(LAB).run()  # the simulator would go back to where the button was
    assert at.intact().in_the_lab()
    return at


def played(at: Page) -> list[str]:
    """What the original and the update shown first read as in the lab's player, for a browser that has kept nothing."""
    session_of(at).sent.clear()
    data = json.loads(at.run().main.get("bidi_component")[0].proto.json)[0]
    return [data["parcels"][each["parcel"]]["reads"] for each in data["film"] if each["update"] in (0, data["shown"])]


def test_without_runs_the_page_says_what_to_do() -> None:
    at = open_page()
    assert [info.value for info in at.info] == [
        "No attack has been stored yet. Run one in the Attack lab: when it has ended, it is here."
    ]
    assert not at.main.button


@pytest.mark.parametrize("page", ["runs", "models"])
def test_what_the_address_asks_of_a_page_that_takes_nothing_is_explained(page: str) -> None:
    at = Page(page, model="scenes").run()
    assert at.says("“model”: this page has nothing of this name. It takes nothing from its address.")


def test_the_page_needs_no_torch(first_paint: dict[str, Any]) -> None:
    page = first_paint["runs"]
    assert (page["titles"], page["exceptions"], page["heavy"]) == (["Runs"], [], [])


def test_attacks_that_have_ended_are_listed_the_newest_first(attack: Callable[..., AttackRun]) -> None:
    hit, miss = attack(), attack(max_iter=1, step=0.05)
    assert (hit.result.success, miss.result.success) == (True, False)
    at = open_page()
    titles = [each.value for each in at.markdown if "→" in each.value]
    assert titles[1] == "**give way** → **stop**"
    assert titles[0].startswith("**give way** → ")
    missed, reached = [each.value for each in at.caption if each.value.startswith("Target")]
    result = hit.result
    assert reached.startswith(f"Target reached. L2 {result.distortion.l2:.3f}, {result.backward} backward passes, ")
    assert missed.startswith("Target missed **stop** (iteration cap). L2 ")
    assert MODELS[SIGNS].title in reached
    assert "UTC" in reached
    assert at.says("Changed: step 0.2 → 0.05, max&#95;iter 200 → 1")
    at.widget("selectbox", "Show").set_value("Missed").run()
    assert at.says("1 of 2 runs")
    assert [each.key for each in at.main.button if each.key.startswith("open")] == ["open-2"]
    at.widget("text_area", "Note").set_value("too *short*").run()
    assert [row.note for row in store().rows()] == ["too *short*", ""]
    at.widget("selectbox", "Show").set_value("All").run()
    at.widget("text_input", "Search").set_value("TOO").run()
    press(at, "delete-all")
    assert [row.id for row in store().rows()] == [1]


def test_of_an_attack_that_was_stopped_after_its_first_hit_both_are_said(kept: Store) -> None:
    request, result = unpack((ROOT / "tests/cases/runs/lazy-ecoc.npz").read_bytes())
    assert result.success
    late = replace(result, reason=StopReason.TIME, detail="The time cap of 3 s was reached.")
    for each in (result, late):
        kept.add(MODELS[request.model], request, each)
    at = press(press(open_page(), "compare-1"), "compare-2")
    assert [each.value.split(" L2")[0] for each in at.caption if each.value.startswith("Target")] == [
        "Target reached (time cap).",
        "Target reached.",
    ]
    table = at.table[0].value.set_index("measure")
    assert table.loc["Target"].tolist() == ["reached.", r"reached. The time cap of 3 s was reached."]


def test_an_attack_that_was_reset_or_broke_off_is_not_stored(
    attack: Callable[..., AttackRun], kept: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.runs.launch.find", lambda name: lambda *_, **__: iter([1 / 0]))
    photo = sign("give_way")
    run = AttackRun(Request(SIGNS, photo.digest, STOP, Settings()), MODELS[SIGNS].preprocessing(photo.image))
    run.go()
    run._thread.join(PATIENCE)
    assert run.error
    monkeypatch.undo()
    monkeypatch.setenv("JMA_LAB_DATA", str(kept.path.parent))
    given_up = AttackRun(run.request, MODELS[SIGNS].preprocessing(photo.image))
    given_up.go(1)
    given_up.cancel()
    given_up._thread.join(PATIENCE)
    assert kept.rows() == []
    attack()
    assert len(kept.rows()) == 1


@pytest.mark.parametrize(
    "canvas", [Canvas(), Canvas(native=True), Canvas(region=(0.1, 0.0, 0.85, 1.0))], ids=["seen", "native", "part"]
)
def test_a_run_on_a_sample_opens_in_the_lab_of_a_new_session_with_all_its_settings(
    canvas: Canvas, attack: Callable[..., AttackRun]
) -> None:
    run = attack(canvas=canvas, step=0.1, kappa=0.5, max_iter=150)
    at = reopened(1)
    assert at.shown().request == run.request
    assert at.widget("selectbox", "Model").value == SIGNS
    assert at.widget("selectbox", "Wanted class").value == STOP
    assert at.widget("number_input", "Step length ε").value == 0.1
    np.testing.assert_array_equal(at.shown().result.image, run.result.image)
    assert played(at) == ["give way", "stop"]
    assert at.says("The result reads as **stop**")
    assert at.says(f"L2 {run.result.distortion.l2:.3f}")
    assert session_of(at).lasting.restored is None


@pytest.mark.parametrize("held", [True, False])
def test_a_run_on_several_labels_opens_with_its_labels(held: bool, kept: Store) -> None:
    spec, photo = MODELS[DEFAULT], next(iter(samples("photos").values()))
    picture = spec.preprocessing(photo.image)
    models().request(DEFAULT).result(PATIENCE)
    has = predict(DEFAULT, picture).decoded
    new = int(np.flatnonzero(~has)[0])
    flipped = tuple(bool(each) != (i == new) for i, each in enumerate(has))
    target = flipped if held else tuple(w if w != h else FREE for w, h in zip(flipped, has.tolist(), strict=True))
    run = ended(AttackRun(Request(DEFAULT, photo.digest, target, Settings.of(max_iter=2)), picture))
    at = reopened(kept.rows()[0].id)
    assert at.shown().request == run.request
    assert at.labelled("Free the other labels" if held else "Hold the other labels")
    assert at.asked() == target
    assert "Run again" in [each.label for each in at.main.button], "the lab asks for another attack than the one opened"


@pytest.mark.parametrize("canvas", [Canvas(), Canvas(native=True)], ids=["seen", "native"])
def test_a_run_on_a_photo_that_is_gone_opens_with_the_very_picture_that_was_attacked(
    canvas: Canvas, attack: Callable[..., AttackRun]
) -> None:
    run = attack(own_photo(), canvas)
    at = reopened(1)
    stored = at.shown()
    assert stored.request == replace(run.request, photo=session_of(at).lasting.restored.digest) != run.request
    photo = session_of(at).lasting.restored.image
    picture = np.asarray(photo) if canvas.native else MODELS[SIGNS].preprocessing(photo)
    np.testing.assert_array_equal(picture, to_picture(run.result.original))
    assert at.says("The photo of this run is not at hand any more.")
    assert "stored" in [each.label for each in at.sidebar.button]
    assert at.says("The result reads as **stop**")


def test_a_run_on_the_session_s_own_photo_opens_with_it(attack: Callable[..., AttackRun]) -> None:
    photo = own_photo()
    run = attack(photo)
    at = open_page()
    session_of(at).lasting.upload = photo
    at.button(key="open-1").click().run()
    at.switch_page(LAB).run()
    assert at.shown().request == run.request
    assert session_of(at).lasting.restored is None
    assert "yours" in [each.label for each in at.sidebar.button]


def test_a_run_whose_model_is_gone_or_has_other_weights_cannot_be_opened_and_says_why(
    attack: Callable[..., AttackRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    attack()
    others = {**models().specs, SIGNS: replace(MODELS[SIGNS], sha256="f" * 64)}
    monkeypatch.setattr(models(), "specs", others)
    at = open_page()
    assert at.button(key="open-1").disabled
    assert at.says("has other weights now")
    del others[SIGNS]
    at.run()
    assert at.button(key="open-1").disabled
    assert at.says(f"Its model, {MODELS[SIGNS].title}, is not on offer now")


def test_deleting_asks_first(attack: Callable[..., AttackRun], kept: Store) -> None:
    attack()
    attack(step=0.1)
    at = open_page()
    assert at.says("Delete this run for good?")
    press(at, "delete-2")
    assert [row.id for row in kept.rows()] == [1]
    assert [each.key for each in at.main.button if each.key.startswith("open")] == ["open-1"]
    press(at, "delete-1")
    assert at.says("No attack has been stored yet.")


def test_what_was_deleted_in_another_tab_is_explained(attack: Callable[..., AttackRun], kept: Store) -> None:
    attack()
    attack()
    at = open_page()
    kept.delete(2)
    press(at, "open-2")
    assert [each.value for each in at.error] == [
        "This run is not there any more: it was deleted, or made room for newer ones."
    ]
    assert [each.key for each in at.main.button if each.key.startswith("open")] == ["open-1"]


@pytest.fixture
def compared(kept: Store) -> list[Contender]:
    """Three attacks of the comparison that ships, on another model's page, stored."""
    contenders = [replace(each, saved=None) for each in list(example_comparison().values())[1:4]]
    kept.add_comparison(MODELS[DEFAULT], contenders)
    return contenders


def test_a_comparison_is_one_entry_and_opens_on_compare_in_a_new_session(compared: list[Contender]) -> None:
    at = open_page()
    assert at.says("Comparison: 3 attacks. **cat** → **flowers**")
    assert at.says("Refined came nearest, at L2 ")
    assert not [each.key for each in at.button if each.key.startswith("compare")]
    check(at.button(key="open-1").click().run(), "Compare")
    at = check(at.switch_page("pages/compare.py").run(), "Compare")
    names = called([each.request.settings for each in compared])
    frame = at.dataframe[0].value
    assert frame["Attack"].tolist() == names
    for title, value in (("L2", lambda each: each.distortion.l2), ("Seconds", lambda each: each.seconds)):
        assert frame[title].tolist() == [value(each.result) for each in compared]
    assert list(session_of(at).lasting.reopened) == [each.request for each in compared]
    assert at.labelled("Run again")
    assert {"Report (HTML)", "Comparison (NPZ)"} <= {each.label for each in at.get("download_button")}


def test_a_comparison_on_a_photo_that_is_gone_opens_with_the_picture_that_was_attacked(kept: Store) -> None:
    gone = [
        replace(each, request=replace(each.request, photo="0" * 64))
        for each in list(example_comparison().values())[1:3]
    ]
    kept.add_comparison(MODELS[DEFAULT], gone)
    at = open_page()
    at.button(key="open-1").click().run()
    at = check(at.switch_page("pages/compare.py").run(), "Compare")
    restored = session_of(at).lasting.restored
    assert {each.photo for each in session_of(at).lasting.reopened} == {restored.digest}
    picture = MODELS[DEFAULT].preprocessing(restored.image)
    np.testing.assert_array_equal(picture, to_picture(gone[0].result.original))
    assert len(at.dataframe[0].value) == 2


def test_a_comparison_comes_back_from_its_file_and_a_bad_file_is_explained(
    compared: list[Contender], kept: Store
) -> None:
    data = kept.file(1)
    at = open_page()
    at.get("file_uploader")[0].set_value(("comparison.npz", data, "application/octet-stream"))
    at = check(at.run(), "Runs")
    assert not at.error
    assert [row.attacks for row in kept.rows()] == [3, 3]
    assert [each.request for each in kept.comparison(2)] == [each.request for each in compared]
    at.get("file_uploader")[0].set_value(("comparison.npz", data[: len(data) // 2], "application/octet-stream"))
    at = check(at.run(), "Runs")
    assert [each.value for each in at.error] == ["This file is damaged, or is not a comparison of JMA Lab's."]
    assert len(kept.rows()) == 2


def test_a_run_to_go_comes_back_from_its_file_with_its_photo(kept: Store) -> None:
    """It was made on another machine, from a photo that is not here."""
    request, result = example().request, example().result
    assert result is not None
    file = as_png(samples("photos")[request.photo].image)
    data = pack_to_go(replace(request, photo="0" * 64), result, MODELS[request.model].sha256, file)
    at = open_page()
    at.get("file_uploader")[0].set_value(("run.npz", data, "application/octet-stream"))
    at = check(at.run(), "cat → flowers")
    (row,) = kept.rows()
    restored = session_of(at).lasting.restored
    assert kept.get(row.id)[0] == replace(request, photo=restored.digest)
    np.testing.assert_array_equal(np.asarray(restored.image), np.asarray(samples("photos")[request.photo].image))
    assert any(f"L2 {result.distortion.l2:.3f}" in each.value for each in at.success)


def test_two_runs_are_compared_at_one_gain(attack: Callable[..., AttackRun], kept: Store) -> None:
    first, second = attack(), attack(sign("keep_right"), step=0.05, kappa=2.0)
    attack()
    at = open_page()
    press(at, "compare-1")
    assert at.says("This run is chosen.")
    press(at, "compare-2")
    shown = [caption for image in at.get("imgs") or at.image for caption in image.captions]  # in the dialog
    captions = [caption for caption in shown if ", " in caption]
    assert [caption for caption in captions if "attacked" in caption] == ["A, attacked: stop", "B, attacked: stop"]
    changes = [np.abs((run.result.image.astype(float) - run.result.original).mean(0)) for run in (first, second)]
    gain = 1 / max(np.quantile(change, 0.999) for change in changes)
    assert sum(f"perturbation: × {gain:.0f} in both" in caption for caption in captions) == 2
    table = at.table[0].value.set_index("measure")
    for side, run in (("A", first), ("B", second)):
        assert table.loc["L2", side] == f"{run.result.distortion.l2:.3f}"
        assert table.loc["Backward passes", side] == str(run.result.backward)
        assert table.loc["Reached", side] == "stop"
        assert table.loc["Attack", side].endswith(f"κ {run.request.settings.kappa:g}")
        assert table.loc["Result", side] == f"update {run.result.update} of {run.result.trace.number[-1]}"
    assert table.loc["Before", "B"] == "keep right"
    assert len(at.get("plotly_chart")) == 2
    kept.delete(1)  # in another tab
    at.run()
    assert not at.table
    assert at.says("This run is chosen.")


def test_a_comparison_says_which_pictures_were_not_kept(kept: Store) -> None:
    for name in ("refined-onehot", "lazy-ecoc"):
        request, result = unpack((ROOT / "tests/cases/runs" / f"{name}.npz").read_bytes())
        kept.add(MODELS[request.model], request, result)
    at = press(press(open_page(), "compare-1"), "compare-2")
    table = at.table[0].value.set_index("measure")
    assert table.loc["Result"].tolist() == ["update 58 of 60", "update 17 of 17"]
    said = [each.value for each in at.caption if each.value.startswith(("A: ", "B: "))]
    assert said == ["A: Pictures and numbers of 17 of 60 updates were kept."]


def test_a_run_of_another_version_is_not_called_damaged(kept: Store) -> None:
    request, result = unpack((ROOT / "tests/cases/runs/lazy-ecoc.npz").read_bytes())
    unknown = replace(request, settings=FromLater())
    kept.add(MODELS[request.model], unknown, result)
    at = press(open_page(), "open-1")
    assert [each.value for each in at.error] == [
        "This run was made by another version of JMA Lab: its attack “from later” is not known here. Open it with that "
        "version, or run the attack again."
    ]


def test_the_common_gain_makes_equal_changes_equally_bright() -> None:
    grey = np.full((3, 20, 20), 0.5)
    faint, strong = grey + 0.01, grey - 0.04
    gain = min(perturbation_map(grey, image)[1] for image in (faint, strong))
    quarter = np.round(MIDDLE + (ORANGE - MIDDLE) / 4)
    np.testing.assert_allclose(perturbation_map(grey, faint, gain)[0][0, 0], quarter, atol=1)
    np.testing.assert_allclose(perturbation_map(grey, strong, gain)[0][0, 0], BLUE, atol=1)


def test_a_damaged_file_of_runs_is_explained_and_a_new_one_begun(attack: Callable[..., AttackRun], kept: Store) -> None:
    kept.path.parent.mkdir()
    kept.path.write_bytes(b"no database" * 1000)
    at = open_page()
    (name,) = kept.aside()
    (warning,) = [each.value for each in at.warning]
    assert warning.startswith(f"The file of the stored runs was damaged. It was renamed to {name} and a new one begun.")
    attack()
    assert at.run().button(key="open-1")


def test_a_run_whose_bytes_are_damaged_is_explained_and_can_be_deleted(
    attack: Callable[..., AttackRun], kept: Store
) -> None:
    attack()
    attack()
    kept._change(lambda connection: connection.execute("UPDATE runs SET attack = zeroblob(99) WHERE id = 2"), 1.0)
    at = press(open_page(), "open-2")
    assert [each.value for each in at.error] == [
        "This run is damaged and cannot be opened: delete it, and run the attack again."
    ]
    press(press(at, "compare-1"), "compare-2")
    assert at.error[0].value.startswith("These runs cannot be compared. This run is damaged")
    press(at, "delete-2")
    assert [row.id for row in kept.rows()] == [1]


def test_a_folder_that_cannot_be_written_to_loses_no_attack_and_is_explained(
    attack: Callable[..., AttackRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("JMA_LAB_DATA", str(tmp_path / "file"))
    run = attack()
    assert run.result.success
    assert run.unsaved.startswith("This attack could not be stored, and will be gone when the app ends: ")
    assert open_page().error[0].value.startswith("The stored runs cannot be read: ")
    at = Page().run()
    session_of(at).lasting.runs[run.request] = run
    photo = run.request.photo
    session_of(at).lasting.kept = {"model": SIGNS, "photo": photo, f"target-{SIGNS}-{photo}": STOP}
    at.switch_page(PAGE).run()
    at.switch_page(LAB).run()
    assert plain(run.unsaved) in [each.value for each in at.warning]
    assert at.says("The result reads as **stop**")


def test_a_long_list_is_shown_in_parts(attack: Callable[..., AttackRun], kept: Store) -> None:
    run = attack()
    for _ in range(21):
        kept.add(MODELS[SIGNS], run.request, run.result)
    at = open_page()

    def listed() -> int:
        return sum(each.label == "Open" for each in at.main.button)

    assert listed() == 20
    at.widget("button", "Show more of the 22").click().run()
    assert listed() == 22


def test_thumbnails_show_the_original_and_the_attacked_picture(attack: Callable[..., AttackRun], kept: Store) -> None:
    run = attack()
    (row,) = kept.rows()
    original, image = run.result.original, run.result.image
    pictures = (row.original, to_picture(original)), (row.attacked, to_picture(image))
    for thumbnail, picture in (*pictures, (row.change, perturbation_map(original, image)[0])):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(thumbnail))), picture)
