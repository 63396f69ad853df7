"""Learn: a lecture in steps, from what a logit is to what a defence would do."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from lab.links import STEP, read_step
from ui.parts.lessons import lessons
from ui.parts.teaching import Lesson
from ui.shell.address import asked, explain, replace
from ui.shell.frame import framed
from ui.shell.session import prefer, session

OPENS = {"lab": ("the attack lab", "pages/attack_lab.py"), "geometry": ("the geometry page", "pages/geometry.py")}
LARGE = """<style>
.st-key-lecture :is(p, li, .katex) {font-size: 1.2rem}
.st-key-lecture [data-testid="stMetricValue"] p {font-size: 2.2rem}
.st-key-lecture {--plane-type: 1.0625rem}
.st-key-lecture [data-testid="stMetricLabel"] * {white-space: normal}
@media (max-width: 1200px) {
  .st-key-lecture :is(p, li, .katex) {font-size: 1rem}
  .st-key-lecture {--plane-type: 0.875rem}
  .st-key-lecture [data-testid="stMetricValue"] p {font-size: 1.5rem}
}
</style>"""
"""For the last row of a lecture hall; on a projector of 1024 pixels the formulas have to fit first."""
ONWARD = {
    "pages/attack_lab.py": ("Attack a photo of your own", ":material/target:"),
    "pages/compare.py": ("See other attacks on the same photo", ":material/leaderboard:"),
    "pages/geometry.py": ("Look at the logit space of any photo", ":material/architecture:"),
    "pages/benchmark.py": ("Measure attacks on many photos", ":material/query_stats:"),
}
"""Where the lecture leads on to."""


def main() -> None:
    """The page, from top to bottom."""
    st.html(LARGE)
    steps = lessons()
    notes = st.container()
    row = st.container(horizontal=True)
    with row:
        number, problems = choose_step(steps)
    with notes:
        explain(problems)
        if STEP not in st.query_params:
            replace(f"?{STEP}={number}")
    lesson, last = steps[number - 1], number == len(steps)
    st.title(lesson.question)
    with st.container(key="lecture"):
        request = lesson.draw()
        if last:
            lead_on()
    where, page = OPENS[lesson.opens]
    with row:
        st.button("Back", disabled=number == 1, on_click=go, args=(number - 1,), shortcut="Left")
        st.button("Next", type="primary", disabled=last, on_click=go, args=(number + 1,), shortcut="Right")
        if st.button(f"Open this example in {where}", icon=":material/open_in_new:"):
            prefer(request)
            st.switch_page(page)


def choose_step(steps: Sequence[Lesson]) -> tuple[int, list[str]]:
    """The row of steps, and what is wrong with the address, which names the step, as ``?step=4``.

    So Back and Forward of the browser go through the steps. Where it names none, it is the one shown last. The steps
    are buttons, as a widget with a value would say the one before again, whenever the browser reports all values.
    """
    number, problems = read_step(asked(), min(session().lesson, len(steps)), len(steps))
    session().lesson = number
    for i, lesson in enumerate(steps, start=1):
        name = f"{i} {lesson.name}"
        st.button(name, key=f"step-{i}", type="secondary" if i == number else "tertiary", on_click=go, args=(i,))
    return number, problems


def lead_on() -> None:
    """What to do next, below the last step."""
    st.subheader("And now?", anchor=False)
    with st.container(horizontal=True):
        for page, (label, icon) in ONWARD.items():
            st.page_link(page, label=label, icon=icon)


def go(number: int) -> None:
    """Go to another step, as an entry of the browser's history."""
    st.query_params.from_dict({STEP: str(number)})


framed(main)
