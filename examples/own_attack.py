"""Write an attack of your own: it says where to go next; the trail keeps the clock, the counts and the best image."""

from typing import Annotated

import torch
from torch import nn

from jma_core import ECOC, Group, Phase, Setting, Trail, attack, hadamard_codebook, jma, run
from jma_core.attacks.trail import Walk, unit


@attack("Descent", group=Group.MINIMUM_NORM, source="this example")
def descent(trail: Trail, *, steps: Annotated[int, Setting("Gradients", at_least=1, budget=True)] = 50) -> Walk:
    """Steps of L2 length 0.1 towards the constraints, on any encoding of labels."""
    x = trail.x0
    for k in range(steps):
        z, gradient = trail.descend(x, lambda values: values.clamp(max=0).square().sum())
        yield from trail.emit(k + 1, Phase.WALK, x, z)
        if trail.hit(z):
            break
        x = trail.clamp(x - 0.1 * unit(gradient))
    return trail.ending(steps)


torch.manual_seed(0)
network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 32), nn.ReLU(), nn.Linear(32, 16)).eval()
image, code = torch.rand(3, 8, 8), ECOC(hadamard_codebook(10, 16))
target = (int(code.decode(network(image[None])[0])) + 1) % 10
for each in (descent, jma):
    result = run(each(network, image, code, target))
    print(f"{each.__name__}: {result.success}, L2 {result.distortion.l2:.3f}, {result.backward} backward passes")
