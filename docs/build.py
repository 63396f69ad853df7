"""Builds the documentation as a static site, without a network: ``python -m docs.build [FOLDER]``; by default in site/.

README.md is its front page, the other Markdown files are pages of their own, and the reference of jma_core is made of
its docstrings.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from pkgutil import iter_modules
from posixpath import relpath

import pdoc
from pdoc.render import configure, env
from pdoc.render_helpers import to_html

import jma_core

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md"), key=lambda page: page.stem != "README"), *sorted(ROOT.glob("docs/*.md"))]
MODULES = ["jma_core", *(f"jma_core.{module.name}" for module in iter_modules(jma_core.__path__))]
PICTURES = sorted(ROOT.glob("docs/*.png"))
PROSE = re.compile(r"^(?! {4}).*", flags=re.MULTILINE)
"""Lines that are not code."""


def build(site: Path) -> None:
    """Write the whole site below a folder."""
    configure(docformat="markdown", template_directory=ROOT / "docs" / "templates")
    env.globals["pages"] = {title(page): address(page) for page in PAGES}
    env.filters["to_markdown"] = markdown
    for name in jma_core.__all__:  # which are imported on first use, so that pdoc would not find them
        setattr(jma_core, name, getattr(jma_core, name))
    pdoc.pdoc(*MODULES, output_directory=site / "api")
    for page in PAGES:
        write(page, site / address(page))
    for picture in PICTURES:
        shutil.copy(picture, site / picture.relative_to(ROOT))


def write(page: Path, target: Path) -> None:
    """A Markdown file as a page of the site."""
    html = to_html(page.read_text("utf-8"))
    up = relpath(ROOT, page.parent) + "/"
    body = re.sub(r'href="([^":#]+\.md)', lambda link: f'href="{up}{address((page.parent / link[1]).resolve())}', html)
    target.parent.mkdir(parents=True, exist_ok=True)
    rendered = env.get_template("page.html.jinja2").render(title=title(page), body=body, contents=html, up=up)
    target.write_text(rendered, "utf-8")


def title(page: Path) -> str:
    """Its first heading."""
    return page.read_text("utf-8").partition("\n")[0].removeprefix("# ")


def address(page: Path) -> str:
    """Where a Markdown file is on the site."""
    return page.relative_to(ROOT).with_suffix(".html").as_posix().replace("README", "index")


def markdown(docstring: str) -> str:
    """A docstring of ours as Markdown, in which the star of lambda* would begin an emphasis."""
    return PROSE.sub(lambda line: re.sub(r"(?<=\w)\*", r"\*", line[0]), docstring)


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "site")
