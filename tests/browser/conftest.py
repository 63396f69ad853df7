"""A real Chromium before real servers. Nothing leaves this computer: requests to other hosts fail, and are noted."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, expect

from bench.browsing import PATIENCE, ROOT, chromium, serving
from lab.archive import unpack
from lab.photos.samples import EXAMPLE_PHOTO, samples
from lab.runs.sweeps import OwnSweep
from models.encodings import Prediction
from models.registry import DEFAULT, MODELS
from tests.sheets import half_filled

HARMLESS = re.compile(
    r"/(models|compare|photos|benchmark|geometry|learn|present|runs)/_stcore/(health|host-config)$|/media/\w+\.png\b"
)
"""Streamlit looks for its server below a deep link first, and drops a picture at once when the page has another."""
BROKEN_PICTURES = """pictures => pictures.filter(each => each.complete && !each.naturalWidth)
    .map(each => each.src).filter(src => !src.startsWith("data:image/gif"))"""
"""Plotly's placeholders, GIFs of one pixel, have no width while the machine is busy."""

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Without one the tests are skipped, or fail if JMA_REQUIRE_BROWSER is set."""
    try:
        with chromium() as browser:
            yield browser
    except LookupError as none:
        if os.environ.get("JMA_REQUIRE_BROWSER"):
            pytest.fail(str(none))
        pytest.skip(str(none))


@pytest.fixture(scope="session")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that the tests share, where attacks on traffic signs rest."""
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with serving(log, module="tests.browser.resting") as server:
        yield server.address
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture
def cold_server(browser: Browser, tmp_path: Path) -> Iterator[str]:
    """The address of a server that nobody has visited yet."""
    with serving(tmp_path / "log.txt") as server:
        yield server.address


