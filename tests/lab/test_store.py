"""Attacks on disk: what is added is there, whoever writes and whoever is killed, and no file makes it stumble."""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from platformdirs.api import PlatformDirsABC
from platformdirs.macos import MacOS
from platformdirs.windows import Windows, get_win_folder_from_env_vars

from jma_core import AttackResult
from jma_core.metrics import distortion
from jma_core.records import Trace
from lab import store as module
from lab.archive import OtherVersion, pack
from lab.comparison import Contender, table
from lab.request import Request, Settings
from lab.store import DamagedRun, Row, Store, data_folder, store
from models.cards import ModelSpec
from models.encodings import OneHot
from models.registry import MODELS
from tests.fixtures import FromLater

ROOT = Path(__file__).resolve().parents[2]
SPEC = ModelSpec("m", "A model", OneHot(("a", "b", "c", "d", "e")), "vgg", sha256="0" * 64)


@pytest.fixture
def kept(tmp_path: Path) -> Store:
    return Store(tmp_path / "data" / "runs.sqlite3")


@pytest.fixture
def add(finished: AttackResult, request_for: Callable[..., Request]) -> Callable[..., None]:
    """Adds the small attack; ``step`` is a mark in its request to know it by."""
    return lambda to, step=300.0: to.add(SPEC, request_for(settings=Settings(max_seconds=step)), finished)


def marks(of: Store) -> list[float]:
    return [of.get(row.id)[0].settings.max_seconds for row in of.rows()]


def whole(path: Path) -> bool:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()


def test_an_attack_comes_back_bit_for_bit_with_its_thumbnails(
    kept: Store, finished: AttackResult, add: Callable[..., None], request_for: Callable[..., Request]
) -> None:
    add(kept)
    request, result = kept.get(kept.rows()[0].id)
    assert request == request_for()
    for field in fields(AttackResult):
        before, after = getattr(finished, field.name), getattr(result, field.name)
        if field.name == "trace":
            np.testing.assert_equal(asdict(after), asdict(before))
        elif field.name != "steps":
            np.testing.assert_equal(after, before)
            assert np.asarray(after).dtype == np.asarray(before).dtype
    assert 1 <= len(result.steps) <= module.MOMENTS + 1
    for thumbnail, image in ((kept.rows()[0].original, finished.original), (kept.rows()[0].attacked, finished.image)):
        opened = Image.open(io.BytesIO(thumbnail))
        assert (opened.format, opened.size) == ("PNG", (16, 16))
        np.testing.assert_allclose(np.asarray(opened), image.transpose(1, 2, 0) * 255, atol=0.5001)


def test_the_list_says_what_became_of_the_attack(
    kept: Store, finished: AttackResult, add: Callable[..., None], request_for: Callable[..., Request]
) -> None:
    add(kept)
    (row,) = kept.rows()
    passed = datetime.now(UTC) - datetime.fromisoformat(row.at)
    assert timedelta(0) <= passed < timedelta(minutes=1)
    assert (row.model, row.title, row.weights) == (SPEC.name, SPEC.title, SPEC.sha256)
    assert (row.before, row.after) == (
        SPEC.encoding.names(finished.decoded_before),
        SPEC.encoding.names(finished.decoded),
    )
    assert row.wanted == SPEC.encoding.wish(request_for().target)
    assert row.success is finished.success is True
    assert row.reason == finished.reason
    assert (row.l2, row.n_it, row.backward) == (finished.distortion.l2, finished.n_it, finished.backward)
    assert json.loads(row.asked) == request_for().settings.told()


def test_a_long_attack_is_thinned_and_keeps_its_last_step_and_its_result(
    kept: Store, finished: AttackResult, request_for: Callable[..., Request]
) -> None:
    long = tuple(replace(finished.steps[0], number=v, iteration=v) for v in range(1, 201))
    result = replace(finished, steps=long, trace=Trace.of(long), update=78)
    kept.add(SPEC, request_for(), result)
    again = kept.get(1)[1]
    stored = [step.number for step in again.steps]
    assert len(stored) <= module.MOMENTS + 2
    assert (again.update, again.best.number, len(again.trace)) == (78, 78, 200)
    assert {1, 78, 200} <= set(stored)
    assert stored == sorted(stored)
    assert max(np.diff(stored)) <= 16


