"""The player in the browser: scrubbing, playing without the server, views, labels, motion, and what is sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, WebSocket, expect

from tests.browser.conftest import serving
from tests.browser.looks import assert_nothing_sticks_out, looks
from tests.browser.player_page import CLASSES, HOSTILE, UPDATES, images
from ui.player.player import MOMENTS

if TYPE_CHECKING:
    from tests.browser.conftest import Lab, Sight, Visit

pytestmark = pytest.mark.xdist_group("player")  # its server is started once
MEGABYTE = 1_000_000
TRANSFORMS = "all => [...new Set(all.map(each => getComputedStyle(each).transform))]"
KEY_HELD_DOWN = """slider => {
    for (let i = 0; i < 10; i++) slider.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true }))
}"""
SERVER = re.compile(r"Server: update (\d+), drawn (\d+) times\.")


@pytest.fixture(scope="module")
def player_server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of tests/browser/player_page.py."""
    log = tmp_path_factory.mktemp("player") / "log.txt"
    with serving(log, script="tests/browser/player_page.py") as server:
        yield server.address
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture
def open_player(player_server: str, visit: Callable[..., Visit]) -> Callable[..., Player]:
    return lambda path="/", **options: Player(visit(path, host=player_server, **options).page)


@pytest.fixture
def player(open_player: Callable[..., Player]) -> Player:
    """On a device that does not ask for less motion."""
    return open_player(motion="no-preference")


