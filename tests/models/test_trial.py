"""A network is tried before it is offered: it gives for noise what its spec says, or a sentence says why not."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from models.architectures import VGG, Classifier
from models.cards import ModelSpec
from models.encodings import MultiLabel, OneHot
from models.photos import Preprocessing
from models.trial import TrialError, check

SPEC = ModelSpec("toy", "Toy", OneHot(("a", "b", "c")), "toy", preprocessing=Preprocessing(32, 1.0))
LINEAR = nn.Linear(3, 3)


def pooled(images: Tensor) -> Tensor:
    return LINEAR(images.mean((2, 3)))


class Answers(nn.Module):
    """A network that is one function."""

    def __init__(self, answer: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, images: Tensor) -> Any:
        return self.answer(images)


def raises(images: Tensor) -> Tensor:
    raise AssertionError


class Deaf(torch.autograd.Function):
    """The identity, with a backward pass that breaks."""

    @staticmethod
    def forward(context: Any, images: Tensor) -> Tensor:
        return images.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        raise KeyError("evil")


def root(images: Tensor) -> Tensor:
    """Its derivative at 0 is infinite."""
    return pooled(images) * 0 + (images.mean((2, 3)) * 0).sqrt()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda x: {"out": pooled(x), "aux": pooled(x)}, r"gives a table with out, aux for a picture, expected a ten"),
        (lambda x: OrderedDict(out=x), r"a table with out for"),
        (lambda x: (pooled(x), pooled(x)), r"gives 2 things \(tuple\) for a picture"),
        (lambda x: [{"boxes": x}], r"gives 1 things \(list\)"),
        (lambda x: None, r"gives a NoneType"),
        (lambda x: pooled(x).tolist(), r"gives 1 things \(list\)"),
        (lambda x: x, r"gives a tensor \(1, 3, 32, 32\) for a picture of 3 x 32 x 32, expected logits \(1, 3\)"),
        (lambda x: pooled(x)[0], r"gives a tensor \(3,\)"),
        (lambda x: pooled(x)[:, :2], r"gives a tensor \(1, 2\)"),
        (lambda x: pooled(x).repeat(2, 1), r"gives a tensor \(2, 3\)"),
        (lambda x: pooled(x).long(), r"of type torch.int64, expected floating-point"),
        (lambda x: pooled(x) > 0, r"of type torch.bool"),
        (lambda x: pooled(x).to(torch.complex64), r"of type torch.complex64"),
        (lambda x: pooled(x) * float("nan"), r"not finite: 3 of 3 are NaN"),
        (lambda x: pooled(x) / torch.tensor([0.0, 1, 1]), r"not finite: 1 of 3"),
        (lambda x: pooled(x).detach(), r"No gradient of its logits reaches the picture"),
        (lambda x: torch.ones(1, 3, requires_grad=True), r"No gradient of its logits reaches the picture"),
        (lambda x: pooled(Deaf.apply(x)), r"No gradient of its logits reaches the picture.*\('evil'\)"),
        (root, r"The gradient of its logits is not finite"),
        (raises, r"cannot read a picture of 3 x 32 x 32 .*\(AssertionError\)"),
        (nn.Conv2d(1, 3, 3), r"cannot read a picture of 3 x 32 x 32 .*1 channels"),
        (nn.Linear(40, 3), r"cannot read a picture of 3 x 32 x 32"),
    ],
)
def test_what_is_not_logits_with_a_gradient_is_told(answer: Callable[[Tensor], Any], says: str) -> None:
    with pytest.raises(TrialError, match=says) as failed:
        check(Answers(answer), SPEC)
    assert len(str(failed.value)) < 700
    assert str(failed.value).endswith(".")


@pytest.mark.parametrize(
    "build",
    [
        torchvision.models.video.r3d_18,
        torchvision.models.video.mvit_v1_b,
        lambda: torchvision.models.detection.ssdlite320_mobilenet_v3_large(weights_backbone=None),
        lambda: torchvision.models.segmentation.lraspp_mobilenet_v3_large(weights_backbone=None, num_classes=3),
        torchvision.models.optical_flow.raft_small,
    ],
    ids=["video", "video transformer", "detection", "segmentation", "optical flow"],
)
def test_networks_that_are_no_classifiers_are_told(build: Callable[[], nn.Module]) -> None:
    with pytest.raises(TrialError, match=r"^It (cannot read a picture|gives) "):
        check(build().eval(), SPEC)


def test_a_classifier_passes_and_stays_as_it_was() -> None:
    torch.manual_seed(0)
    network = Classifier(VGG(3, [(4, 4)], 4, 4), SPEC.mean, SPEC.std).eval().requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        assert check(network, SPEC) == ""
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(each.grad is None for each in network.parameters())


def test_outputs_of_a_code_are_its_bits_and_those_of_one_label_one() -> None:
    one = ModelSpec("one", "One", MultiLabel(("a",)), "toy", preprocessing=Preprocessing(32, 1.0))
    check(Answers(lambda x: x.mean((1, 2, 3))[:, None]), one)
    with pytest.raises(TrialError, match=r"expected logits \(1, 1\)"):
        check(Answers(pooled), one)


@pytest.mark.parametrize(
    "flat", [lambda x: pooled(x) * 0, lambda x: pooled(x) * (x.std() > 2), lambda x: pooled(x * 0)]
)
def test_a_network_that_does_not_look_at_its_picture_is_told_of(flat: Callable[[Tensor], Tensor]) -> None:
    said = check(Answers(flat), SPEC)
    assert said.startswith("Its logits do not depend on the picture: their gradient is zero at every pixel")


def test_a_network_that_is_flat_at_one_kind_of_noise_is_not() -> None:
    """One that is dead for some picture is not dead for all."""
    assert check(Answers(lambda x: pooled(x) * (x.std() < 0.1)), SPEC) == ""
    assert check(Answers(lambda x: pooled(x) * (x.mean((2, 3)).std() > 0.3)), SPEC) == ""
