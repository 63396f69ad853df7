"""Runs: every attack and comparison that has ended, kept on disk: searched, opened, taken along and back, deleted.

Two attacks are compared in a dialog, for it is to be seen from wherever in the list the second of them was chosen.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import streamlit as st

from jma_core.records import AttackResult, StopReason
from lab.archive import OtherVersion, is_to_go
from lab.curves import curves, distance, left_out, over_passes
from lab.intake import MOST_BYTES, Refused, take_in, take_in_run
from lab.links import unknown
from lab.listing import ORDERS, OUTCOMES, differences, search, similar, to_csv
from lab.markup import plain
from lab.pictures import common_gain, perturbation_map, to_picture
from lab.request import Request
from lab.runs.pool import models
from lab.store import MAX_BYTES, MAX_RUNS, MOMENTS, DamagedRun, Row, store
from ui.figures import attack as figures
from ui.parts.pictures import show
from ui.parts.reopening import obstacle, reopen, reopen_comparison
from ui.shell.address import asked, explain
from ui.shell.frame import framed, go_on
from ui.shell.session import session

AT_ONCE = 20
"""Runs that the list shows before one asks for more."""
CARD, THUMBNAIL = 430, 96  # pixels
SIDES = ("A", "B")
UPLOAD = "comparison-file"
"""The key of the widget for files."""
UNREADABLE = LookupError, DamagedRun, OtherVersion, OSError, sqlite3.Error
"""Why a stored run may not be there to be shown, each with a sentence."""


def main() -> None:
    """The page, from top to bottom."""
    go_on()
    mine = session()
    st.title("Runs")
    explain(unknown(asked(), ()))
    if mine.runs_problem:
        st.error(plain(mine.runs_problem))
        mine.runs_problem = ""
    try:
        rows, aside = store().rows(), store().aside()
    except (OSError, sqlite3.Error) as error:
        st.error(plain(f"The stored runs cannot be read: {error}. They are in {store().path}."))
        return
    for name, wrong in aside.items():
        st.warning(
            plain(
                f"The file of the stored runs {wrong}. It was renamed to {name} and a new one begun. This stays here "
                f"until you delete or move it from {store().path.parent}."
            )
        )
    if not rows:
        st.info("No attack has been stored yet. Run one in the Attack lab: when it has ended, it is here.")
        take_in_files()
        return
    st.write(
        f"Attacks that have ended are kept on this computer, the newest {MAX_RUNS} that fit into "
        f"{MAX_BYTES // 2**20} MB; the oldest go first. Of a long attack the curves are kept whole and the "
        f"pictures of up to {MOMENTS} updates, of one on a large picture fewer."
    )
    take_in_files()
    chosen = mine.lasting.compared
    chosen[:] = [number for number in chosen if number in {row.id for row in rows}]
    st.header("Stored runs")
    found = narrowed(rows)
    shown = AT_ONCE + mine.more_runs
    with st.container(horizontal=True, gap="small"):
        for row in found[:shown]:
            card(row, similar(row, rows))
    if len(found) > shown:
        st.button(f"Show more of the {len(found)}", on_click=_show_more)
    if len(chosen) == 2:
        comparison([row for number in chosen for row in rows if row.id == number])


def take_in_files() -> None:
    """The place for a run or a comparison that was downloaded."""
    with st.expander("A run from a file", icon=":material/upload_file:"):
        st.file_uploader(
            "A run to go from the attack lab, or a comparison that was downloaded here or on the page Compare",
            "npz",
            key=UPLOAD,
            on_change=_take_in,
            max_upload_size=MOST_BYTES // 2**20,
            help="It is added to the stored runs.",
        )


def narrowed(rows: list[Row]) -> list[Row]:
    """Those that are searched for, in the order chosen; what can be done with all of them."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = st.text_input("Search", placeholder="labels, model, attack, note", key="search-runs", width=280)
        kind = st.selectbox("Show", list(OUTCOMES), key="outcome-of-runs", width=160)
        order = st.selectbox("Order", list(ORDERS), key="order-of-runs", width=240)
        found = search(rows, words, kind, order)
        st.download_button(
            "Table (CSV)", partial(to_csv, found), "runs.csv", "text/csv", disabled=not found, on_click="ignore"
        )
        with st.popover("Delete all of these", disabled=not found):
            st.write(f"Delete {len(found)} run{'s' * (len(found) != 1)} for good?")
            numbers = [row.id for row in found]
            st.button("Yes, delete all", key="delete-all", type="primary", on_click=_delete, args=numbers)
    st.caption(f"{len(found)} of {len(rows)} runs" if len(found) < len(rows) else f"{len(rows)} runs")
    return found


