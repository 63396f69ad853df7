"""Attack a batch of images, each with its own target: the passes of all go through the network together."""

from statistics import median

import torch
from torch import nn

from jma_core import MultiLabel, refined, run_batch

torch.manual_seed(0)
network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 32), nn.Tanh(), nn.Linear(32, 6)).eval()
images = torch.rand(16, 3, 8, 8)

encoding = MultiLabel(6)  # six labels, each present where its logit is above 0
with torch.no_grad():
    present = encoding.decode(network(images))
targets = present.clone()
targets[:, :2] = ~targets[:, :2]  # flip two labels of each image, and hold the others

results = run_batch(refined, network, images, encoding, targets, steps=50)

hits = [result for result in results if result.success]
print(f"{len(hits)} of {len(results)} images read as wanted")
print(f"median L2 {median(result.distortion.l2 for result in hits):.3f}, {results[0].backward} gradients each")
