"""FAB, the fast adaptive boundary attack (Croce and Hein 2020), for the L2 norm, with a target of any encoding.

The publication moves to the nearest of the linearised boundaries with other classes, or with one class it is told. A
target of several labels has several boundaries, so that here both projections are onto all constraints at once; an
image within the target is its own projection, and is drawn to the original's. Where no image in [0, 1] satisfies all
of them, neither projection is there, and the image takes the step of the problem without the box, clipped.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from jma_core.attacks.registry import Group, Setting, attack
from jma_core.attacks.trail import Trail, Walk
from jma_core.linearise import WITHOUT_ANSWER, Linearisation, Solution
from jma_core.records import Halt, Phase


@attack("FAB: fast adaptive boundary", group=Group.MINIMUM_NORM, source="Croce and Hein 2020", waves=False)
def fab(
    trail: Trail,
    *,
    steps: Annotated[
        int,
        Setting("Linearisations", "Each takes a gradient of every constraint that matters.", at_least=1, budget=True),
    ] = 100,
    alpha: Annotated[
        float, Setting("Pull of the original α", "Its projection's largest weight.", at_least=0, at_most=1)
    ] = 0.1,
    beta: Annotated[
        float, Setting("Way back β", "This part of the perturbation is kept after a hit.", above=0, below=1)
    ] = 0.9,
    eta: Annotated[float, Setting("Overshoot η", "Beyond each projection.", at_least=1)] = 1.05,
) -> Walk:
    """Projections onto the linearised target, of the image and of the original, mixed; after a hit it steps back."""
    network, x0, x, goal, margin = trail.network, trail.x0, trail.x0, trail.goal, trail.kappa
    for k in range(steps):
        network.check_stop()
        local = trail.linearise(x, goal)
        trail.start(local.z)
        near, back = _projections(local, x0)
        if near.length == 0 and not trail.hit(local.z):
            margin, goal = trail.demand_more(margin, local.z)
        there = x + eta * near.delta
        if back:
            weight = min(alpha, near.length / (near.length + back.length)) if near.length else alpha
            there = (1 - weight) * there + weight * (x0 + eta * (x + back.delta - x0))
        x = trail.clamp(there)
        z = network.logits(x)
        yield from trail.emit(k + 1, Phase.WALK, x, z, near)
        if trail.hit(z):
            x = x0 + beta * (x - x0)
    return trail.ending(steps)


def _projections(local: Linearisation, x0: Tensor) -> tuple[Solution, Solution | None]:
    """Those of the linearisation's image and of the original; of the first alone, without the box, where none is."""
    try:
        near = local.solve_boxed()
        return near, local.solve_boxed(near.index, origin=x0)
    except Halt as halt:
        if halt.reason not in WITHOUT_ANSWER:
            raise
    return local.solve_lazy(), None
