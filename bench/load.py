"""Many sessions at once: python -m bench.load [--quick] [--json FILE]

So many tabs of a real browser attack the sample photos of one server, all in the same moments, and meanwhile look at
the geometry of their photos and at the lecture. How long it takes until the first, the middle and the last attack has
ended, from the click on Run; how many had not after PATIENCE; how many errors the server's log holds; and its memory.
``--quick`` has five sessions instead of 5, 10 and 20.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, Page, expect

from bench.app import resident
from bench.browsing import Server, chromium, serving
from bench.report import arguments, print_table, write_json

SESSIONS, QUICK = (5, 10, 20), (5,)
PATIENCE = 400.0  # seconds
SAMPLES = ("bridge", "cars", "coral", "flowers", "mountain", "people", "statue")
ENDED = re.compile(r"reads as|Reads as .* now|The target was not reached")
BROKEN = "The attack broke off"


@dataclass(frozen=True)
class Load:
    """What so many sessions at once came to."""

    sessions: int
    ended: list[float]
    """Seconds from the click on Run, of attacks that ended as they should."""
    broken: int
    """Attacks that broke off, with a message."""
    errors: int
    """Tracebacks in the server's log."""
    before: float
    peak: float
    """Resident memory in MB, before any attack and at its highest."""

    def row(self) -> tuple[str, ...]:
        """Of the table."""
        first, middle, last = (f"{f(self.ended):.0f} s" if self.ended else "-" for f in (min, median, max))
        missing = self.sessions - len(self.ended) - self.broken
        counts = map(str, (self.sessions, len(self.ended), self.broken, missing))
        return *counts, first, middle, last, str(self.errors), f"{self.before:.0f}", f"{self.peak:.0f}"


def main() -> None:
    """Measure, and print the table."""
    options = arguments("Many sessions at once")
    loads = []
    with chromium() as browser:
        for sessions in QUICK if options.quick else SESSIONS:
            with TemporaryDirectory() as folder:
                os.environ["JMA_LAB_DATA"] = folder
                log = Path(folder) / "log.txt"
                with serving(log) as server:
                    loads.append(load(browser, server, log, sessions))
    head = ("sessions", "ended", "broke off", "not ended", "first", "median", "last", "errors", "MB before", "MB peak")
    print_table(head, [each.row() for each in loads])
    write_json(options.json, {"loads": [vars(each) for each in loads]})


def load(browser: Browser, server: Server, log: Path, sessions: int) -> Load:
    """Open the tabs, click Run in all of them, look around, and come back until every attack has ended."""
    tabs = [opened(browser, server, photo) for photo in islice(cycle(SAMPLES), sessions)]
    before = peak = resident(server)
    started = {}
    for tab in tabs:
        tab.get_by_role("button", name="Run", exact=True).click()
        started[tab] = time.perf_counter()
    for tab in tabs:
        tab.get_by_role("link", name="Geometry", exact=True).click()
    for tab in tabs:
        expect(tab.get_by_role("heading", level=1)).to_have_text("Mahalanobis against Euclid", timeout=PATIENCE * 1000)
        tab.get_by_role("link", name="Learn", exact=True).click()
    for tab in tabs:
        tab.get_by_role("link", name="Attack lab", exact=True).click()
    ended: dict[Page, float] = {}
    broken: set[Page] = set()
    while len(ended) + len(broken) < sessions and time.perf_counter() - max(started.values()) < PATIENCE:
        for tab in started.keys() - ended.keys() - broken:
            said = tab.get_by_test_id("stMain").inner_text()
            if BROKEN in said:
                broken.add(tab)
            elif tab.get_by_test_id("stAlert").filter(has_text=ENDED).count():
                ended[tab] = time.perf_counter() - started[tab]
        peak = max(peak, resident(server))
        time.sleep(0.2)
    for tab in tabs:
        tab.context.close()
    return Load(sessions, sorted(ended.values()), len(broken), log.read_text().count("Traceback"), before, peak)


def opened(browser: Browser, server: Server, photo: str) -> Page:
    """A tab on the lab, with one of the sample photos, once its network has spoken."""
    context = browser.new_context(base_url=server.address, viewport={"width": 1024, "height": 768})
    context.set_default_timeout(PATIENCE * 1000)
    tab = context.new_page()
    tab.goto(f"/?photo={photo}")
    expect(tab.get_by_role("button", name="Run", exact=True)).to_be_enabled(timeout=PATIENCE * 1000)
    return tab


if __name__ == "__main__":
    main()
