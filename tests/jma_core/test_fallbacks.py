"""Networks that torch cannot differentiate forwards, or whose gradient rows vmap refuses, are attacked all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from jma_core import Linearisation, MultiLabel, Network, OneHot, StopReason, eight_bit, find, jma, run, run_batch
from jma_core.network import FORWARD_MODE

Build = Callable[..., Any]
SHAPE = (3, 6, 6)
N = 6


class Cubed(torch.autograd.Function):
    """x^3 as functions were written before torch.func: no setup_context, no jvp."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return 3 * ctx.saved_tensors[0] ** 2 * cotangent


class CubedByHand(Cubed):
    """Looks at numbers in its backward pass, which vmap refuses."""

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return Cubed.backward(ctx, cotangent) if cotangent.abs().max().item() > 0 else cotangent


class CubedInNumpy(Cubed):
    """Leaves torch in both directions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.from_numpy(x.numpy() ** 3)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return torch.from_numpy(3 * ctx.saved_tensors[0].numpy() ** 2 * cotangent.numpy())


class CubedInNewStyle(torch.autograd.Function):
    """With setup_context, without jvp."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x**3

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return 3 * ctx.saved_tensors[0] ** 2 * cotangent


@torch.library.custom_op("jma_tests::cubed", mutates_args=())
def cubed_operator(x: Tensor) -> Tensor:
    return x**3


cubed_operator.register_autograd(
    lambda ctx, cotangent: 3 * ctx.saved_tensors[0] ** 2 * cotangent,
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)


def decides(x: Tensor) -> Tensor:
    """Control flow that depends on the data."""
    return x**3 if x.sum().item() > 0 else x


CUBES: dict[str, Callable[[Tensor], Tensor]] = {
    "old style": Cubed.apply,
    "looks at numbers": CubedByHand.apply,
    "numpy": CubedInNumpy.apply,
    "new style": CubedInNewStyle.apply,
    "custom operator": cubed_operator,
    "control flow": decides,
}
HAS_FORWARD_MODE = ["control flow", "GRU"]


