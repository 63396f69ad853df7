"""What the page Benchmark is put together from: what is chosen, the standings, the charts, one case, the failures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from lab.benchmark import Board, Field, changed, data_set, photo, request
from lab.markup import plain
from lab.photos.uploads import Photo
from lab.runs.pool import models
from lab.sweep.plan import SweepError
from lab.sweep.report import Cell, Table
from lab.sweep.store import Row
from models.cards import ModelSpec
from ui.figures import benchmark as figures
from ui.parts import tables
from ui.parts.pictures import show_small
from ui.shell.session import keep, kept, photos, prefer, session

EVERY, UNKNOWN = "All", "of models that are not on offer now"
FEW = 4
"""So many times fewer cases than others are few."""
MOST_FAILURES = 500
"""Lines that the page shows of them."""
MOST_CASES = 2000
"""Dots of a chart."""
SIDE = 120
"""Pixels of a case's picture."""
FORMATS = {
    "reached": "{:.1%}", "at least": "{:.1%}", "at most": "{:.1%}", "optimality": "{:.3f}", "median L2": "{:.3f}",
    "ratio": "{:.3f}", "low": "{:.3f}", "high": "{:.3f}", "p": "{:.2g}", "median passes": "{:.0f}",
    "PNG reads": "{:.0%}", "seconds": "{:.2f}",
}  # fmt: skip
HELP = {
    "reached": "Share of the cases where the network reads what is wanted at the end.",
    "at least": "The share's 95 % interval, by Wilson: what so many cases say of all.",
    "at most": "The share's 95 % interval, by Wilson: what so many cases say of all.",
    "optimality": "How near it comes to the nearest of these attacks, case by case: 1 for who is that everywhere.",
    "median L2": "Of all cases; those that are not reached are infinitely far.",
    "ratio": "Geometric mean of its L2 over the rival's, where both get there: below 1 it is nearer.",
    "low": "The ratio's 95 % interval, by the bootstrap over the cases.",
    "high": "The ratio's 95 % interval, by the bootstrap over the cases.",
    "wins": "Cases where it is nearer than the rival.",
    "ties": "Cases where both are as near, to a thousandth, or both fail.",
    "losses": "Cases where the rival is nearer.",
    "p": "Of Wilcoxon's signed-rank test that neither is nearer.",
    "median passes": "Forward and backward together.",
    "PNG reads": "Of what it has reached, the share that still reads so when it is rounded to 8 bits.",
    "seconds": "Mean, on the machine of the sweep, in batches.",
}


def pick(label: str, key: str, options: Sequence[str], titles: dict[str, str] | None = None) -> str:
    """One of some options, remembered."""
    box = keep(key, options[0], options)
    return st.selectbox(label, options, options.index(kept(box)), lambda each: (titles or {}).get(each, each), key=box)


def choose_group(board: Board) -> tuple[str, str]:
    """A model and a rule of targets, of those that there are."""
    groups, specs = board.groups(), models().specs
    encodings = {model: specs[model].encoding.name if model in specs else UNKNOWN for model, _ in groups}
    first, second, third = st.columns(3)
    with first:
        encoding = pick("Encoding", "benchmark-encoding", [EVERY, *dict.fromkeys(encodings.values())])
    with second:
        fits = [model for model, its in encodings.items() if encoding in (EVERY, its)]
        model = pick("Model", "benchmark-model", fits, {name: spec.title for name, spec in specs.items()})
    with third:
        rule = pick("Targets", "benchmark-rule", [rule for each, rule in groups if each == model])
    return model, rule


def choose_attacks(named: dict[str, str], tried: dict[str, int], key: str) -> dict[str, str]:
    """Some of the attacks, their names by their settings; at first without those that were tried on few cases."""
    most = max(tried.values(), default=0)
    first = [settings for settings in named if tried.get(settings, 0) * FEW >= most]
    box = keep(key, first)
    if not {*kept(box)} <= named.keys():  # of a sweep that lay in this folder before
        st.session_state[key] = session().lasting.kept[key] = first
    chosen = st.multiselect("Attacks", [*named], kept(box), named.__getitem__, key=box)
    return {settings: name for settings, name in named.items() if settings in chosen}


