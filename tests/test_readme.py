"""README is true: its example runs, and its commands are the ones that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_example_runs_and_succeeds(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    assert re.fullmatch(r"True espresso L2 \d\.\d{3}\n", capsys.readouterr().out)


def test_make_test_runs_the_commands_that_the_readme_shows() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (commands,) = re.findall(r"^    (\.venv/bin/ruff check.*)$", README, flags=re.MULTILINE)
    for command in commands.split(" && "):
        assert f"\t{command.replace('.venv/bin', '$(BIN)')}\n" in makefile


def test_every_file_that_the_readme_names_exists() -> None:
    for name in re.findall(r"\]\(([^):]+)\)", README):
        assert (ROOT / name).exists(), name
