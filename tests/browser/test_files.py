"""The report of an attack in a browser of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from models.registry import ASSETS, MODELS
from ui import exports
from ui.archive import unpack
from ui.report import report

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
    spec = replace(MODELS[request.model], labels=labels, title=HOSTILE[1])
    facts = exports._facts(spec, request, result)
    verdicts = dict.fromkeys(HOSTILE, (True, HOSTILE[0]))
    path = tmp_path / "attacked.html"
    path.write_text(report(spec, request, result, result, verdicts, HOSTILE[2], facts, datetime.now(UTC)))
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
