"""The documentation builds without a word of complaint, is whole, and leads nowhere that is not there."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import jma_core

ROOT = Path(__file__).resolve().parents[1]


class Page(HTMLParser):
    """What a page links to, what it loads, its anchors and its text."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = {""}
        self.text = ""
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attributes}
        self.anchors.add(said.get("id", ""))
        if tag == "a" and "href" in said:
            self.links.append(said["href"])
        elif address := said.get("src") or said.get("href"):
            self.loads.append(address)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run([sys.executable, "-m", "docs.build", folder], cwd=ROOT, capture_output=True, text=True)
    assert (built.returncode, built.stderr) == (0, "")
    return {file: Page(file) for file in folder.rglob("*.html")}


def test_every_link_leads_to_a_place_on_the_site(site: dict[Path, Page]) -> None:
    for file, page in site.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (file.parent / parts.path).resolve() if parts.path else file
            assert target.is_file(), f"{file} links to {link}"
            assert parts.fragment in site[target].anchors, f"{file} links to {link}"


def test_nothing_is_loaded_from_elsewhere(site: dict[Path, Page]) -> None:
    for file, page in site.items():
        for address in page.loads:
            assert urlsplit(address).scheme == "data" or (file.parent / address).is_file(), f"{file} loads {address}"


def test_every_module_and_public_name_has_its_place(site: dict[Path, Page]) -> None:
    pages = {str(file).partition("/api/")[2]: page for file, page in site.items()}
    for source in (ROOT / "jma_core").rglob("*.py"):
        name = str(source.relative_to(ROOT)).removesuffix("/__init__.py").removesuffix(".py")
        assert f"{name}.html" in pages or source.name == "__main__.py"
    assert set(jma_core.__all__) <= pages["jma_core.html"].anchors


def test_every_text_is_a_page_that_all_others_link_to(site: dict[Path, Page]) -> None:
    for text in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")):
        title = text.read_text("utf-8").splitlines()[0].removeprefix("# ")
        name = "index.html" if text.name == "README.md" else f"{text.stem}.html"
        for page in site.values():
            assert name in {Path(link).name for link in page.links} or not page.links
        assert [file for file, page in site.items() if file.name == name and title in page.text]


def test_attacks_are_shown_as_they_are_called_and_stars_are_kept(site: dict[Path, Page]) -> None:
    (ddn,) = (page for file, page in site.items() if file.name == "ddn.html")
    assert "init_norm: float = 1.0" in " ".join(ddn.text.split())
    assert "Normalised gradients turn the perturbation" in ddn.text
    (records,) = (page for file, page in site.items() if file.name == "records.html")
    assert "(n,) d* = J delta*: where the linear model expects the full step to go." in records.text
