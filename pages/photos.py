"""Many photos: one attack on all of them, in the background, as a contact sheet."""

from __future__ import annotations

import streamlit as st

from lab.links import unknown
from lab.runs.sweeps import possible
from ui.parts import sheets
from ui.parts.benchmark import pick
from ui.shell.address import asked, explain
from ui.shell.frame import framed


def main() -> None:
    """The page, from top to bottom."""
    st.title("Many photos")
    explain(unknown(asked(), ()))
    st.write(
        "One attack, on as many photos as you like, all with targets by the same rule. It goes on in the background, "
        "also when this page is closed. Click on a photo that is done to open its attack in the lab."
    )
    if not possible():
        st.info("On this system sweeps are started from the command line: python -m lab.sweep run PLAN.toml --out DIR.")
        return
    every = {each.folder.name: each for each in sheets.own_sheets()}
    with st.expander("New sheet", expanded=not every, icon=":material/add_photo_alternate:"):
        sheets.plan_one()
    if every:
        chosen = every[pick("Sheet", "sheet", [*every], {name: each.title for name, each in every.items()})]
        sheets.watch(chosen)
        sheets.show(chosen)


framed(main)
