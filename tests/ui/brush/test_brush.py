"""What the browser tells after a stroke is chosen if it is a stencil, and is answered with the number of the stroke."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from lab.stencil import PRESETS, written
from ui.brush.brush import NOTHING, offered
from ui.shell.session import EVERYWHERE, PAINTED

CORNER, BORDER = (written(PRESETS[name]) for name in ("Corner", "Border"))


def page() -> None:
    import streamlit as st

    from ui.brush import brush
    from ui.shell.session import part_key, session

    if told := st.session_state.pop("stroke", None):
        st.session_state["player"] = {"painted": told}
        brush.take("player")
    st.text(brush.painted())
    st.session_state["part"] = session().lasting.kept[part_key()]


def after(at: AppTest, told: Any) -> tuple[str, str]:
    """What is painted once the browser has told this, and what is chosen."""
    at.session_state["stroke"] = told
    assert not at.run().exception
    return at.text[0].value, at.session_state["part"]


@pytest.mark.parametrize("broken", [{"text": "1.2.3"}, {"text": 7}, {}, "x", {"text": None}, {"text": "9" * 5000}])
def test_a_stencil_is_chosen_and_nothing_else_is_believed(broken: Any) -> None:
    at = AppTest.from_function(page).run()
    assert at.text[0].value == ""
    assert after(at, {"text": CORNER, "stroke": 1}) == (CORNER, PAINTED)
    assert after(at, broken) == (CORNER, PAINTED)
    assert after(at, {"text": NOTHING, "stroke": 2}) == ("", EVERYWHERE)


def test_the_browser_is_told_of_which_stroke_it_gets_the_answer() -> None:
    assert offered(BORDER, {"text": BORDER, "stroke": 3}) == {"cells": 64, "text": BORDER, "stroke": 3}
    assert offered(CORNER, {"text": BORDER, "stroke": 3})["stroke"] is None
    assert offered("", None) == {"cells": 64, "text": NOTHING, "stroke": None}
