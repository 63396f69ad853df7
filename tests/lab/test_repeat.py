"""What is copied of an attack gives that attack again."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.parquet as pq
import pytest

from jma_core import run
from lab.photos.samples import samples
from lab.repeat import plan, program
from lab.request import Canvas, Request, Settings
from lab.runs.launch import launch
from lab.sweep.__main__ import main as sweep
from models.loaders import load
from models.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
MODEL = "gtsrb-onehot"
FILE = PurePosixPath("assets/samples/gtsrb/stop.png")
STOP = next(photo for photo in samples("gtsrb").values() if photo.name == "stop.png")


def asked(**changes: Any) -> Request:
    return Request(**{"model": MODEL, "photo": STOP.digest, "target": 3, "settings": Settings.of("lazy")} | changes)


def went(request: Request) -> float:
    """How far the lab's own attack goes."""
    loaded = load(MODELS[MODEL])
    return run(launch(request, loaded, loaded.spec.preprocessing(STOP.image))).distortion.l2


def told(output: str) -> float:
    found = re.search(r"at L2 ([\d.]+)$", output.strip())
    assert found, output
    return float(found[1])


def test_the_program_gives_the_attack_again_in_a_process_of_its_own() -> None:
    request = asked(settings=Settings.of("lazy", step=0.3, kappa=0.5))
    code = program(MODELS[MODEL], request, FILE)
    assert f"from jma_core import {request.settings.entry.function}, run" in code
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert told(ran.stdout) == pytest.approx(went(request), abs=2e-6)


@pytest.mark.parametrize("changes", [{"canvas": Canvas(region=(0.2, 0.2, 0.9, 0.9))}, {"target": frozenset({3, 5})}])
def test_so_does_that_of_a_part_or_of_a_set(
    changes: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    request = asked(**changes)
    exec(program(MODELS[MODEL], request, FILE), {})
    assert told(capsys.readouterr().out) == pytest.approx(went(request), abs=2e-6)
    assert plan(MODELS[MODEL], request, FILE) is None


def test_the_plan_is_a_sweep_of_this_one_attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    request = asked(settings=Settings.of("lazy", step=0.3))
    planned = plan(MODELS[MODEL], request, FILE)
    assert planned
    Path("plan.toml").write_text(planned, "utf-8")
    command = planned.splitlines()[0].removeprefix("# python -m lab.sweep ").split()
    assert sweep(command) == 0
    (row,) = [row for row in pq.read_table("sweep/shards").to_pylist() if row["status"] == "done"]
    assert row["l2"] == pytest.approx(went(request), abs=1e-5)
