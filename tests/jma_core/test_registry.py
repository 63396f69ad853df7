"""What is known of attacks without importing them is what they declare, and holds when they are called."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from torch import Tensor

import jma_core
from jma_core import (
    ECOC,
    Group,
    MultiLabel,
    OneHot,
    Phase,
    Setting,
    Step,
    Trail,
    attack,
    catalogue,
    find,
    hadamard_codebook,
    run,
)
from jma_core.attacks import registry
from jma_core.attacks.__main__ import declared, page
from jma_core.attacks.registry import CATALOGUE, Entry, Norm, as_catalogue
from jma_core.attacks.trail import Walk
from tests.cases import named

ROOT = Path(__file__).resolve().parents[2]
GREY = torch.full((1, 2, 2), 0.5, dtype=torch.float64)
each_attack = pytest.mark.parametrize("name", catalogue())


def linear(images: Tensor) -> Tensor:
    return images.flatten(1) - 0.6


def test_the_catalogue_and_the_page_of_the_docs_are_what_the_attacks_declare() -> None:
    """After a change: python -m jma_core.attacks > docs/ATTACKS.md"""
    assert CATALOGUE.read_text("utf-8") == as_catalogue(declared())
    assert list(catalogue().values()) == sorted(declared(), key=lambda entry: list(Group).index(entry.group))
    assert (ROOT / "docs/ATTACKS.md").read_text("utf-8") == page(declared())


@each_attack
def test_an_attack_is_found_by_its_name_and_imported_by_its_function_s(name: str) -> None:
    entry = catalogue()[name]
    assert find(name).entry == entry
    assert getattr(jma_core, entry.function) is find(name)
    assert re.fullmatch(r"[A-Z].*\.", entry.summary)
    assert entry.source
    assert entry.norm in Norm
    assert any(setting.budget for setting in entry.settings)
    assert all(setting.label and setting.help for setting in entry.settings)
    assert list(inspect.signature(find(name)).parameters)[:4] == ["f", "x", "encoding", "target"]


@pytest.mark.parametrize("name", ["level", "lazy:", "", "jma"])
def test_a_name_that_no_attack_has_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(ValueError, match=f"expected an attack, one of lazy, .*fab.*got {name!r}"):
        find(name)


def outside(setting: Setting) -> Iterator[Any]:
    """Values that are not allowed, among them the nearest ones."""
    whole = setting.kind == "int"
    if setting.kind == "choice":
        yield from ("best", 1, None)
        return
    if setting.kind == "text":
        yield from (1, None, b"best")
        return
    yield from (float("nan"), float("inf"), "1", True, None, [1], 1j)
    if whole:
        yield 1.5
    if setting.at_least is not None:
        yield int(setting.at_least) - 1 if whole else np.nextafter(setting.at_least, -np.inf)
    if setting.at_most is not None:
        yield int(setting.at_most) + 1 if whole else np.nextafter(setting.at_most, np.inf)
    yield from (bound for bound in (setting.above, setting.below) if bound is not None)


@each_attack
def test_values_that_are_not_declared_are_refused_before_the_network_is_asked(name: str) -> None:
    def f(images: Tensor) -> Tensor:
        raise AssertionError("asked")

    needs = {need: {"start": GREY, "pool": GREY[None]}[need] for need in catalogue()[name].needs}
    tasks: dict[str, Any] = {
        "one-hot": (OneHot(4), 0),
        "ECOC": (ECOC(hadamard_codebook(4, 4)), 0),
        "multi-label": (MultiLabel(4), [1] * 4),
    }
    task = next(tasks[each] for each in tasks if each in catalogue()[name].encodings)
    for setting in catalogue()[name].settings:
        for value in outside(setting):
            said = re.escape(f"expected {setting.name} to be {setting.range}, got {value!r}")
            with named(f"{setting.name} = {value!r}"), pytest.raises(ValueError, match=said):
                find(name)(f, GREY, *task, **{setting.name: value}, **needs)


@each_attack
def test_defaults_choices_and_bounds_are_allowed(name: str) -> None:
    for setting in catalogue()[name].settings:
        allowed = [setting.default, *setting.choices]
        allowed += [int(each) if setting.kind == "int" else each for each in setting.limits if each is not None]
        kind = {"choice": "str", "text": "str"}.get(setting.kind, setting.kind)
        for value in allowed:
            with named(f"{setting.name} = {value!r}"):
                assert setting.check(value) == value
                assert type(setting.check(value)).__name__ == kind


def test_a_thousand_million_iterations_are_refused_of_every_attack() -> None:
    for name, entry in catalogue().items():
        for setting in entry.settings:
            if setting.budget:
                said = rf"{setting.name} to be a whole number from \d to 100000, got 10{{9}}"
                with named(name), pytest.raises(ValueError, match=said):
                    entry.check({setting.name: 10**9})


def test_settings_that_an_attack_has_not_are_refused_with_those_that_it_has() -> None:
    with pytest.raises(
        TypeError, match="ddn has no setting epsilon, max_iter: it has steps, gamma, init_norm, surrogate"
    ):
        find("ddn")(linear, GREY, OneHot(4), 0, epsilon=1.0, max_iter=3)


def test_an_attack_whose_needs_are_not_given_says_which() -> None:
    with pytest.raises(TypeError, match="start"):
        find("eight_bit")(linear, GREY, OneHot(4), 0)


def test_a_budget_is_the_product_of_what_belongs_to_it() -> None:
    entry = catalogue()["cw"]
    assert entry.iterations(entry.check({})) == 9000
    assert entry.within(50, searches=5) == {"searches": 5, "steps": 10}
    assert entry.within(4) == {"searches": 4, "steps": 1}
    assert catalogue()["lazy"].within(7, step=0.5) == {"step": 0.5, "max_iter": 7}


@pytest.fixture
def jump() -> Iterator[Any]:
    """An attack of somebody else's: one step to white, for labels only."""

    @attack(
        "Jump", group=Group.MINIMUM_NORM, source="nobody", norm=Norm.LINF, encodings=("multi-label",), exhaustive=False
    )
    def jump(trail: Trail, *, height: Annotated[float, Setting("Height", at_least=0, at_most=1)] = 1.0) -> Walk:
        """To white,
        at once.

        More of it.
        """
        trail.start(trail.network.logits(trail.x0))
        x = trail.clamp(trail.x0 + height)
        yield from trail.emit(1, Phase.WALK, x, trail.network.logits(x))
        return trail.ending(1)

    yield jump
    del registry._declared["jump"]