def card(row: Row, before: Row | None) -> None:
    """One run: its pictures, what became of it, how it differs from one ``before``, and what can be done with it."""
    hurdle = obstacle(row)
    compared = session().lasting.compared
    chosen = row.id in compared
    together = f"Comparison: {row.attacks} attack{'s' * (row.attacks != 1)}. " if row.attacks else ""
    with st.container(border=True, width=CARD, gap="small"):
        with st.container(horizontal=True, gap="xsmall"):
            st.image(row.original, width=THUMBNAIL, alt=f"Original: {row.before}")
            st.image(row.attacked, width=THUMBNAIL, alt=f"Attacked: {row.after}")
            if row.change:
                st.image(row.change, width=THUMBNAIL, alt="Perturbation: blue darker, orange brighter")
        st.markdown(f"{together}**{plain(row.before)}** → **{plain(row.after)}**")
        st.caption(outcome(row))
        if before and (changed := differences(row, before)):
            st.caption(plain(f"Changed: {', '.join(changed)}"), help=f"Since the run of {when(before)}.")
        if row.note:
            st.markdown(f"*{plain(row.note)}*")
        with st.container(horizontal=True, gap="xsmall"):
            st.button("Open", key=f"open-{row.id}", disabled=bool(hurdle), on_click=_open, args=(row,))
            if row.attacks:
                file, name = partial(store().file, row.id), f"comparison-{row.id}.npz"
                st.download_button("Download", file, name, key=f"file-{row.id}", on_click="ignore")
            else:
                st.button(
                    "Compare",
                    key=f"compare-{row.id}",
                    type="primary" if chosen else "secondary",
                    icon=":material/check:" if chosen else None,
                    on_click=_choose,
                    args=(row.id,),
                )
            with st.popover("Note", key=f"note-{row.id}"):
                key = f"write-{row.id}"
                st.text_area("Note", row.note, max_chars=500, key=key, on_change=_write_down, args=(row.id, key))
            with st.popover("Delete", key=f"ask-{row.id}"):
                st.write("Delete this run for good?")
                st.button("Yes, delete it", key=f"delete-{row.id}", type="primary", on_click=_delete, args=(row.id,))
        if chosen and len(compared) == 1:
            st.info("This run is chosen. Choose Compare on another one to see both side by side.")
        if hurdle:
            st.caption(plain(hurdle))


def outcome(row: Row) -> str:
    """What a run gave, and when."""
    if row.attacks:
        return f"{plain(row.reason)} {plain(row.title)}. {when(row)}."
    ended = f" ({row.reason})" * (row.reason != StopReason.SUCCESS)
    reached = "reached" if row.success else f"missed **{plain(row.wanted)}**"
    passes = f"{row.backward} backward pass{'es' * (row.backward != 1)}"
    return f"Target {reached}{ended}. L2 {row.l2:.3f}, {passes}, {row.seconds:.1f} s. {plain(row.title)}. {when(row)}."


def when(row: Row) -> str:
    """When it ended, by the clock of who looks at it."""
    try:
        zone = ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        zone = ZoneInfo("UTC")
    return f"{datetime.fromisoformat(row.at).astimezone(zone):%d %b %Y, %H:%M %Z}"


def _close() -> None:
    session().lasting.compared.clear()


@st.dialog("Comparison", width="large", on_dismiss=_close)
def comparison(pair: list[Row]) -> None:
    """The two chosen runs side by side, over the page."""
    try:
        results = [opened(str(store().path), row.id, row.at) for row in pair]
    except UNREADABLE as error:
        st.error(plain(f"These runs cannot be compared. {error}"))
        return
    gain = common_gain((result.original, result.image) for _, result in results)
    for side, row, (_, result), column in zip(SIDES, pair, results, st.columns(2), strict=True):
        with column:
            st.subheader(f"{side}: {plain(row.wanted)}")
            photos, change = st.columns([1, 2])
            with photos:
                show(to_picture(result.original), f"{side}, original: {row.before}")
                show(to_picture(result.image), f"{side}, attacked: {row.after}")
            with change:
                signed, _ = perturbation_map(result.original, result.image, gain)
                show(signed, f"{side}, perturbation: × {gain:.0f} in both, blue darker, orange brighter")
            if said := left_out(result.trace, result.steps):
                st.caption(f"{side}: {said}")
    table = [facts(row, *result) for row, result in zip(pair, results, strict=True)]
    st.table(
        {
            "measure": list(table[0]),
            **{side: list(map(plain, each.values())) for side, each in zip(SIDES, table, strict=True)},
        },
        hide_index=True,
        border="horizontal",
    )
    st.caption("Pixels run from 0 to 1. L2 compares between pictures of one size only.")
    curves_of(pair, results)


