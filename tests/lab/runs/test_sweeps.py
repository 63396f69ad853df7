"""Sweeps of one's own: processes that go on without whoever started them, and can be watched and stopped."""

from __future__ import annotations

import math
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.browsing import ROOT
from bench.sweep import toy
from lab.request import Settings
from lab.runs import sweeps
from lab.runs.sweeps import ESTIMATE, RUN, OwnSweep, own_sweeps, plan
from lab.sweep.plan import Plan
from lab.sweep.store import Sweep

DDN = Settings.of("ddn", max_seconds=math.inf)
RESTING = "import time; print('at work', flush=True); time.sleep(60)"
pytestmark = pytest.mark.usefixtures("data_of_its_own")
TEXT = plan("Signs", "gtsrb-onehot", {"samples": "gtsrb"}, ("Random class", 1), [DDN])


def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_a_plan_says_what_it_was_made_of() -> None:
    near, other = Settings.of("lazy", step=1e-7, kappa=0.5, max_seconds=math.inf), (("surrogate", "worst"),)
    asked = [near, DDN, replace(DDN, own=other)]
    text = plan('A "title"', "scenes", {"folder": 'C:\\my "photos" é😀\x7f'}, ("Flip k at random", 3), asked)
    read = Plan.of(tomllib.loads(text), Path("/"))
    assert read.models == ("scenes",)
    assert read.pictures.folder == '/C:\\my "photos" é😀\x7f'
    assert [(rule.rule, rule.k) for rule in read.targets] == [("Flip k at random", 3)]
    assert list(read.attacks) == asked
    assert text.endswith('[[attacks]]\nattack = "ddn"\n\n[[attacks]]\nattack = "ddn"\nsurrogate = "worst"\n')


def test_the_same_plan_and_pictures_are_the_same_folder() -> None:
    files = [("one.png", b"one"), ("../../two", b"two")]
    first = OwnSweep.of(TEXT, files)
    assert OwnSweep.of(TEXT, files) == first
    assert OwnSweep.of(TEXT, files[:1]) != first
    found = sorted((path.name, path.read_bytes()) for path in (first.folder / "pictures").iterdir())
    assert found == [("001 one.png", b"one"), ("002 .._.._two.png", b"two")]
    assert first.title == f"Signs ({first.folder.name[:4]})"
    assert first.done == (0, 0)


def test_a_process_is_seen_by_all_and_ends_when_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "PROGRAM", (sys.executable, "-c", RESTING))
    sweep = OwnSweep.of(TEXT)
    assert not sweep.running
    sweep.start(ESTIMATE)
    (other,) = own_sweeps()
    assert other.running
    assert until(lambda: other.said(ESTIMATE) == ["at work"])
    before = (sweep.folder / "lock").read_text()
    other.start(RUN)
    assert (sweep.folder / "lock").read_text() == before, "a second one was started beside the first"
    other.stop()
    assert until(lambda: not sweep.running)
    sweep.delete()
    assert own_sweeps() == []


def test_a_process_goes_on_when_its_server_has_gone() -> None:
    server = f"""if True:
        import sys
        from lab.runs import sweeps
        sweeps.PROGRAM = (sys.executable, "-c", {RESTING!r})
        sweeps.OwnSweep.of({TEXT!r}).start("run")"""
    subprocess.run([sys.executable, "-c", server], cwd=ROOT, check=True)
    (sweep,) = own_sweeps()
    assert sweep.running
    sweep.stop()
    assert until(lambda: not sweep.running)


def test_a_sweep_is_opened_once_however_often_it_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(sweeps, "Sweep", lambda folder: opened.append(folder) or Sweep(folder))
    sweep = OwnSweep.of(TEXT)
    begun = Sweep.begin(tomllib.loads(TEXT), sweep.folder, sweep.results)
    assert [sweep.done for _ in range(3)] == [(0, begun.units)] * 3
    begun.lose(0, "lost")
    assert sweep.done == (len(begun.numbers(0)), begun.units)
    assert opened == [sweep.results]


@pytest.mark.slow
def test_a_sweep_is_made_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    toy(tmp_path, 240)
    text = plan("Toys", str(tmp_path / "toy.toml"), {"folder": str(tmp_path / "photos")}, ("Random class", 1), [DDN])
    sweep = OwnSweep.of(text)
    sweep.start(RUN)
    assert until(lambda: sweep.done[0] > 0, 60)
    sweep.stop()
    assert until(lambda: not sweep.running)
    finished, units = sweep.done
    assert 0 < finished < units == 240
    sweep.start(RUN)
    assert until(lambda: not sweep.running, 120)
    assert sweep.done == (240, 240), sweep.said(RUN)
