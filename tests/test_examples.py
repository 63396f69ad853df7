"""The examples run, print what they promise, and need nothing but jma_core and torch."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from jma_core.attacks import registry
from tests.test_layers import imported

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PRINTED = {
    "one_image": r"(update \d+: read as \d, margin [+-]\d\.\d{3}, L2 \d\.\d{3}\n)+"
    r"(\d) is read as (?!\2)\d, as wanted: True\n"
    r"L2 \d\.\d{3} after \d+ backward passes\. The decoder reads the target labels\.\n",
    "batch": r"16 of 16 images read as wanted\nmedian L2 0\.\d{3}, 50 gradients each\n",
    "own_attack": r"(descent: True, L2 0\.\d{3}, \d backward passes\n)(jma: True, L2 0\.\d{3}, \d backward passes\n)",
}


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_prints_what_it_promises(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_declared", dict(registry._declared))  # what it declares ends with the test
    runpy.run_path(str(EXAMPLES / f"{name}.py"))
    assert re.fullmatch(PRINTED[name], capsys.readouterr().out)


def test_no_example_is_forgotten() -> None:
    assert {path.stem for path in EXAMPLES.iterdir() if path.suffix == ".py"} == set(PRINTED)


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_needs_only_the_package(name: str) -> None:
    path = EXAMPLES / f"{name}.py"
    assert imported(path, EXAMPLES) <= {"jma_core", "torch", "collections", "statistics", "typing"}
    assert 15 <= len(path.read_text().splitlines()) <= 40
