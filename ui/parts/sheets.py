"""Contact sheets: one attack on many photos, planned in a form, watched as it fills, opened in the lab, taken along."""

from __future__ import annotations

import tomllib
from collections import Counter
from statistics import median

import streamlit as st
from PIL import Image

from lab.benchmark import photo, request
from lab.markup import plain
from lab.photos.uploads import Photo
from lab.runs.pool import models
from lab.runs.sweeps import RUN, UPLOADED, OwnSweep, own_sweeps, plan
from lab.sheet import HEAD, Cell, Sheet, State
from lab.sweep.plan import SweepError
from ui.figures.sheet import flips_chart
from ui.parts.contest import Form
from ui.parts.pictures import show_small
from ui.parts.sweeps import POLL, ask, at_home, card
from ui.shell.session import photos, prefer, session

FORM = Form("sheet", few=1, unasked=("seed",), most=1)
LARGEST = 200
"""Photos of a sheet."""
SHARD = 2
"""Attacks that come on the sheet together."""
AT_ONCE = 60
"""Cells that the page shows before one asks for more."""
SIDE = 132
"""Pixels of a thumbnail: two beside each other on a telephone."""
MARKS = {
    State.WAITING: ":gray[:material/hourglass_empty:] waiting",
    State.REACHED: ":orange[:material/star:]",
    State.MISSED: ":gray[:material/close:]",
    State.SKIPPED: ":gray[:material/block:] skipped",
    State.ERROR: ":gray[:material/error:] failed",
}


def own_sheets() -> list[OwnSweep]:
    """The sweeps that were begun here and keep their pictures, the newest first."""
    return [each for each in own_sweeps() if tomllib.loads(each.plan).get("keep")]


def plan_one() -> None:
    """The form of a new sheet."""
    asked = ask(FORM)
    pictures = asked.pictures
    if not pictures or not asked.attacks:
        st.info("Choose photos and an attack.")
        return
    if pictures.get("folder", UPLOADED) != UPLOADED:
        pictures |= {"take": LARGEST}
        st.caption(f"Of more than {LARGEST} photos so many are taken, in an order that is as good as chance.")
    text = plan(asked.title, asked.spec.name, pictures, asked.rule, asked.attacks, shard=SHARD, keep=LARGEST)
    busy = any(each.running for each in own_sweeps())
    st.button(
        "Attack all photos",
        icon=":material/play_arrow:",
        type="primary",
        disabled=busy,
        on_click=_begin,
        args=(text, asked.files),
    )
    if busy:
        st.caption("A sweep is at work: one at a time. It can be stopped here or on the page Benchmark.")
    elif not at_home():
        st.caption("Sheets are kept on the server, with their photos: all who use it see them.")


def _begin(text: str, files: list[tuple[str, bytes]]) -> None:
    """Start the process of a plan, and show its sheet."""
    sheet = OwnSweep.of(text, files)
    sheet.start(RUN)
    st.session_state["sheet"] = session().lasting.kept["sheet"] = sheet.folder.name


def watch(own: OwnSweep) -> None:
    """How far a sheet is, and what can be done with it; the page is drawn again whenever attacks have ended."""
    running, finished = own.running, own.done[0]
    st.fragment(_watch, run_every=POLL if running else None)(own, running, finished)


def _watch(own: OwnSweep, running: bool, finished: int) -> None:
    if (own.running, own.done[0]) != (running, finished):
        st.rerun()
    card(own, blocked=any(each.running for each in own_sweeps()))


def show(own: OwnSweep) -> None:
    """What has become of each photo so far."""
    if own.begun is None:
        return
    sheet = Sheet(own.begun)
    ended = [cell for cell in sheet.cells if cell.row]
    made = [cell for cell in ended if cell.state in (State.REACHED, State.MISSED)]
    if made:
        st.markdown(summary(ended))
    cells(sheet)
    if made:
        st.plotly_chart(flips_chart(made), key="sheet-flips")
        take_along(own, sheet)
    with st.expander("In numbers"):
        rows = [cell.row for cell in ended if cell.row]
        st.dataframe({name: [row[name] for row in rows] for name in HEAD}, hide_index=True)


def summary(ended: list[Cell]) -> str:
    """How many of the attacks that have ended have reached their targets, how near, and in how many files."""
    rows = [cell.row for cell in ended if cell.row and cell.state in (State.REACHED, State.MISSED)]
    reached = [row for row in rows if row["success"]]
    said = f"**{len(reached)} of {len(rows)}** targets reached"
    if reached:
        files = sum(bool(row["file_reads"]) for row in reached)
        said += f", at a median L2 of {median(row['l2'] for row in reached):.3f}; {files} are read as wanted as files"
    left = Counter(cell.state for cell in ended)
    for state, words in ((State.SKIPPED, "skipped"), (State.ERROR, "failed")):
        said += f"; {left[state]} {words}" * (left[state] > 0)
    return f"{said}."


def take_along(own: OwnSweep, sheet: Sheet) -> None:
    """The table, and the pictures."""
    name = f"sheet-{own.folder.name[:4]}"
    with st.container(horizontal=True):
        st.download_button("Table (CSV)", sheet.as_csv, f"{name}.csv", "text/csv", on_click="ignore")
        st.download_button("Pictures (ZIP)", sheet.bundle, f"{name}.zip", "application/zip", on_click="ignore")
    st.caption(
        "The ZIP file has the table, and as PNG each attacked photo that the model reads as wanted when it is opened "
        "again: here, or through the model's preprocessing."
    )


def cells(sheet: Sheet) -> None:
    """The thumbnails, each a way into the lab."""
    shown = AT_ONCE + session().more_cells
    with st.container(horizontal=True, gap="small"):
        for number, cell in enumerate(sheet.cells[:shown]):
            with st.container(width=SIDE, gap="xsmall"):
                if thumbnail(sheet, cell, number):
                    into_the_lab(sheet, cell)
                st.caption(told(cell))
    if len(sheet.cells) > shown:
        st.button(f"Show more of the {len(sheet.cells)}", on_click=_show_more)


def thumbnail(sheet: Sheet, cell: Cell, number: int) -> bool:
    """The attacked picture, if there is one, which is a button; whether that was pressed."""
    label, kept = MARKS[cell.state], sheet.kept(cell)
    if cell.row and cell.row["l2"] is not None:
        label += f" L2 {cell.row['l2']:.3f}"
    with st.container(key=f"shot-{number}"):
        if kept and cell.row:
            show_small(Photo(cell.picture, Image.open(kept), "", cell.row["key"]), SIDE)
        return st.button(label, key=f"photo-{number}", width="stretch", disabled=not kept)


def told(cell: Cell) -> str:
    """A photo's name, and what it was and is read as, or why it was not attacked."""
    if cell.row is None:
        return plain(cell.picture)
    what = f"{cell.row['before']} → {cell.row['read']}" if cell.row["read"] else cell.row["error"]
    return plain(f"{cell.picture}: {what}")


def into_the_lab(sheet: Sheet, cell: Cell) -> None:
    """Open the attack of a cell in the lab, or say why that cannot be done."""
    assert cell.row is not None
    spec = models().specs[sheet.spec.name]
    try:
        asked, found = request(cell.row, spec), photo(sheet.folder, cell.row)
    except (ValueError, SweepError) as error:
        st.error(plain(str(error)))
        return
    if found.digest not in photos(spec.samples):
        session().lasting.restored = found
    prefer(asked)
    st.switch_page("pages/attack_lab.py")


def _show_more() -> None:
    session().more_cells += AT_ONCE
