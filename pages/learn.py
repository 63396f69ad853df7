"""Learn: a lecture in six steps, from what a logit is to how lazy rows find the optimum."""

from __future__ import annotations

import streamlit as st

from lab.links import STEP, read_step
from ui.parts.lessons import LESSONS
from ui.shell.address import asked, explain, replace
from ui.shell.frame import framed
from ui.shell.session import prefer, session

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
    notes = st.container()
    row = st.container(horizontal=True)
    with row:
        number, problems = choose_step()
    with notes:
        explain(problems)
        if STEP not in st.query_params:
            replace(f"?{STEP}={number}")
    lesson = LESSONS[number - 1]
    st.title(lesson.question)
    with st.container(key="lecture"):
        request = lesson.draw()
    where, page = OPENS[lesson.opens]
    with row:
        st.button("Back", disabled=number == STEPS[0], on_click=go, args=(number - 1,), icon=":material/arrow_back:")
        last, icon = number == STEPS[-1], ":material/arrow_forward:"
        st.button("Next", type="primary", disabled=last, on_click=go, args=(number + 1,), icon=icon)
        if st.button(f"Open this example in {where}", icon=":material/open_in_new:"):
            prefer(request)
            st.switch_page(page)


def choose_step() -> tuple[int, list[str]]:
    """The row of steps, and what is wrong with the address, which names the step, as ``?step=4``.

    So Back and Forward of the browser go through the steps. Where it names none, it is the one shown last. The steps
    are buttons, as a widget with a value would say the one before again, whenever the browser reports all values.
    """
    number, problems = read_step(asked(), session().lesson, STEPS[-1])
    session().lesson = number
    for i, lesson in zip(STEPS, LESSONS, strict=True):
        name = f"{i} {lesson.name}"
        st.button(name, key=f"step-{i}", type="secondary" if i == number else "tertiary", on_click=go, args=(i,))
    return number, problems


def go(number: int) -> None:
    """Go to another step, as an entry of the browser's history."""
    st.query_params.from_dict({STEP: str(number)})


framed(main)
