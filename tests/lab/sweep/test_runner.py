"""Nothing done is lost, and nothing is counted twice, whoever is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from lab.sweep import store
from lab.sweep.plan import SweepError
from lab.sweep.runner import Here, OnRay, Processes, run
from lab.sweep.store import ROOT, Sweep
from tests.lab.sweep import workers
from tests.lab.sweep.conftest import PHOTOS, rows, untimed

Begin = Callable[..., Sweep]


def whole(sweep: Sweep) -> None:
    """Every unit is there once."""
    found = rows(sweep)
    assert len(found) == sweep.units
    assert len({row["key"] for row in found}) == sweep.units
    assert not list(sweep.folder.rglob(".*"))


def test_processes_share_the_shards(begin: Begin) -> None:
    sweep = begin(shard=1)
    assert sorted(run(sweep, Processes(2), partial(workers.steady, sweep.folder))) == list(range(PHOTOS))
    whole(sweep)
    assert len({row["error"] for row in rows(sweep)}) == 2


def test_the_shard_of_a_killed_worker_is_run_again_by_another(begin: Begin) -> None:
    sweep = begin()
    list(run(sweep, Processes(1), partial(workers.mortal, sweep.folder, 1, 1)))
    whole(sweep)
    first, *_, last = (row["error"] for row in rows(sweep))
    assert first.startswith("by ")
    assert last != first


def test_a_shard_that_kills_its_worker_twice_becomes_failures(begin: Begin) -> None:
    sweep = begin()
    list(run(sweep, Processes(1), partial(workers.mortal, sweep.folder, 1, 9)))
    whole(sweep)
    given_up = "Its shard was given up after 2 workers were lost over it. Its process ended with exit code -9."
    assert [row["error"] == given_up for row in rows(sweep)] == [False] * 4 + [True] * 4 + [False] * 4


def test_a_shard_whose_worker_is_killed_when_it_was_written_is_not_run_again(begin: Begin) -> None:
    sweep = begin()
    list(run(sweep, Processes(1), partial(workers.late, sweep.folder, 0)))
    whole(sweep)
    assert len({row["error"] for row in rows(sweep)}) == 2


def test_a_worker_that_raises_ends_the_run(begin: Begin) -> None:
    with pytest.raises(SweepError, match=r"A worker broke off: ZeroDivisionError: division by zero"):
        list(run(begin(), Processes(1), workers.faulty))


def test_what_no_worker_can_mend_ends_the_run_and_all_processes(begin: Begin) -> None:
    sweep = begin()
    with pytest.raises(SweepError, match=r"The disk is full\."):
        list(run(sweep, Processes(2), partial(workers.penniless, sweep.folder)))
    assert sweep.missing() == [0, 1, 2]


def test_a_full_disk_is_said_and_what_is_done_is_kept(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = begin()
    done = run(sweep, Here(), partial(workers.steady, sweep.folder))
    next(done)
    name = f".000001.parquet.{store.socket.gethostname()}-{os.getpid()}"
    (sweep.folder / "shards" / name).symlink_to("/dev/full")  # where every byte is one too many
    with pytest.raises(SweepError, match=r"000001\.parquet cannot be written: .*No space left on device.*make room"):
        list(done)
    assert sweep.missing() == [1, 2]
    list(run(begin(), Here(), partial(workers.steady, sweep.folder)))
    whole(sweep)


def test_a_killed_driver_goes_on_where_it_was(begin: Begin) -> None:
    sweep = begin(shard=1)
    script = (
        "import time; from functools import partial; from pathlib import Path\n"
        "from lab.sweep.runner import Processes, run; from lab.sweep.store import Sweep\n"
        "from tests.lab.sweep import workers\n"
        f"folder = Path({str(sweep.folder)!r})\n"
        "for _ in run(Sweep(folder), Processes(1), partial(workers.steady, folder)): time.sleep(0.1)\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    while len(sweep.missing()) > PHOTOS - 3:
        assert driver.poll() is None
        time.sleep(0.01)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    time.sleep(0.5)  # its worker ends by itself
    left = sweep.missing()
    before = {path: path.stat().st_mtime_ns for path in (sweep.folder / "shards").iterdir()}
    assert 0 < len(left) <= PHOTOS - 3
    assert sorted(run(begin(shard=1), Here(), partial(workers.steady, sweep.folder))) == left
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())
    whole(sweep)


def test_control_c_keeps_what_is_finished(toys: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(
        f'models = ["{toys}/toy.toml"]\nshard = 1\n[pictures]\nfolder = "{toys}/photos"\n'
        '[[targets]]\nrule = "Random class"\n[[attacks]]\nattack = "ddn"\nsteps = 400\n'
    )
    command = [sys.executable, "-m", "lab.sweep", "run", plan, "--out", tmp_path / "out"]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what was started in the background is deaf to it
    driver = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    while not list((tmp_path / "out").glob("shards/*.parquet")):
        assert driver.poll() is None
        time.sleep(0.02)
    driver.send_signal(signal.SIGINT)
    _, said = driver.communicate()
    assert driver.returncode == 130
    assert "Stopped. All finished shards are kept" in said
    sweep = Sweep(tmp_path / "out")
    assert 0 < sweep.finished < sweep.units
    assert len(rows(sweep)) == sweep.finished


@pytest.mark.slow
def test_processes_find_what_this_process_finds(begin: Begin) -> None:
    attacks = [{"attack": "lazy"}, {"attack": "ddn", "steps": 20}, {"attack": "apgd", "steps": 5}]
    here, there = begin(*attacks, out="here"), begin(*attacks, out="there")
    list(run(here, Here()))
    list(run(there, Processes(2)))
    whole(there)
    assert untimed(rows(here)) == untimed(rows(there))


@pytest.mark.cluster
def test_ray_finds_what_this_process_finds(begin: Begin) -> None:
    attacks = [{"attack": "lazy"}, {"attack": "ddn", "steps": 20}, {"attack": "apgd", "steps": 5}]
    here, there = begin(*attacks, out="here"), begin(*attacks, out="there")
    list(run(here, Here()))
    list(run(there, OnRay(count=2)))
    whole(there)
    assert untimed(rows(here)) == untimed(rows(there))


SECRET = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
"""An environment with what a cluster asks of those who come."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """The address of a cluster of two cores that was there before."""
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", f"--port={port}", "--num-cpus=2"]
    lean = ["--include-dashboard=false", f"--object-store-memory={2**27}"]
    with (tmp_path / "head.txt").open("w") as said:
        head = subprocess.Popen([*command, *lean], stdout=said, stderr=subprocess.STDOUT, env=SECRET)
    try:
        while "Ray runtime started" not in (tmp_path / "head.txt").read_text():
            assert head.poll() is None, (tmp_path / "head.txt").read_text()
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        head.terminate()
        head.wait()


@pytest.mark.cluster
def test_a_cluster_that_was_there_finds_the_same(begin: Begin, cluster: str) -> None:
    here, there = begin({"attack": "ddn", "steps": 20}, out="here"), begin({"attack": "ddn", "steps": 20}, out="there")
    list(run(here, Here()))
    script = (
        "import sys; from pathlib import Path\n"
        "from lab.sweep.runner import OnRay, run; from lab.sweep.store import Sweep\n"
        "list(run(Sweep(Path(sys.argv[1])), OnRay(sys.argv[2], 2)))"
    )
    subprocess.run([sys.executable, "-c", script, there.folder, cluster], cwd=ROOT, env=SECRET, check=True)
    whole(there)
    assert untimed(rows(here)) == untimed(rows(there))


@pytest.mark.cluster
@pytest.mark.parametrize(("times", "given_up"), [(1, 0), (9, 4)])
def test_the_shard_of_a_lost_actor_is_run_again(begin: Begin, times: int, given_up: int) -> None:
    sweep = begin()
    list(run(sweep, OnRay(count=1), partial(workers.mortal, sweep.folder, 0, times)))
    whole(sweep)
    assert sum("actor of Ray was lost" in row["error"] for row in rows(sweep)) == given_up


def test_a_cluster_that_does_not_answer_is_said_to_be_so() -> None:
    with socket.socket() as bound:  # where nobody listens
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(SweepError, match=f"No cluster of Ray answers at {address}: .*refused"):
            list(OnRay(address).run(lambda: int, deque([0])))


def test_without_ray_it_is_said_how_to_get_it(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SweepError, match=r"pip install -r requirements-ray\.txt"):
        list(OnRay().run(lambda: int, deque([0])))
