"""A question about the result of an attack: asked by a button, answered by a thread, kept with the attack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TypeVar

import streamlit as st

from lab.markup import plain
from lab.runs.attack_run import AttackRun
from lab.runs.pool import models
from models.cards import said
from ui.parts.scene import POLL
from ui.shell.session import session

Answer = TypeVar("Answer")


def answers(run: AttackRun, button: str, questions: Mapping[str, Callable[[], Future[Answer]]]) -> list[Answer | None]:
    """One for each question, by its name, as far as it is there; with a button that asks them, and word of the wait.

    Nothing is begun before that is pressed; then they are answered one after another.
    """
    found = session().lasting.findings.setdefault(run, {})

    def ask() -> None:
        found.update({name: begin() for name, begin in questions.items() if name not in found or _failed(found[name])})

    asked = {name: found[name] for name in questions if name in found}
    failures = {name: error for name, future in asked.items() if (error := _failed(future))}
    for name, error in failures.items():
        st.error(plain(f"This could not be found out ({name}): {said(error)}"))
    if len(asked) < len(questions) or failures:
        label = "Try again" if failures else button
        st.button(
            label, key=f"ask-{next(iter(questions))}", on_click=ask, disabled=not models().ready(run.request.model)
        )
    if (seen := _done(asked)) < len(asked):
        st.fragment(_watch, run_every=POLL)(asked, seen)
    return [future.result() if future.done() and not _failed(future) else None for future in asked.values()]


def _failed(future: Future[Answer]) -> BaseException | None:
    return future.exception() if future.done() else None


def _done(asked: Mapping[str, Future[Answer]]) -> int:
    return sum(future.done() for future in asked.values())


def _watch(asked: Mapping[str, Future[Answer]], seen: int) -> None:
    """Say what is awaited, and draw the page again with each answer."""
    count = f"{seen} of {len(asked)} have answered." if len(asked) > 1 else "This takes a few seconds."
    st.info(f"Asking the network{'s' * (len(asked) > 1)}. {count}", icon=":material/hourglass_top:")
    if _done(asked) != seen:
        st.rerun()
