"""README is true: its example runs, and its commands are the ones that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from jma_core import MultiLabel, run
from jma_core.attacks import registry

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_examples_run_one_after_the_other_and_succeed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)
    attack, save = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(attack + save, "README.md", "exec"), {})
    assert re.fullmatch(r"True espresso L2 \d\.\d{3}\nespresso\n", capsys.readouterr().out)


def test_the_attack_that_contributing_shows_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_declared", dict(registry._declared))  # what it declares ends with the test
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), flags=re.DOTALL)
    there: dict[str, Any] = {"__name__": "contributing"}
    exec(compile(code, "CONTRIBUTING.md", "exec"), there)
    grey = torch.full((1, 2, 2), 0.5)
    assert run(there["descent"](lambda images: images.flatten(1) - 0.6, grey, MultiLabel(4), [1, 0, 0, 0])).success


def test_make_test_runs_the_commands_that_the_readme_shows() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (commands,) = re.findall(r"^    (\.venv/bin/ruff check.*)$", README, flags=re.MULTILINE)
    for command in commands.split(" && "):
        assert f"\t{command.replace('.venv/bin', '$(BIN)')}\n" in makefile


def test_make_docs_runs_the_command_that_the_readme_shows() -> None:
    (command,) = re.findall(r"^    \.venv/bin/(python -m docs.*)$", README, flags=re.MULTILINE)
    assert f"docs: .venv/dev\n\t$(BIN)/{command}\n" in (ROOT / "Makefile").read_text()


def test_every_file_that_the_readme_names_exists() -> None:
    for name in re.findall(r"\]\(([^):]+)\)", README):
        assert (ROOT / name).exists(), name
