"""ML-DeepFool (Song et al. 2018): every label, wanted to change or not, is moved onto its threshold."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch

from jma_core.attacks.registry import Group, Setting, attack
from jma_core.attacks.spaces import Sides, Space
from jma_core.attacks.trail import SUCCESS, Trail, Walk
from jma_core.dual import Array
from jma_core.linearise import check_gradient
from jma_core.records import Phase


@attack(
    "ML-DeepFool",
    group=Group.LABELS,
    source="Song et al. 2018",
    encodings=("ECOC", "multi-label"),
    exhaustive=False,
)
def ml_deepfool(
    trail: Trail,
    *,
    max_iter: Annotated[
        int, Setting("Most iterations", "Each takes the gradients of all labels.", at_least=1, budget=True)
    ] = 20,
    space: Annotated[Space, Setting("Linear model", "Of what it is: scores, or logits.")] = Space.SCORE,
    overshoot: Annotated[
        float,
        Setting(
            "Beyond the threshold",
            "Each label is aimed so far on the side where it is wanted, in units of scores or of logits.",
            at_least=0,
            below=0.5,
        ),
    ] = 0.0,
) -> Walk:
    """The shortest step that puts all labels exactly onto their thresholds, repeated until they fall on their sides.

    The sum of all steps is clipped. As published labels that are right already are dragged to their thresholds as well,
    and rounding and curvature decide on which side they end, unless there is a margin or an overshoot. Of codewords,
    which the publication does not know, the labels are the bits.
    """
    network, sides = trail.network, Sides.of(trail)
    x, total = trail.x0, torch.zeros_like(trail.x0)
    local = trail.linearise(x, sides.goal)
    trail.start(local.z)
    for iteration in range(1, max_iter + 1):
        network.check_stop()
        z = local.z.cpu().double()
        rows = sides.sign[:, None].double().numpy() * local.jacobian(sides.goal.labels.numpy()).double().numpy()
        missing = sides.sign * sides.edge + overshoot - sides.sign * z[sides.goal.labels]
        if space == Space.SCORE:
            right = sides.right(z)
            slope = sides.gain * right * (1 - right)
            rows, missing = slope.numpy()[:, None] * rows, sides.enough() + overshoot - right
        check_gradient(rows, missing.abs().numpy())
        total = total + _equality(rows, missing.numpy()).to(x).reshape(x.shape)
        x = trail.clamp(trail.x0 + total)
        local = trail.linearise(x, sides.goal)
        yield from trail.emit(iteration, Phase.WALK, x, local.z)
        if trail.hit(local.z):
            return SUCCESS
    return trail.ending(max_iter)


def _equality(rows: Array, missing: Array) -> torch.Tensor:
    """The shortest delta (m,) with rows delta = missing, or nearest to it; rows of zero are left out."""
    size = np.linalg.norm(rows, axis=1)
    live = size > 0
    units, wanted = rows[live] / size[live, None], missing[live] / size[live]
    return torch.from_numpy(units.T @ (np.linalg.pinv(units @ units.T, rcond=1e-12, hermitian=True) @ wanted))
