"""Before anything else: the OpenMP policy that ``jma_core`` sets has to be there when torch is imported."""

from collections.abc import Iterator

import pytest

import jma_core  # noqa: F401


@pytest.fixture(scope="session", autouse=True)
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests' own, which servers and other processes inherit: the user's stored runs are left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JMA_LAB_DATA", str(tmp_path_factory.mktemp("data")))
        yield