def test_an_attack_on_the_largest_pictures_stays_within_some_megabytes(
    kept: Store, finished: AttackResult, request_for: Callable[..., Request]
) -> None:
    rng = np.random.default_rng(0)
    original = np.round(rng.random((3, 500, 1000)) * 255).astype(np.float32) / 255
    image = np.clip(original + rng.normal(0, 1e-3, original.shape), 0, 1).astype(np.float32)
    steps = tuple(replace(finished.steps[0], iteration=v, image=image, l2=float(v)) for v in range(1, 31))
    large = replace(
        finished, original=original, image=image, last=image, steps=steps, distortion=distortion(original, image)
    )
    kept.add(SPEC, request_for(), large)
    print(f"a record of 1000 x 500 pixels takes {kept.path.stat().st_size / 2**20:.1f} MB")
    assert kept.path.stat().st_size < 30 * 2**20


@pytest.fixture
def compared(finished: AttackResult, request_for: Callable[..., Request]) -> list[Contender]:
    """The small attack, one that ended farther away, and one that missed."""
    image = np.clip(2 * finished.image - finished.original, 0, 1)
    farther = replace(finished, image=image, distortion=distortion(finished.original, image), seconds=2.5)
    missed = replace(finished, success=False, logits=finished.logits_before, decoded=finished.decoded_before)
    asked = [request_for(target=int(finished.target), settings=Settings.of(each)) for each in ("fmn", "lazy", "ddn")]
    return [Contender(*each) for each in zip(asked, (farther, finished, missed), strict=True)]


def test_a_comparison_is_one_entry_that_says_who_came_nearest(kept: Store, compared: list[Contender]) -> None:
    kept.add_comparison(SPEC, compared)
    (row,) = kept.rows()
    nearest = compared[1].result
    assert (row.attacks, row.success, row.l2) == (3, True, nearest.distortion.l2)
    assert row.reason.startswith(f"JMA came nearest, at L2 {nearest.distortion.l2:.3f} ")
    assert row.backward == sum(each.result.backward for each in compared)
    assert row.seconds == sum(each.result.seconds for each in compared)
    thumbnail = np.asarray(Image.open(io.BytesIO(row.attacked)))
    np.testing.assert_allclose(thumbnail, nearest.image.transpose(1, 2, 0) * 255, atol=0.5001)
    with pytest.raises(OtherVersion):
        kept.get(row.id)


def test_a_comparison_comes_back_with_its_attacks_as_they_were(kept: Store, compared: list[Contender]) -> None:
    kept.add_comparison(SPEC, compared)
    for before, after in zip(compared, kept.comparison(1), strict=True):
        assert after.request == before.request
        assert table(SPEC, [after]) == table(SPEC, [before])
        for name in ("original", "image", "logits", "logits_before", "curve"):
            np.testing.assert_array_equal(getattr(after.result, name), getattr(before.result, name))
        np.testing.assert_equal(asdict(after.result.trace), asdict(before.result.trace))


def test_of_many_long_attacks_each_keeps_a_few_moments(
    kept: Store, finished: AttackResult, request_for: Callable[..., Request]
) -> None:
    long = tuple(replace(finished.steps[0], number=v, iteration=v) for v in range(1, 201))
    result = replace(finished, steps=long, trace=Trace.of(long), update=78)
    names = ("lazy", "fmn", "ddn")
    every = [Contender(request_for(settings=Settings.of(name)), result) for name in names]
    kept.add_comparison(SPEC, every)
    for each in kept.comparison(1):
        numbers = [step.number for step in each.result.steps]
        assert {1, 78, 200} <= set(numbers)
        assert len(numbers) <= module.MOMENTS // 2 + 2
        assert len(each.result.trace) == 200


