"""Below a successful attack: does it hold, and for whom? Nothing is computed before it is asked."""

from __future__ import annotations

import streamlit as st

from jma_core.records import AttackResult
from lab.runs.attack_run import AttackRun
from ui.parts import saliency, survival, transfer


def does_it_hold(run: AttackRun, result: AttackResult) -> None:
    """The questions, about the picture that is saved."""
    st.subheader("Does it hold?")
    one, two, three = st.tabs(["Survival", "Transfer", "Saliency"])
    with one:
        survival.panel(run, result)
    with two:
        transfer.panel(run, result)
    with three:
        saliency.panel(run, result)
