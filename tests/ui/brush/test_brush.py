"""What the browser tells after a stroke is kept if it is a stencil, and is answered with the number of the stroke."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from lab.stencil import PRESETS, written
from ui.brush.brush import preview

CORNER, BORDER = (written(PRESETS[name]) for name in ("Corner", "Border"))


def page() -> None:
    import numpy as np
    import streamlit as st

    from ui.brush import brush
    from ui.shell.session import keep, session

    key = keep("painted", "")
    if told := st.session_state.pop("stroke", None):
        st.session_state[brush.KEY] = {"painted": told}
        brush._take(key)
        del st.session_state[brush.KEY]
    st.text(brush.paint(np.zeros((4, 6, 3), dtype=np.uint8), key))
    assert session().lasting.kept["painted"] == st.session_state["painted"]


def after(at: AppTest, told: Any) -> str:
    """What is kept once the browser has told this."""
    at.session_state["stroke"] = told
    assert not at.run().exception
    return at.text[0].value


@pytest.mark.parametrize("broken", [{"text": "1.2.3"}, {"text": 7}, {}, "x", {"text": None}, {"text": "9" * 5000}])
def test_a_stencil_is_kept_and_nothing_else_is_believed(broken: Any) -> None:
    at = AppTest.from_function(page).run()
    assert at.text[0].value == ""
    assert after(at, {"text": CORNER, "stroke": 1}) == CORNER
    assert after(at, broken) == CORNER
    assert after(at, {"text": "4096", "stroke": 2}) == ""


def test_the_browser_gets_the_picture_the_patches_and_what_is_painted() -> None:
    at = AppTest.from_function(page).run()
    after(at, {"text": BORDER, "stroke": 1})
    (data,) = json.loads(at.get("bidi_component")[0].proto.json)
    assert (data["painted"], data["size"], data["cells"]) == (BORDER, [6, 4], 64)
    assert data["presets"] == {name: written(stencil) for name, stencil in PRESETS.items()}


def test_a_large_picture_is_sent_small() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=np.uint8)
    assert len(preview(noise)) < 80_000
