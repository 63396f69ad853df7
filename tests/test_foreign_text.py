"""What comes from cards, files and errors goes into Streamlit's Markdown through ``plain`` only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MARKDOWN = {
    "badge", "button", "caption", "checkbox", "download_button", "error", "expander", "header", "info", "markdown",
    "metric", "popover", "progress", "slider", "spinner", "subheader", "success", "title", "toast", "toggle", "warning",
    "write",
}  # fmt: skip
"""Calls of Streamlit that take their first argument for Markdown."""
FOREIGN = {"title", "summary", "licence", "data", "labels", "address", "before", "after", "wanted", "detail", "unsaved"}
"""Attributes of models, runs and errors that others wrote."""
WORDS = {"names", "wish", "listed"}
"""Functions and methods that put them together."""
CAUGHT = {"error", "problem", "reason", "halt"}
SAFE = {"plain", "quoted", "len", "type"}


def bare(node: ast.AST) -> Iterator[str]:
    """What others wrote in an expression, outside of what escapes it."""
    match node:
        case ast.Call(func=ast.Name(id=name)) if name in SAFE:
            return
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in WORDS:
            yield name
        case ast.Attribute(attr=name) if name in FOREIGN:
            yield name
        case ast.Name(id=name) if name in CAUGHT:
            yield name
    for child in ast.iter_child_nodes(node):
        yield from bare(child)


def leaks(source: str) -> list[str]:
    """Calls of Streamlit with such text as Markdown."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and node.args]
    return [
        f"line {call.lineno}: {call.func.attr} shows {name}"
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr in MARKDOWN
        for name in bare(call.args[0])
    ]


@pytest.mark.parametrize("path", [*ROOT.glob("ui/**/*.py"), *ROOT.glob("pages/*.py")], ids=lambda path: path.name)
def test_foreign_text_is_escaped_where_it_enters_markdown(path: Path) -> None:
    assert leaks(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "st.write(spec.title)",
        "a.error(f'x {error}')",
        "st.info(', '.join(spec.encoding.labels))",
        "st.title(spec.encoding.names(z))",
        "st.title(listed(texts))",
    ],
)
def test_a_leak_is_found(line: str) -> None:
    assert leaks(line)
    assert not leaks(f"{line[: line.index('(') + 1]}plain({line[line.index('(') + 1 :]})")
