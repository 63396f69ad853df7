"""The page Models, open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.runs.pool import models
from tests.pages.models.driving import open_page
from tests.pages.page import Page
from ui.shell.cached import predict


@pytest.fixture
def page() -> Iterator[Page]:
    """The page, just opened, without what tests of other pages have added. What it adds is gone afterwards."""
    _remove_all()
    yield open_page()
    _remove_all()
    predict.clear()


def _remove_all() -> None:
    for name in list(models().added):
        models().remove(name)
