"""From a request to the attack that answers it. Imports torch, as nothing may that is shown before torch is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ImageOps
from torch import Tensor, nn

from jma_core import AttackResult, Network, eight_bit, encodings, find, run
from jma_core.attacks.surrogates import Surrogate
from jma_core.attacks.trail import KEPT, Attack
from jma_core.network import never
from jma_core.subspace import Subspace
from lab.photos.samples import samples
from lab.request import Request
from models.loaders import LoadedModel, to_tensor
from models.resize import Resize, Saved


def launch(
    request: Request,
    loaded: LoadedModel,
    picture: NDArray[np.uint8],
    *,
    kept: int = KEPT,
    should_stop: Callable[[], bool] = never,
) -> Attack:
    """The attack on a picture (H, W, 3): the one that the network sees, or the photo itself if the canvas is native."""
    x = to_tensor(picture, loaded.device)
    size, asked = picture.shape[1::-1], request.settings
    zoom = loaded.spec.preprocessing.zoom(size) if request.canvas.native else 1.0
    lengths = {each.name for each in asked.entry.settings if each.pixels}
    needed = {"pool": pool(request, loaded, size)} if "pool" in asked.entry.needs else {}
    return find(asked.attack)(
        attacked(request, loaded, size),
        x,
        loaded.encoding,
        request.target,
        **{name: float(value) * zoom if name in lengths else value for name, value in asked.own},
        kappa=asked.kappa,
        max_seconds=asked.max_seconds,
        mask=mask(request, size),
        period=request.canvas.period,
        kept=kept,
        should_stop=should_stop,
        **needed,
    )


def attacked(request: Request, loaded: LoadedModel, size: tuple[int, int]) -> nn.Module:
    """The network of pictures of this (width, height): of a native canvas it resizes them first."""
    if not request.canvas.native:
        return loaded.network
    return nn.Sequential(Resize(loaded.spec.preprocessing, size), loaded.network).to(loaded.device).eval()


def gradient(request: Request, loaded: LoadedModel, picture: NDArray[np.uint8]) -> NDArray[np.floating]:
    """Where a picture (H, W, 3) would have to become brighter, or darker, to come nearer to the target: (3, H, W).

    It is the gradient of minus the logistic loss of the constraints, zero where the canvas lets nothing change. Raises
    Halt when it is not finite.
    """
    size = picture.shape[1::-1]
    goal = encodings.asked(loaded.encoding, request.target).constraints(request.target)
    network, x = Network(attacked(request, loaded, size)), to_tensor(picture, loaded.device)
    _, uphill = network.descend(x, lambda z: -Surrogate.LOGISTIC(goal.values(z)))
    return Subspace(mask(request, size)[None], request.canvas.period).project(uphill.cpu()).numpy()


def pool(request: Request, loaded: LoadedModel, size: tuple[int, int]) -> Tensor:
    """The sample photos of the model's kind (N, C, height, width), as the attacked picture of this size is."""
    photos = [each.image for each in samples(loaded.spec.samples).values()]
    cut = partial(ImageOps.fit, size=size) if request.canvas.native else loaded.spec.preprocessing
    return torch.stack([to_tensor(np.asarray(cut(photo)), loaded.device) for photo in photos])


def as_file(request: Request, loaded: LoadedModel, result: AttackResult) -> AttackResult:
    """The attack's end as a file of 8 bits: the nearest image found that the network reads as wanted from there."""
    size = result.original.shape[:0:-1]
    network = loaded.network
    if request.canvas.native:
        network = Saved(loaded.spec.preprocessing, size, network).to(loaded.device).eval()
    x = torch.from_numpy(result.original).to(loaded.device)
    return run(
        eight_bit(
            network,
            x,
            loaded.encoding,
            request.target,
            start=result.image,
            kappa=request.settings.kappa,
            mask=mask(request, size),
            kept=2,
        )
    )


def mask(request: Request, size: tuple[int, int]) -> Tensor:
    """The pixels (height, width) of a picture of this (width, height) that the canvas lets change."""
    return torch.from_numpy(request.canvas.free(*size[::-1]))