def test_a_file_from_before_there_were_comparisons_and_notes_is_read_and_then_takes_them(
    kept: Store, add: Callable[..., None], compared: list[Contender]
) -> None:
    add(kept, 1.0)
    for column in module.ADDED:
        changed(f"ALTER TABLE runs DROP COLUMN {column}")(kept.path)
    assert [(row.attacks, row.change, row.asked, row.note) for row in kept.rows()] == [(0, b"", "", "")]
    assert marks(kept) == [1.0]
    kept.add_comparison(SPEC, compared)
    kept.write_down(1, "the first")
    assert [(row.attacks, row.note) for row in kept.rows()] == [(3, ""), (0, "the first")]
    assert kept.get(1)[0].settings.max_seconds == 1.0
    assert kept.aside() == {}


def test_the_oldest_make_room_by_number_and_by_size(
    kept: Store, add: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_RUNS", 3)
    for mark in (1.0, 2.0, 3.0, 4.0):
        add(kept, mark)
    assert marks(kept) == [4.0, 3.0, 2.0]
    size = len(kept.file(kept.rows()[0].id))
    monkeypatch.setattr(module, "MAX_BYTES", int(2.5 * size))
    add(kept, 5.0)
    assert marks(kept) == [5.0, 4.0]
    monkeypatch.setattr(module, "MAX_BYTES", 1)
    add(kept, 6.0)
    assert marks(kept) == [6.0], "the newest stays, however large"


def test_what_is_deleted_is_gone_and_its_number_is_not_given_again(kept: Store, add: Callable[..., None]) -> None:
    add(kept, 1.0)
    add(kept, 2.0)
    newest = kept.rows()[0].id
    kept.delete(newest)
    kept.delete(newest)  # in another tab
    assert marks(kept) == [1.0]
    with pytest.raises(LookupError, match="not there any more"):
        kept.get(newest)
    add(kept, 3.0)
    assert newest not in [row.id for row in kept.rows()]


def test_deleting_gives_the_room_on_the_disk_back(kept: Store, add: Callable[..., None]) -> None:
    for mark in range(20):
        add(kept, float(mark))
    full = kept.path.stat().st_size
    for row in kept.rows():
        kept.delete(row.id)
    assert kept.path.stat().st_size < full / 4


def test_threads_that_write_at_once_into_a_file_that_is_not_there_yet_lose_nothing(
    kept: Store, add: Callable[..., None]
) -> None:
    errors: list[BaseException] = []
    gate = threading.Barrier(4)

    def write(first: int) -> None:
        try:
            gate.wait()
            for mark in range(first, first + 5):
                add(kept, float(mark))
                kept.rows()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(5 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert sorted(marks(kept)) == [float(mark) for mark in range(20)]
    assert whole(kept.path)


WRITER = """
import os, signal, sqlite3, sys
from dataclasses import replace
from pathlib import Path
from models.cards import ModelSpec
from models.encodings import OneHot
from lab.archive import unpack
from lab.request import Settings
from lab.store import Store

path, attack, how, first = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
spec = ModelSpec("m", "A model", OneHot(("a", "b", "c", "d", "e")), "vgg")
request, result = unpack(attack.read_bytes())
connect = sqlite3.connect

def watched(*args, **options):
    connection = connect(*args, **options)
    connection.execute("PRAGMA cache_size = 10")  # pages: what is inserted goes to the disk before the commit
    connection.set_trace_callback(lambda sql: "DELETE FROM runs" in sql and os.kill(os.getpid(), signal.SIGKILL))
    return connection

assert not {"torch", "streamlit"} & set(sys.modules), "the store has imported more than it may"
for mark in range(first, first + 1000):
    if how == "killed" and mark == 3:
        sqlite3.connect = watched  # killed after the insertion, before the transaction ends
    asked = replace(request, settings=Settings(max_seconds=float(mark)))
    Store(path).add(spec, asked, result)
    print(mark, flush=True)
    if how == "together" and mark == first:
        sys.stdin.readline()  # until all are there
"""


def writer(kept: Store, attack: Path, how: str, first: int = 1) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(kept.path), str(attack), how, str(first)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture
def attack(tmp_path: Path, finished: AttackResult, request_for: Callable[..., Request]) -> Path:
    """A packed attack of a megabyte, so that writing it takes SQLite many pages."""
    noise = np.random.default_rng(0).random((3, 200, 200)).astype(np.float32)
    steps = tuple(replace(step, image=noise) for step in finished.steps[:1])
    result = replace(finished, original=noise, image=noise, last=noise, steps=steps)
    path = tmp_path / "attack.npz"
    path.write_bytes(pack(request_for(), result))
    assert path.stat().st_size > 2**20
    return path


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_kill_between_insertion_and_commit_leaves_the_file_as_it_was(
    kept: Store, attack: Path, add: Callable[..., None]
) -> None:
    child = writer(kept, attack, "killed")
    said, complaints = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL, complaints
    assert said.split() == ["1", "2"]
    wal = Path(f"{kept.path}-wal")
    assert wal.stat().st_size > 0, "the child was not killed in the middle of anything"
    assert marks(kept) == [2.0, 1.0]
    assert whole(kept.path)
    add(kept, 7.0)
    assert marks(kept) == [7.0, 2.0, 1.0]
    assert kept.aside() == {}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_kill_at_any_moment_loses_no_attack_that_was_written(kept: Store, attack: Path) -> None:
    for wait in (0.0, 0.017):
        child = writer(kept, attack, "goes on")
        assert child.stdout is not None
        before = kept.rows()[0].id if kept.path.exists() else 0
        while int(child.stdout.readline()) < 3:
            pass
        time.sleep(wait)
        os.kill(child.pid, signal.SIGKILL)
        written = 3 + len(child.communicate()[0].split())
        assert whole(kept.path)
        new = [row for row in kept.rows() if row.id > before]
        assert len(new) in (written, written + 1), "one may have been written and not yet spoken of"
        assert [kept.get(row.id)[0].settings.max_seconds for row in reversed(new)] == [
            float(i + 1) for i in range(len(new))
        ]
    assert kept.aside() == {}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_eight_writers_killed_at_once_lose_no_attack_that_was_written(
    rounds: int, tmp_path: Path, attack: Path, add: Callable[..., None]
) -> None:
    moments = np.random.default_rng(0)
    for number in range(rounds):
        kept = Store(tmp_path / str(number) / "runs.sqlite3")
        children = [writer(kept, attack, "together", 1000 * i) for i in range(1, 9)]
        said = [float(child.stdout.readline()) for child in children if child.stdout]
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        assert children[0].stdout
        said.append(float(children[0].stdout.readline()))
        for child in children:
            time.sleep(moments.uniform(0, 0.1))
            child.kill()
        said += [float(word) for child in children for word in child.communicate()[0].split()]
        assert whole(kept.path)
        written = marks(kept)
        assert set(said) <= set(written)
        assert 8 < len(said) <= len(written) <= min(len(said) + 8, module.MAX_RUNS - 1)
        add(kept, 7.0)
        assert marks(kept) == [7.0, *written]
        assert kept.aside() == {}


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:6000])


