"""Runs: every attack that has ended, kept on disk; opened again, compared two at a time, deleted."""

from __future__ import annotations

import sqlite3
from datetime import datetime

import numpy as np
import streamlit as st

from jma_core.records import AttackResult
from ui import figures
from ui.frame import framed
from ui.images import perturbation_map, show, to_picture
from ui.reopening import obstacle, reopen
from ui.request import LEVELS, Request
from ui.store import FRAMES, MAX_BYTES, MAX_RUNS, DamagedRun, Row, store

AT_ONCE = 20
"""Runs that the list shows before one asks for more."""
SIDES = ("A", "B")


def main() -> None:
    """The page, from top to bottom."""
    if st.session_state.pop("open_lab", False):
        st.switch_page("pages/attack_lab.py")
    st.title("Runs")
    if problem := st.session_state.pop("runs_problem", ""):
        st.error(problem)
    try:
        rows, aside = store().rows(), store().aside()
    except (OSError, sqlite3.Error) as error:
        st.error(f"The stored runs cannot be read: {error}. They are in {store().path}.")
        return
    for name, wrong in aside.items():
        st.warning(
            f"The file of the stored runs {wrong}. It was renamed to {name} and a new one begun. This stays here until "
            f"you delete or move it from {store().path.parent}."
        )
    if not rows:
        st.info("No attack has been stored yet. Run one in the Attack lab: when it has ended, it is here.")
        return
    st.write(
        f"Attacks that have ended are kept on this computer, the newest {MAX_RUNS} that fit into "
        f"{MAX_BYTES // 2**20} MB; the oldest go first. Of a long attack up to {FRAMES} updates are kept, of one on a "
        "large picture fewer."
    )
    comparison(rows)
    st.header("Stored runs")
    shown = st.session_state.setdefault("runs_shown", AT_ONCE)
    for row in rows[:shown]:
        card(row)
    if len(rows) > shown:
        st.button(f"Show more of the {len(rows)}", on_click=_show_more)


def card(row: Row) -> None:
    """One run: its pictures, what became of it, and what can be done with it."""
    hurdle = obstacle(row)
    chosen = row.id in chosen_two()
    with st.container(border=True):
        with st.container(horizontal=True, gap="small"):
            st.image(row.original, width=96, alt=f"Original: {row.before}")
            st.image(row.attacked, width=96, alt=f"Attacked: {row.after}")
            with st.container(width=340, gap="small"):
                st.markdown(f"**{row.before}** → **{row.after}**")
                st.caption(outcome(row))
        with st.container(horizontal=True, gap="small"):
            st.button("Open", key=f"open-{row.id}", disabled=bool(hurdle), on_click=_open, args=(row,))
            icon, kind = (":material/check:", "primary") if chosen else (None, "secondary")
            st.button("Compare", key=f"compare-{row.id}", type=kind, icon=icon, on_click=_choose, args=(row.id,))
            with st.popover("Delete", key=f"ask-{row.id}"):
                st.write("Delete this run for good?")
                st.button("Yes, delete it", key=f"delete-{row.id}", type="primary", on_click=_delete, args=(row.id,))
        if hurdle:
            st.caption(hurdle)


def outcome(row: Row) -> str:
    """What a run gave, and when."""
    reached = "reached" if row.success else f"missed **{row.wanted}** ({row.reason})"
    passes = f"{row.backward} backward pass{'es' * (row.backward != 1)}"
    return f"Target {reached}. L2 {row.l2:.3f}, {passes}, {row.seconds:.1f} s. {row.title}. {when(row)}."


def when(row: Row) -> str:
    """When it ended, for people."""
    return f"{datetime.fromisoformat(row.at):%d %b %Y, %H:%M} UTC"


def chosen_two() -> list[int]:
    """The runs to be compared, by their numbers: none, one or two."""
    chosen: list[int] = st.session_state.setdefault("compared", [])
    return chosen


