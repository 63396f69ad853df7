"""What alters images before a network learns from them, so that it learns to resist: adversarial training.

An adversary moves every image of a batch by at most ``eps`` in L2, within [0, 1]. What it costs is said in passes of an
image through the network, besides the two by which the network learns. Source: Madry et al. 2018.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from jma_core import Encoding
from jma_core.network import Classifier

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (N, n) and targets (N,) or (N, n) to the mean loss."""
PATH = 2.5
"""Length of the path of projected gradients over ``eps``, as Madry et al. have it."""


class Passes(NamedTuple):
    """How often an image goes through a network."""

    forward: int
    backward: int


class Adversary(Protocol):
    """Alters a batch."""

    @property
    def eps(self) -> float:
        """How far an image is moved at most."""
        ...

    @property
    def passes(self) -> Passes:
        """What it costs."""
        ...

    def __call__(self, network: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        """Images (N, C, H, W) with the right answers (N,), altered. The network is in eval mode."""
        ...


@dataclass(frozen=True, kw_only=True)
class JmaStep:
    """One linearised step of JMA out of what is right, as long as it may be.

    An image is read rightly as long as the constraints A z >= h of its class hold. To break the one with row a alone,
    the optimum of the linearised problem is delta* = -(a . z - h) b / ||b||^2, b being its row of B = A J. The nearest
    of these, with the least (a . z - h) / ||b||, is looked for among the ``rows`` constraints that hold least, for a
    backward pass each, and made ``eps`` long. On one-hot classes: the first step of DeepFool (Moosavi-Dezfooli 2016).
    """

    encoding: Encoding
    eps: float
    rows: int

    @property
    def passes(self) -> Passes:
        return Passes(1, self.rows)

    def __call__(self, network: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        x = images.clone().requires_grad_()
        z = network(x).float()
        goals = [self.encoding.constraints(int(target)) for target in targets]
        values = torch.stack([goal.values(each) for goal, each in zip(goals, z.detach(), strict=True)])
        least, index = values.topk(self.rows, largest=False)
        cotangents = torch.stack([goal.rows(each) for goal, each in zip(goals, index.cpu(), strict=True)], 1).to(z)
        rows = torch.stack([torch.autograd.grad(z, x, each, retain_graph=True)[0] for each in cotangents])
        nearest = (least.T / lengths(rows)[..., 0, 0, 0]).argmin(0)
        return (images - self.eps * unit(rows[nearest, torch.arange(len(images))])).clamp(0, 1)


@dataclass(frozen=True, kw_only=True)
class ProjectedGradients:
    """PGD: ``steps`` up the loss from a random place in the ball around the image, back into the ball after each."""

    loss: Loss
    eps: float
    steps: int

    @property
    def passes(self) -> Passes:
        return Passes(self.steps, self.steps)

    def __call__(self, network: Classifier, images: Tensor, targets: Tensor) -> Tensor:
        radius = self.eps * torch.rand(len(images), 1, 1, 1, device=images.device) ** (1 / images[0].numel())
        x = (images + radius * unit(torch.randn_like(images))).clamp(0, 1)
        for _ in range(self.steps):
            x.requires_grad_()
            (gradient,) = torch.autograd.grad(self.loss(network(x).float(), targets), x)
            delta = x.detach() + PATH * self.eps / self.steps * unit(gradient) - images
            x = (images + (self.eps / lengths(delta)).clamp(max=1) * delta).clamp(0, 1)
        return x


def lengths(images: Tensor) -> Tensor:
    """(..., 1, 1, 1) L2 norms of images (..., C, H, W), none of them zero."""
    norms: Tensor = torch.linalg.vector_norm(images, dim=(-3, -2, -1), keepdim=True)
    return norms.clamp_min(torch.finfo(images.dtype).tiny)


def unit(images: Tensor) -> Tensor:
    """Images over their L2 norms; zero where they are."""
    return images / lengths(images)