def overwritten(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:20000] = b"\xff" * (20000 - 4096)
    path.write_bytes(data)


def foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (miles REAL)")
    connection.close()


def changed(statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()

    return change


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.write_bytes(b"Not a database at all." * 300), "was damaged"),
        (truncated, "was damaged"),
        (overwritten, "was damaged"),
        (foreign, "was not one of JMA Lab's"),
        (changed(f"PRAGMA user_version = {module.VERSION + 1}"), "was written by a newer version of JMA Lab"),
        (changed("PRAGMA user_version = 0"), "was damaged"),
        (changed("PRAGMA user_version = -3"), "was damaged"),
        (changed("PRAGMA application_id = 0"), "was not one of JMA Lab's"),
        (changed("DROP TABLE runs"), "was damaged"),
        (changed("ALTER TABLE runs DROP COLUMN attack"), "was damaged"),
    ],
)
def test_a_file_that_cannot_be_used_is_set_aside_unharmed(
    harm: Callable[[Path], None], said: str, kept: Store, add: Callable[..., None]
) -> None:
    add(kept, 1.0)
    harm(kept.path)
    bytes_before = kept.path.read_bytes()
    assert kept.rows() == []
    add(kept, 2.0)
    assert marks(kept) == [2.0]
    assert list(kept.aside().values()) == [said]
    (name,) = kept.aside()
    assert kept.path.with_name(name).read_bytes() == bytes_before


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing.sqlite3")


