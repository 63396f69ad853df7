"""Attacks under way: step by step, stopped, looked away from, in two tabs at once.

What is slow here has a twin without a browser in tests/pages/attack_lab, tests/ui/test_truth.py or, for Geometry,
tests/ui/figures/test_space.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from lab.archive import unpack
from models.registry import ASSETS
from tests.browser.conftest import photo

if TYPE_CHECKING:
    from tests.browser.conftest import Lab, Sight, Visit

RUNNING = re.compile(r"Running: iteration (\d+)\.")
AFTER_SOME = re.compile(r"^[5-9]|\d\d")
"""Updates."""
SLOW = "model=gtsrb-onehot&want=no+vehicles"
"""Its attacks last for seconds on the tests' server: see tests/browser/resting.py."""
ENDLESS = f"{SLOW}&attack=refined&steps=1000"


@pytest.fixture
def lab(open_lab: Callable[..., Lab]) -> Lab:
    """A lab in which attacks are slow: that from "give way" to "no vehicles" takes a dozen updates."""
    return open_lab(SLOW).reads_as("give way").ready()


@pytest.mark.slow
def test_steps_are_taken_one_by_one_and_reset_goes_back_to_the_original(lab: Lab) -> None:
    original = lab.picture("Original:")
    np.testing.assert_array_equal(lab.picture("Attacked:"), original)
    for number in (1, 2, 3):
        lab.button("Step").click()
        expect(lab.slider).to_have_attribute("max", str(number))
        expect(lab.slider).to_have_value(str(number))
    assert not np.array_equal(lab.picture("Attacked:"), original)
    lab.button("Run").click()
    expect(lab.success).to_contain_text("The result reads as no vehicles")
    expect(lab.slider).not_to_have_value("3")
    lab.button("Reset").click()
    expect(lab.success).to_have_count(0)
    expect(lab.slider).to_have_count(0)
    np.testing.assert_array_equal(lab.picture("Attacked:"), original)


@pytest.mark.slow
def test_a_running_attack_can_be_stopped_and_goes_on_when_asked(open_lab: Callable[..., Lab]) -> None:
    lab = open_lab(ENDLESS).ready()
    lab.button("Run").click()
    expect(lab.page.get_by_text(RUNNING)).to_be_visible()
    lab.button("Stop").click()
    expect(lab.page.get_by_text("Paused.")).to_be_visible()
    expect(lab.button("Stop")).to_be_disabled()
    halted = lab.updates()
    assert halted >= 1
    lab.button("Step").click()
    expect(lab.slider).to_have_attribute("max", str(halted + 1))
    expect(lab.page.get_by_text("Paused.")).to_be_visible()
    expect(lab.button("Run")).to_be_enabled()


def test_the_slider_follows_the_arrow_keys_to_the_original(open_lab: Callable[..., Lab], example: Sight) -> None:
    lab = open_lab().ready()
    _, stored = unpack((ASSETS / "example.npz").read_bytes())
    attacked = lab.picture(f"Attacked: {example.wanted}")
    last = lab.update()
    lab.slider.focus()
    lab.slider.press("ArrowLeft")
    expect(lab.page.get_by_text(re.compile(rf"^{last - 1}: (step|full step|halving)")).first).to_be_visible()
    lab.slider.press("Home")
    expect(lab.page.get_by_text("Perturbation: none yet")).to_be_visible()
    expect(lab.page.get_by_role("row", name="L2 0.000")).to_be_visible()
    np.testing.assert_array_equal(lab.picture(f"Attacked: {example.reads}"), example.picture)
    lab.slider.press("ArrowRight")
    expect(lab.page.get_by_role("row", name=f"L2 {stored.steps[0].l2:.3f}")).to_be_visible()
    lab.slider.press("End")
    expect(lab.page.get_by_text(f"Attacked: {example.wanted}", exact=True)).to_be_visible()
    expect(lab.slider).to_have_value(str(len(stored.steps)))
    assert not np.array_equal(attacked, example.picture)


@pytest.mark.slow
def test_a_key_pressed_while_an_attack_runs_holds_until_it_is_followed_again(open_lab: Callable[..., Lab]) -> None:
    lab = open_lab(ENDLESS).ready()
    lab.button("Run").click()
    expect(lab.slider).to_have_attribute("max", AFTER_SOME)
    lab.slider.press("Home")
    reached = int(lab.slider.get_attribute("max") or 0)
    for _ in range(2):  # films
        expect(lab.slider).not_to_have_attribute("max", str(reached))
        reached = int(lab.slider.get_attribute("max") or 0)
        expect(lab.slider).to_have_value("0")
    expect(lab.page.get_by_text("Measures of the original")).to_be_visible()
    lab.slider.press("End")
    expect(lab.slider).not_to_have_attribute("max", str(reached))
    assert lab.slider.evaluate("slider => slider.value === slider.max")
    lab.slider.press("Home")
    lab.button("Stop").click()
    expect(lab.page.get_by_text("Paused.")).to_be_visible()
    lab.idle()
    expect(lab.slider).to_have_value("0")


