"""The app's answers in a real browser: python -m bench.app [--quick | --memory] [--json FILE]

Medians of a few repetitions, of the clock on the wall from the click to what it brings on the page; page changes also
give the 95th percentile. Stored runs go to a folder of the benchmark's own. ``--quick`` leaves out the server's memory,
which takes ten minutes; ``--memory`` measures it alone.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, Locator, Page, Response, WebSocket, expect

from bench.browsing import PATIENCE, Server, chromium, serving
from bench.report import arguments, print_table, write_json
from models.registry import MODELS

COLD_STARTS, PHOTOS, STEPS, STOPS, ROUNDS, RUNS = 3, 5, 5, 5, 6, 3
ATTACKS, EVERY = 50, 10
GONE = 150
"""Seconds after which Streamlit has forgotten a closed tab: it keeps it for two minutes in case it comes back."""
PAGES = {
    "Geometry": "Mahalanobis against Euclid",
    "Learn": "",
    "Runs": "Runs",
    "Models": "Models",
    "Attack lab": "",
}
"""Links, and the headings of their pages; the lesson's is its question, the lab's its attack."""
SAMPLES = ("bridge", "coral", "cars", "flowers", "people", "mountain", "statue")
"""Photos that the default network reads differently."""

expect.set_options(timeout=PATIENCE * 1000)


@dataclass(frozen=True)
class Figure:
    """What was measured, in its own unit."""

    name: str
    unit: str
    goal: float | None
    measured: float
    of: list[float] = field(default_factory=list)

    def row(self) -> tuple[str, str, str]:
        """Of the table."""
        goal = "" if self.goal is None else f"{self.goal:.3g} {self.unit}"
        missed = " (missed)" if self.goal is not None and self.measured > self.goal else ""
        return self.name, goal, f"{self.measured:.3g} {self.unit}{missed}"


class Lab:
    """The attack lab in one tab."""

    def __init__(self, browser: Browser, server: Server) -> None:
        self.context = browser.new_context(base_url=server.address, viewport={"width": 1440, "height": 900})
        self.context.set_default_timeout(PATIENCE * 1000)
        self.page: Page = self.context.new_page()
        self.received = 0
        """Bytes over the websocket, and of answers with pictures."""
        self.page.on("websocket", self._listen)
        self.page.on("response", self._count)
        self.page.goto("/")
        self.main = self.page.get_by_test_id("stMain")
        self.says = self.page.get_by_role("heading", level=1).filter(has_text=" → ")
        self.success = self.page.get_by_role("status").filter(has_text="Reads as")
        self.slider = self.page.get_by_role("slider", name="Update")
        self.paused = self.page.get_by_text("Paused.")

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda payload: self._add(len(payload)))

    def _count(self, response: Response) -> None:
        if "/media/" in response.url:
            self._add(int(response.headers.get("content-length", 0)))

    def _add(self, size: int) -> None:
        self.received += size

    def button(self, name: str) -> Locator:
        return self.main.get_by_role("button", name=name, exact=True)

    def click(self, name: str) -> None:
        """One of the player's buttons, once it can be clicked."""
        expect(self.button(name)).to_be_enabled()
        self.button(name).click()

    def pictures(self) -> Lab:
        """Wait until the player's pictures are there."""
        expect(self.page.get_by_role("region", name="Pictures")).to_have_attribute("aria-busy", "false")
        return self

    def idle(self) -> Lab:
        """Wait until the page is drawn."""
        expect(self.page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        return self

    def photo(self, name: str) -> float:
        """Choose a photo, and give the seconds until the page says what the network reads in it."""
        before = self.says.inner_text()
        start = time.perf_counter()
        self.page.get_by_test_id("stButton").get_by_role("button", name=name, exact=True).click()
        until(lambda: self.says.count() == 1 and self.says.inner_text() != before)
        return time.perf_counter() - start

    def model(self, name: str) -> None:
        """Choose a model, and wait until it is there."""
        box = self.page.get_by_role("combobox", name="Model")
        box.click()
        box.press_sequentially(MODELS[name].title)
        self.page.get_by_role("option", name=MODELS[name].title, exact=True).click()
        expect(self.page.get_by_text(MODELS[name].summary)).to_be_visible()
        expect(self.says).to_be_visible()
        self.idle()

    def want(self, label: str) -> None:
        """Choose a wanted class."""
        box = self.page.get_by_role("combobox", name="Wanted class")
        box.click()
        box.press_sequentially(label)
        self.page.get_by_role("option", name=label, exact=True).click()
        expect(self.says).to_contain_text(f"→ {label}")
        self.idle()

    def set_number(self, name: str, value: int) -> None:
        """Type one of the attack's settings, which are unfolded."""
        box = self.page.get_by_role("spinbutton", name=name)
        box.fill(str(value))
        box.press("Enter")
        self.idle()

    def run(self) -> None:
        """An attack that has not been made before, to its end."""
        expect(self.success).to_have_count(0)
        self.click("Run")
        expect(self.success).to_be_visible()
        self.idle()


def main() -> None:
    """Measure, and print the table."""
    options = arguments("The app in a browser", memory="the server's memory only")
    figures: list[Figure] = []
    with chromium() as browser, TemporaryDirectory() as folder:
        os.environ["JMA_LAB_DATA"] = folder
        log = Path(folder) / "log.txt"
        if not options.memory:
            figures += cold(browser, log, 1 if options.quick else COLD_STARTS)
            with visiting(browser, log) as lab:
                figures += [*warm(lab), *page_changes(lab), *new_run(lab), *player(lab)]
        if not options.quick:
            figures += memory(browser, log)
    print_table(("figure", "goal", "measured"), [figure.row() for figure in figures])
    write_json(options.json, {"figures": [vars(figure) for figure in figures]})


@contextmanager
def visiting(browser: Browser, log: Path) -> Iterator[Lab]:
    """A tab on the lab of a server whose network is there."""
    with serving(log) as server:
        lab = Lab(browser, server)
        expect(lab.page.get_by_text("The network is loading")).to_have_count(0)
        expect(lab.says).to_be_visible()
        yield lab.idle()
        lab.context.close()


def until(condition: Callable[[], bool]) -> None:
    """Look again and again, every 30 ms. Raises TimeoutError after a while."""
    deadline = time.perf_counter() + PATIENCE
    while not condition():
        if time.perf_counter() > deadline:
            raise TimeoutError("the page does not come to it")
        time.sleep(0.03)


def cold(browser: Browser, log: Path, times: int) -> list[Figure]:
    """From the start of a server's process, in a browser that is open already."""
    shown, read = [], []
    for _ in range(times):
        with serving(log) as server:
            lab = Lab(browser, server)
            expect(lab.success).to_be_visible()
            lab.pictures()
            shown.append(time.perf_counter() - server.started)
            lab.photo("flowers")
            read.append(time.perf_counter() - server.started)
            lab.context.close()
    return [
        Figure("finished example on screen after the start of the server", "s", 3, median(shown), shown),
        Figure("what the network reads in another photo, after the start of the server", "s", 15, median(read), read),
    ]


def warm(lab: Lab) -> list[Figure]:
    """A photo that nobody has chosen before."""
    seconds = [lab.photo(name) for name in SAMPLES[:PHOTOS]]
    return [Figure("what the network reads in another photo", "s", 2, median(seconds), seconds)]


def page_changes(lab: Lab) -> list[Figure]:
    """Around all pages, until the new page is drawn; not the first round, in which the browser fetches its scripts."""
    seconds = []
    for number in range(ROUNDS):
        for link, heading in PAGES.items():
            before = lab.page.get_by_role("heading", level=1).inner_text()
            start = time.perf_counter()
            lab.page.get_by_role("link", name=link, exact=True).click()
            head = lab.page.get_by_role("heading", level=1)
            until(partial(_changed, head, before))
            if heading:
                expect(head).to_have_text(heading)
            lab.idle()
            if number:
                seconds.append(time.perf_counter() - start)
    return [
        Figure(f"page change, 95th percentile of {len(seconds)}", "s", 0.7, quantiles(seconds, n=20)[-1], seconds),
        Figure("page change, median", "s", None, median(seconds)),
    ]


def _changed(head: Locator, before: str) -> bool:
    return head.count() == 1 and head.inner_text() != before


def new_run(lab: Lab) -> list[Figure]:
    """All that is sent from the click on Run until the attack is shown at its end."""
    megabytes = []
    for name in SAMPLES[:RUNS]:
        lab.photo(name)
        lab.idle()
        before = lab.received
        lab.run()
        lab.pictures()
        megabytes.append((lab.received - before) / 1e6)
    return [Figure("sent for a new attack", "MB", 4, median(megabytes), megabytes)]


def player(lab: Lab) -> list[Figure]:
    """Step and Stop on the ImageNet network, in short steps towards a distant class."""
    lab.model("imagenet-onehot")
    lab.page.get_by_text("Attack settings", exact=True).click()
    lab.page.get_by_role("spinbutton", name="Step length ε").fill("0.05")
    lab.page.get_by_role("spinbutton", name="Step length ε").press("Enter")
    lab.photo("rocket")
    lab.want("espresso")
    steps = []
    for number in range(1, STEPS + 1):
        expect(lab.button("Step")).to_be_enabled()
        start = time.perf_counter()
        lab.button("Step").click()
        expect(lab.slider).to_have_attribute("max", str(number))
        steps.append(time.perf_counter() - start)
    iterations, stops = [], []
    for _ in range(STOPS):
        lab.click("Reset")
        lab.click("Run")
        start = time.perf_counter()
        until(lambda: iteration(lab) > 3)
        iterations.append((time.perf_counter() - start) / (iteration(lab) - 1))
        start = time.perf_counter()
        lab.button("Stop").click()
        expect(lab.paused).to_be_visible()
        stops.append(time.perf_counter() - start)
    pace = median(iterations)
    return [
        Figure("Step, from the click until it is shown, its computation included", "s", 1, median(steps), steps),
        Figure("Stop, from the click until the page says so", "s", pace + 0.3, median(stops), stops),
        Figure("an iteration meanwhile", "s", None, pace, iterations),
    ]


def iteration(lab: Lab) -> int:
    """That which the page shows to be running."""
    running = re.search(r"Running: iteration (\d+)\.", lab.main.inner_text())
    return int(running[1]) if running else 0


def memory(browser: Browser, log: Path) -> list[Figure]:
    """Resident memory of the server while two sessions take turns with attacks that are all new to it."""
    figures = []
    with serving(log) as server:
        tabs = [Lab(browser, server) for _ in range(2)]
        for tab in tabs:
            expect(tab.page.get_by_text("The network is loading")).to_have_count(0)
            expect(tab.says).to_be_visible()
            tab.idle()
            tab.page.get_by_text("Attack settings", exact=True).click()
        figures.append(Figure("memory of the server before any attack", "MB", None, resident(server)))
        for number in range(1, ATTACKS + 1):
            tab = tabs[number % 2]
            tab.set_number("Most iterations", 200 + number)
            tab.photo(SAMPLES[number // 2 % len(SAMPLES)])
            tab.idle().run()
            if number % EVERY == 0:
                figures.append(Figure(f"after {number} attacks in two sessions", "MB", None, resident(server)))
        for tab in tabs:
            tab.context.close()
        time.sleep(GONE)
        figures.append(Figure("after both tabs were closed and forgotten", "MB", None, resident(server)))
    return figures


def resident(server: Server) -> float:
    """Megabytes."""
    listed = subprocess.run(["ps", "-o", "rss=", "-p", str(server.pid)], capture_output=True, text=True, check=True)
    return int(listed.stdout) * 1024 / 1e6


if __name__ == "__main__":
    main()