def link_into_no_folder(path: Path) -> None:
    path.symlink_to("no/folder/runs.sqlite3")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize("harm", [pipe, Path.mkdir, link_to_nothing, link_into_no_folder, link_to_itself])
@pytest.mark.parametrize("first", ["read", "written"])
def test_what_is_no_file_is_set_aside(
    harm: Callable[[Path], None], first: str, kept: Store, add: Callable[..., None]
) -> None:
    kept.path.parent.mkdir()
    harm(kept.path)
    kind = stat.S_IFMT(kept.path.lstat().st_mode)
    if first == "read":
        assert kept.rows() == []
    add(kept, 2.0)
    assert marks(kept) == [2.0]
    assert list(kept.aside().values()) == ["was not a file, or a link to none"]
    (name,) = kept.aside()
    assert stat.S_IFMT(kept.path.with_name(name).lstat().st_mode) == kind
    assert whole(kept.path)


def test_a_link_to_a_file_is_followed(kept: Store, add: Callable[..., None]) -> None:
    real = Store(kept.path.parent / "on another disk" / "mine.sqlite3")
    add(real, 1.0)
    kept.path.symlink_to(real.path)
    add(kept, 2.0)
    assert marks(kept) == marks(real) == [2.0, 1.0]
    assert kept.aside() == {}


def test_a_file_of_no_bytes_is_begun(kept: Store, add: Callable[..., None]) -> None:
    kept.path.parent.mkdir()
    kept.path.touch()
    assert kept.rows() == []
    assert kept.path.stat().st_size == 0
    add(kept, 1.0)
    assert marks(kept) == [1.0]
    assert kept.aside() == {}


def test_reading_leaves_nothing_behind(kept: Store, add: Callable[..., None]) -> None:
    assert kept.rows() == []
    with pytest.raises(LookupError):
        kept.get(1)
    assert not kept.path.parent.exists()
    add(kept)
    before = kept.path.read_bytes()
    kept.get(kept.rows()[0].id)
    assert [path.name for path in kept.path.parent.iterdir()] == [kept.path.name]
    assert kept.path.read_bytes() == before


