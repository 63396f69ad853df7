"""What the steps of the Learn page have in common: their form, their numbers, and the questions to the class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from jma_core.records import Halt
from lab.markup import plain
from lab.request import Choice, Request
from lab.runs.measurements import failed
from lab.runs.pool import models
from ui.parts.scene import POLL, wait_for, watch
from ui.shell.session import keep, kept

Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Lesson:
    """One step of the lecture."""

    name: str
    question: str
    draw: Callable[[], Request | Choice]
    """Draws it, and gives what its button opens."""
    opens: str
    """Where: "lab" or "geometry"."""


def halves() -> Sequence[DeltaGenerator]:
    """A place for the text and one for the picture."""
    return st.columns([2, 3], gap="large")


def metrics(facts: dict[str, str]) -> None:
    """Numbers in a row, large, by what they are."""
    for column, (title, value) in zip(st.columns(len(facts)), facts.items(), strict=True):
        column.metric(title, value)


def riddle(question: str, answer: Callable[[], str], key: str) -> None:
    """A question to the class, in Markdown; its answer is computed when somebody asks for it."""
    with st.container(border=True):
        st.markdown(f"**A question to the class.** {question}")
        name = keep(f"learn-answer-{key}", False)
        if st.toggle("Show the answer", kept(name), key=name):
            st.markdown(answer())


def measured(names: Sequence[str], start: Callable[[], Future[Outcome]], place: DeltaGenerator) -> Outcome | None:
    """What the networks of these names were asked, once they are there; until then ``place`` says what is awaited."""
    with place:
        for name in names:
            if not models().ready(name):
                wait_for(models().specs[name])
                return None
        asked = start()
        if not asked.done() or failed(asked):
            st.fragment(watch, run_every=POLL)(asked, "Asking the network. This takes a few seconds.")
            return None
        try:
            return asked.result()
        except Halt as halt:
            st.warning(plain(halt.detail))
            return None
