"""LOTS, the layerwise origin-target synthesis (Rozsa, Günther and Boult 2017), on any encoding of labels.

The network's features f_l(x), at the logits or at an inner layer, are drawn to the mean t of those of other pictures,
which have the target: the gradient is that of 1/2 ||f_l(x) - t||^2. Nothing holds the perturbation small, so that the
first hit is the end; nearer to t there is only more distortion.

Where the pool has no picture with the target, the logits aimed at are made up, in a way that is this project's, and
the result says so. Each label's, or bit's of a codeword, is the mean over the pictures that have this one as it is
wanted. Where there are none, and for classes, it is the mean over the pool; aimed at are then the nearest logits that
satisfy the target's constraints by as much as the pool's pictures satisfy their own labels'. For an inner layer there
is nothing of that sort. Free labels are left out.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import torch
from torch import Tensor

from jma_core.attacks.eightbit import rounded
from jma_core.attacks.registry import Group, Setting, attack
from jma_core.attacks.spaces import Sides
from jma_core.attacks.trail import Trail, Walk
from jma_core.dual import solve_dual
from jma_core.encodings import ECOC, MultiLabel
from jma_core.linearise import solving
from jma_core.records import FREE, ZERO_GRADIENT, Halt, Phase, StopReason

NO_PICTURE = "No picture of the pool is read as the target, and at an inner layer there is nothing else to aim at."


MADE_UP = "No picture of the pool is read as the target: what was aimed at has been made up, label by label."


class Pixels(StrEnum):
    """What each step starts from."""

    FREE = "free"
    """The image as it is."""
    ROUNDED = "rounded"
    """The image in 8 bits: with steps of one level only values that move by more than half of it ever get on."""


@attack("LOTS: to the features of other pictures", group=Group.LABELS, source="Rozsa et al. 2017", exhaustive=False)
def lots(
    trail: Trail,
    *,
    pool: Tensor,
    steps: Annotated[int, Setting("Most gradients", "It ends at the first hit.", at_least=1, budget=True)] = 2000,
    step: Annotated[
        float, Setting("Step", "The most by which a value moves, for pixels from 0 to 1.", above=0, at_most=1)
    ] = 1 / 255,
    pixels: Annotated[
        Pixels, Setting("Pixels", "Free, or rounded to 8 bits before each step as published.", paper="rounded")
    ] = Pixels.FREE,
    layer: Annotated[
        str, Setting("Layer", "The name of an inner module of the network; the logits if there is none.")
    ] = "",
) -> Walk:
    """Draws the network's features to the mean of those of pictures that have the target.

    ``pool`` are images (N, C, H, W) in [0, 1]; those count that the network reads as the target. If it has none, logits
    are made up for it, see the module, and the result's detail says so; at an inner layer the attack halts. Departs
    from the publication in that the first hit ends it, not a distance between features. Raises ValueError for a pool of
    another shape, and for a layer that the network has not, or if f is no ``torch.nn.Module``.
    """
    if pool.ndim != 4 or pool.shape[1:] != trail.x0.shape or not len(pool):
        raise ValueError(f"expected a pool of images (N, *{tuple(trail.x0.shape)}), got {tuple(pool.shape)}")
    return _lots(trail, pool.to(trail.x0, copy=True), steps, step, pixels, layer)


def _lots(trail: Trail, pool: Tensor, steps: int, step: float, pixels: Pixels, layer: str) -> Walk:
    network, x, n = trail.network, trail.x0, trail.encoding.n
    trail.start(network.logits(x))
    goal, found = _goal(trail, pool, layer)
    decided = goal.isfinite()

    def distance(given: Tensor) -> Tensor:
        features = given[n:] if layer else given
        return (features - goal)[decided].square().sum() / 2

    for k in range(steps):
        network.check_stop()
        given, gradient = network.descend(x, distance, layer)
        z, gradient = given[:n], trail.space.project(gradient)
        if not gradient.any():
            raise Halt(StopReason.ZERO_GRADIENT, ZERO_GRADIENT)
        yield from trail.emit(k + 1, Phase.WALK, x, z)
        if trail.hit(z):
            break
        base = rounded(x) if pixels == Pixels.ROUNDED else x
        x = trail.clamp(base - step * gradient / gradient.abs().max())
    reason, detail = trail.ending(steps)
    return reason, detail if found else f"{detail} {MADE_UP}"


def _goal(trail: Trail, pool: Tensor, layer: str) -> tuple[Tensor, bool]:
    """The features (k,) to aim at, logits (n,) if there is no layer, and whether pictures of the pool have the target.

    Logits of free labels are nan. Raises Halt if nothing in the pool gives features.
    """
    n, given = trail.encoding.n, []
    for image in pool:
        trail.network.check_stop()
        given.append(trail.network.logits(image, layer))
    there = [each for each in given if trail.hit(each[:n])]
    if layer and not there:
        raise Halt(StopReason.INFEASIBLE, NO_PICTURE)
    if layer:
        return torch.stack(there).mean(0)[n:], True
    goal = torch.stack(there).mean(0) if there else _made_up(trail, torch.stack(given))
    if isinstance(trail.encoding, MultiLabel):
        goal = torch.where(trail.target.to(goal.device) == FREE, torch.nan, goal)
    return goal, bool(there)


def _made_up(trail: Trail, given: Tensor) -> Tensor:
    """Logits (n,) within the target, from some (N, n) that are not."""
    encoding, mean = trail.encoding, given.mean(0)
    if isinstance(encoding, MultiLabel | ECOC):
        sides = Sides.of(trail)
        labels = sides.goal.labels.to(given.device)
        right = sides.goal.values(given) > 0
        of_right = (given[:, labels] * right).sum(0) / right.sum(0)  # nan where there are none
        mean[labels] = torch.where(right.any(0), of_right, mean[labels])
    if trail.hit(mean):
        return mean
    own = [float(encoding.constraints(encoding.decode(z), 0.0).values(z).min()) for z in given]
    goal = encoding.constraints(trail.target, max(trail.kappa, sum(own) / len(own)))
    missing = -goal.values(mean.cpu().double())
    a = goal.rows(torch.arange(len(missing), device="cpu")).double()
    with solving():
        multipliers = torch.from_numpy(solve_dual((a @ a.T).numpy(), missing.numpy()))
    return mean + (a.T @ multipliers).to(mean)
