"""``pip install .`` gives jma_core, whole and alone, and what is said about the package agrees."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest

import jma_core

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


LOCKED = {
    canonical(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of a fresh environment, where the package was installed without a network. It borrows the libraries here."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    borrowed = [path for path in sys.path if path.endswith("site-packages")]
    (site_packages(python) / "borrowed.pth").write_text("\n".join(borrowed))
    offline = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([python, "-I", "-m", "pip", "install", *offline, ROOT], check=True)
    return python


def site_packages(python: Path) -> Path:
    (found,) = python.parents[1].glob("lib/*/site-packages")
    return found


def package(python: Path) -> Distribution:
    """The only one in an environment."""
    (found,) = distributions(path=[str(site_packages(python))])
    return found


def test_jma_core_is_all_that_is_installed(python: Path) -> None:
    files = package(python).files or []
    assert {file.parts[0] for file in files if not file.parts[0].endswith(".dist-info")} == {"jma_core"}
    here = {str(path.relative_to(ROOT)) for path in (ROOT / "jma_core").rglob("*.py")}
    assert {str(file) for file in files if file.suffix == ".py"} == here
    assert "jma_core/py.typed" in map(str, files)
    assert "LICENSE" in {file.name for file in files}


def test_the_package_says_what_pyproject_says(python: Path) -> None:
    said = package(python).metadata
    assert (said["Name"], said["Version"]) == (PROJECT["name"], jma_core.__version__)
    assert said.get_all("Requires-Dist") == PROJECT["dependencies"]
    assert said["License-Expression"] == "MIT"


def test_it_attacks_from_an_empty_folder(python: Path, tmp_path: Path) -> None:
    example = (ROOT / "examples" / "one_image.py").read_text()
    script = f"{example}\nimport jma_core\nprint(jma_core.__file__)"
    ran = subprocess.run([python, "-I", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    *_, detail, file = ran.stdout.splitlines()
    assert detail.endswith("The decoder reads the target labels.")
    assert Path(file) == site_packages(python) / "jma_core" / "__init__.py"


def test_the_app_asks_for_what_the_package_needs() -> None:
    assert set(PROJECT["dependencies"]) <= set((ROOT / "requirements.txt").read_text().splitlines())


def test_the_locked_versions_are_those_of_all_but_torch() -> None:
    lines = "\n".join((ROOT / name).read_text() for name in ("requirements.txt", "requirements-dev.txt"))
    asked = set(re.findall(r"^[\w-]+", lines, flags=re.MULTILINE)) - {"-r"}
    assert {canonical(name) for name in asked} - LOCKED == {"torch", "torchvision"}
    assert not [name for name in LOCKED if re.match(r"torch|triton|nvidia|cuda", name)]


def test_the_change_log_begins_with_this_version() -> None:
    first = re.findall(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[0]
    assert first == jma_core.__version__
