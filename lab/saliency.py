"""Where in an image a network looks for a label: gradients, and Grad-CAM. Imports torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from jma_core import ECOC, Encoding, Network
from jma_core.network import Classifier
from lab.aftermath import Floats, Saliency

Score = Callable[[Tensor], Tensor]
"""Logits (n,) to a scalar."""
CONVOLUTIONS = {torch.conv2d, functional.conv2d}


def saliency(network: Classifier, encoding: Encoding, x: Tensor, label: int) -> Saliency:
    """Of a label at an image (3, H, W) in [0, 1]. Raises Halt as ``Network`` does."""

    def score(z: Tensor) -> Tensor:
        return (encoding.scores(z) if isinstance(encoding, ECOC) else z)[label]

    _, gradient = Network(network).descend(x, score)
    return Saliency(gradient.cpu().numpy(), grad_cam(network, x, score))


def grad_cam(network: Classifier, x: Tensor, score: Score) -> Floats | None:
    """Feature maps of the last convolution, weighted by the mean gradient of the score, less what is negative: (h, w).

    Selvaraju et al. 2017, eqs. (1) and (2). The maps are taken as they leave the convolution's block: after the norm,
    the sum and the activation that follow it. None where no convolution gives maps of more than one place.
    """
    with torch.enable_grad(), _Maps() as maps:
        z = network(x[None].requires_grad_())[0]
        if maps.last is None:
            return None
        (gradient,) = torch.autograd.grad(score(z), maps.last, materialize_grads=True)
    weights = gradient.mean((2, 3), keepdim=True)
    cam = functional.relu((weights * maps.last).sum(1))[0]
    return np.asarray(cam.detach().cpu().numpy())


class _Maps(TorchFunctionMode):
    """Notes the last convolution's maps (1, C, h, w), and what keeps their shape after it, in this thread alone."""

    last: Tensor | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.ndim == 4:
            wide = func in CONVOLUTIONS and out.shape[2] * out.shape[3] > 1
            if wide or (self.last is not None and out.shape == self.last.shape):
                self.last = out
        return out
