"""Learn: a lecture in six steps, from what a logit is to how lazy rows find the optimum."""

from __future__ import annotations

import streamlit as st

from ui.frame import framed
from ui.lessons import LESSONS
from ui.state import keep, prefer

OPENS = {"lab": ("the attack lab", "pages/attack_lab.py"), "geometry": ("the geometry page", "pages/geometry.py")}
LARGE = """<style>
.st-key-lecture :is(p, .katex) {font-size: 1.2rem}
.st-key-lecture [data-testid="stMetricValue"] p {font-size: 2.2rem}
.st-key-lecture [data-testid="stMetricLabel"] * {white-space: normal}
@media (max-width: 1200px) {
  .st-key-lecture :is(p, .katex) {font-size: 1rem}
  .st-key-lecture [data-testid="stMetricValue"] p {font-size: 1.5rem}
}
</style>"""
"""For the last row of a lecture hall; on a projector of 1024 pixels the formulas have to fit first."""
STEPS = range(1, len(LESSONS) + 1)


def main() -> None:
    """The page, from top to bottom."""
    st.html(LARGE)
    row = st.container(horizontal=True)
    with row:
        number = choose_step()
    lesson = LESSONS[number - 1]
    st.title(lesson.question)
    with st.container(key="lecture"):
        request = lesson.draw()
    where, page = OPENS[lesson.opens]
    with row:
        st.button("Back", disabled=number == STEPS[0], on_click=go, args=(number - 1,), icon=":material/arrow_back:")
        ask = {"disabled": number == STEPS[-1], "on_click": go, "args": (number + 1,)}
        st.button("Next", type="primary", icon=":material/arrow_forward:", **ask)
        if st.button(f"Open this example in {where}", icon=":material/open_in_new:"):
            prefer(request)
            st.switch_page(page)


def choose_step() -> int:
    """The row of steps. The address names the step, as ``?step=4``, and may ask for one."""
    asked = st.query_params.get("step", "")
    first = int(asked) if asked in map(str, STEPS) else STEPS[0]
    number = st.segmented_control(
        "Step", STEPS, default=STEPS[0], required=True, label_visibility="collapsed",
        format_func=lambda i: f"{i} {LESSONS[i - 1].name}", key=keep("lesson", first),
    )  # fmt: skip
    assert number is not None
    st.query_params["step"] = str(number)
    return number


def go(number: int) -> None:
    """Go to another step."""
    st.session_state["lesson"] = number


framed(main)
