"""A show is read back as it was written, and nothing else is taken for one."""

from __future__ import annotations

import json

import pytest

from lab.show import EXAMPLE, MOST, State, from_file, state_of, to_file


def test_a_show_comes_back_from_its_file() -> None:
    states = [*EXAMPLE, State("Nächste: a & b", "geometry", {"view": ["two"], "axis": ["cat", "a&b=c"], "at": ["1,2"]})]
    assert from_file(to_file(states).encode()) == states


@pytest.mark.parametrize(
    ("address", "page", "query"),
    [
        ("/", "", {}),
        ("/?model=scenes&want=", "", {"model": ["scenes"], "want": [""]}),
        ("https://lab.example/app/learn?step=4", "learn", {"step": ["4"]}),
        ("geometry?axis=cat&axis=sky", "geometry", {"axis": ["cat", "sky"]}),
    ],
)
def test_an_address_is_a_state(address: str, page: str, query: dict[str, list[str]]) -> None:
    state = state_of(address, "A title\nin two lines")
    assert (state.page, state.query, state.title) == (page, query, "A title in two lines")
    assert state_of(state.address, state.title) == state


@pytest.mark.parametrize("address", ["", "/runs", "/models?x=1", "javascript:alert(1)", "//[", "/nowhere"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match="Expected an address of the attack lab"):
        state_of(address)


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"states": 3}',
        b'{"states": [{"title": 1, "address": "/"}]}',
        b'{"states": [{"title": "no address"}]}',
        json.dumps({"states": [{"title": "", "address": "/"}] * (MOST + 1)}).encode(),
        b"[" * 10_000,
    ],
)
def test_other_files_are_refused(file: bytes) -> None:
    with pytest.raises(ValueError, match="This file is not a show"):
        from_file(file)