@pytest.mark.slow
def test_a_double_click_on_run_is_one_attack_that_succeeds(lab: Lab) -> None:
    lab.button("Run").dblclick()
    expect(lab.success).to_contain_text("The result reads as no vehicles")
    updates = lab.updates()
    lab.button("Run again").dblclick()
    expect(lab.page.get_by_text(RUNNING)).to_be_visible()
    expect(lab.success).to_contain_text("The result reads as no vehicles")
    assert lab.updates() == updates


def test_the_server_never_names_a_message_that_the_browser_may_have_dropped(open_lab: Callable[..., Lab]) -> None:
    """Two requests in a row, of which the first names what the browser holds and drops at the second's end: that tab
    was lost."""
    told: list[str] = []

    def note(frame: str | bytes) -> None:
        assert isinstance(frame, bytes)
        told.append(str(ForwardMsg.FromString(frame).WhichOneof("type")))

    def listen(page: Page) -> None:
        page.on("websocket", lambda socket: socket.on("framereceived", note))

    lab = open_lab(prepare=listen).ready()
    for page, title in (("Geometry", "Mahalanobis against Euclid"), ("Attack lab", "cat → flowers")):
        lab.page.get_by_role("link", name=page).click()
        expect(lab.page.get_by_role("heading", level=1)).to_have_text(title)
        lab.idle()
    assert told.count("delta") > 100
    assert "ref_hash" not in told


@pytest.mark.slow
def test_a_run_goes_on_while_another_page_is_looked_at(lab: Lab) -> None:
    lab.button("Run").click()
    expect(lab.page.get_by_text(RUNNING)).to_be_visible()
    lab.page.get_by_role("link", name="Models").click()
    expect(lab.page.get_by_role("heading", level=1)).to_have_text("Models")
    lab.page.get_by_role("link", name="Attack lab").click()
    expect(lab.page.get_by_role("heading", level=1)).to_contain_text(" → ")
    expect(lab.page.get_by_text("Original: give way")).to_be_visible()
    expect(lab.page.get_by_text(RUNNING).or_(lab.success)).to_be_visible()  # not the caption of an attack to begin
    lab.page.get_by_role("link", name="Models").click()
    expect(lab.page.get_by_role("heading", level=1)).to_have_text("Models")
    lab.page.go_back()
    expect(lab.page.get_by_role("heading", level=1)).to_contain_text(" → ")
    expect(lab.success).to_contain_text("The result reads as no vehicles")


@pytest.mark.slow
def test_an_attack_in_a_second_tab_waits_for_the_first_and_both_succeed(
    lab: Lab, open_lab: Callable[..., Lab], sight: Callable[..., Sight]
) -> None:
    bridge = sight("bridge")
    other = open_lab("photo=bridge").ready().reads_as(bridge.reads)
    lab.button("Run").click()
    expect(lab.page.get_by_text(RUNNING)).to_be_visible()
    other.button("Run").click()
    expect(other.page.get_by_text("Waiting: 1 other attack goes before this one")).to_be_visible()
    expect(other.success).to_contain_text(f"The result reads as {bridge.wanted}")
    expect(lab.success).to_contain_text("The result reads as no vehicles")


def test_the_page_wakes_up_when_another_attack_of_the_session_has_ended(lab: Lab) -> None:
    lab.button("Run").click()
    expect(lab.page.get_by_text(RUNNING)).to_be_visible()
    lab.photo("stop", "stop")
    expect(lab.page.get_by_text("Another attack of yours is not done")).to_be_visible()
    expect(lab.button("Run")).to_be_disabled()
    expect(lab.page.get_by_text("Another attack of yours is not done")).to_have_count(0, timeout=40_000)
    expect(lab.button("Run")).to_be_enabled()
    lab.photo("give way", "give way")
    expect(lab.success).to_contain_text("The result reads as no vehicles")


def test_a_reload_in_the_middle_of_an_attack_finds_it_again_and_after_its_end_shows_the_result(lab: Lab) -> None:
    lab.button("Run").click()
    expect(lab.page.get_by_text(RUNNING)).to_be_visible()
    lab.page.reload()
    lab.reads_as("give way")
    expect(lab.button("Stop").or_(lab.success).first).to_be_visible()
    expect(lab.success).to_contain_text("The result reads as no vehicles")
    expect(lab.page.get_by_text(re.compile(r"\(result\)"))).to_be_visible()
    updates = lab.updates()
    lab.page.reload()
    expect(lab.success).to_contain_text("The result reads as no vehicles")
    expect(lab.page.get_by_text(re.compile(r"\(result\)"))).to_be_visible()
    assert lab.updates() == updates