def curves_of(pair: list[Row], results: list[tuple[Request, AttackResult]]) -> None:
    """Distances and margins of the chosen runs over what they cost; margins if their models are here, in one unit."""
    zoo = models().specs
    specs = [zoo[row.model] for row in pair if row.model in zoo]
    left, right = st.columns(2)
    if len(specs) == len(pair) and len({spec.encoding.unit for spec in specs}) == 1:
        worst = {
            side: over_passes(curves(spec.encoding, asked.target, done.logits_before, done.trace, ()).worst, done.trace)
            for side, spec, (asked, done) in zip(SIDES, specs, results, strict=True)
        }
        left.plotly_chart(figures.margin_chart_of_several(worst, specs[0].encoding.unit), key="compared-margins")
    away = {side: over_passes(distance(done.trace), done.trace) for side, (_, done) in zip(SIDES, results, strict=True)}
    right.plotly_chart(figures.norm_chart_of_several(away), key="compared-norms")


def facts(row: Row, request: Request, result: AttackResult) -> dict[str, str]:
    """A run in the comparison's table."""
    size = result.distortion
    height, width = result.original.shape[1:]
    return {
        "Model": row.title,
        "Attack": f"{request.settings.entry.title}, κ {request.settings.kappa:g}",
        "Before": row.before,
        "Wanted": row.wanted,
        "Reached": row.after,
        "Target": f"{'reached' if row.success else 'missed'}. {result.besides}".strip(),
        "L2": f"{size.l2:.3f}",
        "L∞": f"{size.linf:.4f}",
        "L0": f"{size.l0} of {result.original.size} values",
        "PSNR": "∞ dB" if np.isinf(size.psnr) else f"{size.psnr:.1f} dB",
        "SSIM": f"{size.ssim:.4f}",
        "Picture": f"{width} × {height}",
        "Result": f"update {result.update} of {result.trace.number.max(initial=0):.0f}",
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
        if row.attacks:
            reopen_comparison(store().comparison(row.id))
        else:
            reopen(*opened(str(store().path), row.id, row.at))
    except UNREADABLE as error:
        session().runs_problem = str(error)
    else:
        session().go_on = "pages/compare.py" if row.attacks else "pages/attack_lab.py"


def _take_in() -> None:
    """Add the run or comparison in the file to the stored runs, or say why not. A run with its photo is opened."""
    if (file := st.session_state[UPLOAD]) is None:
        return
    data, specs = file.getvalue(), models().specs
    try:
        if not is_to_go(data):
            store().add_comparison(*take_in(data, specs))
            return
        spec, request, result, photo = take_in_run(data, specs)
        store().add(spec, request, result)
        if photo:
            session().lasting.restored = photo
            reopen(request, result)
            session().go_on = "pages/attack_lab.py"
    except (Refused, OtherVersion) as error:
        session().runs_problem = str(error)
    except (OSError, sqlite3.Error) as error:
        session().runs_problem = f"What is in the file could not be stored: {error}"


def _choose(number: int) -> None:
    """Add a run to those to be compared, or take it away again."""
    chosen = session().lasting.compared
    if number in chosen:
        chosen.remove(number)
    else:
        chosen.append(number)


def _delete(*numbers: int) -> None:
    try:
        store().delete(*numbers)
    except (OSError, sqlite3.Error) as error:
        session().runs_problem = f"The run could not be deleted: {error}"


def _write_down(number: int, key: str) -> None:
    try:
        store().write_down(number, st.session_state[key])
    except (OSError, sqlite3.Error) as error:
        session().runs_problem = f"The note could not be stored: {error}"


def _show_more() -> None:
    session().more_runs += AT_ONCE


framed(main)
