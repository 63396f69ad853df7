"""ML-DeepFool, MLA-LP, the forms of C&W and the L-infinity JMA on linear models, whose optima are known."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from bench.linear import flattest, shortest
from jma_core import ECOC, MultiLabel, OneHot, cw, ecoc, hadamard_codebook, linf, ml_cw, ml_deepfool, mla_lp, run

Build = Callable[..., Any]
PIXELS = 48
GREY = np.full(PIXELS, 0.5)
KINDS = "one-hot", "ecoc", "multi-label"


class Linear:
    """A linear model of an image in the middle of the box, with the rows B and r of two sets of constraints."""

    def __init__(self, linear_network: Build, kind: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n = 8 if kind == "ecoc" else 5
        w = rng.normal(size=(n, PIXELS)) / 4
        self.x = torch.full((3, 4, 4), 0.5, dtype=torch.float64)
        z = w @ self.x.flatten().numpy()
        codes = hadamard_codebook(6, 8).astype(float) if kind == "ecoc" else np.eye(n)
        if kind == "multi-label":
            self.encoding: Any = MultiLabel(n)
            self.target: Any = [bool(value > 0) != (j < 2) for j, value in enumerate(z)]
            a = bits = np.diag(np.where(self.target, 1.0, -1.0))
        else:
            self.encoding = ECOC(hadamard_codebook(6, 8)) if kind == "ecoc" else OneHot(n)
            scores = codes @ (np.tanh(z) if kind == "ecoc" else z)
            self.target = int(scores.argsort()[-2])
            a, bits = codes[self.target] - np.delete(codes, self.target, 0), np.diag(codes[self.target])
        self.z, self.w = z, w
        self.rows, self.r = a @ w, -a @ z
        self.bits, self.bits_r = bits @ w, -bits @ z
        self.f = linear_network(w, np.zeros(n))

    def attacked(self, attack: Any, **settings: Any) -> Any:
        return run(attack(self.f, self.x, self.encoding, self.target, **settings))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_linf_ends_at_the_optimum_of_the_linear_program(linear_network: Build, kind: str, seed: int) -> None:
    it = Linear(linear_network, kind, seed)
    result = it.attacked(linf, bisections=20, kappa=1e-6)
    best = flattest(it.rows, it.r, GREY)
    assert result.success
    if kind == "ecoc":  # whose decoder sees tanh: the linear optimum is where the first step aims
        assert result.steps[0].full_length == pytest.approx(best, rel=1e-4)
    else:
        assert result.distortion.linf == pytest.approx(best, rel=1e-4)
    assert all(step.certificate.holds() for step in result.steps)


FORMS = {
    "cw, score": ("multi-label", partial(cw, space="score", hinge="sum", c=0.1)),
    "cw, softmax": ("one-hot", partial(cw, space="score", c=0.1)),
    "ml_cw": ("multi-label", partial(ml_cw, c=100.0)),
    "ml_cw, logits": ("multi-label", partial(ml_cw, space="logit", c=0.01)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_forms_of_cw_come_near_the_optimum_and_never_beat_it(linear_network: Build, form: str, seed: int) -> None:
    kind, attack = FORMS[form]
    it = Linear(linear_network, kind, seed)
    result = it.attacked(attack, steps=200, searches=9)
    best = shortest(it.rows, it.r, GREY)
    assert result.success
    assert best * (1 - 1e-6) <= result.distortion.l2 <= 1.1 * best


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_ecoc_attack_needs_no_more_than_all_bits(linear_network: Build, seed: int) -> None:
    """The decoder may be content with fewer, so that it may well be nearer than the nearest image with all of them."""
    it = Linear(linear_network, "ecoc", seed)
    result = it.attacked(ecoc, steps=200, searches=9)
    assert result.success
    assert result.distortion.l2 <= 1.1 * shortest(it.bits, it.bits_r, GREY)


@pytest.mark.parametrize("kind", ["ecoc", "multi-label"])
def test_ml_deepfool_on_logits_takes_the_one_step_to_all_thresholds(linear_network: Build, kind: str) -> None:
    it = Linear(linear_network, kind, 0)
    step = it.attacked(ml_deepfool, space="logit", max_iter=1).steps[0].image - it.x.numpy()
    np.testing.assert_allclose(step.ravel(), np.linalg.pinv(it.w) @ -it.z, atol=1e-9)


@pytest.mark.parametrize("space", ["logit", "score"])
@pytest.mark.parametrize("kind", ["ecoc", "multi-label"])
def test_ml_deepfool_with_an_overshoot_succeeds_and_is_no_nearer_than_the_optimum(
    linear_network: Build, kind: str, space: str
) -> None:
    it = Linear(linear_network, kind, 0)
    result = it.attacked(ml_deepfool, space=space, overshoot=0.02)
    assert result.success
    if kind == "multi-label":
        assert result.distortion.l2 >= shortest(it.rows, it.r, GREY)


@pytest.mark.parametrize("seed", range(3))
def test_mla_lp_reaches_labels_and_is_no_nearer_than_the_linear_program(linear_network: Build, seed: int) -> None:
    it = Linear(linear_network, "multi-label", seed)
    result = it.attacked(mla_lp)
    assert result.success
    assert result.distortion.linf >= flattest(it.rows, it.r, GREY) * (1 - 1e-6)


def test_free_labels_are_left_out(linear_network: Build) -> None:
    it = Linear(linear_network, "multi-label", 0)
    it.target = [*map(int, it.target[:3]), -1, -1]
    result = it.attacked(ml_deepfool, space="logit", max_iter=1)
    step = np.linalg.pinv(it.w[:3]) @ -it.z[:3]
    np.testing.assert_allclose((result.steps[0].image - it.x.numpy()).ravel(), step, atol=1e-9)
