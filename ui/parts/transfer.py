"""What do models say of an attacked picture that were not attacked?"""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial

import streamlit as st

from jma_core.records import AttackResult
from lab.aftermath import Fate, Report, kin
from lab.markup import plain
from lab.runs.aftermath import transferring
from lab.runs.attack_run import AttackRun
from lab.runs.pool import models
from models.cards import ModelSpec
from ui.parts.asking import answers
from ui.parts.downloads import saved

MARKS = {
    Fate.WANTED: ":orange[:material/star:] as wanted",
    Fate.ORIGINAL: ":blue[:material/circle:] as before",
    Fate.OTHER: ":gray[:material/close:] as something else",
}


def panel(run: AttackRun, result: AttackResult) -> None:
    """What every other model for this kind of picture reads, before and after."""
    every = models().specs
    others = kin(every[run.request.model], [*every.values()])
    st.markdown(
        "Other models that read this kind of picture, none of which was attacked, open the saved picture, and the "
        "original as a picture of the same size. Each gets it resized as it wants it."
    )
    if not others:
        st.info("No other model on offer reads this kind of picture.")
        return

    def ask(other: ModelSpec) -> Future[Report]:
        return transferring(run.request, result, other, *saved(run.request, result))

    questions = {f"transfer to {other.name}": partial(ask, other) for other in others}
    button = f"Ask {len(others)} other model{'s' * (len(others) > 1)}"
    show([report for report in answers(run, button, questions) if report])


def show(reports: list[Report]) -> None:
    """A line for each model."""
    if not reports:
        return
    st.table(
        {
            "model": [plain(each.title) for each in reports],
            "original → attacked": [plain(f"{each.before} → {each.after}") for each in reports],
            "read": [MARKS[each.fate] for each in reports],
            "sureness": [f"{plain(each.label)}: {_share(each.sureness)}" for each in reports],
        },
        hide_index=True,
        border="horizontal",
    )
    st.caption(
        "“As wanted”: it reads all wanted labels that it knows, and none that had to go. The last column says how sure "
        "it is of the label that it was surest of, before and after: an attack may move that without a new reading."
    )


def _share(sureness: tuple[float, float]) -> str:
    return " → ".join(f"{each:.0%}" for each in sureness)
