"""What pages show first: an attack and its logit space, made by ``python -m bench.example``, and a comparison."""

from __future__ import annotations

from functools import cache

from lab.archive import unpack, unpack_comparison, unpack_space
from lab.comparison import Contender
from lab.request import Measured, Request
from lab.runs.attack_run import AttackRun
from models.registry import ASSETS


@cache
def example() -> AttackRun:
    """The finished attack that the first page shows, made by ``python -m bench.example``."""
    return AttackRun.finished(*unpack((ASSETS / "example.npz").read_bytes()))


@cache
def example_space() -> Measured:
    """The logit space of the example, made by the same command."""
    return unpack_space((ASSETS / "example-space.npz").read_bytes())


@cache
def example_comparison() -> dict[Request, Contender]:
    """The attacks that the page Compare shows first, made by ``python -m bench.comparison``."""
    contenders, _ = unpack_comparison((ASSETS / "comparison.npz").read_bytes())
    return {each.request: each for each in contenders}
