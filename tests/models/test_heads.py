"""Heads on image features: several trained side by side are one network that gives their mean."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from models import heads
from models.heads import fit_head, linear_head


def separable(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features with odd means and scales, two labels that a line tells, and a third that is never known."""
    torch.manual_seed(0)
    x = torch.randn(count, 6) * torch.tensor([1, 10, 0.1, 3, 1, 1]) + torch.tensor([0, 50, -2, 7, 0, 0])
    targets = torch.stack([(x[:, 0] > 0).long(), (x[:, 1] > 50).long(), torch.full((count,), -1)], 1)
    return x, targets


def test_a_head_learns_what_a_line_can_tell() -> None:
    x, targets = separable(2000)
    z = fit_head(x, targets, seed=0, hidden=32, heads=1)(x)
    right = ((z > 0) == (targets == 1))[:, :2].float().mean(0)
    assert (right > 0.95).all()


def test_several_heads_are_one_that_gives_their_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "EPOCHS", 2)
    x, targets = separable(150)
    single = [fit_head(x, targets, seed=seed, hidden=16, heads=1)(x).detach() for seed in (5, 6, 7)]
    together = fit_head(x, targets, seed=5, hidden=16, heads=3)
    assert not np.allclose(single[0], single[1])
    torch.testing.assert_close(together(x).detach(), torch.stack(single).mean(0), rtol=1e-4, atol=1e-4)
    assert together[1].weight.shape == (48, 6)


def test_a_linear_head_is_the_logistic_regression_of_each_label_on_the_pictures_for_which_it_is_known() -> None:
    x, targets = separable(300)
    targets[::7, 0] = -1
    decay, standardised = 0.02, ((x - x.mean(0)) / x.std(0)).numpy()
    found = linear_head(x, targets, decay)(x).detach().numpy()
    for label in range(2):
        sure = (targets[:, label] >= 0).numpy()
        regression = LogisticRegression(C=1 / (len(x) * decay), tol=1e-8, max_iter=1000)
        regression.fit(standardised[sure], targets[sure, label].numpy())
        np.testing.assert_allclose(found[:, label], regression.decision_function(standardised), rtol=0, atol=5e-3)
