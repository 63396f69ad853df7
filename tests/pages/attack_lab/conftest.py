"""Sessions in the attack lab, and what is counted of their attacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lab.runs import launch
from tests.pages.attack_lab.driving import ONE_HOT, SIGNS, choose, choose_model
from tests.pages.page import Page


@pytest.fixture
def lab() -> Iterator[Page]:
    """A session that has just opened the lab; its network is there. What it leaves running is ended."""
    at = Page().settle()
    yield at
    at.close()


@pytest.fixture
def imagenet(lab: Page) -> Page:
    """The lab with the largest network, which reads the cat as a tiger cat and is to read an espresso: 20 updates."""
    return choose(choose_model(lab, ONE_HOT), "espresso")


@pytest.fixture
def signs(lab: Page) -> Page:
    """The lab with a network whose attacks are done at once; a sign that says to give way is to read as a stop."""
    choose_model(lab, SIGNS)
    lab.press("give way").settle()
    return choose(lab, "stop")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The keyword arguments of every attack begun from now on."""
    calls: list[dict[str, Any]] = []
    find = launch.find

    def found(name: str) -> Any:
        def attack(*args: Any, **settings: Any) -> Any:
            calls.append(settings)
            return find(name)(*args, **settings)

        return attack

    monkeypatch.setattr(launch, "find", found)
    return calls