def comparison(rows: list[Row]) -> None:
    """The two chosen runs side by side, or what is missing."""
    pair = [row for number in chosen_two() for row in rows if row.id == number]
    if len(pair) == 1 and len(rows) > 1:
        st.info("One run is chosen. Choose Compare on another one to see both side by side.")
    if len(pair) < 2:
        return
    st.header("Comparison")
    try:
        results = [opened(str(store().path), row.id, row.at) for row in pair]
    except (LookupError, DamagedRun, OSError, sqlite3.Error) as error:
        st.error(f"These runs cannot be compared. {error}")
        return
    gain = common_gain([result for _, result in results])
    for side, row, (_, result), column in zip(SIDES, pair, results, st.columns(2), strict=True):
        with column:
            st.subheader(f"{side}: {row.wanted}")
            photos, change = st.columns([1, 2])
            with photos:
                show(to_picture(result.original), f"{side}, original: {row.before}")
                show(to_picture(result.image), f"{side}, attacked: {row.after}")
            with change:
                signed, _ = perturbation_map(result.original, result.image, gain)
                show(signed, f"{side}, perturbation: × {gain:.0f} in both, blue darker, orange brighter")
    table = [facts(row, *result) for row, result in zip(pair, results, strict=True)]
    st.table(
        {"measure": list(table[0]), **{side: list(each.values()) for side, each in zip(SIDES, table, strict=True)}},
        hide_index=True,
        border="horizontal",
    )
    st.caption("Pixels run from 0 to 1. L2 compares between pictures of one size only.")
    steps = {side: result.steps for side, (_, result) in zip(SIDES, results, strict=True)}
    left, right = st.columns(2)
    left.plotly_chart(figures.margins_of_several(steps), key="compared-margins")
    right.plotly_chart(figures.norms_of_several(steps), key="compared-norms")
    st.button("Close the comparison", on_click=chosen_two().clear)


def common_gain(results: list[AttackResult]) -> float:
    """The gain at which no perturbation map of these results exceeds its full colour by more than on its own."""
    changed = [result for result in results if (result.image != result.original).any()]
    return min((perturbation_map(result.original, result.image)[1] for result in changed), default=1.0)


def facts(row: Row, request: Request, result: AttackResult) -> dict[str, str]:
    """A run in the comparison's table."""
    size = result.distortion
    height, width = result.original.shape[1:]
    return {
        "Model": row.title,
        "Attack": f"{LEVELS[request.settings.level]}, κ {request.settings.kappa:g}",
        "Before": row.before,
        "Wanted": row.wanted,
        "Reached": row.after,
        "Target": "reached" if row.success else f"missed ({row.reason})",
        "L2": f"{size.l2:.3f}",
        "L∞": f"{size.linf:.4f}",
        "PSNR": "∞ dB" if np.isinf(size.psnr) else f"{size.psnr:.1f} dB",
        "SSIM": f"{size.ssim:.4f}",
        "Picture": f"{width} × {height}",
        "Updates": str(row.n_it),
        "Backward passes": str(row.backward),
        "Seconds": f"{row.seconds:.1f}",
        "Ended": when(row),
    }


@st.cache_resource(max_entries=4, show_spinner=False)
def opened(path: str, number: int, at: str) -> tuple[Request, AttackResult]:
    """A stored attack, unpacked; told apart by the file, its number there and when it ended."""
    return store().get(number)


def _open(row: Row) -> None:
    try:
        reopen(*opened(str(store().path), row.id, row.at))
    except (LookupError, DamagedRun, OSError, sqlite3.Error) as error:
        st.session_state["runs_problem"] = str(error)
    else:
        st.session_state["open_lab"] = True


def _choose(number: int) -> None:
    """Add a run to the two, in place of the one chosen first; or take it away again."""
    chosen = chosen_two()
    if number in chosen:
        chosen.remove(number)
    else:
        chosen[:] = [*chosen[-1:], number]
        if len(chosen) == 2:
            st.toast("The comparison is at the top of the page.")


def _delete(number: int) -> None:
    try:
        store().delete(number)
    except (OSError, sqlite3.Error) as error:
        st.session_state["runs_problem"] = f"The run could not be deleted: {error}"


def _show_more() -> None:
    st.session_state["runs_shown"] += AT_ONCE


framed(main)
