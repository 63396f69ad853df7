"""HTML and SVG elements from text, which is escaped as it goes in: nothing that a user wrote can become markup."""

from __future__ import annotations

from html import escape

VOID = {"img", "meta"}
"""Elements that have no end."""


class Markup(str):
    """Text that is markup already. Only ``tag`` and ``join`` make it, and report.py of its own style sheet."""


def tag(name: str, /, *inside: str, **attributes: object) -> Markup:
    """An element; ``class_`` is class, ``aria_label`` is aria-label. All but Markup is escaped."""
    said = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(str(v))}"' for key, v in attributes.items())
    return Markup(f"<{name}{said}>" + ("" if name in VOID else f"{join(*inside)}</{name}>"))


def join(*parts: str) -> Markup:
    """One thing after another. Texts are escaped, Markup is not."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))