class Player:
    """The player on its page, as somebody knows it who sees it and has a keyboard."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.box = page.get_by_role("group", name="Player")
        self.slider = page.get_by_role("slider", name="Update")
        expect(self.slider).to_have_value(str(UPDATES))

    def button(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def server(self) -> tuple[int, int]:
        """The update that the server shows, and how often it has drawn the page."""
        found = SERVER.search(self.page.get_by_text(SERVER).inner_text())
        assert found is not None
        return int(found[1]), int(found[2])

    def followed(self, update: int) -> None:
        """Wait until the server shows the update too."""
        expect(self.slider).to_have_value(str(update))
        expect(self.page.get_by_text(f"Server: update {update},")).to_be_visible()

    def labels(self) -> list[str]:
        return self.page.get_by_role("rowheader").all_inner_texts()

    def updates(self) -> list[int]:
        """Those that can be shown, by going through all of them."""
        self.slider.press("Home")
        seen = [0]
        while seen[-1] < UPDATES:
            self.slider.press("ArrowRight")
            seen.append(int(self.slider.input_value()))
        return seen


def test_keys_scrub_and_the_page_follows_once_they_rest(player: Player) -> None:
    player.slider.focus()
    updates = player.updates()
    assert len(updates) == MOMENTS
    player.followed(UPDATES)
    player.slider.press("ArrowLeft")
    player.followed(updates[-2])
    player.slider.press("Home")
    player.followed(0)
    expect(player.page.get_by_text("0: original. Reads as class 1. L2 0.000.")).to_be_visible()
    expect(player.page.get_by_text("Perturbation: none yet")).to_be_visible()
    player.box.focus()
    player.box.press("ArrowRight")
    player.followed(updates[1])
    player.box.press("End")
    player.followed(UPDATES)
    _, drawn = player.server()
    player.slider.evaluate(KEY_HELD_DOWN)
    player.followed(updates[-11])
    player.page.wait_for_timeout(500)
    assert player.server()[1] == drawn + 1, "ten keys in quick succession draw the page once"


def test_the_buttons_go_where_they_say_and_dragging_snaps_to_a_moment_that_is_there(player: Player) -> None:
    player.button("First update")
    player.followed(0)
    player.button("One update on")
    player.followed(1)
    player.button("Last update")
    player.followed(UPDATES)
    player.button("One update back")
    expect(player.slider).not_to_have_value(str(UPDATES))
    updates = player.updates()
    gone = next(i for i in range(UPDATES) if i not in updates)
    player.slider.fill(str(gone))
    near = int(player.slider.input_value())
    assert near in updates
    assert abs(near - gone) == 1
    player.followed(near)


def test_playing_asks_the_server_for_nothing_and_it_follows_at_the_end(
    open_player: Callable[..., Player],
) -> None:
    messages: list[int] = []
    player = open_player(motion="no-preference", prepare=sending(messages))
    player.page.wait_for_timeout(500)
    messages.clear()
    _, drawn = player.server()
    player.box.focus()
    player.box.press(" ")
    expect(player.page.get_by_role("button", name="Pause")).to_be_visible()
    seen = set()
    while player.page.get_by_role("button", name="Pause").count():
        seen.add(player.page.get_by_text("Reads as class").inner_text())
        if len(seen) == MOMENTS // 2:
            assert messages == []
            assert player.server()[1] == drawn
        player.page.wait_for_timeout(50)
    assert len(seen) > MOMENTS // 2
    player.followed(UPDATES)
    player.page.wait_for_timeout(1000)
    assert len(messages) == 1
    assert player.server() == (UPDATES, drawn + 1)


def test_keys_work_as_long_as_nothing_else_has_the_keyboard_and_space_types_in_a_field(player: Player) -> None:
    updates = player.updates()
    player.page.evaluate("document.activeElement.blur()")
    player.page.keyboard.press("ArrowLeft")
    player.followed(updates[-2])
    player.page.keyboard.press("ArrowRight")
    player.followed(UPDATES)
    player.page.keyboard.press(" ")
    expect(player.page.get_by_role("button", name="Pause")).to_be_visible()
    player.page.keyboard.press(" ")
    expect(player.page.get_by_role("button", name="Play")).to_be_visible()
    search = player.page.get_by_role("searchbox")
    search.press_sequentially("a b")
    expect(search).to_have_value("a b")
    expect(player.page.get_by_role("button", name="Play")).to_be_visible()


def test_space_halts_and_the_page_follows_there(player: Player) -> None:
    player.box.focus()
    player.box.press(" ")
    expect(player.slider).to_have_value(re.compile(r"^[1-9]$"))
    player.box.press(" ")
    expect(player.page.get_by_role("button", name="Play")).to_be_visible()
    here = int(player.slider.input_value())
    player.followed(here)
    assert 1 <= here < UPDATES


def test_bars_states_and_what_pictures_say_follow_each_update(player: Player) -> None:
    row = player.page.get_by_role("row", name="class 2 ").first
    expect(row).to_contain_text("✓ flipped as asked")
    at_end = row.locator(".gauge i").evaluate("bar => bar.style.width")
    player.slider.press("Home")
    expect(row).to_contain_text("… not yet")
    expect(row).to_contain_text("−2.00")  # its logit is 7 where that of class 1 is 9
    at_start = row.locator(".gauge i").evaluate("bar => bar.style.width")
    assert float(at_start.rstrip("%")) < float(at_end.rstrip("%"))
    assert row.get_by_role("cell").all_inner_texts()[:3] == ["no", "yes", "7.00"]
    player.slider.press("ArrowRight")
    for alt in (
        "Original photo; reads as class 1.",
        f"Attacked photo after update 1 of {UPDATES}; reads as class 1.",
        re.compile(f"Perturbation: × .*, after update 1 of {UPDATES}"),
    ):
        expect(player.page.get_by_role("img", name=alt)).to_be_visible()
    picture = player.page.get_by_role("figure").filter(has_text="Original:").get_by_role("img")
    expect(picture).to_have_css("image-rendering", "pixelated")
    box = picture.bounding_box()
    assert box is not None
    assert box["width"] > 200


def test_a_divider_is_wiped_over_the_pictures(player: Player) -> None:
    player.page.get_by_role("radio", name="Slider").check()
    figure = player.page.get_by_role("figure").filter(has_text="Left of the divider")
    pane, over = figure.locator(".pane"), figure.locator(".over")
    expect(player.page.get_by_role("figure")).to_have_count(2)
    share = "image => getComputedStyle(image).clipPath"
    assert over.evaluate(share) == "inset(0px 50% 0px 0px)"
    divider = player.page.get_by_role("slider", name="Divider")
    divider.press("ArrowLeft")
    assert over.evaluate(share) == "inset(0px 51% 0px 0px)"
    box = pane.bounding_box()
    assert box is not None
    player.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    player.page.mouse.down()
    player.page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 20, steps=5)
    player.page.mouse.up()
    expect(divider).to_have_value("25")
    assert over.bounding_box() == pane.bounding_box(), "the pictures lie on each other"
    expect(player.slider).to_have_value(str(UPDATES))


def test_flicker_is_asked_for_and_changes_at_most_twice_a_second(player: Player) -> None:
    stage = player.page.locator(".stage")
    flips = """stage => new Promise(resolve => {
        let count = 0
        const watching = new MutationObserver(() => count++)
        watching.observe(stage, { attributes: true, attributeFilter: ["class"] })
        setTimeout(() => { watching.disconnect(); resolve(count) }, 2000)
    })"""
    player.page.get_by_role("radio", name="Flicker").check()
    which = player.page.locator(".which")
    for shown in ("Attacked", "Original"):
        expect(which).to_have_text(shown)
        assert stage.evaluate("stage => stage.classList.contains('flipped')") == (shown == "Original")
    assert 2 <= stage.evaluate(flips) <= 4
    player.page.get_by_role("radio", name="Side by side").check()
    assert stage.evaluate(flips) == 0


def test_a_device_that_asks_for_less_motion_gets_no_flicker_and_slow_steps(open_player: Callable[..., Player]) -> None:
    player = open_player(motion="reduce")
    expect(player.page.get_by_text("asks for less motion, Play shows one update a second")).to_be_visible()
    expect(player.page.get_by_role("radio")).to_have_count(2)
    assert player.page.locator(".gauge i").first.evaluate("bar => getComputedStyle(bar).transitionDuration") == "0s"
    player.box.press(" ")
    player.page.wait_for_timeout(2500)
    assert int(player.slider.input_value()) in (1, 2)


def test_a_thousand_labels_are_searched_and_sorted_and_one_that_looks_like_html_is_text(player: Player) -> None:
    expect(player.page.get_by_text(f"{CLASSES} labels, the first 60 are shown")).to_be_visible()
    assert player.labels()[:2] == ["class 1", "class 2"]  # what was asked for comes first
    assert len(player.labels()) == 60
    player.page.get_by_role("searchbox").fill("CLASS 98")
    expect(player.page.get_by_text(f"11 of {CLASSES} labels")).to_be_visible()
    assert set(player.labels()) == {"class 98", *(f"class {i}" for i in range(980, 990))}
    sort = player.page.get_by_role("combobox", name="Sort labels")
    sort.select_option("by name")
    assert player.labels() == sorted(player.labels())
    sort.select_option("by margin")
    column = player.page.locator("tbody tr td:nth-child(5)").all_inner_texts()
    margins = [float(text.replace("−", "-")) for text in column]
    assert margins == sorted(margins)
    assert len(set(margins)) > 5
    box = player.page.get_by_role("region", name="Table of labels").bounding_box()
    player.page.get_by_role("searchbox").fill("")
    taller = player.page.get_by_role("region", name="Table of labels").bounding_box()
    assert box is not None
    assert taller is not None
    assert taller["height"] <= 420
    player.page.get_by_role("searchbox").fill("onerror")
    assert player.labels() == [HOSTILE]
    assert "hacked" not in player.page.title()
    assert player.page.locator("tbody img").count() == 0


def test_the_choice_of_view_and_search_outlast_what_the_server_does(player: Player) -> None:
    player.page.get_by_role("radio", name="Slider").check()
    player.page.get_by_role("searchbox").fill("class 77")
    player.slider.press("Home")
    player.followed(0)
    expect(player.page.get_by_role("radio", name="Slider")).to_be_checked()
    expect(player.page.get_by_role("searchbox")).to_have_value("class 77")
    expect(player.page.get_by_text(f"11 of {CLASSES} labels")).to_be_visible()


def test_the_player_fits_in_every_width_and_scheme(player: Player) -> None:
    for view in ("Side by side", "Slider", "Flicker"):
        player.page.get_by_role("radio", name=view).check()
        for width, _ in looks(player.page):
            assert_nothing_sticks_out(player.page)
            for part in (*player.page.get_by_role("figure").all(), player.page.get_by_role("table")):
                box = part.bounding_box()
                assert box is not None
                assert 0 <= box["x"] < box["x"] + box["width"] <= width


def test_pixels_are_zoomed_moved_and_read_in_all_pictures_by_keyboard_and_mouse(player: Player) -> None:
    page, stage = player.page, player.page.get_by_role("region", name="Pictures")
    value = page.locator(".value")

    stage.focus()
    stage.press("ArrowLeft")
    expect(player.slider).not_to_have_value(str(UPDATES))  # while all of it is seen, arrows go from update to update
    player.slider.press("End")
    stage.focus()
    for _ in range(3):
        stage.press("+")
    (transform,) = stage.locator(".pane > .layer").evaluate_all(TRANSFORMS)
    assert transform.startswith("matrix(5.33333, 0, 0, 5.33333, ")  # to 6 of 32 pixels
    stage.press("ArrowLeft")
    expect(value).to_contain_text("Pixel (15, 16)")
    stage.press("ArrowUp")
    expect(value).to_contain_text("Pixel (15, 15)")
    expect(player.slider).to_have_value(str(UPDATES))

    image, change = images()
    attacked = np.clip(image + change, 0, 1)
    half_a_step = 255 * np.abs(attacked - image).max() / 63 / 2
    original, attacked = (each[:, 15, 15] * 255 for each in (image, attacked))
    told = [float(each.replace("−", "-")) for each in re.findall(r"[−+]?\d+(?:\.\d+)?", value.inner_text())]
    assert told[4:7] == original.round().tolist()
    np.testing.assert_allclose(told[7:10], attacked, rtol=0, atol=half_a_step + 0.0501)
    np.testing.assert_allclose(told[10:13], attacked - original, rtol=0, atol=half_a_step + 0.0501)
    assert told[13] == float(f"{half_a_step:.1g}")

    shades = (
        "canvas => [...new Set(new Uint32Array(canvas.getContext('2d').getImageData(0, 0, 32, 32).data.buffer))].length"
    )
    drawn = stage.locator(".map canvas")
    assert drawn.evaluate(shades) > 10
    page.get_by_role("combobox", name="Perturbation").select_option("sign of that mean")
    expect(stage.get_by_role("img", name="however little")).to_be_visible()
    assert 2 <= drawn.evaluate(shades) <= 3
    gain = page.get_by_role("slider", name="Gain")
    gain.fill("0")
    page.get_by_role("combobox", name="Perturbation").select_option("red only")
    expect(stage).to_contain_text("Perturbation: × 1, blue less red, orange more")
    player.slider.press("ArrowLeft")
    expect(stage).to_contain_text("Perturbation: × 1,")  # one gain over all updates
    stage.press("0")
    assert stage.locator(".pane > .layer").evaluate_all(TRANSFORMS) == ["matrix(1, 0, 0, 1, 0, 0)"]


def test_who_zooms_into_a_large_picture_gets_its_own_pixels(open_player: Callable[..., Player]) -> None:
    sizes: list[int] = []
    player = open_player("/?side=640", prepare=receiving(sizes))
    stage, value = player.page.get_by_role("region", name="Pictures"), player.page.locator(".value")
    reduced = player.page.get_by_text("Shown here at 320 × 320 pixels")
    canvases = stage.get_by_role("img", include_hidden=True)
    expect(reduced).to_contain_text("the attack works on 640 × 640. Zoom in to see those")
    player.page.wait_for_timeout(1000)
    sizes.clear()
    stage.focus()
    stage.press("+")
    expect(reduced).to_have_count(0)
    assert canvases.evaluate_all("all => all.map(each => each.width)") == 4 * [640]
    assert sum(sizes) > MEGABYTE
    stage.press("ArrowRight")
    expect(value).to_contain_text("Pixel (360, 320)")
    image, change = images(640)
    attacked = np.clip(image + change, 0, 1)
    told = [float(each.replace("−", "-")) for each in re.findall(r"[−+]?\d+(?:\.\d+)?", value.inner_text())]
    assert told[4:7] == (image[:, 320, 360] * 255).round().tolist()
    np.testing.assert_allclose(told[7:10], attacked[:, 320, 360] * 255, rtol=0, atol=told[13] + 0.06)
    player.slider.press("ArrowLeft")  # another update comes at its own size too, the original not again
    expect(reduced).to_have_count(1)
    expect(reduced).to_have_count(0)
    (transform,) = stage.locator(".pane > .layer").evaluate_all(TRANSFORMS)
    assert transform.startswith("matrix(2, 0, 0, 2, ")


def receiving(sizes: list[int]) -> Callable[[Page], None]:
    """Notes the size of each message from the server."""

    def hear(socket: WebSocket) -> None:
        socket.on("framereceived", lambda data: sizes.append(len(data)))

    return lambda page: page.on("websocket", hear)


def sending(messages: list[int]) -> Callable[[Page], None]:
    """Notes the size of each message to the server."""

    def hear(socket: WebSocket) -> None:
        socket.on("framesent", lambda data: messages.append(len(data)))

    return lambda page: page.on("websocket", hear)


@pytest.mark.parametrize("model", [pytest.param("scenes", marks=pytest.mark.slow), "imagenet-onehot"])
def test_a_new_run_sends_at_most_four_megabytes(
    model: str, open_lab: Callable[..., Lab], sight: Callable[..., Sight]
) -> None:
    sizes: list[int] = []
    lab = open_lab(prepare=receiving(sizes)).ready()
    if model == "imagenet-onehot":
        lab.model(model).want("espresso")
    else:
        lab.photo("bridge", sight("bridge").reads)
    lab.idle()
    sizes.clear()
    lab.button("Run").click()
    expect(lab.success).to_contain_text("The result reads as")
    expect(lab.page.get_by_text("JPEG, quality 90")).to_be_visible()
    updates = lab.updates()
    print(f"{model}: {sum(sizes) / MEGABYTE:.2f} MB in {len(sizes)} messages for {updates} updates")
    assert 0.5 * MEGABYTE < sum(sizes) <= 4 * MEGABYTE
    sizes.clear()
    lab.slider.press("Home")
    expect(lab.page.get_by_role("row", name="L2 0.000")).to_be_visible()
    lab.idle()
    assert sum(sizes) < 0.1 * MEGABYTE, "nothing that the browser has is sent again"


def test_a_picture_that_is_lost_on_the_way_is_asked_for_again(player_server: str, visit: Callable[..., Visit]) -> None:
    lost: list[int] = []

    def lose(page: Page) -> None:
        def route(socket: object) -> None:
            server = socket.connect_to_server()  # type: ignore[attr-defined]

            def pass_on(message: bytes | str) -> None:
                if not lost and len(message) > 50_000:
                    lost.append(len(message))
                    message = re.sub(rb'("parcels": \{")[0-9a-f]{4}', rb"\1lost", message)  # type: ignore[arg-type]
                socket.send(message)  # type: ignore[attr-defined]

            server.on_message(pass_on)

        page.route_web_socket(re.compile("_stcore/stream"), route)

    player = Player(visit("/", host=player_server, prepare=lose).page)
    assert lost
    player.slider.press("Home")
    player.followed(0)
    assert player.server()[1] == 3, "drawn when opened, when asked again, and at Home"
