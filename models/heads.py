"""Heads on image features, fitted in a minute: linear, and small networks for ``scenes`` and the paper's CLIP + MLP."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from tqdm import tqdm

from models.architectures import mlp
from models.recipes import logistic

EPOCHS, BATCH, LR, WEIGHT_DECAY = 30, 64, 1e-3, 0.3
ITERATIONS = 150
"""Of L-BFGS, at most."""


def fit_head(x: Tensor, targets: Tensor, seed: int, hidden: int, heads: int) -> nn.Sequential:
    """The ``mlp`` that gives the mean logits of so many heads, each trained on its own.

    ``x`` is (N, d), ``targets`` (N, n) with 1 present, 0 absent, -1 not known. The features are standardised for the
    training; the first layer then takes them as they are.
    """
    mean, std = x.mean(0), x.std(0).clamp(min=1e-6)
    fitted = [_layers(_fit((x - mean) / std, targets, hidden, seed + number)) for number in range(heads)]
    whole = mlp(x.shape[1], targets.shape[1], hidden, heads)
    first, last = _layers(whole)
    with torch.no_grad():
        first.weight.copy_(torch.cat([a.weight for a, _ in fitted]) / std)
        first.bias.copy_(torch.cat([a.bias for a, _ in fitted]) - first.weight @ mean)
        last.weight.copy_(torch.cat([b.weight for _, b in fitted], dim=1) / heads)
        last.bias.copy_(torch.stack([b.bias for _, b in fitted]).mean(0))
    return whole.eval()


def linear_head(x: Tensor, targets: Tensor, decay: float) -> nn.Linear:
    """The layer with the least logistic loss plus ``decay`` / 2 of its squared weights, by L-BFGS from zero.

    ``x`` is (N, d), ``targets`` (N, n) with 1 present, 0 absent, -1 not known. The weights that count are those of the
    standardised features; the layer then takes them as they are.
    """
    mean, std = x.mean(0), x.std(0).clamp(min=1e-6)
    standardised, head = (x - mean) / std, nn.Linear(x.shape[1], targets.shape[1])
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimiser = torch.optim.LBFGS(
        head.parameters(), max_iter=ITERATIONS, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        optimiser.zero_grad()
        loss = logistic(head(standardised), targets) + decay / 2 * head.weight.square().sum()
        torch.autograd.backward(loss)
        return loss

    optimiser.step(objective)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        head.weight.div_(std)
        head.bias.sub_(head.weight @ mean)
    return head.eval()


def _layers(head: nn.Sequential) -> tuple[nn.Linear, nn.Linear]:
    """The two layers of an ``mlp``."""
    first, last = (layer for layer in head if isinstance(layer, nn.Linear))
    return first, last


def _fit(x: Tensor, targets: Tensor, hidden: int, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    head, batch = mlp(x.shape[1], targets.shape[1], hidden), min(BATCH, len(x))
    optimiser = torch.optim.AdamW(head.parameters(), weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LR, EPOCHS * (len(x) // batch))
    for _ in tqdm(range(EPOCHS), desc="head"):
        for index in torch.split(torch.randperm(len(x))[: len(x) // batch * batch], batch):
            optimiser.zero_grad()
            torch.autograd.backward(logistic(head(x[index]), targets[index]))
            optimiser.step()
            schedule.step()
    return head