def standings(table: Table) -> None:
    """The table, to be sorted and taken away."""
    import pandas as pd

    columns = dict(zip(table.head, zip(*table.rows, strict=True), strict=True))
    texts = {name: [written(name, cell) for cell in cells] for name, cells in columns.items()}
    # Streamlit says "None" of what is missing, whatever it is to say: a column that lacks something is text.
    styled = pd.DataFrame({name: texts[name] if "–" in texts[name] else columns[name] for name in columns}).style
    for name, cells in texts.items():
        for place, text in enumerate(cells):
            styled.format(text.replace("{", "{{").replace("}", "}}"), subset=([place], [name]))
    config: dict[str, Any] = {"attack": st.column_config.TextColumn(pinned=True, width="small")}
    config |= {column: st.column_config.Column(help=HELP[column]) for column in table.head if column in HELP}
    st.dataframe(styled, column_config=config, hide_index=True, height="content")
    tables.offer("benchmark", table.as_csv(), table.as_markdown(), table.as_latex())


def written(column: str, cell: Cell) -> str:
    """A cell for people."""
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return "–"
    if isinstance(cell, float) and np.isinf(cell):
        return "∞"
    return FORMATS.get(column, "{}").format(cell)


def about_cases(field: Field, tried: dict[str, int], against: str) -> None:
    """On which cases the standings are, and who keeps them few."""
    few = [
        f"{name} on {tried[settings]}" for settings, name in field.named.items() if tried[settings] > len(field.cases)
    ]
    more = f" More were tried, {', '.join(few)}: leave out the others to see them." if few else ""
    pairs = f"Ratio, wins and p are against {field.named[against]}, case by case."
    st.caption(plain(f"{len(field.cases)} cases, on which all of these attacks were tried. {pairs}{more}"))


def charts(field: Field, colours: dict[str, str]) -> None:
    """The two curves."""
    left, right = st.columns(2)
    with left:
        st.subheader("How many are left beyond a distance")
        st.plotly_chart(figures.missed_chart(field.missed, colours), key="benchmark-missed")
        st.caption("The lower, the better. Where a line ends above 0 %, so many cases were never reached.")
    with right:
        st.subheader("How near for so many passes")
        curves = field.budgets
        st.plotly_chart(figures.budget_chart(curves, colours), key="benchmark-budgets")
        late = [name for name, points in curves.items() if not len(points)]
        said = f" Less than half of the cases reached: {', '.join(late)}." if late else ""
        st.caption(plain(f"Medians over all cases; a line begins where half of them are reached.{said}"))


def duel(board: Board, field: Field, against: str, *, own: bool, at_home: bool) -> None:
    """Two attacks case by case, and the case that is chosen, which can be opened in the lab."""
    others = [settings for settings in field.named if settings != against] or [against]
    left, right = st.columns([3, 2], gap="large")
    with right:
        first = pick("Attack", "benchmark-first", others, field.named)
        distances = field.distances[[[*field.named].index(each) for each in (against, first)]]
        hashes = [*field.cases]
        places = apart(distances)[:MOST_CASES]
        cases = {case: field.cases[case] for case in (hashes[place] for place in places)}
        case = pick("Case", "benchmark-case", [*cases], cases)
        rows = {field.named[each]: board.unit(case, each) for each in dict.fromkeys((first, against))}
        about(board, rows, own=own, at_home=at_home)
    with left:
        figure = figures.duel((field.named[against], field.named[first]), distances[:, places], cases, case)
        st.plotly_chart(figure, key="benchmark-duel", on_select=_click, selection_mode="points")
        few = f" These are the {MOST_CASES} where they differ most." * (len(field.cases) > MOST_CASES)
        st.caption(
            plain(f"A dot is a case; below the line {field.named[first]} is nearer. Click on one to see it.{few}")
        )


def apart(distances: NDArray[np.float64]) -> NDArray[np.intp]:
    """The places of cases, of their distances (2, cases): those where the two differ most come first."""
    with np.errstate(invalid="ignore"):
        ratios = np.abs(np.log(distances[0]) - np.log(distances[1]))
    return np.argsort(-np.nan_to_num(ratios, posinf=np.inf), kind="stable")


