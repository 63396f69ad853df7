"""What the page Compare is put together from: the picker of attacks, their pictures, table, chart, matrices, words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from jma_core.attacks.registry import Entry, Value
from lab.comparison import (
    AGAIN,
    MOST,
    STAR,
    Contender,
    Saved,
    angles,
    approach,
    as_csv,
    as_latex,
    as_markdown,
    attack_of,
    entries,
    first_attacks,
    margins,
    table,
    telling,
    verdict,
    winners,
)
from lab.links import to_comparison
from lab.markup import plain
from lab.request import OFFERED, Settings, offered
from lab.runs.measurements import Measurements, failed
from lab.runs.pool import models
from lab.store import comparison_file
from models.cards import ModelSpec
from models.encodings import Prediction
from ui.figures import comparison as figures
from ui.parts import downloads, tables
from ui.parts.controls import choose_setting
from ui.shell.address import whole
from ui.shell.cached import fingerprint
from ui.shell.session import Key, keep, kept, photos, session

_saving = Measurements(most=2 * MOST)
"""Files of the attacks' ends: in a thread of their own, since each takes some passes of the network."""


@dataclass(frozen=True)
class Form:
    """A place where attacks are chosen, each with its settings."""

    name: str
    """With which the keys of its widgets begin."""
    few: int = MOST
    """How many attacks it begins with, at most."""
    unasked: tuple[str, ...] = ()
    """Settings that are not chosen here."""
    most: int = MOST
    """How many attacks may be chosen."""

    @property
    def opened(self) -> str:
        """The key of what the settings are folded into."""
        return f"{self.name}-settings"

    def chosen(self, target: str) -> str:
        """The key of the widget that picks the attacks for targets of a kind."""
        return f"{self.name}-{target}"

    def own(self, entry: str, setting: str) -> str:
        """The key of the widget of one of an entry's own settings."""
        return f"{self.name}-{entry}-{setting}"


CONTEST = Form("contest")
"""That of the page Compare."""


def choose_attacks(target: str, common: dict[str, float], form: Form = CONTEST) -> list[Settings]:
    """Up to MOST attacks that can be asked for a target of this kind, each with its settings, no two alike."""
    fits = offered(target)
    first = {each.attack: dict(each.own) for each in first_attacks(target)}
    chosen = choose_entries(form, keep(form.chosen(target), list(first)[: form.few]), fits)
    problems, asked = st.container(), dict[Settings, str]()
    with st.expander("Settings of these attacks", key=form.opened, on_change="rerun"):
        for entry in chosen:
            attack = attack_of(entry)
            own = choose_own(form, entry, first.get(attack, {}))
            settings = Settings(attack, tuple(own.items()), **common)
            if settings in asked:
                same = f"“{titled(entry)}” has the same settings as “{titled(asked[settings])}”"
                problems.warning(plain(f"{same}, so that only one of them runs. Change them below."))
            asked.setdefault(settings, entry)
    return list(asked)


def choose_entries(form: Form, key: Key[list[str]], fits: Mapping[str, Entry]) -> list[str]:
    """Attacks, and some of them once more: the names of their entries, in the order in which they run."""
    chosen = kept(key)
    more = {name: [entry for entry in chosen if attack_of(entry) == name != entry] for name in fits}
    st.multiselect(
        "Attacks",
        [entry for name in fits for entry in (name, *more[name])],
        chosen,
        format_func=titled,
        key=key,
        max_selections=form.most,
        help=f"Up to {form.most}. They run one after another, in this order." if form.most > 1 else None,
    )
    if 0 < len(chosen) < form.most:
        st.menu_button(
            "Once more",
            list(dict.fromkeys(map(attack_of, chosen))),
            key=f"{key}-more",
            icon=":material/add:",
            help="One of these attacks again, with other settings.",
            format_func=titled,
            on_click=_repeat,
            args=(form, key),
        )
    return chosen


def _repeat(form: Form, key: Key[list[str]]) -> None:
    """Add an attack once more, with the settings that it has, and open them."""
    attack, chosen, values = st.session_state[f"{key}-more"], kept(key), session().lasting.kept
    entry = next(each for each in entries([attack] * (MOST + 1)) if each not in chosen)
    st.session_state[key] = [*chosen, entry]
    st.session_state[form.opened] = True
    for setting in OFFERED[attack].settings:
        if setting.name not in form.unasked:
            st.session_state[form.own(entry, setting.name)] = values[form.own(attack, setting.name)]


def titled(entry: str) -> str:
    """What an entry is called in the picker."""
    attack, _, number = entry.partition(AGAIN)
    return OFFERED[attack].title + (f" ({number})" if number else "")


def choose_own(form: Form, entry: str, first: Mapping[str, Value]) -> dict[str, Value]:
    """An attack's own settings, which begin with the values ``first``."""
    attack = OFFERED[attack_of(entry)]
    st.markdown(f"**{plain(titled(entry))}**")
    st.caption(plain(f"{attack.summary} {attack.source}."))
    own = {}
    asked = [setting for setting in attack.settings if setting.name not in form.unasked]
    columns = st.columns(min(4, len(asked))) if asked else []
    for i, setting in enumerate(asked):
        with columns[i % len(columns)]:
            own[setting.name] = choose_setting(form.own(entry, setting.name), setting, first.get(setting.name))
    return own


