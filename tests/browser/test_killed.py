"""A server that is killed in the middle of an attack: what was stored is there, and nothing of what was not.

In tests/lab/test_store.py writers alone are killed, which takes less time.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from bench.browsing import serving
from lab.archive import unpack
from lab.store import store
from models.registry import ASSETS, MODELS


def attack_and_kill(browser: Browser, log: Path, seconds: float) -> None:
    """Begin an attack on a server of its own, which is killed after some time: it may be storing then, or idle."""
    with serving(log) as server:
        page = browser.new_page()
        page.goto(f"{server.address}/?photo=bridge&want=snow&want=cars")
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.get_by_text(re.compile(r"Running: iteration \d+")).first).to_be_visible()
        time.sleep(seconds)
        os.kill(server.pid, signal.SIGKILL)
        os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
        page.close()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 30])
def test_a_killed_server_leaves_whole_runs_and_another_one_lists_them(
    kills: int, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JMA_LAB_DATA", str(tmp_path))
    request, result = unpack((ASSETS / "example.npz").read_bytes())
    store().add(MODELS[request.model], request, result)
    moments = np.random.default_rng(0)
    listed = 1
    for _ in range(kills):
        with pytest.raises(RuntimeError, match="has ended"):
            attack_and_kill(browser, tmp_path / "log.txt", moments.uniform(0, 4) if kills > 1 else 0.5)
        with closing(sqlite3.connect(store().path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = store().rows()
        assert listed <= len(rows) <= listed + 1
        listed = len(rows)
        for row in rows:
            assert store().get(row.id)[1].success == row.success
    with serving(tmp_path / "log.txt") as server:
        page = browser.new_page()
        page.goto(f"{server.address}/runs")
        expect(page.get_by_role("button", name="Open", exact=True)).to_have_count(min(listed, 20))
        page.close()
    assert store().aside() == {}
