"""The sentences on an attack, on records made by hand whose answers are known, and on attacks on linear networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from jma_core import ECOC, AttackResult, MultiLabel, OneHot, jma, refined, run
from jma_core.dual import Certificate
from jma_core.records import FREE, Phase, Step, StopReason
from lab.request import Request, Settings
from lab.story import story
from models.cards import ModelSpec
from models.encodings import ECOC as Codewords
from models.encodings import MultiLabel as Labels
from models.encodings import OneHot as Classes
from models.registry import MODELS

ORIGINAL = np.full((3, 6, 9), 0.5)
LABELS = ModelSpec("m", "M", Labels(("people", "cat", "sky", "sea"), (0.0, 1.0, 0.0, 0.0)), "vgg")
CLASSES = ModelSpec("m", "M", Classes(("people", "cat", "sky", "sea")), "vgg")
CODE = ModelSpec("m", "M", Codewords(("people", "cat"), np.array([[1, 1, 1], [1, -1, -1]], np.int8)), "vgg")
SOLVED = Certificate(0, 0, 0, 0, 4, 4)


def step(**changes: Any) -> Step:
    """The only step of an attack that must flip the first of four labels: a miss."""
    nothing = np.empty(0)
    values = {
        "number": 1, "iteration": 1, "phase": Phase.WALK, "image": ORIGINAL + 0.1,
        "logits": np.array([-1.0, 2.0, 0.5, -3.0]), "decoded": np.array([False, True, True, False]), "success": False,
        "values": nothing,
        "margin": -1.0, "active": nothing.astype(np.int64), "multipliers": nothing, "predicted": np.full(4, np.nan),
        "realised": np.full(4, np.nan), "full_length": np.nan, "l2": 0.1, "moved": 0.1, "forward": 3, "backward": 2,
        "seconds": 0.1, "certificate": None,
    }  # fmt: skip
    return Step(**{**values, **changes})


def asked(target: Any, **settings: Any) -> Request:
    return Request("m", "p", target, Settings.of(**settings))


ALL = asked((1, 1, 1, 0))


def test_a_running_attack_is_told_so_far() -> None:
    first, *rest = story(LABELS, ALL, ORIGINAL, [step(), step(number=9, iteration=7, backward=1, forward=20)])
    assert first == "So far it took 7 iterations (9 updates), 1 backward pass and 20 forward passes."
    assert rest[0] == (
        "The latest image is not read as wanted: it violates 1 of 4 constraints, in logits: people by 1."
    )


def test_the_counts_of_a_thinned_attack_are_those_of_its_result(finished: AttackResult) -> None:
    last = replace(finished.steps[-1], number=1234)
    few = replace(finished, backward=77, forward=99, steps=(finished.steps[0], last))
    spec, request = five(), asked(int(finished.target))
    said = story(spec, request, few.original, few.steps, few)
    assert said[0] == (
        f"It took {finished.steps[-1].iteration} iterations (1234 updates), 77 backward passes and 99 forward passes."
    )
    assert story(spec, request, finished.original, finished.steps, finished)[1:] == said[1:]


def test_a_hit_is_dated_by_the_curve_even_when_its_step_was_thinned_away(finished: AttackResult) -> None:
    far = replace(finished, curve=np.array([[5, 2.5], [9, 1.25]]), steps=finished.steps[-1:])
    said = story(five(), asked(int(finished.target), kappa=0.5), far.original, far.steps, far)
    assert said[1] == (
        "The target was first reached with the margin of 0.5 after 5 backward passes, at L2 2.500; "
        "the nearest image found that holds it is at L2 1.250."
    )


def five() -> ModelSpec:
    return ModelSpec("m", "M", Classes(tuple("abcde")), "vgg")


@pytest.mark.parametrize(
    ("active", "multipliers", "expected"),
    [
        ([2], [0.25], "In the last linearised problem 1 of 4 constraints was active, with its multiplier: sky (0.25)."),
        (
            [0, 2, 3],
            [0.125, 0.5, 0.25],
            "In the last linearised problem 3 of 4 constraints were active; by their multipliers, sky (0.5) pulled "
            "hardest, then sea (0.25), people (0.12).",
        ),
    ],
)
def test_active_constraints_are_named_by_their_pull(active: list[int], multipliers: list[float], expected: str) -> None:
    solved = step(active=np.array(active), multipliers=np.array(multipliers), certificate=SOLVED)
    assert story(LABELS, ALL, ORIGINAL, [step(active=np.array([1]), multipliers=np.ones(1)), solved])[2] == expected


def test_free_labels_have_no_constraint_and_are_not_counted() -> None:
    solved = step(active=np.array([1]), multipliers=np.ones(1), certificate=SOLVED)
    said = story(LABELS, asked((1, FREE, FREE, 1)), ORIGINAL, [solved])
    assert "violates 2 of 2 constraints, in logits: sea by 3, people by 1." in said[1]
    assert said[2] == "In the last linearised problem 1 of 2 constraints was active, with its multiplier: sea (1)."


def test_of_many_constraints_the_first_are_named_and_the_rest_counted() -> None:
    solved = step(active=np.arange(998), multipliers=np.linspace(1, 0.1, 998), certificate=SOLVED)
    imagenet = MODELS["imagenet-onehot"]
    logits, target = np.zeros(1000), 500
    logits[:10] = np.arange(10, 0, -1)
    one = replace(solved, logits=logits, decoded=np.array(0), predicted=logits * np.nan, realised=logits * np.nan)
    said = story(imagenet, asked(target), ORIGINAL, [one])
    against = [f"against {label}" for label in imagenet.encoding.labels]
    worst = ", ".join(f"{against[i]} by {10 - i}" for i in range(4))
    assert said[1].endswith(f"it violates 10 of 999 constraints, in logits: {worst}, and 6 more.")
    assert said[2].startswith(
        "In the last linearised problem 998 of 999 constraints were active; by their multipliers, "
    )
    assert said[2].endswith(", and 993 more.")


def test_the_linear_prediction_is_compared_with_what_the_network_did() -> None:
    first = step(predicted=np.array([4.0, 0.0, -8.0, 1.0]), realised=np.array([3.0, 0.0, -2.0, 3.0]))
    last = step(iteration=2, predicted=np.array([2.0, 0, 0, 0]), realised=np.array([2.5, 0.25, -0.25, 0.125]))
    began = "The linearised network expected the first full step to move logits by up to 8; the network itself was off "
    assert story(LABELS, ALL, ORIGINAL, [first])[2] == f"{began}by 6 at worst (median 1.5)."
    assert story(LABELS, ALL, ORIGINAL, [first, step(iteration=2), last, step(iteration=3)])[2] == (
        f"{began}by 6 at worst (median 1.5). For the last step it expected up to 2, and the network was off by 0.5 at "
        "worst (median 0.25)."
    )


def test_what_was_not_solved_nor_predicted_is_left_out() -> None:
    assert len(story(LABELS, ALL, ORIGINAL, [step()])) == 3


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        (slice(5, 6), slice(0, 1), "Half of the squared perturbation lies in 1.9 % of the pixels. Of the picture's "
            "ninths the lower left one holds the most: 100 %."),
        (slice(0, 2), slice(3, 6), "Half of the squared perturbation lies in 5.6 % of the pixels. Of the picture's "
            "ninths the upper centre one holds the most: 100 %."),
        (slice(2, 4), slice(4, 9), "Half of the squared perturbation lies in 9.3 % of the pixels. Of the picture's "
            "ninths the middle right one holds the most: 60 %."),
    ],
)  # fmt: skip
def test_the_perturbation_is_found_where_it_was_put(rows: slice, columns: slice, expected: str) -> None:
    image = ORIGINAL.copy()
    image[:, rows, columns] += 0.125  # whose squares add up without rounding
    assert story(LABELS, ALL, ORIGINAL, [step(image=image)])[-1] == expected


def test_a_strong_pixel_outweighs_many_weak_ones() -> None:
    image = ORIGINAL - 0.01
    image[1, 2, 4] = 0.9
    said = story(LABELS, ALL, ORIGINAL, [step(image=image)])[-1]
    share = (0.16 + 17 * 1e-4) / (0.16 + 161 * 1e-4)
    assert "lies in 1.9 % of the pixels" in said
    assert f"the middle centre one holds the most: {100 * share:.0f} %." in said


def test_of_a_region_it_is_said_how_large_it_is() -> None:
    image = ORIGINAL.copy()
    image[:, 2:4, 3:6] += 0.01
    request = replace(ALL, canvas=replace(ALL.canvas, native=True, region=(1 / 3, 1 / 3, 2 / 3, 2 / 3)))
    said = story(LABELS, request, ORIGINAL, [step(image=image)])[-1]
    assert said.startswith(
        "Half of the squared perturbation lies in 5.6 % of the pixels (the attack could change 11 %)."
    )


def test_an_attack_that_failed_says_how_far_it_got(finished: AttackResult) -> None:
    """What came closest counts, not the last step; and it may be the original."""
    failed = replace(
        finished, success=False, reason=StopReason.ITERATIONS, image=ORIGINAL, original=ORIGINAL,
        logits=np.array([0.5, 0.25, -2.0, 1.5]), decoded=np.array([True, False, False, True]), curve=np.empty((0, 2)),
    )  # fmt: skip
    said = story(LABELS, asked((1, 1, 1, 0)), ORIGINAL, [step(), step(iteration=9)], failed)
    assert said[1] == (
        "The image that came closest is not read as wanted: it violates 3 of 4 constraints, in logits: "
        "sky by 2, sea by 1.5, cat by 0.75."
    )
    assert said[-1] == "This image is the original, unchanged."


def test_labels_without_their_margin_are_no_full_success(finished: AttackResult) -> None:
    narrow = replace(finished, logits=np.array([3.0, 0.25, 1.0, 2.875]), decoded=np.array(0), curve=np.empty((0, 2)))
    said = story(CLASSES, asked(0, kappa=0.5), finished.original, [step()], narrow)
    assert said[1] == (
        "The image that came closest is read as wanted, but it violates 1 of 3 constraints with the margin of 0.5, in "
        "logits: against sea by 0.38."
    )


def test_the_margins_of_codewords_are_the_decoders() -> None:
    """c . z is 3 - 1 - 1 > 0 for the second word, c . tanh z is 0.995 - 2 * 0.762 < 0: the linear constraint holds."""
    logits = np.array([0.0, 3.0, -1.0])
    missed = step(logits=logits, decoded=np.array(1), predicted=logits * np.nan, realised=logits * np.nan)
    behind = -2 * (np.tanh(3) - np.tanh(1))
    assert story(CODE, asked(1), ORIGINAL, [replace(missed, decoded=np.array(0))])[1] == (
        "The latest image is not read as wanted: it violates 1 of 1 constraint, in correlation: against people by "
        f"{-behind:.2g}."
    )
    ahead = story(CODE, asked(0), ORIGINAL, [replace(missed, decoded=np.array(0))])[1]
    assert ahead == "The latest image is read as wanted."


def test_logits_that_are_not_finite_are_said_to_be() -> None:
    broken = step(logits=np.array([np.nan, 0, 0, 0]))
    assert story(LABELS, ALL, ORIGINAL, [broken])[1] == (
        "The latest image is not read as wanted: not all of its logits are finite."
    )


@pytest.fixture(scope="module")
def linear() -> Callable[[torch.Tensor], torch.Tensor]:
    weights = torch.randn(4, 3 * 6 * 9, generator=torch.Generator().manual_seed(3)) / 10
    return lambda images: (images.flatten(1) - 0.5) @ weights.T + torch.tensor([0.5, -0.5, 0.25, -0.25])


@pytest.mark.parametrize(
    ("encoding", "spec", "target"),
    [
        (OneHot(4), CLASSES, 1),
        (MultiLabel(LABELS.encoding.thresholds), LABELS, (0, 1, FREE, 0)),
        (ECOC(np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1]])), None, 2),
    ],
)
def test_a_linear_network_does_what_was_predicted(
    linear: Callable[[torch.Tensor], torch.Tensor], encoding: Any, spec: ModelSpec | None, target: Any
) -> None:
    spec = spec or ModelSpec("m", "M", Codewords(tuple("abc"), encoding.codebook.numpy()), "vgg")
    image = torch.full((3, 6, 9), 0.5)
    result = run(jma(linear, image, encoding, target, kappa=0.01, step=0.05))
    said = story(spec, asked(target, kappa=0.01), result.original, result.steps, result)
    assert len(said) == 5
    assert result.curve[0, 0] == result.backward  # the first full step hits
    assert f"after {result.backward} backward pass" in said[1]
    count = len(result.steps[-1].active)
    assert f"problem {count} of {len(encoding.constraints(target).labels)} constraints w" in said[2]
    worst = float(said[3].split("off by ")[1].split(" at worst")[0])
    assert worst < 1e-5
    gradients = run(refined(linear, image, encoding, target, steps=20))
    assert len(story(spec, asked(target), image.numpy(), gradients.steps, gradients)) == 3


def test_the_stored_example_is_told_as_its_records_say(example: tuple[Request, AttackResult]) -> None:
    request, result = example
    said = story(MODELS[request.model], request, result.original, result.steps, result)
    last, error = result.steps[-1], np.abs(result.steps[-1].realised - result.steps[-1].predicted)
    labels = np.array(MODELS[request.model].encoding.labels)[last.active[np.argsort(-last.multipliers)]]
    assert said[0].startswith(
        f"It took {last.iteration} iterations ({len(result.trace)} updates), {result.backward} backward"
    )
    assert f"at L2 {result.curve[0, 1]:.3f}; the nearest image found that holds it is at L2 {last.l2:.3f}." in said[1]
    assert [said[2].index(label) for label in labels] == sorted(said[2].index(label) for label in labels)
    assert f"problem {len(labels)} of 24 constraints were active" in said[2]
    assert f"the network was off by {error.max():.2g} at worst (median {np.median(error):.2g})." in said[3]
    energy = np.square(result.image - result.original, dtype=np.float64).sum(0)
    blocks = {(i, j): energy[i * 75 : i * 75 + 75, j * 75 : j * 75 + 75].sum() for i in range(3) for j in range(3)}
    row, column = max(blocks, key=blocks.__getitem__)
    name = f"{('upper', 'middle', 'lower')[row]} {('left', 'centre', 'right')[column]}"
    assert f"the {name} one holds the most: {100 * blocks[row, column] / energy.sum():.0f} %" in said[4]
