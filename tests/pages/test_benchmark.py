"""The page Benchmark in Streamlit's own simulator: what it says of the results that ship, and of a sweep of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lab.benchmark import HEAD, SHIPPED
from models.registry import MODELS
from tests.markdown import seen
from tests.pages.page import Page

SIGNS, CODES = "gtsrb-onehot", "gtsrb-ecoc32"
RESULTS = "Traffic signs"


@pytest.fixture
def at() -> Page:
    """The page with the results of traffic signs, one-hot."""
    at = Page("benchmark").run()
    at.widget("selectbox", "Results").set_value(RESULTS).run()
    at.widget("selectbox", "Model").set_value(SIGNS).run()
    return at.intact()


def standings(at: Page) -> dict[str, dict[str, Any]]:
    """The table's lines by attack."""
    frame = at.dataframe[0].value
    assert tuple(frame.columns) == HEAD
    return {line["attack"]: line for line in frame.to_dict("records")}


def l2(attack: str, model: str = SIGNS) -> np.ndarray:
    """The distances that ship of an attack, by case."""
    rows = pq.read_table(SHIPPED / "signs" / "rows.parquet")
    rows = rows.filter((pc.field("model") == model) & (pc.field("attack") == attack)).sort_by("case").to_pylist()
    return np.array([row["l2"] if row["success"] else np.inf for row in rows if row["status"] != "skipped"])


def test_the_page_needs_no_torch(first_paint: dict[str, Any]) -> None:
    page = first_paint["benchmark"]
    assert (page["titles"], page["exceptions"], page["heavy"]) == (["Benchmark"], [], [])
    assert page["charts"] == 3


def test_the_table_says_what_the_rows_say(at: Page) -> None:
    at.widget("selectbox", "Against").set_value(next(each for each in at.widget("selectbox", "Against").options))
    told = standings(at)
    assert list(told) == ["C&W", "DDN", "FMN", "JMA", "Refined"]
    assert told["JMA"]["median L2"] == pytest.approx(np.median(l2("lazy")))
    assert told["C&W"]["reached"] == pytest.approx(np.isfinite(l2("cw")).mean())
    assert at.says(f"{len(l2('lazy'))} cases. Ratio, wins and p are against Refined")
    ours, theirs = l2("refined"), l2("ddn")
    assert told["DDN"]["ratio"] == pytest.approx(np.exp(np.log(theirs / ours).mean()))
    assert told["DDN"]["low"] < told["DDN"]["ratio"] < told["DDN"]["high"]
    assert told["DDN"]["wins"] + told["DDN"]["ties"] + told["DDN"]["losses"] == len(ours)
