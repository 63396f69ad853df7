"""The trial of a network before it is offered: one pass forward and one back, on noise of its own input size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.cards import ModelError, ModelSpec, said

ANOTHER = "Choose a classifier of RGB pictures of this size, or mend the card."


class TrialError(ModelError, RuntimeError):
    """A network gives something else for a picture than its spec says; the message says what was expected."""


def check(network: nn.Module, spec: ModelSpec, device: torch.device | str = "cpu") -> str:
    """What is odd about a network that works, in a sentence, or nothing.

    Raises TrialError unless a picture (1, 3, size, size) in [0, 1] gives finite logits (1, outputs), and they a finite
    gradient.
    """
    if any(_gradient(network, spec, images.to(device)).any() for images in _noises(spec.preprocessing.size)):
        return ""
    return (
        "Its logits do not depend on the picture: their gradient is zero at every pixel of all pictures of noise that "
        "were tried, so that attacks will not begin. Its weights may be those of a network that was not trained."
    )


def _noises(side: int) -> Iterator[Tensor]:
    """Pictures (1, 3, side, side) of noise: fine, coarse, and faint on black, white and the six pure colours.

    Nearly every network answers to the first; a small one may have no unit awake there that is for photos.
    """
    generator = torch.Generator().manual_seed(0)
    fine = torch.rand(1, 3, side, side, generator=generator)
    yield fine
    yield functional.interpolate(torch.rand(1, 3, 8, 8, generator=generator), side, mode="bilinear")
    for colour in product((0.1, 0.9), repeat=3):
        yield torch.tensor(colour).view(1, 3, 1, 1) + 0.2 * (fine - 0.5)


def _gradient(network: nn.Module, spec: ModelSpec, images: Tensor) -> Tensor:
    """The gradient of a weighted sum of the logits. Raises TrialError when there is none that is finite."""
    size, expected = f"3 x {images.shape[2]} x {images.shape[3]}", f"(1, {spec.encoding.n})"
    images.requires_grad_()
    with torch.enable_grad():
        try:
            z = network(images)
        except Exception as error:  # whatever networks of others raise
            raise TrialError(
                f"It cannot read a picture of {size} (channels, height, width), the size of its card or "
                f"configuration ({said(error)}). {ANOTHER}"
            ) from error
        if not isinstance(z, Tensor):
            raise TrialError(f"It gives {_words(z)} for a picture, expected a tensor {expected} of logits. {ANOTHER}")
        if z.shape != (1, spec.encoding.n):
            raise TrialError(
                f"It gives a tensor {tuple(z.shape)} for a picture of {size}, expected logits {expected}, one for each "
                f"of its labels or code bits. {ANOTHER}"
            )
        if not z.is_floating_point():
            raise TrialError(f"Its logits are of type {z.dtype}, expected floating-point numbers. {ANOTHER}")
        if not z.isfinite().all():
            raise TrialError(
                f"Its logits are not finite: {int((~z.isfinite()).sum())} of {z.numel()} are NaN or infinite for "
                "noise. Its weights are damaged, or too large for their type: get or convert them again."
            )
        try:
            (gradient,) = torch.autograd.grad((z * torch.linspace(1, 2, spec.encoding.n).to(z)).sum(), images)
        except Exception as error:  # what torch and networks' own backward passes raise
            raise TrialError(
                f"No gradient of its logits reaches the picture, which every attack needs ({said(error)}). It may "
                "round or detach on the way: choose a network that can be differentiated."
            ) from error
    if not gradient.isfinite().all():
        raise TrialError(
            "The gradient of its logits is not finite: NaN or infinite for noise. Its weights are damaged, or a "
            "layer cannot be differentiated: choose another network."
        )
    return gradient


def _words(output: Any) -> str:
    """What came instead of a tensor."""
    if isinstance(output, Mapping):
        return f"a table with {', '.join(map(str, list(output)[:5]))}"[:100]
    if isinstance(output, Sequence):
        return f"{len(output)} things ({type(output).__name__})"
    return f"a {type(output).__name__}"
