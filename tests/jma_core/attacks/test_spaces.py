"""ML-DeepFool, MLA-LP, the forms of C&W and the L-infinity JMA on linear models, whose optima are known."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.optimize

from bench.linear import NETWORKS, Linear, codewords, labels
from jma_core import cw, ecoc, linf, ml_cw, ml_deepfool, mla_lp


@pytest.mark.parametrize("seed", range(3))
def test_the_nearest_image_that_a_decoder_with_tanh_reads_is_that_of_scipy(seed: int) -> None:
    """From the original and from elsewhere: its region is not convex."""
    it = codewords(seed)
    for start in (np.zeros(48), np.random.default_rng(seed).normal(scale=0.05, size=48)):
        found = scipy.optimize.minimize(
            lambda delta: delta @ delta / 2,
            start,
            jac=lambda delta: delta,
            method="SLSQP",
            bounds=[(-0.5, 0.5)] * 48,
            constraints={"type": "ineq", "fun": lambda delta: it.a @ np.tanh(it.z + it.w @ delta)},
            options={"ftol": 1e-12},
        )
        assert it.l2 == pytest.approx(np.linalg.norm(found.x), rel=1e-4)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("seed", range(3))
def test_linf_ends_at_the_optimum_of_the_linear_program(kind: str, seed: int) -> None:
    small = kind == "ECOC"  # logits, of which tanh is the identity
    it = codewords(seed, scale=1e-5) if small else NETWORKS[kind](seed)
    result = it.attacked(linf)
    assert result.success
    assert result.distortion.linf == pytest.approx(it.linf, rel=1e-4)
    assert all(step.certificate.holds() for step in result.steps)


@pytest.mark.parametrize("seed", range(3))
def test_on_codewords_linf_first_aims_at_the_linear_constraints_and_ends_at_the_decoder(seed: int) -> None:
    it = codewords(seed)
    result = it.attacked(linf)
    assert result.steps[0].full_length == pytest.approx(replace(it, squashed=False).linf, rel=1e-4)
    assert it.linf <= result.distortion.linf <= 1.3 * it.linf


def gentle(it: Linear) -> Linear:
    """The same with logits a quarter as large, of which softmax and sigmoids are not flat."""
    return replace(it, w=it.w / 4)


FORMS = {
    "cw, score": ("multi-label", partial(cw, space="score", hinge="sum", c=0.1)),
    "cw, softmax": ("one-hot", partial(cw, space="score", c=0.1)),
    "ml_cw": ("multi-label", partial(ml_cw, c=100.0)),
    "ml_cw, logits": ("multi-label", partial(ml_cw, space="logit", c=0.01)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_forms_of_cw_come_near_the_optimum_and_never_beat_it(form: str, seed: int) -> None:
    kind, attack = FORMS[form]
    it = gentle(NETWORKS[kind](seed))
    result = it.attacked(attack, steps=100, searches=6)
    assert result.success
    assert it.l2 * (1 - 1e-6) <= result.distortion.l2 <= 1.1 * it.l2


def all_bits(it: Linear) -> Linear:
    """The same, where every bit has to be right."""
    return replace(it, a=np.diag(it.encoding.codebook[it.target].double().numpy()), squashed=False)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_ecoc_attack_needs_no_more_than_all_bits(seed: int) -> None:
    """The decoder may be content with fewer, so that it may well be nearer than the nearest image with all of them."""
    it = codewords(seed)
    result = it.attacked(ecoc, steps=100, searches=6)
    assert result.success
    assert it.l2 <= result.distortion.l2 <= 1.1 * all_bits(it).l2


@pytest.mark.parametrize("kind", ["ECOC", "multi-label"])
def test_ml_deepfool_on_logits_takes_the_one_step_to_all_thresholds(kind: str) -> None:
    it = NETWORKS[kind](1)
    step = it.attacked(ml_deepfool, space="logit", max_iter=1).steps[0].image.ravel() - it.x
    np.testing.assert_allclose(step, np.linalg.pinv(it.w) @ -it.z, atol=1e-9)


@pytest.mark.parametrize("space", ["logit", "score"])
@pytest.mark.parametrize("kind", ["ECOC", "multi-label"])
def test_ml_deepfool_with_an_overshoot_succeeds_and_is_no_nearer_than_the_optimum(kind: str, space: str) -> None:
    it = gentle(NETWORKS[kind](0))
    result = it.attacked(ml_deepfool, space=space, overshoot=0.02)
    assert result.success
    assert result.distortion.l2 >= it.l2


@pytest.mark.parametrize("seed", range(3))
def test_mla_lp_reaches_labels_and_is_no_nearer_than_the_linear_program(seed: int) -> None:
    it = labels(seed)
    result = it.attacked(mla_lp)
    assert result.success
    assert result.distortion.linf >= it.linf * (1 - 1e-6)


def test_free_labels_are_left_out() -> None:
    it = labels(1)
    free = replace(it, target=[*it.target[:3], -1, -1, -1])
    step = free.attacked(ml_deepfool, space="logit", max_iter=1).steps[0].image.ravel() - it.x
    np.testing.assert_allclose(step, np.linalg.pinv(it.w[:3]) @ -it.z[:3], atol=1e-9)
