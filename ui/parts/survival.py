"""Does an attack survive what happens to pictures?"""

from __future__ import annotations

from collections import Counter

import streamlit as st

from jma_core.records import AttackResult
from lab.aftermath import Fate, Trial
from lab.markup import plain
from lab.runs.aftermath import surviving
from lab.runs.attack_run import AttackRun
from lab.runs.pool import models
from lab.transformations import TRANSFORMATIONS
from ui.figures.survival import survival_chart
from ui.parts.asking import answers
from ui.parts.downloads import saved


def panel(run: AttackRun, result: AttackResult) -> None:
    """What the model reads in the saved picture, and in the original, once they are transformed."""
    st.markdown(
        "The saved picture is compressed, resized, blurred, cropped, or gets noise, and is opened as any photo is. "
        "The same is done to the original, to tell what a transformation does to any picture."
    )
    questions = {"survival": lambda: surviving(run.request, result, *saved(run.request, result))}
    for trials in answers(run, f"Try {len(TRANSFORMATIONS) - 1} transformations", questions):
        if trials is not None:
            show(trials, models().specs[run.request.model].encoding.unit)


def show(trials: list[Trial], unit: str) -> None:
    """The trials in a sentence, as a chart, and in numbers."""
    st.markdown(summary(trials))
    st.plotly_chart(survival_chart(trials, unit), key="survival")
    with st.expander("In numbers"):
        st.table(
            {
                "transformation": [trial.title for trial in trials],
                "attacked reads": [plain(trial.attacked.reads) for trial in trials],
                f"margin, {unit}": [f"{trial.attacked.margin:+.2f}" for trial in trials],
                "original reads": [plain(trial.original.reads) for trial in trials],
            },
            hide_index=True,
            border="horizontal",
        )


def summary(trials: list[Trial]) -> str:
    """How often the attack survives, and which transformations change what is read without it."""
    first, *changes = trials
    fates = Counter(trial.attacked.fate for trial in changes)
    said = f"After **{fates[Fate.WANTED]} of {len(changes)}** transformations the attacked picture is read as wanted, "
    said += f"after {fates[Fate.ORIGINAL]} as the original, after {fates[Fate.OTHER]} as something else. "
    other = [trial.title for trial in changes if trial.original.reads != first.original.reads]
    if other:
        return f"{said}Without the attack the reading changes too after: {'; '.join(other)}."
    return f"{said}Without the attack the reading stays what it is after all of them."