def test_a_reload_keeps_ones_own_photo_and_the_attack_on_it_can_be_stopped(
    open_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    lab = open_lab(ENDLESS).ready()
    mine = tmp_path / "mine.png"
    photo("stop", "gtsrb").save(mine)
    lab.page.locator("input[type=file]").first.set_input_files(mine)
    lab.reads_as("stop").want("turn left ahead")
    lab.button("Run").click()
    expect(lab.page.get_by_text(RUNNING)).to_be_visible()
    lab.page.reload()
    lab.reads_as("stop")
    expect(lab.headline).to_have_text("stop → turn left ahead")
    lab.button("Stop").click()
    expect(lab.page.get_by_text("Paused.")).to_be_visible()
    assert lab.updates() >= 1


@pytest.mark.slow
def test_an_attack_on_an_upload_is_stopped_and_found_from_the_next_upload(
    open_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    lab = open_lab(ENDLESS).ready()
    for name in ("stop", "no_entry"):
        photo(name, "gtsrb").save(tmp_path / f"my-{name}.png")
    lab.page.locator("input[type=file]").first.set_input_files(tmp_path / "my-stop.png")
    lab.reads_as("stop")
    lab.button("Run").click()
    expect(lab.page.get_by_text(RUNNING)).to_be_visible()
    lab.page.locator("input[type=file]").first.set_input_files(tmp_path / "my-no_entry.png")
    expect(lab.page.get_by_text("Another attack of yours is not done: my-stop.png")).to_be_visible()
    lab.button("Stop it").click()
    expect(lab.page.get_by_text("Another attack of yours is not done")).to_have_count(0)
    lab.thumbnail("my-stop").or_(lab.thumbnail("yours")).first.click()
    lab.reads_as("stop")


@pytest.mark.slow
def test_the_frame_called_the_result_reads_as_the_result(
    open_lab: Callable[..., Lab], sight: Callable[..., Sight]
) -> None:
    """Of the refined attack, whose nearest hit lies among misses, and of which the player shows a part only."""
    cat = sight("cat", "cifar10-ecoc16")
    lab = open_lab("model=cifar10-ecoc16&photo=cat&level=refined&iterations=120").reads_as(cat.reads)
    lab.button("Run").click()
    expect(lab.success).to_contain_text(f"The result reads as {cat.wanted}")
    lab.idle()
    expect(lab.page.get_by_text(re.compile(r"^\d+: sphere \(result\)"))).to_be_visible()
    expect(lab.page.get_by_text(f"Attacked: {cat.wanted}", exact=True)).to_be_visible()
    result = lab.update()
    expect(lab.success).to_contain_text(f"update {result}, at L2")
    expect(lab.page.get_by_role("heading", name=f"Measures of update {result} of 120, the result")).to_be_visible()


@pytest.mark.slow
def test_the_margins_of_codewords_cross_zero_where_the_word_is_read(open_lab: Callable[..., Lab]) -> None:
    """The curve is the decoder's: the linear rows that JMA aims at may still be violated there."""
    lab = open_lab("model=mnist-ecoc16&want=6").ready()
    lab.button("Run").click()
    expect(lab.success).to_contain_text("The result reads as 6")
    expect(lab.page.get_by_text(re.compile(r"\(result\)"))).to_be_visible()
    result = lab.update()
    worst = lab.page.locator(".js-plotly-plot").first.evaluate(
        "plot => { const { x, y } = plot._fullData.find(t => t.name === 'worst margin');"
        " return [Array.from(x), Array.from(y)] }"
    )
    curve = dict(zip(*worst, strict=True))
    assert curve[0] < 0 < curve[result]
    expect(lab.page.get_by_text("margin, correlation")).to_be_visible()


@pytest.mark.slow
def test_the_region_that_geometry_shows_for_codewords_is_the_decoders(visit: Callable[..., Visit]) -> None:
    page = visit("/geometry?model=mnist-ecoc16&want=6").page
    expect(page.get_by_text("Grey is what the decoder reads as wanted")).to_be_visible()
    page.wait_for_function("document.querySelector('.js-plotly-plot')?.data?.some(t => t.type === 'contour')")
    grey = page.locator(".js-plotly-plot").first.evaluate(
        "plot => { const g = plot.data.find(t => t.type === 'contour');"
        " return [g.name, g.contours.operation, plot.data.map(t => t.name)] }"
    )
    assert grey[:2] == ["read as wanted, by the decoder", "<"]
    assert "linear region, what JMA aims at" in grey[2]
