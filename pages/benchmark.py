"""Benchmark: what sweeps of many attacks on many pictures have found, as tables and charts down to single cases."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from lab.benchmark import Board, Field, shipped
from lab.links import unknown
from lab.markup import plain
from lab.runs.sweeps import own_sweeps
from lab.sweep.plan import SweepError
from lab.sweep.report import Table
from ui.figures.benchmark import palette
from ui.parts import benchmark as parts
from ui.parts.sweeps import FOLDER, at_home, start_one
from ui.shell.address import asked, explain
from ui.shell.frame import framed
from ui.shell.session import keep, kept


def main() -> None:
    """The page, from top to bottom."""
    st.title("Benchmark")
    explain(unknown(asked(), ()))
    st.write(
        "One picture is an anecdote. A sweep makes many attacks on many pictures, all on the same cases: a case is a "
        "picture and a target. Who fails is infinitely far."
    )
    folder, own = choose_results()
    if folder:
        show(folder, own=own)
    start_one()


def show(folder: Path, *, own: bool) -> None:
    """What the rows in a folder say, which may be of a sweep of one's ``own``."""
    try:
        board = Board(folder)
    except SweepError as error:
        st.error(plain(str(error)))
        return
    model, rule = parts.choose_group(board)
    named = board.attacks(model, rule)
    tried = board.tried(model, rule)
    chosen = parts.choose_attacks(named, tried, f"benchmark-attacks-{folder}-{model}-{rule}")
    if not chosen:
        st.info("Choose attacks to see how they did.")
        return
    field = compared(str(folder), board.stamp, model, rule, tuple(chosen))
    if not field.cases:
        st.info("There is no case yet that all of these attacks were tried on.")
    else:
        st.subheader("Standings")
        ranked = [field.best, *(each for each in chosen if each != field.best)]
        against = parts.pick("Against", "benchmark-against", ranked, chosen)
        parts.standings(standings(str(folder), board.stamp, model, rule, tuple(chosen), against))
        parts.about_cases(field, tried, against)
        parts.charts(field, palette([*named.values()]))  # which they keep when some are left out
        st.subheader("Case by case")
        parts.duel(board, field, against, own=own, at_home=at_home())
    st.subheader("Failures")
    parts.failures(board.failures(model, rule, chosen))


def choose_results() -> tuple[Path | None, bool]:
    """A folder with rows, and whether it is one's own."""
    every, mine = shipped(), {each.title: each.results for each in own_sweeps() if each.done[0]}
    title = parts.pick("Results", "benchmark-results", [*every, *mine, *[FOLDER] * at_home()])
    if title != FOLDER:
        return (every | mine)[title], title in mine
    key = keep("benchmark-folder", "")
    named = st.text_input("Folder", kept(key), key=key, help="The DIR of: python -m lab.sweep run PLAN.toml --out DIR")
    return (Path(named).expanduser(), True) if named else (None, True)


@st.cache_resource(max_entries=8, show_spinner=False)
def compared(folder: str, stamp: int, model: str, rule: str, attacks: tuple[str, ...]) -> Field:
    """Attacks by their settings, on the cases that all were tried on."""
    board = Board(Path(folder))
    named = board.attacks(model, rule)
    return Field.of(board, model, rule, {settings: named[settings] for settings in attacks})


@st.cache_resource(max_entries=8, show_spinner=False)
def standings(folder: str, stamp: int, model: str, rule: str, attacks: tuple[str, ...], against: str) -> Table:
    """How these did against one of them; a second's work where they are many."""
    return compared(folder, stamp, model, rule, attacks).standings(against)


framed(main)