def test_a_locked_file_is_said_at_once(kept: Store, add: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    add(kept, 1.0)
    other = sqlite3.connect(kept.path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    assert module.HASTE <= 2
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    monkeypatch.setattr(module, "HASTE", 0.25)
    for work in (kept.rows, lambda: kept.get(1), lambda: kept.delete(1), lambda: add(kept, 2.0)):
        begun = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="another program is using the file"):
            work()
        assert time.monotonic() - begun < 3
    other.close()
    assert marks(kept) == [1.0]
    assert kept.aside() == {}


def test_a_writer_waits_for_another_while_readers_go_on(kept: Store, add: Callable[..., None]) -> None:
    add(kept, 1.0)
    other = sqlite3.connect(kept.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    waits = threading.Thread(target=add, args=(kept, 2.0))
    waits.start()
    waits.join(module.HASTE + 0.5)
    assert waits.is_alive()
    assert marks(kept) == [1.0]
    other.execute("COMMIT")
    waits.join(30)
    assert marks(kept) == [2.0, 1.0]
    other.close()


CONFINED = """
import os, resource, sqlite3, sys
import encodings.cp437, zipfile  # numpy would later, from where nobody may read
from pathlib import Path
from lab.store import Store

store, how = Store(Path(sys.argv[1])), sys.argv[2]
if how == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))  # no file may get a byte more
else:
    os.setuid(65534)

try:
    print([store.get(row.id)[0].settings.max_seconds for row in store.rows()])
except (OSError, sqlite3.Error) as error:
    print(error)
try:
    store.delete(1)
    print("deleted")
except (OSError, sqlite3.Error) as error:
    print(error)
"""
CANNOT = [
    "the disk is full: this needs some room on it",
    "the disk cannot be read or written, or is full: this needs some room on it",
    "the file, or the folder that it is in, cannot be written to",
    "the file cannot be opened, or the folder that it is in cannot be written to",
]
IS_ROOT = hasattr(os, "getuid") and os.getuid() == 0


@pytest.fixture
def open_to_all(add: Callable[..., None]) -> Iterator[Store]:
    """A store with two attacks, in a folder where everybody may read."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        kept = Store(Path(folder) / "runs.sqlite3")
        add(kept, 1.0)
        add(kept, 2.0)
        yield kept


def confined(kept: Store, how: str) -> list[str]:
    """What a process says of reading all attacks, and of deleting the first, that cannot write."""
    command = [sys.executable, "-c", CONFINED, str(kept.path), how]
    said = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    return said.stdout.splitlines()


def unfinished(kept: Store, add: Callable[..., None], *ends: str) -> None:
    """As a killed process leaves the file: the newest attack is in the log beside it, to which ``ends`` belong."""
    open_still = sqlite3.connect(kept.path)
    open_still.execute("SELECT * FROM runs").fetchone()
    add(kept, 3.0)
    parts = {end: Path(f"{kept.path}{end}").read_bytes() for end in ("", *ends)}
    open_still.close()
    for end, data in parts.items():
        Path(f"{kept.path}{end}").write_bytes(data)


@pytest.mark.skipif(sys.platform == "win32", reason="needs Unix")
def test_what_can_be_read_is_read_though_nothing_can_be_written(open_to_all: Store, add: Callable[..., None]) -> None:
    read, deleted = confined(open_to_all, "full")
    assert (read, deleted in CANNOT) == ("[2.0, 1.0]", True), deleted
    unfinished(open_to_all, add, "-wal")
    assert confined(open_to_all, "full")[0] == "[3.0, 2.0, 1.0]"
    assert marks(open_to_all) == [3.0, 2.0, 1.0]
    assert whole(open_to_all.path)
    assert open_to_all.aside() == {}


@pytest.mark.skipif(not IS_ROOT, reason="needs to be root, to become somebody who may only read")
@pytest.mark.parametrize("own", [False, True], ids=["another's file", "a folder that is closed"])
def test_what_is_read_only_is_read(own: bool, open_to_all: Store, add: Callable[..., None]) -> None:
    def handed(mode: int = 0o644) -> None:
        for path in open_to_all.path.parent.iterdir():
            path.chmod(mode)
            os.chown(path, 65534 if own else 0, -1)

    handed()
    read, deleted = confined(open_to_all, "nobody")
    assert (read, deleted in CANNOT) == ("[2.0, 1.0]", True), deleted
    unfinished(open_to_all, add, "-wal", "-shm")
    handed()
    read, deleted = confined(open_to_all, "nobody")
    assert read == "[3.0, 2.0, 1.0]"
    if own:  # and what SQLite needs beside the file is there already
        assert deleted == "deleted"
    else:
        Path(f"{open_to_all.path}-shm").unlink()
        assert confined(open_to_all, "nobody")[0] in CANNOT, "the newest attack is left out without a word"
        handed(0o000)
        assert set(confined(open_to_all, "nobody")) <= set(CANNOT)
    assert marks(open_to_all) == [3.0, 2.0] + [1.0] * (not own)
    assert open_to_all.aside() == {}


@pytest.mark.skipif(not IS_ROOT, reason="needs to be root, to become somebody who may only read")
def test_what_cannot_be_set_aside_is_said(open_to_all: Store) -> None:
    truncated(open_to_all.path)
    said, _ = confined(open_to_all, "nobody")
    assert said == "what is there was damaged, and cannot be renamed (Permission denied)"


def test_an_attack_of_another_version_is_no_damaged_one(
    kept: Store, finished: AttackResult, request_for: Callable[..., Request]
) -> None:
    kept.add(SPEC, request_for(settings=FromLater()), finished)
    with pytest.raises(OtherVersion, match="its attack “from later” is not known here"):
        kept.get(1)


def test_an_attack_whose_bytes_are_damaged_is_refused_in_words(kept: Store, add: Callable[..., None]) -> None:
    add(kept)
    with sqlite3.connect(kept.path) as connection:
        (whole,) = connection.execute("SELECT attack FROM runs").fetchone()
        rng = np.random.default_rng(0)
        refused = []
        for _ in range(200):
            harmed = np.frombuffer(whole, np.uint8).copy()
            harmed[-rng.integers(1, 2000, size=6)] = rng.integers(256, size=6)
            connection.execute("UPDATE runs SET attack = ?", (harmed.tobytes()[: rng.choice([5000, len(whole)])],))
            connection.commit()
            try:
                kept.get(1)
            except DamagedRun as error:
                refused.append(str(error))
    connection.close()
    assert len(refused) > 150
    assert set(refused) == {"This run is damaged and cannot be opened: delete it, and run the attack again."}


def test_a_full_disk_is_an_error_and_changes_nothing(
    kept: Store, add: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(kept, 1.0)
    connect = sqlite3.connect

    def small(*args: object, **options: object) -> sqlite3.Connection:
        connection = connect(*args, **options)
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", small)
        with pytest.raises(sqlite3.OperationalError, match="full"):
            add(kept, 2.0)
    assert marks(kept) == [1.0]
    assert kept.aside() == {}


@pytest.mark.skipif(sys.platform != "linux", reason="the usual folder is another one elsewhere")
def test_the_folder_is_the_one_asked_for_or_the_usual_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JMA_LAB_DATA", str(tmp_path / "mine"))
    assert store().path == tmp_path / "mine" / "runs.sqlite3"
    monkeypatch.delenv("JMA_LAB_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "jma-lab"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder() == tmp_path / ".local/share/jma-lab"


@pytest.mark.parametrize(
    ("system", "usual"), [(MacOS, "Library/Application Support/jma-lab"), (Windows, "AppData/Local/jma-lab")]
)
def test_on_other_systems_it_is_where_they_have_data_unless_it_has_been_elsewhere(
    system: type[PlatformDirsABC], usual: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JMA_LAB_DATA", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "AppData/Local"))
    monkeypatch.setattr("platformdirs.windows.get_win_folder", get_win_folder_from_env_vars)
    monkeypatch.setattr(module, "user_data_path", lambda name, appauthor: system(name, appauthor).user_data_path)
    assert data_folder() == tmp_path / usual
    before = tmp_path / ".local/share/jma-lab"
    before.mkdir(parents=True)
    assert data_folder() == before


def test_the_default_model_s_attack_takes_some_megabytes(kept: Store, example: tuple[Request, AttackResult]) -> None:
    request, result = example
    kept.add(MODELS[request.model], request, result)
    (row,) = kept.rows()
    assert isinstance(row, Row)
    print(f"the example takes {kept.path.stat().st_size / 2**20:.1f} MB, {len(result.steps)} steps")
    assert kept.path.stat().st_size < 12 * 2**20
    assert max(Image.open(io.BytesIO(row.original)).size) == module.THUMBNAIL
