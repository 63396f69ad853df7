"""The arrows pages -> ui -> models -> jma_core, and what importing jma_core costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"streamlit", "timm", "torchvision", "open_clip"}
NEVER = {"bench", "tests"}
FORBIDDEN = {
    "jma_core": {*HEAVY, *NEVER, "plotly", "models", "ui", "pages", "app"},
    "models": {*NEVER, "streamlit", "ui", "pages", "app"},
    "ui": {*NEVER, "pages", "app"},
    "pages": {*NEVER, "app"},
}


def imported(source: Path, root: Path) -> set[str]:
    """The top-level names that a file imports, wherever in it, also by importlib.import_module("...")."""
    names = set()
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        match node:
            case ast.Import(names=aliases):
                names |= {alias.name for alias in aliases}
            case ast.ImportFrom(module=module, level=0):
                names.add(module)
            case ast.ImportFrom(module=module, level=level):
                package = source.relative_to(root).parts[:-level]
                names |= {".".join([*package, module or alias.name]) for alias in node.names}
            case ast.Call(args=[ast.Constant(value=str(name)), *_]) if called(node) in {"import_module", "__import__"}:
                names.add(name)
    return {name.split(".")[0] for name in names}


def called(node: ast.Call) -> str:
    return ast.unparse(node.func).split(".")[-1]


def trespasses(folder: str, root: Path) -> list[str]:
    return [
        f"{source.relative_to(root)} imports {name}"
        for source in sorted((root / folder).rglob("*.py"))
        for name in sorted(imported(source, root) & FORBIDDEN[folder])
    ]


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_arrows_go_one_way(folder: str) -> None:
    assert list((ROOT / folder).rglob("*.py")), f"{folder} has no code"
    assert trespasses(folder, ROOT) == []


def test_the_attacks_are_built_on_torch_and_four_small_libraries_only() -> None:
    names = {name for source in (ROOT / "jma_core").rglob("*.py") for name in imported(source, ROOT)}
    assert names - sys.stdlib_module_names == {"jma_core", "torch", "numpy", "scipy", "daqp", "greenlet"}


def test_the_entry_point_imports_no_benchmarks_and_no_tests() -> None:
    assert imported(ROOT / "app.py", ROOT).isdisjoint(NEVER)


@pytest.mark.parametrize(
    "line",
    [
        "import ui",
        "import ui.state as state",
        "from ui.state import get",
        "def f():\n    from ui import state",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ui",
        "from ..ui import state",
        "from .. import ui",
        "import importlib\nimportlib.import_module('ui.state')",
        "from importlib import import_module\nimport_module('ui')",
        "__import__('ui')",
        "try:\n    import os, ui\nexcept ImportError:\n    pass",
    ],
)
def test_a_forbidden_import_is_found_however_it_is_written(tmp_path: Path, line: str) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "zoo.py").write_text(line)
    assert trespasses("models", tmp_path) == ["models/zoo.py imports ui"]


@pytest.mark.parametrize("line", ["import jma_core", "from . import ui", "from .ui import state", "ui = 'ui'"])
def test_an_allowed_import_is_not_taken_for_a_forbidden_one(tmp_path: Path, line: str) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "zoo.py").write_text(line)
    assert trespasses("models", tmp_path) == []


def modules_after(code: str) -> set[str]:
    """What a fresh interpreter has imported after running ``code``."""
    script = f"import sys\n{code}\nprint('', *sys.modules, sep='\\n')"
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in ran.stdout.splitlines()}


@pytest.mark.parametrize(
    "code", ["import jma_core", "import jma_core.records", "from jma_core import Step, StopReason"]
)
def test_records_need_neither_torch_nor_anything_heavy(code: str) -> None:
    assert {"sys", "jma_core"} <= modules_after(code)
    assert modules_after(code).isdisjoint(HEAVY | {"torch", "plotly"})


def test_the_attack_needs_torch_and_nothing_heavy() -> None:
    modules = modules_after("from jma_core import jma")
    assert "torch" in modules
    assert modules.isdisjoint(HEAVY | {"plotly"})


def test_every_public_name_resolves_and_is_listed_once() -> None:
    import jma_core

    listed = [name for names in jma_core._HOMES.values() for name in names]
    assert sorted(listed) == sorted(jma_core.__all__)
    for name in jma_core.__all__:
        assert getattr(jma_core, name).__name__ == name


def test_an_unknown_name_is_refused() -> None:
    import jma_core

    with pytest.raises(AttributeError, match="no_such_name"):
        _ = jma_core.no_such_name
