"""The files of an attack, opened again elsewhere: the network and the browser find in them what the page says."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from lab import exports
from lab.archive import unpack
from lab.report.report import Files, Verdict, report
from models.encodings import MultiLabel
from models.loaders import load
from models.registry import ASSETS, DEFAULT, MODELS
from tests.browser.test_uploads import sample, upload

if TYPE_CHECKING:
    from tests.browser.conftest import Lab, Sight


def test_two_clicks_on_a_fresh_page_are_a_first_attack_whose_files_are_read_again_as_the_page_says(
    lab: Lab, sight: Callable[..., Sight], browser: Browser, tmp_path: Path
) -> None:
    bridge = sight("bridge")
    wanted = bridge.wanted
    lab.thumbnail("bridge").click()
    lab.button("Run").click()
    expect(lab.success).to_contain_text(f"The result reads as {wanted}")
    np.testing.assert_array_equal(lab.picture(f"Original: {bridge.reads}"), bridge.picture)
    shown = lab.picture(f"Attacked: {wanted}")
    assert 1 <= np.abs(shown.astype(int) - bridge.picture).max() < 64
    assert lab.update() >= 2
    l2 = re.search(r"L2 (\d+\.\d+)", lab.success.inner_text())
    assert l2 is not None
    jpeg = lab.page.get_by_text("JPEG, quality 90:").inner_text()

    png = Image.open(io.BytesIO(lab.download("Picture (PNG)")))
    assert (png.format, png.mode) == ("PNG", "RGB")
    assert sight(png).reads == wanted
    for verdict in ("PNG, 8 bits:.*still read as wanted", "JPEG, quality 90:.*read as wanted when opened again"):
        expect(lab.page.get_by_text(re.compile(verdict))).to_be_visible()
    file = io.BytesIO()
    png.save(file, "JPEG", quality=90)
    survives = sight(Image.open(file).convert("RGB")).reads
    assert f"reads as {survives} (margin " in jpeg

    arrays = np.load(io.BytesIO(lab.download("Arrays (NPZ)")))
    network = load(MODELS[DEFAULT])
    with torch.no_grad():
        z = network.network(torch.from_numpy(arrays["image"])[None])[0]
    np.testing.assert_allclose(z, arrays["logits"], atol=1e-4)
    assert MODELS[DEFAULT].encoding.names(network.encoding.decode(z).numpy()) == wanted
    told, change = json.loads(str(arrays["header"])), arrays["image"] - arrays["original"]
    half_a_step = 255 * np.abs(change).max() / 63 / 2  # the player shows changes in 63 steps either way
    exact = arrays["image"].transpose(1, 2, 0) * 255
    np.testing.assert_allclose(shown, exact, rtol=0, atol=half_a_step + 0.5 + 1e-3)
    np.testing.assert_array_equal(np.asarray(png), arrays["picture"])
    assert told["request"]["model"] == DEFAULT
    assert 0 < told["distortion"]["l2"] == pytest.approx(np.linalg.norm(change), rel=1e-4)
    assert f"{np.linalg.norm(change):.3f}" == l2[1]

    record = json.loads(lab.download("Record (JSON)"))
    assert record["success"] is True
    assert record["weights_sha256"] == MODELS[DEFAULT].sha256
    assert {"torch", "timm", "numpy", "scipy"} <= set(record["versions"])
    assert (record["names_before"], record["names"]) == (bridge.reads, wanted)
    assert f"{record['distortion']['l2']:.3f}" == l2[1]
    assert MODELS[DEFAULT].encoding.names(np.array(record["request"]["target"])) == record["target_names"] == wanted

    path = tmp_path / "attacked.html"
    path.write_bytes(lab.download("Report (HTML)"))
    told = lab.page.get_by_test_id("stText").filter(has_text="backward pass").inner_text()
    opened, page = open_alone(browser, path)
    try:
        expect(page.get_by_role("heading", level=1)).to_have_text(f"Attack report: {bridge.reads} → {wanted}")
        assert page.get_by_role("listitem").all_inner_texts() == told.split("\n")
        row = page.get_by_role("row", name="JPEG, quality 90").inner_text()
        assert row.split("\t")[1:3] == ["✓ yes" if survives == wanted else "✗ no", survives]
        sources = page.get_by_role("img").evaluate_all("all => all.filter(i => i.src).map(i => i.src)")
        original, attacked = (Image.open(io.BytesIO(base64.b64decode(each.split(",")[1]))) for each in sources[:2])
        np.testing.assert_array_equal(np.asarray(original), bridge.picture)
        np.testing.assert_array_equal(np.asarray(attacked), np.asarray(png))
        assert sight(attacked).reads == wanted
        assert opened == [path.as_uri()]
    finally:
        page.context.close()


@pytest.mark.slow
@pytest.mark.parametrize("where", ["the same", "a fresh one"])
def test_a_photo_saved_for_a_network_that_crops_is_read_as_wanted_by_any_server(
    where: str, open_lab: Callable[..., Lab], sight: Callable[..., Sight], request: pytest.FixtureRequest
) -> None:
    """The network resizes every photo to 256 pixels and keeps 224 of them."""
    address = "model=imagenet-onehot&photo=espresso&want=convertible"
    lab = open_lab(address).ready().reads_as("espresso")
    lab.button("Run").click()
    expect(lab.success).to_contain_text("reads as convertible")
    said = "PNG, 8 bits: check_circle still read as wanted when opened again; it reads as convertible (margin +"
    expect(lab.page.get_by_text(said)).to_be_visible()
    data = lab.download("Picture (PNG)")
    saved, photo = Image.open(io.BytesIO(data)), sample("espresso")
    assert saved.size == (384, 256)
    whole = np.asarray(photo.resize(saved.size, Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(np.asarray(saved)[:, :80], whole[:, :80])
    assert np.abs(np.asarray(saved).astype(int) - whole).mean() < 1
    seen = sight(saved, "imagenet-onehot")
    assert seen.reads == "convertible"

    if where == "a fresh one":
        lab = open_lab(address, host=request.getfixturevalue("cold_server")).reads_as("espresso")
    upload(lab, data, "attacked.png")
    expect(lab.thumbnail("yours")).to_be_visible()
    lab.reads_as("convertible")
    np.testing.assert_array_equal(lab.picture("Original: convertible"), seen.picture)


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src="http://127.0.0.1:9/x.png" onerror=alert(2)>',
    "</title></style></svg><iframe srcdoc='<script>parent.alert(3)</script>'></iframe>",
    "' onmouseover='alert(4)' style='background:url(http://127.0.0.1:9/y.png)",
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 380])
def test_a_report_with_hostile_names_is_only_a_page_to_read(
    width: int, scheme: str, browser: Browser, tmp_path: Path
) -> None:
    request, result = unpack((ASSETS / "example.npz").read_bytes())
    labels = tuple(f"{HOSTILE[i % len(HOSTILE)]} {i}" for i in range(24))
    spec = replace(MODELS[request.model], encoding=MultiLabel(labels), title=HOSTILE[1])
    facts = exports.facts(spec, request, result)
    files = Files(result, b"", HOSTILE[1], dict.fromkeys(HOSTILE, Verdict(True, *HOSTILE[:2])))
    path = tmp_path / "attacked.html"
    path.write_text(report(spec, request, result, files, HOSTILE[2], facts, datetime.now(UTC)))
    opened, page = open_alone(browser, path, width=width, scheme=scheme)
    try:
        page.mouse.move(100, 100)
        expect(page.get_by_role("heading", level=1)).to_have_text(f"Attack report: {labels[17]} → {labels[3]}")
        assert page.locator("script, iframe, object, embed, link, a, form, [onerror], [onmouseover]").count() == 0
        assert page.locator("img").evaluate_all("all => all.every(i => i.naturalWidth > 0)")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert light == (scheme == "light")
        assert opened == [path.as_uri()]
    finally:
        page.context.close()


def open_alone(browser: Browser, path: Path, *, width: int = 1440, scheme: str = "light") -> tuple[list[str], Page]:
    """A file in a tab of its own, and what that asked for; fails when anything pops up."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, opened = context.new_page(), []
    page.on("request", lambda request: opened.append(request.url) if not request.url.startswith("data:") else None)
    page.on("dialog", lambda dialog: opened.append(f"a dialog: {dialog.message}") or dialog.dismiss())
    page.on("console", lambda message: opened.append(f"the console: {message.text}"))
    page.goto(path.as_uri())
    return opened, page
