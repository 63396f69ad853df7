"""``refined`` ends at the nearest image that the decoder reads, where that is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.linear import Linear, codewords, order, shortest
from jma_core import refined
from jma_core.attacks.refined import _Planes, sharing
from jma_core.attacks.trail import Task, Trail
from jma_core.records import Phase


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_of_a_codeword_the_nearest_image_that_the_decoder_reads_is_found(seed: int) -> None:
    """The nearest that satisfies the linear constraints is 7 to 9 % farther."""
    it = codewords(seed)
    result = it.attacked(refined, steps=200)
    assert it.l2 <= result.distortion.l2 * (1 + 1e-9)
    assert result.distortion.l2 <= 1.03 * it.l2


@pytest.mark.parametrize("seed", [0, 1, 6])
def test_where_many_constraints_meet_the_nearest_image_is_found(seed: int) -> None:
    """Twelve classes, five of them in order: on spheres alone it ends 5 to 41 % beyond the optimum."""
    it = order(seed, 12, 5)
    result = it.attacked(refined, steps=100)
    assert it.l2 <= result.distortion.l2 <= 1.01 * it.l2
    assert {step.phase for step in result.steps} == {Phase.WALK, Phase.PROJECT}


def test_a_projection_leads_to_the_nearest_image_beyond_all_that_is_known() -> None:
    it = order(0, 12, 5)
    planes, x = _known(it)
    drawn = it.x + 0.9 * (x - it.x)
    rows = it.a @ it.w
    expected = drawn + shortest(rows, 0.3 - rows @ drawn, drawn)
    assert np.abs(rows @ expected - 0.3).min() < 1e-9
    found = planes.projected(torch.as_tensor(x).reshape(3, 4, 4), 0.1, 0.3)
    np.testing.assert_allclose(found.numpy().ravel(), expected, atol=1e-8)


def test_what_cannot_be_met_is_forgotten_and_the_image_only_drawn_in() -> None:
    it = order(0, 12, 5)
    planes, x = _known(it)
    image = torch.as_tensor(x).reshape(3, 4, 4)
    drawn = planes.projected(image, 0.1, 1e6)
    np.testing.assert_allclose(drawn.numpy().ravel(), it.x + 0.9 * (x - it.x), atol=1e-12)
    assert planes.projected(image, 0.1, 0.3) is image


def _known(it: Linear) -> tuple[_Planes, np.ndarray]:
    """All constraints of a linear network, as they are at another image, and that image."""
    planes = _Planes(Trail(Task(it, torch.as_tensor(it.x).reshape(3, 4, 4), it.encoding, it.target)))
    x = np.random.default_rng(0).uniform(0, 1, it.x.shape)
    rows = it.a @ it.w
    values = rows @ x
    for number, i in enumerate(np.argsort(-values)):  # the worst one last, with the values as they are
        told = torch.as_tensor(values).clone()
        told[i] = values.min() - (i != values.argmin())
        planes.note(number, told, torch.as_tensor(-rows[i]).reshape(3, 4, 4))
    return planes, x


def test_constraints_that_are_level_share_the_gradient() -> None:
    assert sharing(torch.tensor([-3.0, 9.0, 9.0])) == pytest.approx(1)
    assert sharing(torch.tensor([-3.0, -3.0, -3.0, 9.0])) == pytest.approx(3)