def widgets(target: str, asked: Sequence[Settings]) -> dict[str, Any]:
    """The values of the widgets that show these attacks, by key."""
    named = entries([each.attack for each in asked])
    pairs = zip(named, asked, strict=True)
    own = {CONTEST.own(entry, name): value for entry, each in pairs for name, value in each.own}
    return {CONTEST.chosen(target): named} | own


def saved(contender: Contender) -> Future[Saved] | None:
    """What its end is as a file, looked at in a thread; None while the network loads, or if it has missed."""
    asked, result = contender.request, contender.result
    if not result.success or not models().ready(asked.model):
        return None
    photo = photos(models().specs[asked.model].samples).get(asked.photo)

    def look() -> Saved:
        files = downloads.made(asked, result, photo)
        return Saved(float(files.end.distortion.l2), files.verdicts["PNG, 8 bits"].survives)

    return _saving.ask((asked, fingerprint(result.image)), look)


def known(future: Future[Saved] | None) -> Saved | None:
    """What has been found out so far."""
    return future.result() if future and future.done() and not failed(future) else None


def words(spec: ModelSpec, names: Sequence[str], contenders: Sequence[Contender]) -> None:
    """The verdict in sentences."""
    st.markdown("\n".join(f"- {plain(sentence)}" for sentence in verdict(spec, names, contenders)))


def numbers(spec: ModelSpec, names: Sequence[str], contenders: Sequence[Contender]) -> None:
    """The table, to be sorted and taken away."""
    import pandas as pd

    told = table(spec, contenders)
    reached = [each.result.success for each in contenders]
    frame: dict[str, list[Any]] = {"Attack": list(names)}
    for column, values in told.items():
        truths = any(isinstance(value, bool) for value in values)
        frame[column.title] = [column.written(value) for value in values] if truths else values
    styled = pd.DataFrame(frame).style
    for column, values in told.items():
        for i, (value, best) in enumerate(zip(values, winners(column, values, reached), strict=True)):
            cell = ([i], [column.title])
            styled.format(f"{column.written(value)}{STAR * best}".replace("{", "{{").replace("}", "}}"), subset=cell)
            if best:
                styled.set_properties(subset=cell, **{"font-weight": "bold"})
    config: dict[str, Any] = {"Attack": st.column_config.TextColumn(pinned=True, width="small")}
    config |= {column.title: st.column_config.Column(help=column.help) for column in told}
    st.dataframe(styled, column_config=config, hide_index=True, height="content")
    st.caption(
        f"{STAR.strip()} best in its column, of distances and costs among those that reached the target. A click on a "
        "column's head sorts by it. Seconds are of the machine that ran the attacks, one after another."
    )
    tables.offer("comparison", as_csv(names, told), as_markdown(names, told), as_latex(names, told))


def chart(names: Sequence[str], contenders: Sequence[Contender]) -> None:
    """How each came nearer."""
    curves = {name: approach(each) for name, each in zip(names, contenders, strict=True)}
    without = [name for name, points in curves.items() if not len(points)]
    if len(without) < len(curves):
        st.plotly_chart(figures.approach_chart(curves), key="contest-approach")
    said = f" Without a hit: {', '.join(without)}." if without else ""
    st.caption(plain(f"Dotted: the attack has ended, and its nearest hit stays. Both axes are logarithmic.{said}"))


def matrices(spec: ModelSpec, names: Sequence[str], contenders: Sequence[Contender]) -> None:
    """Margins of labels, and angles between perturbations."""
    with st.container(horizontal=True):  # one below the other where there is no room for both
        left, right = st.container(width=540), st.container(width=350)
    values = margins(spec, contenders)
    labels = telling(values)
    with left:
        st.subheader("Margins of the labels")
        drawn = figures.margins_matrix(
            ["Original", *names], [spec.encoding.labels[i] for i in labels], values[:, labels], spec.encoding.unit
        )
        st.plotly_chart(drawn, key="contest-margins")
        few = f" The {len(labels)} of {values.shape[1]} that are nearest the border." * (len(labels) < values.shape[1])
        st.caption(f"In {spec.encoding.unit}: above 0, orange, where a label is as wanted.{few}")
    with right:
        st.subheader("Angles between perturbations")
        st.plotly_chart(figures.angles_matrix(names, angles(contenders)), key="contest-angles")
        st.caption("In degrees: 0 for the same direction, 90 for directions that have nothing in common.")


def take_away(spec: ModelSpec, names: Sequence[str], contenders: Sequence[Contender]) -> None:
    """The comparison as files."""
    st.subheader("Take it with you")
    requests, first = [each.request for each in contenders], contenders[0].result
    seen = spec.encoding.answering(Prediction(first.logits_before, first.decoded_before))
    link = whole(to_comparison(requests, spec, spec.encoding.proposed(seen)))
    name, credit = downloads.file_name(requests[0], "compared"), downloads.credit(requests[0])
    with st.container(horizontal=True):
        page = partial(downloads.comparison_html, spec, names, contenders, credit, link)
        st.download_button("Report (HTML)", page, f"{name}.html", "text/html", on_click="ignore")
        file = partial(comparison_file, spec, contenders)
        st.download_button("Comparison (NPZ)", file, f"{name}.npz", on_click="ignore")
    st.caption("A comparison that has ended is kept on the page Runs, which also takes such a file.")
