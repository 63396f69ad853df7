"""What the pages show while no network is there."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from typing import Any

import pytest

from jma_core import eight_bit
from lab.runs import launch
from tests.pages.page import ROOT


@pytest.fixture(autouse=True)
def _files_in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of an attack is looked for along two rays instead of nine, which take two seconds."""
    monkeypatch.setattr(launch, "eight_bit", partial(eight_bit, turns=1))


@pytest.fixture(scope="session")
def first_paint() -> dict[str, dict[str, Any]]:
    """By page, and by step of the lecture, what tests/pages/first_paint.py saw."""
    command = [sys.executable, "-m", "tests.pages.first_paint"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    pages: dict[str, dict[str, Any]] = json.loads(ran.stdout.splitlines()[-1])
    return pages
