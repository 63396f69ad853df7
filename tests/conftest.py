"""Before anything else: what OpenMP is told by ``jma_core``, and here, has to be there when torch is imported."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers

# Workers are as many as cores: with two threads each they take a fifth longer.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
import jma_core  # noqa: F401

BROWSER = Path(__file__).parent / "browser"
pytest_plugins = ["tests.fixtures"]

# The same examples in every run, whatever an earlier run has found and whichever files are run together: Hypothesis
# would also draw the constants of all local modules that happen to be imported, and has no setting for that.
providers._get_local_constants = lambda: providers._local_constants
settings.register_profile("suite", deadline=None, derandomize=True, database=None, max_examples=100)
settings.load_profile("suite")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each file stays with one worker of ``--dist loadgroup``, where what its tests share is made once.

    Those of the browser, where each worker has a server and a browser, are shared out one by one, as workers are free.
    """
    for item in items:
        if not item.path.is_relative_to(BROWSER):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


@pytest.fixture(scope="session", autouse=True)
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests' own, which servers and other processes inherit: the user's stored runs are left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JMA_LAB_DATA", str(tmp_path_factory.mktemp("data")))
        yield