@dataclass
class Visit:
    """One browser tab on the app, and what went wrong in it."""

    page: Page
    errors: list[str] = field(default_factory=list)
    """JavaScript errors, and errors on the console."""
    abroad: list[str] = field(default_factory=list)
    """Requests to other hosts; none of them has found its host."""

    def go(self, path: str) -> Page:
        self.page.goto(path)
        expect(self.page.get_by_role("heading", level=1)).to_be_visible()
        return self.page

    def idle(self) -> None:
        """Wait until the server has drawn the page, and the browser has dropped what was there before."""
        expect(self.page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        expect(self.page.locator("[data-stale=true]")).to_have_count(0)


@pytest.fixture(scope="session")
def profile(browser: Browser) -> Callable[[str], BrowserContext]:
    """The browser's memory of a host, which keeps the app's scripts from one test to the next."""

    @cache
    def of(host: str) -> BrowserContext:
        context = browser.new_context(base_url=host)
        context.set_default_timeout(PATIENCE * 1000)
        return context

    return of


@pytest.fixture
def visit(profile: Callable[[str], BrowserContext], request: pytest.FixtureRequest) -> Iterator[Callable[..., Visit]]:
    """Opens tabs: visit("/models", width=380, scheme="dark"). At the end none of them may show or have had an error.

    ``prepare`` is done to the tab before it is opened. What pages have told the browser to remember ends with the test.
    """
    visits: list[Visit] = []

    def visit(
        path: str = "/",
        *,
        host: str = "",
        width: int = 1440,
        scheme: Any = "light",
        motion: Any = "reduce",
        prepare: Callable[[Page], Any] = lambda _: None,
    ) -> Visit:
        host = host or request.getfixturevalue("server")
        opened = Visit(profile(host).new_page())
        opened.page.set_viewport_size({"width": width, "height": 900})
        opened.page.emulate_media(color_scheme=scheme, reduced_motion=motion)
        visits.append(opened)

        def ask(asked: Request) -> None:
            address = urlsplit(asked.url)
            if address.scheme in ("http", "https", "ws", "wss") and address.netloc != urlsplit(host).netloc:
                opened.abroad.append(asked.url)

        def note(message: ConsoleMessage) -> None:
            url = message.location.get("url", "")
            if message.type == "error" and url not in opened.abroad and not HARMLESS.search(f"{message.text} {url}"):
                opened.errors.append(f"{message.text} ({url})")

        opened.page.on("request", ask)
        opened.page.on("console", note)
        opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
        prepare(opened.page)
        opened.go(path)
        return opened

    yield visit
    exceptions = [text for each in visits for text in each.page.get_by_test_id("stException").all_inner_texts()]
    errors = [error for each in visits for error in each.errors]
    broken = [url for each in visits for url in each.page.locator("img").evaluate_all(BROKEN_PICTURES)]
    for context in {each.page.context for each in visits}:
        for page in context.pages:
            page.evaluate("localStorage.clear(), sessionStorage.clear()")
            page.goto("about:blank")  # a page that is left may yet set a cookie
        context.clear_cookies()
        for page in context.pages:
            page.close()
    assert exceptions == []
    assert errors == []
    assert broken == []


@dataclass(frozen=True)
class Sight:
    """A photo as a model sees it, and what the page is to say of it."""

    picture: NDArray[np.uint8]
    """(size, size, 3)."""
    reads: str
    wanted: str
    """The labels that the page proposes as a target."""


def photo(name: str, kind: str = "photos") -> Image.Image:
    """A sample photo, by the beginning of its file's name."""
    return next(each.image for each in samples(kind).values() if each.name.startswith(name))


@pytest.fixture(scope="session")
def sight() -> Callable[..., Sight]:
    """What a model reads: sight("rocket"), sight("frog", "cifar10-ecoc16"), sight(image); by the network itself."""
    import torch

    from models.loaders import load, to_tensor

    loaded: dict[str, Any] = {}

    def look(of: str | Image.Image, model: str = DEFAULT) -> Sight:
        spec = MODELS[model]
        picture = spec.preprocessing(photo(of, spec.samples) if isinstance(of, str) else of)
        loaded[model] = loaded.get(model) or load(spec)
        with torch.no_grad():
            z = loaded[model].network(to_tensor(picture)[None])[0]
        decoded = loaded[model].encoding.decode(z).numpy()
        wanted = spec.encoding.proposed(Prediction(z.numpy(), decoded))
        return Sight(picture, spec.encoding.names(decoded), spec.encoding.wish(wanted))

    return look


@pytest.fixture(scope="session")
def example() -> Sight:
    """What the first page shows: the stored attack."""
    _, result = unpack((ROOT / "assets/example.npz").read_bytes())
    spec = MODELS[DEFAULT]
    picture = spec.preprocessing(photo(EXAMPLE_PHOTO))
    return Sight(picture, spec.encoding.names(result.decoded_before), spec.encoding.names(result.target))


class Lab:
    """The attack lab in one tab, as somebody who sees and clicks knows it."""

    def __init__(self, visit: Visit) -> None:
        self.page = visit.page
        self.visit = visit
        self.success = self.page.get_by_role("status").filter(has_text="Reads as")
        self.slider = self.page.get_by_role("slider", name="Update")
        self.headline = self.page.get_by_role("heading", level=1)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def ready(self) -> Lab:
        """Wait until the network is there."""
        expect(self.page.get_by_text("The network is loading")).to_have_count(0)
        settings = self.page.get_by_text("Attack settings", exact=True)
        expect(settings).to_have_count(1)  # while the page is redrawn for another model, there may be two for a moment
        expect(settings).to_be_visible()
        return self

    def thumbnail(self, name: str) -> Locator:
        """The button below a photo of the gallery. Some labels are called as photos are, and are buttons too."""
        return self.page.get_by_test_id("stButton").get_by_role("button", name=name, exact=True)

    def photo(self, name: str, reads_as: str) -> Lab:
        """Choose a photo of the gallery, and wait for what the network says of it."""
        self.thumbnail(name).click()
        return self.reads_as(reads_as)

    def reads_as(self, name: str) -> Lab:
        expect(self.headline).to_have_text(re.compile(rf"^{re.escape(name)} → "))
        return self

    def model(self, name: str) -> Lab:
        """Choose a model by its name in the zoo, and wait until it is there."""
        self.choose("Model", MODELS[name].title)
        expect(self.page.get_by_text(MODELS[name].summary)).to_be_visible()
        return self.ready()

    def label(self, name: str) -> Locator:
        """The button of a label, which a click moves on."""
        return self.page.get_by_role("toolbar", name="Wanted labels").get_by_role("button", name=name, exact=True)

    def choose(self, box: str, option: str) -> Lab:
        """Type an option of a select box and pick it."""
        combobox = self.page.get_by_role("combobox", name=box)
        combobox.click()
        combobox.press_sequentially(option)
        self.page.get_by_role("option", name=option, exact=True).click()
        expect(combobox).to_have_value(option)
        return self

    def want(self, name: str) -> Lab:
        """Choose a wanted class, and wait until the page asks for it."""
        self.choose("Wanted class", name)
        expect(self.headline).to_contain_text(f"→ {name}")
        return self

    def update(self) -> int:
        """The update that the player shows."""
        self.idle()
        return int(self.slider.input_value())

    def updates(self) -> int:
        """How many the attack has made, once the player shows the last, which comes after the word of its end."""
        self.idle()
        if told := re.search(r"(\d+) updates", " ".join(self.success.all_inner_texts())):
            expect(self.slider).to_have_attribute("max", told[1])
        return int(self.slider.get_attribute("max") or 0)

    def figure(self, caption: str) -> Locator:
        """The player's picture above a caption that begins so."""
        return self.page.get_by_role("figure").filter(has_text=caption).locator("canvas").first

    def picture(self, caption: str) -> NDArray[np.uint8]:
        """Its pixels (H, W, 3)."""
        self.idle()
        expect(self.page.get_by_role("region", name="Pictures")).to_have_attribute("aria-busy", "false")
        head, _, body = self.figure(caption).evaluate("canvas => canvas.toDataURL()").partition(",")
        assert head == "data:image/png;base64"
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))).convert("RGB"))

    def idle(self) -> None:
        """Wait until the page is drawn."""
        self.visit.idle()

    def download(self, name: str) -> bytes:
        """The file behind a download button, which is called after photo and model."""
        self.idle()  # a file is made for the page as it is now
        with self.page.expect_download() as started:
            self.button(name).click()
        assert re.fullmatch(r"[\w.-]+-[\w.-]+-attacked\.(png|npz|json|html)", started.value.suggested_filename)
        return Path(started.value.path()).read_bytes()


@pytest.fixture
def open_lab(visit: Callable[..., Visit]) -> Callable[..., Lab]:
    """Opens the lab, by an address with a query if one is given, in a new tab of a browser of its own."""
    return lambda query="", **options: Lab(visit(f"/?{query}", **options))


@pytest.fixture
def lab(open_lab: Callable[..., Lab]) -> Lab:
    """The lab, just opened, once its network is there."""
    return open_lab().ready()


@pytest.fixture
def half() -> Iterator[OwnSweep]:
    """A half filled sheet in the data folder that the servers share with the tests."""
    own = half_filled()
    yield own
    own.delete()
