"""The arrows pages -> ui -> lab -> models -> jma_core, and what importing jma_core costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WITH_TORCH = {
    "lab.probes", "lab.runs.launch", "lab.saliency", "lab.sweep.units",
    "models.adversaries", "models.architectures", "models.clip_mlp", "models.evaluate", "models.heads",
    "models.hubs", "models.loaders", "models.recipes", "models.resize", "models.train", "models.trial",
    "models.zero_shot",
}  # fmt: skip
"""Modules and packages of lab and models that import torch, which takes seconds; none of ui, which is drawn before."""
HEAVY = {"streamlit", "timm", "torchvision", "open_clip"}
NEVER = {"bench", "tests"}
FORBIDDEN = {
    "jma_core": {*HEAVY, *NEVER, "plotly", "models", "lab", "ui", "pages", "app"},
    "models": {*NEVER, "streamlit", "plotly", "lab", "ui", "pages", "app"},
    "lab": {*NEVER, "streamlit", "plotly", "ui", "pages", "app"},
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


def modules_of(*folders: str) -> list[str]:
    sources = [source for folder in folders for source in sorted((ROOT / folder).rglob("*.py"))]
    return [".".join(source.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for source in sources]


def may_import_torch(module: str) -> bool:
    return any(f"{module}.".startswith(f"{name}.") for name in WITH_TORCH)


def test_what_is_needed_before_torch_needs_no_torch() -> None:
    light = [name for name in modules_of("lab", "models", "ui") if not may_import_torch(name)]
    assert len(light) > 50
    assert "torch" not in modules_after("\n".join(f"import {name}" for name in light))


def test_what_is_said_to_import_torch_does() -> None:
    for name in WITH_TORCH:
        path = ROOT.joinpath(*name.split("."))
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        body = ast.parse(source.read_text("utf-8")).body
        told = {name.name for node in body if isinstance(node, ast.Import) for name in node.names}
        told |= {node.module for node in body if isinstance(node, ast.ImportFrom) and node.module}
        assert told & {"torch", *WITH_TORCH}, f"{name} needs torch no longer: take it off the list"


@pytest.mark.parametrize(
    "code", ["import jma_core", "import jma_core.records", "from jma_core import Step, StopReason, catalogue"]
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

    assert len(jma_core.__all__) == len(set(jma_core.__all__))
    for name in jma_core.__all__:
        assert getattr(jma_core, name).__name__ == name


def test_an_unknown_name_is_refused() -> None:
    import jma_core

    with pytest.raises(AttributeError, match="no_such_name"):
        _ = jma_core.no_such_name
