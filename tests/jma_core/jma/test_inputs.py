"""What JMA takes: types, devices, batches, and the arguments that it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from jma_core import ECOC, MultiLabel, OneHot, StopReason, find, jma, run, run_batch
from tests.jma_core.jma.cases import ENCODINGS, GREY, STEP, Case, Plain, each_encoding, each_level, two_classes

# Types and devices


@each_encoding
@each_level
def test_float32_images_are_attacked_in_float32(case: Callable[..., Case], name: str, level: str) -> None:
    it = case(name, dtype=torch.float32)
    result = it.attack(level=level)
    assert result.reason == StopReason.SUCCESS
    assert it.reads_target(result.image)
    assert {result.image.dtype, result.original.dtype, result.steps[0].image.dtype} == {np.dtype(np.float32)}
    assert all(step.certificate.holds() for step in result.steps)
    exact = case(name).attack(level=level)
    assert result.n_it == exact.n_it
    np.testing.assert_allclose(result.image, exact.image, atol=STEP / 64)  # a halving may fall the other way


DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")),
    pytest.param("mps", marks=pytest.mark.skipif(not torch.backends.mps.is_available(), reason="needs MPS")),
]


@pytest.mark.parametrize("device", DEVICES)
@each_encoding
@each_level
def test_an_attack_runs_on_the_device_it_is_told(case: Callable[..., Case], name: str, level: str, device: str) -> None:
    it = case(name, dtype=torch.float32)
    expected = it.attack(level=level)
    devices = set()

    def f(images: Tensor) -> Tensor:
        devices.add(images.device.type)
        z: Tensor = net(images)
        return z

    net = it.net.to(device)
    result = run(find(level)(f, it.image, it.encoding, it.target, step=STEP, device=device))
    it.net.to("cpu")
    assert devices == {device}
    assert result.success
    np.testing.assert_allclose(result.image, expected.image, atol=STEP / 64)


def test_the_image_is_left_as_it_was(case: Callable[..., Case]) -> None:
    it = case("one-hot")
    before = it.image.clone()
    it.image.requires_grad_(True)
    result = it.attack()
    assert torch.equal(it.image.detach(), before)
    assert it.image.grad is None
    result.image[:] = 0.5
    assert torch.equal(it.image.detach(), before)


@each_level
@each_encoding
def test_the_same_inputs_give_the_same_bits(case: Callable[..., Case], name: str, level: str) -> None:
    first, second = (case(name, 19).attack(level=level) for _ in range(2))
    assert first.image.tobytes() == second.image.tobytes()
    assert first.logits.tobytes() == second.logits.tobytes()
    assert [step.image.tobytes() for step in first.steps] == [step.image.tobytes() for step in second.steps]


def test_memory_changes_the_chunks_only(case: Callable[..., Case]) -> None:
    small, large = (case("one-hot").attack(level="paper", memory=memory) for memory in (1, 2**28))
    np.testing.assert_allclose(small.image, large.image, rtol=0, atol=1e-12)
    assert small.backward == large.backward


@each_level
def test_a_network_with_trainable_weights_can_be_attacked(case: Callable[..., Case], level: str) -> None:
    """As any torch.nn.Module is when it is made."""
    it = case("one-hot", 19)
    expected = it.attack(level=level)
    it.net.requires_grad_(True)
    np.testing.assert_allclose(it.attack(level=level).image, expected.image, rtol=0, atol=1e-12)


# Bad arguments


@pytest.mark.parametrize(
    ("settings", "received"),
    [
        ({"step": 0.0}, "0"),
        ({"step": -1.0}, "-1"),
        ({"step": math.nan}, "nan"),
        ({"max_iter": 0}, "0"),
        ({"bisections": -1}, "-1"),
        ({"kappa": -0.5}, "-0.5"),
        ({"kappa": math.nan}, "nan"),
        ({"kappa": math.inf}, "inf"),
        ({"max_seconds": math.nan}, "nan"),
        ({"level": "fast"}, "fast"),
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_refused_with_what_was_expected_and_what_came(
    settings: dict[str, Any], received: str
) -> None:
    with pytest.raises(ValueError, match=rf"expected .*got .*{received}"):
        Plain(two_classes, OneHot(2), 1, GREY).attack(**settings)


@pytest.mark.parametrize(
    ("image", "received"),
    [
        (GREY[None], r"\(1, 1, 2, 2\)"),
        (GREY[0], r"\(2, 2\)"),
        (torch.zeros(1, 2, 2, dtype=torch.uint8), "uint8"),
        (GREY * 255, "127.5"),
        (GREY - 1, "-0.5"),
        (GREY * math.nan, "nan"),
        (torch.zeros(3, 0, 0), r"\(3, 0, 0\)"),
    ],
)
def test_a_wrong_image_is_refused_with_what_was_expected_and_what_came(image: Tensor, received: str) -> None:
    with pytest.raises(ValueError, match=rf"expected .*got .*{received}"):
        Plain(two_classes, OneHot(2), 1, image).attack()


@pytest.mark.parametrize("n", [1, 2, 4, 9])
@pytest.mark.parametrize("name", ENCODINGS[:3])
def test_a_network_with_other_logits_than_the_encoding_is_refused(name: str, n: int) -> None:
    encodings: dict[str, Any] = {
        "one-hot": OneHot(3),
        "ecoc": ECOC(torch.tensor([[1, 1, 1], [-1, -1, -1]])),
        "multi-label": MultiLabel(3),
    }
    target = [1, 1, 1] if name == "multi-label" else 1
    with pytest.raises(ValueError, match=f"expected 3 logits.*got {n}"):
        Plain(lambda images: images.mean() + torch.zeros(1, n), encodings[name], target, GREY).attack()


@pytest.mark.parametrize(("encoding", "target"), [(OneHot(2), 2), (MultiLabel(2), [1]), (OneHot(2), [0, 0])])
def test_a_wrong_target_is_refused_before_the_network_is_asked(encoding: Any, target: Any) -> None:
    def f(images: Tensor) -> Tensor:
        raise AssertionError("asked")

    with pytest.raises(ValueError, match=r"expected .*got"):
        Plain(f, encoding, target, GREY).attack()


# Batches


@pytest.mark.parametrize("targets", [[], [1], [1, 1, 1]], ids=len)
def test_a_batch_with_another_number_of_targets_is_refused_before_anything_runs(targets: list[int]) -> None:
    def f(images: Tensor) -> Tensor:
        raise AssertionError("asked")

    with pytest.raises(ValueError, match=f"expected .*2.*got {len(targets)}"):
        run_batch(jma, f, torch.stack([GREY, GREY]), OneHot(2), iter(targets))
