"""Attack one image, and look at the way there."""

import torch
from torch import nn

from jma_core import OneHot, jma, run

torch.manual_seed(0)
network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 32), nn.ReLU(), nn.Linear(32, 10)).eval()
image = torch.rand(3, 8, 8)  # pixels in [0, 1]

encoding = OneHot(10)
before = int(encoding.decode(network(image[None])[0]))
target = (before + 1) % 10

result = run(jma(network, image, encoding, target, step=0.5))

for step in result.steps:
    print(f"update {step.number}: read as {step.decoded}, margin {step.margin:+.3f}, L2 {step.l2:.3f}")
print(f"{before} is read as {result.decoded}, as wanted: {result.success}")
print(f"L2 {result.distortion.l2:.3f} after {result.backward} backward passes. {result.detail}")
