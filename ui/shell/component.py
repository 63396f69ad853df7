"""Components of a page in HTML, CSS and JavaScript, in files beside their modules, and what several of them share."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

BASE = Path(__file__).with_suffix(".css")
"""How type, buttons, boxes and what has the keyboard look in all of them."""


def sources(module: Path, *shared: Path) -> tuple[str, str, str]:
    """The .html, .css and .js beside a module. Style and script of the ``shared`` ones come before its own, and their
    HTML where a comment in its own names the file, like <!-- pixels.html -->. The style of all begins with BASE."""
    files = (*shared, module)
    html, css, js = (
        [each.with_suffix(f".{kind}").read_text("utf-8") for each in files] for kind in ("html", "css", "js")
    )
    *parts, whole = html
    for each, part in zip(shared, parts, strict=True):
        whole = whole.replace(f"<!-- {each.stem}.html -->", part)
    return whole, "\n".join([BASE.read_text("utf-8"), *css]), "\n".join(js)


def component(name: str, module: Path, *shared: Path) -> ComponentRenderer:
    """What these show in the browser."""
    html, css, js = sources(module, *shared)
    return st.components.v2.component(name, html=html, css=css, js=js)
