"""A page of the app in Streamlit's own simulator, as somebody knows it who reads it, clicks, and waits."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from lab.request import Request
from lab.runs.attack_run import AttackRun
from tests.markdown import seen
from tests.sessions import session_of
from ui.shell.session import target_key

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0  # seconds; an attack takes a few on a quiet machine
WAITING = re.compile("network is loading|Taking the gradients|Asking the network")


def came_true(seconds: float, condition: Callable[[], bool]) -> bool:
    """Wait so long at most; whether the condition came true."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


class Page(AppTest):
    """One session: the lab, or another page, by its file's name, that somebody comes to by an address with a query."""

    def __init__(self, page: str = "", /, **query: str | list[str]) -> None:
        super().__init__(ROOT / "app.py", default_timeout=60)
        if page:
            self.switch_page(f"pages/{page}.py")
        self.query_params.update(query)

    def labelled(self, label: str) -> Button:
        """The one button that is labelled so."""
        found = [each for each in self.button if seen(each.label) == label]
        assert len(found) == 1, f"{len(found)} buttons {label!r} among {[each.label for each in self.button]}"
        return found[0]

    def press(self, label: str) -> Self:
        self.labelled(label).click().run()
        return self.intact()

    def widget(self, kind: str, label: str, key: str = "") -> Any:
        """The first widget of a kind that is labelled so, with this ``key`` if one is given."""
        return next(each for each in getattr(self, kind) if each.label == label and key in ("", each.key))

    def texts(self) -> list[str]:
        kinds = (self.title, self.markdown, self.caption, self.info, self.warning, self.success, self.error)
        return [element.value for kind in (*kinds, self.exception) for element in kind]

    def says(self, text: str) -> bool:
        return any(text in each for each in self.texts())

    def in_the_lab(self) -> bool:
        """Whether this is the attack lab, whose title is its attack, or its photo while the network is loaded."""
        (title,) = (each.value for each in self.title)
        return " → " in title or f"{title}, as the network will see it" in self.pictures()

    @property
    def toggles(self) -> str:
        """Where the state of the session keeps what the toggles of labels ask for: 1, 0 or -1 for each of them."""
        kept = session_of(self).lasting.kept
        return target_key(kept["model"], kept["photo"])

    def asked(self) -> tuple[int, ...]:
        """What they ask for."""
        return self.session_state[self.toggles]

    def ask(self, *lit: int) -> Self:
        """Click on them until these labels alone are wanted."""
        self.session_state[self.toggles] = tuple(int(i in lit) for i in range(len(self.asked())))
        self.run()
        return self.intact()

    def pictures(self) -> list[str]:
        """What is written below those of the main column."""
        return [caption for image in self.main.get("imgs") or self.main.image for caption in image.captions]

    def intact(self) -> Self:
        assert not self.exception, [each.value for each in self.exception]
        return self

    def until(self, condition: Callable[[], bool]) -> Self:
        """Rerun the page, as its own timer would, until something has come true on it."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"it did not come true; the page says {self.texts()}"
            time.sleep(0.05)
            self.run()
        return self

    def loaded(self) -> Self:
        """Wait until the page waits for no network."""
        return self.until(lambda: not any(WAITING.search(info.value) for info in self.info)).intact()

    def settle(self) -> Self:
        """Wait for every attack to pause or end, then draw the page until it waits for no network."""
        assert came_true(PATIENCE, lambda: not any(run.busy for run in session_of(self).lasting.attacks)), self.texts()
        self.run()
        return self.loaded()

    def attacks(self) -> dict[Request, AttackRun]:
        """The session's attacks by request."""
        return dict(session_of(self).lasting.runs)

    def bouts(self) -> dict[Request, AttackRun]:
        """Those of the page Compare."""
        return dict(session_of(self).lasting.bouts)

    def shown(self) -> AttackRun:
        """The attack begun last; the tests have at most one for each request."""
        return list(self.attacks().values())[-1]

    def close(self) -> None:
        """End what the session has left running."""
        left = session_of(self).lasting.attacks
        for run in left:
            run.cancel()
        for run in left:
            run.wait(PATIENCE)
            assert not run.busy
