"""Networks, images and labels for JMA to attack, and what it does with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from jma_core import ECOC, AttackResult, MultiLabel, find, run
from jma_core.records import FREE

Build = Callable[..., Any]
LEVELS = ["lazy", "paper", "boxed"]
ENCODINGS = ["one-hot", "ecoc", "multi-label", "free labels"]
STEP = 0.1
each_level = pytest.mark.parametrize("level", LEVELS)
each_encoding = pytest.mark.parametrize("name", ENCODINGS)


@dataclass
class Case:
    """A network on images (3, 6, 6) that counts what it sees, an image, and labels that it does not have."""

    net: nn.Module
    image: Tensor
    encoding: Any
    target: Any
    seen: int = 0

    def __call__(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        z: Tensor = self.net(images)
        return z

    def attack(self, **kwargs: Any) -> AttackResult:
        attack = find(kwargs.pop("level", "lazy"))
        return run(attack(self, self.image, self.encoding, self.target, **{"step": STEP, **kwargs}))

    def logits(self, image: Any) -> Tensor:
        z: Tensor = self.net(torch.as_tensor(image)[None])[0]
        return z

    def reads_target(self, image: Any) -> bool:
        """What the decoder says, in numpy, from its definition."""
        z = self.logits(image).double().numpy()
        if isinstance(self.encoding, MultiLabel):
            return all(wanted in (FREE, now) for wanted, now in zip(self.target, z > 0, strict=True))
        scores = self.encoding.codebook.numpy() @ np.tanh(z) if isinstance(self.encoding, ECOC) else z
        return bool(scores.argmax() == self.target)


@dataclass
class Plain:
    """One line of a network: f from images (1, 2, 2) to logits, for what goes wrong."""

    f: Callable[[Tensor], Tensor]
    encoding: Any
    target: Any
    image: Tensor

    def attack(self, **kwargs: Any) -> AttackResult:
        return run(find(kwargs.pop("level", "lazy"))(self.f, self.image, self.encoding, self.target, **kwargs))


GREY = torch.full((1, 2, 2), 0.5, dtype=torch.float64)


def two_classes(images: Tensor) -> Tensor:
    """Class 1 where the pixels add up to 3 and more; 2 at GREY."""
    total = images.flatten(1).sum(1)
    return torch.stack([3 - total, total - 3], dim=1)
