"""An attack's end on the grid of 8 bits: the image whose pixels are multiples of 1/255, and which succeeds as a file.

Attacks end on the border of the target's region with many pixels moved by less than half a level, so that rounding
takes most of the perturbation back. What is nearest on the grid is not the rounding of what is nearest off it, but of
a point further out on the same ray: the Lagrangian ||y - x0||^2 + 2 lambda g.y of the linearised problem falls apart
into pixels, and on the grid, in the box, its least value is at

    y = round(clip(x0 - lambda g)).

The ray of -g leads through the attacked image, which is optimal off the grid, and lambda is the least at which the
rounded image hits. Around this search, which needs no gradients, the direction turns as in ``refined``, towards the
gradient at the best rounding on the ray: one gradient a turn.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Annotated

import torch
from torch import Tensor

from jma_core.attacks.refined import turned, worst
from jma_core.attacks.registry import Group, Setting, attack
from jma_core.attacks.trail import Trail, Walk, annealed, check_image, length
from jma_core.records import Floats, Phase, Step

TURN = 0.3, 0.03
"""Tangent of the angle by which the direction turns, at the first turn and at the last."""
WIDTH = 0.05
"""How far from a point on a ray, relative to its distance, the border is first looked for."""
DOUBLINGS = 6
"""How often that width doubles before the ray is given up: at nine times the distance."""
HALVINGS = 3
"""How often the interval that holds the border is halved."""


@attack("8 bits", group=Group.ROUNDING, source="This project", waves=False)
def eight_bit(
    trail: Trail,
    *,
    start: Tensor | Floats,
    turns: Annotated[
        int,
        Setting("Turns", "Of the direction: one gradient each, and some six forward passes.", at_least=0, budget=True),
    ] = 8,
) -> Walk:
    """The end of another attack on the grid of 8 bits: the nearest picture found that is read as wanted from a file.

    ``start`` is the attacked image, a tensor or an array (C, H, W) in [0, 1], from whatever attack on x, which itself
    may lie off the grid. Yields a Step for every rounding. Success is the decoder's word on an image whose pixels are
    k / 255 as ``ToTensor`` would read them from a file; distances are from x. After a failure the image is the one
    that came closest: a rounding, or x.
    """
    x = check_image(torch.as_tensor(start, device=trail.x0.device), trail.x0.device).to(trail.x0)
    if x.shape != trail.x0.shape:
        raise ValueError(f"expected a start of the image's shape {tuple(trail.x0.shape)}, got {tuple(x.shape)}")
    return _eight_bit(trail, x, turns)


def _eight_bit(trail: Trail, x: Tensor, turns: int) -> Walk:
    trail.start(trail.network.logits(trail.x0))
    for k in range(turns):
        x = yield from _border(trail, k + 1, x)
        _, gradient = trail.descend(rounded(x), worst)
        x = turned(trail, x, gradient, annealed(k, turns, *TURN), length(x - trail.x0))
    yield from _border(trail, turns + 1, x)
    return trail.ending(turns + 1)


def _border(trail: Trail, iteration: int, x: Tensor) -> Generator[Step, None, Tensor]:
    """The nearest point on the ray through ``x`` whose rounding hits, or else the one that came closest to a hit."""
    misses: list[tuple[float, float]] = []

    def at(t: float) -> Tensor:
        return trail.x0 + t * (x - trail.x0)

    def hits(t: float) -> Generator[Step, None, bool]:
        trail.network.check_stop()
        y = rounded(at(t))
        z = trail.network.logits(y)
        yield from trail.emit(iteration, Phase.ROUND, y, z)
        if not trail.hit(z):
            misses.append((float(trail.goal.values(z).min()), t))
        return trail.hit(z)

    inwards = yield from hits(1.0)
    near, width = 1.0, WIDTH
    for _ in range(DOUBLINGS):
        far = near / (1 + width) if inwards else near * (1 + width)
        if (yield from hits(far)) != inwards:
            break
        near, width = far, 2 * width
    else:
        return at(near if inwards else max(misses)[1])
    hit, miss = (near, far) if inwards else (far, near)
    for _ in range(HALVINGS):
        middle = (hit + miss) / 2
        if (yield from hits(middle)):
            hit = middle
        else:
            miss = middle
    return at(hit)


def rounded(x: Tensor) -> Tensor:
    """The image whose pixels are the multiples of 1/255 in [0, 1] nearest to those of ``x``."""
    return (x.clamp(0, 1) * 255).round() / 255
