"""The page Many photos: a sheet fits and opens in the lab; one of an uploaded directory fills and is taken along."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser, expect

from bench.browsing import serving
from lab.runs.sweeps import OwnSweep, own_sweeps
from models.registry import ASSETS, MODELS
from tests.browser.looks import assert_fits
from tests.browser.test_benchmark import choose
from tests.sheets import SIGNS

if TYPE_CHECKING:
    from tests.browser.conftest import Visit


def test_a_sheet_fits_in_every_width_and_its_photos_open_in_the_lab(
    half: OwnSweep, visit: Callable[..., Visit]
) -> None:
    opened = visit("/photos")
    page = opened.page
    expect(page.get_by_text("1 of 2 targets reached")).to_be_visible()
    expect(page.locator(".js-plotly-plot .scatterlayer .point")).to_have_count(2)
    assert_fits(page, (1440, 1024, 380))
    opened.idle()
    page.get_by_role("button", name="L2 1.000").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("→"))
    expect(page).to_have_url(re.compile(f"model={SIGNS}.*attack=ddn"))


@pytest.mark.slow
def test_a_directory_becomes_a_sheet_that_fills_while_the_page_is_away(
    visit: Callable[..., Visit], tmp_path: Path
) -> None:
    for name in (names := ("stop.png", "no_entry.png", "give_way.png")):
        shutil.copy(ASSETS / "samples" / "gtsrb" / name, tmp_path)
    (tmp_path / "notes.txt").write_text("no picture")
    opened = visit("/photos")
    page = opened.page
    opened.idle()
    choose(page, "Model", MODELS[SIGNS].title)
    choose(page, "Pictures", "A directory to be uploaded")
    page.locator("input[type=file]").set_input_files(tmp_path)
    page.get_by_role("button", name="Attack all photos").click()
    expect(page.get_by_text(re.compile(r"\): at work$"))).to_be_visible()
    opened.go("/compare")
    opened.go("/photos")
    expect(page.get_by_text(re.compile(r"\): finished$"))).to_be_visible()
    expect(page.get_by_role("button", name=re.compile(r"L2 \d"))).to_have_count(len(names))
    opened.idle()
    with page.expect_download() as started:
        page.get_by_role("button", name="Pictures (ZIP)").click()
    with ZipFile(io.BytesIO(Path(started.value.path()).read_bytes())) as bundle:
        assert len(bundle.namelist()) == 1 + len(names)
    (own,) = own_sweeps()
    own.delete()


@pytest.mark.slow
def test_a_sheet_whose_server_ends_is_there_again_and_nothing_is_attacked_twice(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JMA_LAB_DATA", str(tmp_path / "data"))
    signs = sorted((ASSETS / "samples" / "gtsrb").iterdir())
    done = re.compile(r"L2 \d")
    with serving(tmp_path / "log.txt") as server:
        page = browser.new_page()
        page.goto(f"{server.address}/photos")
        choose(page, "Model", MODELS[SIGNS].title)
        choose(page, "Pictures", "Files")
        page.locator("input[type=file]").set_input_files(signs)
        page.get_by_role("button", name="Attack all photos").click()
        expect(page.get_by_role("button", name=done).first).to_be_visible()
        page.close()
    with serving(tmp_path / "log.txt") as server:
        page = browser.new_page()
        page.goto(f"{server.address}/photos")
        expect(page.get_by_text(re.compile(r"\): (at work|stopped|finished)$"))).to_be_visible()
        if page.get_by_text(re.compile(r"\): stopped$")).count():
            page.get_by_role("button", name="Go on").click()
        expect(page.get_by_text(re.compile(r"\): finished$"))).to_be_visible()
        expect(page.get_by_role("button", name=done)).to_have_count(len(signs))
        page.close()
    (own,) = own_sweeps()
    rows = [row for file in own.results.glob("shards/*.parquet") for row in pq.read_table(file).to_pylist()]
    assert sorted(row["picture"] for row in rows) == sorted({row["picture"] for row in rows})
    assert len(rows) == len(signs)