class Sequence(nn.Module):
    """An LSTM or a GRU over the 18 rows of an image."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.rnn = kind(6, 16, batch_first=True)
        self.head = nn.Linear(16, N)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = 5 * self.head(self.rnn(3 * images.flatten(1, 2))[0].mean(1))
        return logits


@pytest.fixture(scope="module", params=[*CUBES, "LSTM", "GRU"])
def network(request: pytest.FixtureRequest, mlp_network: Build) -> tuple[str, Callable[[Tensor], Tensor]]:
    """Its name, and a float32 network that is cubed somewhere inside, or recurrent."""
    if request.param in CUBES:
        net, cube = mlp_network(N, dtype=torch.float32), CUBES[request.param]
        return request.param, lambda images: images.flatten(1)[:, :N] * 0.1 + net(cube(images))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return request.param, Sequence(getattr(nn, request.param)).eval()


def target(f: Callable[[Tensor], Tensor], x: Tensor) -> int:
    return int(f(x[None])[0].argsort()[-2])


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_its_derivatives_agree_with_its_gradient_rows(network: tuple[str, Any]) -> None:
    """J delta by push, and as J times delta, J row by row by torch."""
    name, f = network
    x, delta = torch.rand(SHAPE), torch.randn(SHAPE)
    jacobian = torch.stack([_row(f, x, i) for i in range(N)])
    wrapped = Network(f)
    _, rows = wrapped.differentiate(x)
    torch.testing.assert_close(rows(torch.eye(N)), jacobian, rtol=1e-5, atol=1e-6)
    assert wrapped.backward >= N
    exact = 1e-5 if name in HAS_FORWARD_MODE else 1e-3
    expected = jacobian @ delta.flatten()
    assert (wrapped.push(x, delta) - expected).norm() <= exact * expected.norm()
    assert (wrapped.push(x, 1e-6 * delta) - 1e-6 * expected).norm() <= exact * 1e-6 * expected.norm()


def _row(f: Callable[[Tensor], Tensor], x: Tensor, i: int) -> Tensor:
    images = x[None].clone().requires_grad_()
    (row,) = torch.autograd.grad(f(images)[0, i], images)
    return row.flatten()


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("level", ["lazy", "boxed", "paper"])
def test_it_is_attacked_and_its_certificates_hold(network: tuple[str, Any], level: str) -> None:
    _, f = network
    x = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))
    result = run(find(level)(f, x, OneHot(N), target(f, x)))
    assert (result.success, result.reason) == (True, StopReason.SUCCESS)
    assert all(step.certificate is not None and step.certificate.holds() for step in result.steps)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_the_lazy_optimum_is_that_of_the_full_jacobian(network: tuple[str, Any]) -> None:
    _, f = network
    x = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))
    for goal in (OneHot(N).constraints(target(f, x)), MultiLabel(N).constraints((f(x[None])[0] <= 0).tolist())):
        lazy, full = (Linearisation(Network(f), x, goal) for _ in range(2))
        expected, found = full.solve_full(), lazy.solve_lazy()
        assert (found.delta - expected.delta).norm() <= 1e-4 * expected.delta.norm()


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_a_batch_of_them_gives_what_single_attacks_give(network: tuple[str, Any]) -> None:
    _, f = network
    images = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(1))
    targets = [target(f, x) for x in images]
    for together, x, wanted in zip(run_batch(jma, f, images, OneHot(N), targets), images, targets, strict=True):
        alone = run(jma(f, x, OneHot(N), wanted))
        assert together.distortion.l2 == pytest.approx(alone.distortion.l2, rel=1e-3)


def test_a_missing_derivative_is_found_out_once_and_counted_as_the_passes_that_it_took(mlp_network: Build) -> None:
    net, seen = mlp_network(N), []

    def f(images: Tensor) -> Tensor:
        seen.append(len(images))
        return net(Cubed.apply(images))

    network, x = Network(f), torch.rand(SHAPE, dtype=torch.float64)
    network.logits(x)
    for _ in range(3):
        network.push(x, x)
    assert seen == [1, 1, 2, 2, 2]  # the logits, one that torch broke off, then two for each
    assert network.forward == sum(seen)
    assert FORWARD_MODE.acquire(blocking=False)
    FORWARD_MODE.release()


def test_in_float64_a_finite_difference_has_ten_digits(mlp_network: Build) -> None:
    net, x = mlp_network(N), torch.rand(SHAPE, dtype=torch.float64)
    delta = torch.randn(SHAPE, dtype=torch.float64)
    expected = Network(lambda images: net(images**3)).push(x, delta)
    found = Network(lambda images: net(Cubed.apply(images))).push(x, delta)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=0)


def test_a_difference_is_as_coarse_as_the_numbers_that_the_network_gives(mlp_network: Build) -> None:
    """Images in float64, the network in float32: a step for the former would drown in the rounding of the latter."""
    net, x = mlp_network(N, dtype=torch.float32), torch.rand(SHAPE, dtype=torch.float64)
    delta = torch.randn(SHAPE, dtype=torch.float64)
    expected = Network(lambda images: net(images.float() ** 3)).push(x, delta)
    found = Network(lambda images: net(Cubed.apply(images.float()))).push(x, delta)
    assert (found - expected).norm() <= 1e-3 * expected.norm()


def test_where_differences_are_worthless_every_row_is_taken_and_the_certificate_still_holds(
    mlp_network: Build,
) -> None:
    """Rounding whose gradient passes straight through: a difference sees stairs where the rows see a slope."""

    class Rounded(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return (x * 8).round() / 8

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            return cotangent

    net, x = mlp_network(N, dtype=torch.float32), torch.rand(SHAPE)
    goal = OneHot(N).constraints(int(net(x[None])[0].argsort()[2]))

    def f(images: Tensor) -> Tensor:
        return net(Rounded.apply(images))

    lazy, full = Linearisation(Network(f), x, goal).solve_lazy(), Linearisation(Network(f), x, goal).solve_full()
    torch.testing.assert_close(lazy.delta, full.delta, rtol=1e-3, atol=1e-6)
    assert lazy.certificate.holds()


@pytest.mark.parametrize(
    "error",
    [NotImplementedError("no head for 7 classes"), RuntimeError("shapes cannot be multiplied"), TypeError("no image")],
)
def test_other_errors_of_the_network_are_not_taken_for_a_missing_derivative(error: Exception) -> None:
    def broken(images: Tensor) -> Tensor:
        raise error

    with pytest.raises(type(error), match=str(error)):
        Network(broken).push(torch.rand(SHAPE), torch.rand(SHAPE))


def test_attention_with_a_mask_of_bools_has_a_forward_derivative() -> None:
    mask = torch.ones(18, 18, dtype=torch.bool).tril()

    def attend(images: Tensor) -> Tensor:
        tokens = images.flatten(1, 2)[:, None]
        attended = functional.scaled_dot_product_attention(tokens, tokens, 3 * tokens, attn_mask=mask)
        return attended.mean((1, 2))

    x, delta = torch.rand(SHAPE), torch.randn(SHAPE)
    network = Network(attend)
    expected = torch.stack([_row(attend, x, i) for i in range(6)]) @ delta.flatten()
    torch.testing.assert_close(network.push(x, delta), expected, rtol=1e-4, atol=1e-5)
    assert network.forward == 2  # no difference was needed


def test_an_eight_bit_ending_needs_no_forward_derivative(mlp_network: Build) -> None:
    net, x = mlp_network(N, dtype=torch.float32), torch.rand(SHAPE)

    def f(images: Tensor) -> Tensor:
        return net(CubedByHand.apply(images))

    wanted = target(f, x)
    found = run(jma(f, x, OneHot(N), wanted))
    assert run(eight_bit(f, x, OneHot(N), wanted, start=found.image)).success
