"""The Dockerfile without Docker: what it copies is there and is enough, and its command answers its health check."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench.browsing import ROOT, Server, serving
from lab import request, store
from lab.photos import uploads
from lab.runs import attack_run, pool
from models.hubs import of_hugging_face
from tests.test_layers import imported
from tests.test_security import handshake
from ui.parts import adding
from ui.shell import housekeeping, session

LINES = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", "").splitlines()
STEPS = [line.split(maxsplit=1) for line in LINES if line and not line.startswith("#")]
OPEN = """
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("app.py", default_timeout=60).run()
assert not app.exception, app.exception
print(app.title[0].value)
"""


def said(step: str) -> list[str]:
    """What follows a word of the Dockerfile, line by line."""
    return [rest for word, rest in STEPS if word == step]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that its COPY lines make."""
    folder = tmp_path_factory.mktemp("image")
    for line in said("COPY"):
        *sources, target = shlex.split(line)
        for source in sources:
            place = folder / target / (source if target.endswith("/") else "")
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, place)
    return folder


@pytest.fixture(scope="module")
def environment(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What its ENV lines say, with the data in a folder here, and the home of a user who has nothing yet."""
    with pytest.MonkeyPatch.context() as patch:
        for line in said("ENV"):
            for name, value in (setting.split("=", 1) for setting in shlex.split(line)):
                patch.setenv(name, value)
        patch.setenv("JMA_LAB_DATA", str(tmp_path_factory.mktemp("data")))
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("STREAMLIT_SERVER_ALLOWED_HOSTS", "lab.example.org localhost")  # as docs/DEPLOY.md sets it
        patch.delenv("PYTHONPATH", raising=False)
        yield


@pytest.fixture(scope="module")
def server(image: Path, environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Its CMD, on a free port."""
    (command,) = map(json.loads, said("CMD"))
    assert command[:3] == ["streamlit", "run", "app.py"]
    with serving(tmp_path_factory.mktemp("log") / "log.txt", *command[3:], folder=image) as server:
        yield server


def test_the_health_check_passes_while_the_server_runs_and_fails_without_it(server: Server) -> None:
    (check,) = said("HEALTHCHECK")
    command = check.partition("CMD ")[2].replace("python", shlex.quote(sys.executable), 1)
    port = str(urlsplit(server.address).port)
    assert "127.0.0.1:8501/" in command
    assert subprocess.run(command.replace("8501", port), shell=True).returncode == 0
    assert subprocess.run(command.replace("8501", "1"), shell=True, stderr=subprocess.DEVNULL).returncode != 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere this computer has no second address of its own")
def test_the_server_answers_on_all_addresses(server: Server) -> None:
    socket.create_connection(("127.0.0.2", urlsplit(server.address).port), timeout=5).close()


def test_the_server_answers_browsers_by_the_names_it_was_given_only(server: Server) -> None:
    assert (
        handshake(server, "lab.example.org") == handshake(server, "lab.example.org", "https://lab.example.org") == 101
    )
    assert handshake(server, "other.example.org") == 403


def test_what_is_copied_is_all_that_the_app_imports_and_opens(image: Path, environment: None) -> None:
    ours = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))}
    copied = {path.stem for path in image.iterdir()}
    for source in image.rglob("*.py"):
        assert imported(source, image) & ours <= copied, source
    ran = subprocess.run([sys.executable, "-c", OPEN], cwd=image, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "cat → flowers\n"), ran.stderr


def test_the_server_is_nobody_special_and_its_data_are_in_the_volume() -> None:
    words = [word for word, _ in STEPS]
    assert said("USER") == ["lab"]
    assert words.index("USER") > max(number for number, word in enumerate(words) if word in {"RUN", "COPY"})
    assert f"JMA_LAB_DATA={said('VOLUME')[0]}" in said("ENV")
    assert re.search(r"useradd .*\blab\b.*chown lab /data", said("RUN")[0])
    assert said("EXPOSE") == ["8501"]


def test_the_text_names_files_that_exist_and_limits_that_hold() -> None:
    text = (ROOT / "docs" / "DEPLOY.md").read_text("utf-8")
    for name in re.findall(r"`([\w./]+\.(?:py|toml|txt))`", text):
        assert (ROOT / name).is_file(), name
    for limit in (
        f"{uploads.MAX_BYTES // 2**20} MB, {uploads.MAX_PIXELS // 10**6} megapixels",
        f"{adding.MAX_MEGABYTES} MB, 1 MB; no pickles",
        f"{of_hugging_face.LARGEST_FILE // 2**20} MB | `models/hubs",
        f"{pool.MAX_ADDED} for all visitors",
        f"the last {session.MAX_RUNS}, and {attack_run.MEMORY // 2**20} MiB",
        f"paused after {housekeeping.REST:.0f} seconds, forgotten after {housekeeping.GONE:.0f}",
        f"{store.MAX_RUNS}, and {store.MAX_BYTES // 2**20} MB, of all visitors",
    ):
        assert f"| {limit}" in text, limit
    assert "| an attack | an hour |" in text
    assert (request.MAX_SECONDS, attack_run.SHARE) == (3600, 10), "an hour, ten seconds"
