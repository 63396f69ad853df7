"""A real Chromium before real servers, for benchmarks and tests of the app."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
ALONE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
PATIENCE = 90  # seconds; a page is there after two and an attack after six on a quiet machine
OFFLINE = dict.fromkeys(["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"], "http://127.0.0.1:9")
"""In the environment of servers: their own requests to other hosts go nowhere."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, for which there is no host but this one. Raises LookupError when there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise LookupError(f"no browser here: none of {', '.join(BROWSERS)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-background-networking", ALONE, *FAKE_CAMERA]
        )
        yield browser
        browser.close()


@dataclass(frozen=True)
class Server:
    """One that runs."""

    address: str
    pid: int
    started: float
    """By time.perf_counter."""


@contextmanager
def serving(
    log: Path, *options: str, script: str = "app.py", folder: Path = ROOT, module: str = "streamlit"
) -> Iterator[Server]:
    """A cold server of its own, as ``streamlit run app.py`` starts it in a folder; it ends with the block.

    ``module`` is what Python runs with these words.

    Raises RuntimeError with its log when it ends by itself, and TimeoutError when it does not answer.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", module, "run", script, "--server.headless", "true"]
    with log.open("w") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--server.port", str(port), *options],
            cwd=folder,
            env=os.environ | OFFLINE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        server = Server(f"http://127.0.0.1:{port}", process.pid, started)
        try:
            while not answers(f"{server.address}/_stcore/health"):
                if process.poll() is not None:
                    raise RuntimeError(f"the server ended: {log.read_text()}")
                if time.perf_counter() - started > PATIENCE:
                    raise TimeoutError(f"the server does not answer: {log.read_text()}")
                time.sleep(0.05)
            yield server
            if process.poll() is not None:
                raise RuntimeError(f"the server has ended: {log.read_text()}")
        finally:
            process.terminate()
            try:
                process.wait(1)  # it would wait for a network that is still loading
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def answers(url: str) -> bool:
    """Whether a server says 200 there."""
    try:
        with urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False