def test_an_attack_of_one_s_own_is_declared_called_and_found(jump: Any) -> None:
    result = run(jump(linear, GREY, MultiLabel(4), [1, 1, 1, 1], kappa=0.1))
    assert (result.success, result.forward, result.distortion.linf) == (True, 2, 0.5)
    assert find("jump") is jump
    assert jump.entry == Entry(
        name="jump",
        title="Jump",
        group=Group.MINIMUM_NORM,
        summary="To white, at once.",
        source="nobody",
        norm=Norm.LINF,
        encodings=("multi-label",),
        exhaustive=False,
        waves=False,
        settings=(Setting("Height", at_least=0, at_most=1, name="height", kind="float", default=1.0),),
        needs=(),
        home=f"{__name__}:jump",
    )


def test_an_encoding_that_an_attack_is_not_for_is_refused(jump: Any) -> None:
    with pytest.raises(ValueError, match="expected an encoding that is multi-label, got one-hot"):
        jump(linear, GREY, OneHot(4), 0)


def test_a_name_that_is_taken_cannot_be_declared_again_even_before_its_attack_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "_declared", {})
    said = re.escape("expected a name of its own, got 'ddn': so jma_core.attacks.ddn:ddn is called")
    with pytest.raises(ValueError, match=said):

        @attack("Mine", group=Group.MINIMUM_NORM, source="nobody")
        def ddn(trail: Trail) -> Walk:
            yield from ()
            return trail.ending(0)


def test_steps_are_steps() -> None:
    assert all(isinstance(step, Step) for step in find("lazy")(linear, GREY, OneHot(4), 0))
