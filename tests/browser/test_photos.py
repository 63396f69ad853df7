"""The page Many photos: a sheet fits and opens in the lab; one of an uploaded directory fills and is taken along."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest
from playwright.sync_api import expect

from lab.runs.sweeps import OwnSweep, own_sweeps
from models.registry import ASSETS, MODELS
from tests.browser.looks import assert_fits
from tests.browser.test_benchmark import choose
from tests.sheets import SIGNS, half_filled

if TYPE_CHECKING:
    from tests.browser.conftest import Visit


@pytest.fixture
def half() -> Iterator[OwnSweep]:
    """A half filled sheet in the data folder that the servers share with the tests."""
    own = half_filled()
    yield own
    own.delete()


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
