"""The ball around the original that an attack with a budget stays in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor

from jma_core.attacks.registry import Norm, Setting
from jma_core.attacks.trail import Trail, length, unit

Radius = Annotated[
    float,
    Setting(
        "Largest norm ε",
        "L2 norm of the longest perturbation.",
        above=0,
        pixels=True,
        paper="0.5 for 32 by 32 pixels, 3 for 224 by 224",
    ),
]
Change = Annotated[
    float,
    Setting(
        "Largest change ε",
        "Of any value, from 0 to 1.",
        above=0,
        at_most=1,
        paper="0.25 to 0.3 for digits, 8/255 for photos",
    ),
]
Seed = Annotated[int, Setting("Seed", "Of the random start; the same one, the same start.", at_least=0, at_most=9999)]


@dataclass(frozen=True)
class Ball:
    """The images at most ``eps`` from the original in the attack's norm, L2 or Linf, that the box and mask allow."""

    trail: Trail
    eps: float

    def project(self, x: Tensor) -> Tensor:
        """The nearest image at most eps away, clipped, which brings no value further from the original."""
        x0 = self.trail.x0
        delta = x - x0
        if self.trail.norm == Norm.LINF:
            delta = delta.clamp(-self.eps, self.eps)
        else:
            delta = min(1.0, self.eps / max(length(delta), 1e-12)) * delta
        return self.trail.clamp(x0 + delta)

    def norm(self, x: Tensor) -> float:
        """How far an image is from the original."""
        delta = x - self.trail.x0
        return float(delta.abs().max()) if self.trail.norm == Norm.LINF else length(delta)

    def steepest(self, gradient: Tensor) -> Tensor:
        """The perturbation of norm 1 that climbs most; zero where the gradient is."""
        return gradient.sign() if self.trail.norm == Norm.LINF else unit(gradient)

    def start(self, seed: int) -> Tensor:
        """An image drawn from the ball, all alike before it is clipped; the original is looked at first.

        Values outside the mask take no part. The same seed gives the same image wherever the attack runs.
        """
        self.trail.start(self.trail.network.logits(self.trail.x0))
        x0, generator = self.trail.x0, torch.Generator("cpu").manual_seed(seed)
        free = self.trail.mask.expand_as(x0)
        m = int(free.sum())
        uniform, normal = (
            partial(draw, generator=generator, dtype=x0.dtype, device="cpu") for draw in (torch.rand, torch.randn)
        )
        delta = 2 * uniform(m) - 1 if self.trail.norm == Norm.LINF else uniform(1) ** (1 / m) * unit(normal(m))
        return self.trail.clamp(x0.masked_scatter(free, x0[free] + self.eps * delta.to(x0.device)))
