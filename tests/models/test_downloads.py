"""Downloads against a server on this machine that breaks off, knows no ranges, or plays the Hugging Face hub."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants, hf_hub_download

from models import downloads
from models.downloads import HubError, HubFile, WebFile, fetch, remote_size, unreachable

CONTENT = bytes(range(256)) * 8192  # 2 MiB: several blocks
DIGEST = sha256(CONTENT).hexdigest()
ROOT = Path(__file__).parents[2]
COMMIT = "c" * 40
HALF = len(CONTENT) // 2
POLL = 0.01
"""Seconds after which the server looks whether it is to end."""


class Server(ThreadingHTTPServer):
    """Serves ``files``; ``ranges`` or not; ``cut`` is after how many bytes an answer breaks off."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.site = f"http://127.0.0.1:{self.server_port}"
        self.files = {"/weights.bin": CONTENT}
        self.ranges, self.lengths, self.cut = True, True, len(CONTENT)
        self.asked: list[tuple[str, str | None]] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(None)

    def _answer(self, body: bytes | None) -> None:
        asked = self.headers["Range"]
        self.server.asked.append((self.command, asked))
        content = self.server.files.get(self.path.partition("?")[0])
        if content is None:
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked and self.server.ranges else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.server.lengths:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: self.server.cut] if body is None else body)

    def log_message(self, format: str, *values: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=[POLL], daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def forget_hosts() -> None:
    downloads._unreachable.cache_clear()


@pytest.fixture
def hub(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    """The server in the role of the Hugging Face hub, with one repository and an empty cache."""
    monkeypatch.setattr(constants, "ENDPOINT", server.site)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    large = {"size": len(CONTENT), "lfs": {"size": len(CONTENT), "sha256": DIGEST, "pointerSize": 134}}
    files = [{"rfilename": "config.json", "size": 2}, {"rfilename": "model.safetensors"} | large]
    described = json.dumps({"id": "org/net", "sha": COMMIT, "siblings": files}).encode()
    server.files = {
        "/api/models/org/net": described,
        "/api/models/org/net/revision/v2": described,
        f"/org/net/resolve/{COMMIT}/model.safetensors": CONTENT,
        f"/org/net/resolve/{COMMIT}/config.json": b"{}",
    }
    return server


def test_a_file_arrives_whole_and_progress_is_told(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = tmp_path / "new" / "weights.bin"
    fetch(f"{server.site}/weights.bin", path, sha256_prefix=DIGEST[:8], progress=lambda *told_: told.append(told_))
    assert path.read_bytes() == CONTENT
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert told == sorted(told)
    assert len(told) > 2
    assert list(path.parent.iterdir()) == [path]


def test_what_is_there_is_not_fetched_again_unless_it_is_damaged(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(CONTENT)
    fetch(f"{server.site}/weights.bin", path, sha256_prefix=DIGEST[:8])
    assert server.asked == []
    path.write_bytes(CONTENT[:-1])
    fetch(f"{server.site}/weights.bin", path, sha256_prefix=DIGEST[:8])
    assert path.read_bytes() == CONTENT


def test_a_broken_download_goes_on_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    path, told = tmp_path / "weights.bin", []
    server.cut = HALF
    with pytest.raises(HubError, match="broke off"):
        fetch(f"{server.site}/weights.bin", path)
    assert not path.exists()
    assert path.with_suffix(".part").read_bytes() == CONTENT[:HALF]
    server.cut = len(CONTENT)
    fetch(f"{server.site}/weights.bin", path, sha256_prefix=DIGEST, progress=lambda done, total: told.append(done))
    assert server.asked[-1] == ("GET", f"bytes={HALF}-")
    assert told[0] == HALF
    assert path.read_bytes() == CONTENT


def test_without_ranges_it_starts_again(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    server.ranges = False
    path.with_suffix(".part").write_bytes(CONTENT[:HALF])
    fetch(f"{server.site}/weights.bin", path, sha256_prefix=DIGEST)
    assert path.read_bytes() == CONTENT


def test_a_stopped_download_goes_on_later(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    with pytest.raises(HubError, match="stopped"):
        fetch(f"{server.site}/weights.bin", path, should_stop=lambda: True)
    came = path.with_suffix(".part").stat().st_size
    assert 0 < came < len(CONTENT)
    fetch(f"{server.site}/weights.bin", path, sha256_prefix=DIGEST)
    assert server.asked[-1] == ("GET", f"bytes={came}-")


@pytest.mark.parametrize("before", [b"", CONTENT[:HALF], CONTENT])
def test_a_file_with_another_digest_is_refused_and_deleted(server: Server, tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "weights.bin"
    path.with_suffix(".part").write_bytes(before)
    with pytest.raises(HubError, match=f"00000000…, got {len(CONTENT)} with {DIGEST[:16]}"):
        fetch(f"{server.site}/weights.bin", path, sha256_prefix="00000000")
    assert list(tmp_path.iterdir()) == []


def test_more_than_there_should_be_is_thrown_away(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.with_suffix(".part").write_bytes(bytes(len(CONTENT) + 1))
    fetch(f"{server.site}/weights.bin", path)
    assert path.read_bytes() == CONTENT


def test_the_size_is_known_beforehand_or_the_reason_why_not(server: Server) -> None:
    assert remote_size(f"{server.site}/weights.bin") == len(CONTENT)
    with pytest.raises(HubError, match="answers 404"):
        remote_size(f"{server.site}/other.bin")
    server.lengths = False
    with pytest.raises(HubError, match="does not say how large"):
        remote_size(f"{server.site}/weights.bin")


def test_a_web_file_is_kept_where_torch_keeps_its_own_and_checked(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    for home in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv("TORCH_HOME", raising=False)
        monkeypatch.setenv(home, str(tmp_path / home))
        good, bad = f"net-{DIGEST[:8]}.pth", "net-00000000.pth"
        server.files = {f"/{good}": CONTENT, f"/{bad}": CONTENT}
        weights = WebFile(f"{server.site}/{good}")
        assert weights.path == Path(torch.hub.get_dir()) / "checkpoints" / good
        assert weights.cached() is None
        assert downloads.missing(weights) == len(CONTENT)
        assert weights.get() == weights.cached() == weights.path
        assert downloads.missing(weights) is None
        with pytest.raises(HubError, match="SHA-256 00000000"):
            WebFile(f"{server.site}/{bad}").get()


@pytest.mark.parametrize("repository", ["org/net", "org/net@v2"])
def test_a_file_of_the_hub_arrives_where_its_own_client_finds_it(hub: Server, repository: str) -> None:
    weights, told = HubFile(repository, ("model.bin", "model.safetensors")), []
    assert weights.cached() is None
    assert downloads.missing(weights) == len(CONTENT)
    assert weights.unavailable() == ""
    hub.cut = HALF
    with pytest.raises(HubError, match="broke off"):
        weights.get()
    assert weights.cached() is None
    hub.cut = len(CONTENT)
    path = weights.get(progress=lambda *told_: told.append(told_))
    assert path.read_bytes() == CONTENT
    assert hub.asked[-1] == ("GET", f"bytes={HALF}-")
    assert told[-1] == (len(CONTENT), len(CONTENT))
    asked = len(hub.asked)
    assert weights.get() == weights.cached() == path
    assert len(hub.asked) == asked
    revision = repository.partition("@")[2] or None
    theirs = hf_hub_download("org/net", "model.safetensors", revision=revision, local_files_only=True)
    assert Path(theirs) == path
    beside = HubFile(repository, ("config.json",)).get()
    assert (beside.parent, beside.read_text()) == (path.parent, "{}")


def test_a_file_that_is_not_the_hubs_is_refused(hub: Server) -> None:
    hub.files[f"/org/net/resolve/{COMMIT}/model.safetensors"] = CONTENT[::-1]
    with pytest.raises(HubError, match="did not arrive as it should"):
        HubFile("org/net").get()
    assert HubFile("org/net").cached() is None


def test_what_the_hub_does_not_have_is_said(hub: Server) -> None:
    with pytest.raises(HubError, match=r"has no model\.bin"):
        HubFile("org/net", ("model.bin",)).get()
    with pytest.raises(HubError, match="expected ORG/NAME"):
        HubFile("a/b/c").cached()


@pytest.mark.parametrize(
    ("error", "said"),
    [("RepositoryNotFoundError", "no public model org/net"), ("GatedRepoError", "accept its terms")],
)
def test_refusals_of_the_hub_are_told_apart(monkeypatch: pytest.MonkeyPatch, error: str, said: str) -> None:
    from huggingface_hub import HfApi, errors

    kind = getattr(errors, error)

    def refuse(*args: object, **named: object) -> None:
        raise kind.__new__(kind)

    monkeypatch.setattr(HfApi, "model_info", refuse)
    with pytest.raises(HubError, match=said):
        HubFile("org/net").look_up()


def deaf(*address: object, **named: object) -> Any:
    time.sleep(30)
    raise socket.gaierror("too late")


def without_network(*address: object, **named: object) -> Any:
    raise socket.gaierror(-2, "Name or service not known")


@pytest.mark.parametrize("resolve", [deaf, without_network])
def test_without_a_network_that_is_said_in_time(monkeypatch: pytest.MonkeyPatch, resolve: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    if resolve is deaf:
        monkeypatch.setattr(downloads, "PATIENCE", 0.5)
    start = time.monotonic()
    assert unreachable("https://example.org/a").startswith("example.org cannot be reached")
    assert HubFile("org/net").unavailable().startswith("huggingface.co cannot be reached")
    with pytest.raises(HubError, match=r"example\.org cannot be reached"):
        fetch("https://example.org/a", tmp_path / "a")
    with pytest.raises(HubError, match=r"huggingface\.co cannot be reached"):
        HubFile("org/net").get()
    assert time.monotonic() - start < 4 * downloads.PATIENCE + 1


def test_nobody_waits_longer_than_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert downloads.PATIENCE == 5
    monkeypatch.setattr(downloads, "PATIENCE", 1.0)
    monkeypatch.setattr(socket, "getaddrinfo", deaf)
    start = time.monotonic()
    assert "no answer within 1 s" in unreachable("https://example.org/a")
    assert time.monotonic() - start < 1.5


def test_a_host_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "PATIENCE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        site, start = f"127.0.0.1:{mute.getsockname()[1]}", time.monotonic()
        assert unreachable(f"http://{site}/a").startswith(f"{site} cannot be reached")
    assert 0.9 < time.monotonic() - start < 2


def test_a_host_is_asked_once_a_minute_and_any_answer_counts(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert unreachable(f"{server.site}/weights.bin") == ""  # the root, which is asked for, is a 404
    assert unreachable(f"{server.site}/other.bin") == ""
    assert len(server.asked) == 1
    later = time.monotonic() + 60
    monkeypatch.setattr(downloads.time, "monotonic", lambda: later)
    assert unreachable(f"{server.site}/weights.bin") == ""
    assert len(server.asked) == 2


def test_the_suggestions_are_listed_without_torch() -> None:
    code = "import sys; from models.downloads import SUGGESTIONS; print(len(SUGGESTIONS), 'torch' in sys.modules)"
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert listed.stdout == "8 False\n"