def _click() -> None:
    for point in st.session_state["benchmark-duel"].selection.points[:1]:
        (st.session_state["benchmark-case"],) = np.ravel(point["customdata"]).tolist()


def about(board: Board, rows: dict[str, Row], *, own: bool, at_home: bool) -> None:
    """One case: its picture, what the attacks by these names made of it, and the way to the lab."""
    row = next(iter(rows.values()))
    spec = models().specs.get(row["model"])
    found = at_hand(board, row, spec, own=own, at_home=at_home)
    with st.container(horizontal=True):
        if isinstance(found, Photo):
            with st.container(width=SIDE):
                show_small(found, SIDE)
        st.markdown(f"Reads as **{plain(row['before'])}**. Wanted: **{plain(row['wanted'])}**.")
    told = {name: facts(each) for name, each in rows.items()}
    st.table(
        {"": [*facts(row)], **{plain(name): [*map(plain, each.values())] for name, each in told.items()}},
        hide_index=True,
        border="horizontal",
    )
    hurdles = [found] if isinstance(found, str) else []
    buttons = st.container(horizontal=True)
    for name, each in rows.items():
        try:
            asked = request(each, spec) if spec else None
        except ValueError as error:
            hurdles.append(str(error))
            asked = None
        closed = asked is None or isinstance(found, str)
        clicked = buttons.button(plain(f"Open {name} in the lab"), disabled=closed, icon=":material/target:")
        if clicked and spec and asked and isinstance(found, Photo):
            if found.digest not in photos(spec.samples):
                session().lasting.restored = found
            prefer(asked)
            st.switch_page("pages/attack_lab.py")
    if spec and changed(row, spec):
        hurdles.append("The model's card or weights have changed since: the lab may end elsewhere.")
    for hurdle in dict.fromkeys(hurdles):
        st.caption(plain(hurdle))


def at_hand(board: Board, row: Row, spec: ModelSpec | None, *, own: bool, at_home: bool) -> Photo | str:
    """The picture of a row: a sample, one of the session's, or, of a sweep of one's ``own``, where that found it; or
    why there is none, in a sentence. Pictures of an image set are also looked for in a folder that is asked for."""
    if spec is None:
        return f"The lab cannot open it: its model, {row['model']}, is not on offer now."
    if found := photos(spec.samples).get(row["picture_sha256"]):
        return found
    of_set, sets = data_set(board.folder), ""
    if of_set and at_home:
        key = keep("benchmark-sets", "")
        told = "The one that models.train takes as --data; the case's picture is read there."
        sets = st.text_input("Folder with the image sets", kept(key), key=key, help=told)
    if not own and not sets:
        which = f"number {row['picture']} of an image set" if of_set else row["picture"]
        return f"The lab cannot open it: the picture, {which}, does not ship."
    try:
        return photo(board.folder, row, sets)
    except SweepError as error:
        return f"The lab cannot open it: the picture is not at hand. {error}"


def facts(row: Row) -> dict[str, str]:
    """What came of an attack on a case."""
    if row["status"] == "error":
        return dict.fromkeys(("Reads as", "L2", "L∞", "SSIM", "Passes", "In 8 bits"), "–") | {"Ended": row["error"]}
    return {
        "Reads as": row["read"],
        "L2": f"{row['l2']:.3f}",
        "L∞": f"{row['linf']:.4f}",
        "SSIM": f"{row['ssim']:.4f}",
        "Passes": f"{row['forward']} + {row['backward']}",
        "In 8 bits": "as wanted" if row["png_reads"] else "not as wanted",
        "Ended": row["reason"],
    }


def failures(table: Table) -> None:
    """Which units have not reached their target."""
    if not table.rows:
        st.caption("None: every attack has reached every target.")
        return
    columns = {name: [row[place] for row in table.rows[:MOST_FAILURES]] for place, name in enumerate(table.head)}
    st.dataframe(columns, hide_index=True, height="auto")
    if len(table.rows) > MOST_FAILURES:
        st.caption(f"The first {MOST_FAILURES} of {len(table.rows)}; the file has all.")
    st.download_button("Failures (CSV)", table.as_csv(), "failures.csv", "text/csv", on_click="ignore")
