"""Networks of the zoo as torch modules: pixels in [0, 1] in, logits out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class Classifier(nn.Module):
    """A backbone behind its own normalisation, and optionally a head that reads its logits in another way.

    Takes images (N, 3, H, W) in [0, 1]; gives logits (N, n). Channels-last, which the CPU's convolutions prefer.
    """

    def __init__(self, backbone: nn.Module, mean: float, std: float, head: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.mean = mean
        self.std = std
        self.head = head or nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        normalised = (images - self.mean) / self.std
        return self.head(self.backbone(normalised.contiguous(memory_format=torch.channels_last)))


def fold_batch_norms(module: nn.Module) -> nn.Module:
    """Fold each batch norm that follows a convolution into it: the same function in eval mode, at half the time.

    A batch norm that carries its activation (timm's) leaves the activation behind.
    """
    previous: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        fold_batch_norms(child)
        if isinstance(child, nn.BatchNorm2d) and previous and isinstance(previous[1], nn.Conv2d):
            setattr(module, previous[0], fuse_conv_bn_eval(previous[1], child))
            setattr(module, name, getattr(child, "act", nn.Identity()))
        previous = name, child
    return module


class GroupScores(nn.Module):
    """How strongly any class of a group speaks: log-sum-exp of the group's class logits. (N, classes) -> (N, groups)"""

    def __init__(self, groups: list[list[int]]) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, logits: Tensor) -> Tensor:
        return torch.stack([logits[:, group].logsumexp(1) for group in self.groups], dim=1)


class CodewordBits(nn.Module):
    """Bit logits of a code over classes: (N, l) scores -> (N, bits), for a codebook (l, bits) in {-1, 1}.

    z_b is half the log-odds that the class, drawn by softmax over the scores, has +1 at bit b, so that tanh(z_b) is
    the expected bit. Every column of the codebook must hold both values, or a logit would be infinite.
    """

    def __init__(self, codebook: Tensor) -> None:
        super().__init__()
        self.register_buffer("plus", codebook.T > 0)

    def forward(self, scores: Tensor) -> Tensor:
        wide = scores[:, None, :]
        plus = wide.masked_fill(~self.plus, -torch.inf).logsumexp(2)
        minus = wide.masked_fill(self.plus, -torch.inf).logsumexp(2)
        return (plus - minus) / 2
