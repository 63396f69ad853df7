"""The report's templates. What goes into one is escaped, and what one asks for has to be given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent, "utf-8"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **given: Any) -> Markup:
    """A template of this folder, by its file's name, filled in."""
    return Markup(_environment.get_template(template).render(given))
