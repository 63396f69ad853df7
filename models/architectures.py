"""Networks of the zoo as torch modules: pixels in [0, 1] in, logits out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval


class Classifier(nn.Module):
    """A backbone behind its own normalisation.

    Takes images (N, 3, H, W) in [0, 1]; gives logits (N, n). Channels-last, which the CPU's convolutions prefer.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.backbone = backbone
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        normalised = (images - self.mean) / self.std
        logits: Tensor = self.backbone(normalised.contiguous(memory_format=torch.channels_last))
        return logits


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


class VGG(nn.Sequential):
    """VGG-style: pairs of 3 x 3 convolutions with batch norm, a shared bottom under separate branches.

    ``bottom`` has the channels of each pair; each pair halves the side. The branches are groups of one grouped
    convolution, so that they run as one: branch g is the g-th part of the channels, shares no weight with the others,
    and gives its own ``outputs / branches`` logits. Section VI-A of the paper has one branch a bit or two for its ECOC
    networks, and no branches (``branches = 1``) for one-hot.

    Takes (N, 3, side, side); with ``grey``, for pictures without colour, the first layer is their mean over channels.
    Gives (N, outputs).
    """

    def __init__(
        self,
        outputs: int,
        bottom: Sequence[tuple[int, int]],
        width: int,
        hidden: int,
        branches: int = 1,
        side: int = 32,
        grey: bool = False,
    ) -> None:
        if branches < 1 or outputs % branches:
            raise ValueError(f"expected outputs to be a multiple of branches, got {outputs} for {branches} branches")
        layers: list[nn.Module] = [Grey()] if grey else []
        before = 1 if grey else 3
        for first, second in bottom:
            layers += [*_convolution(before, first), *_convolution(first, second, halve=True)]
            before, side = second, side // 2
        wide, deep = branches * width, branches * hidden
        layers += [*_convolution(before, wide), *_convolution(wide, wide, branches, halve=True)]
        layers += [*_convolution(wide, deep, branches, size=side // 2, padding=0), nn.Dropout(0.2)]
        super().__init__(*layers, nn.Conv2d(deep, outputs, 1, groups=branches), nn.Flatten())


class Grey(nn.Module):
    """The mean over channels: (N, 3, H, W) -> (N, 1, H, W)."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(1, keepdim=True)


def _convolution(
    before: int, after: int, groups: int = 1, size: int = 3, padding: int = 1, halve: bool = False
) -> list[nn.Module]:
    """A convolution, batch norm and ReLU, which have a quarter of the work where the side is halved before them."""
    convolution = nn.Conv2d(before, after, size, padding=padding, groups=groups, bias=False)
    pool = [nn.MaxPool2d(2)] if halve else []
    return [convolution, *pool, nn.BatchNorm2d(after), nn.ReLU()]


def mlp(width: int, outputs: int, hidden: int, heads: int = 1) -> nn.Sequential:
    """A small head, or the mean of several side by side: image features (N, width) to logits (N, outputs)."""
    wide = heads * hidden
    layers = [nn.Dropout(0.5), nn.Linear(width, wide), nn.ReLU(), nn.Dropout(0.5), nn.Linear(wide, outputs)]
    return nn.Sequential(*layers)


class ImageFeatures(nn.Module):
    """Normalised images (N, 3, H, W) to image features (N, d) of length 1."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def forward(self, images: Tensor) -> Tensor:
        return functional.normalize(self.visual(images), dim=-1)
