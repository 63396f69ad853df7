from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ReferenceType, ref

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from jma_core import Network
from jma_core.network import lowered
from jma_core.records import Halt, StopReason

N = 7
SHAPE = (3, 6, 6)
PIXELS = 108
Build = Callable[..., Any]


class Seen:
    """A network that counts the images it is given."""

    def __init__(self, f: Callable[[Tensor], Tensor]) -> None:
        self.f, self.images = f, 0

    def __call__(self, images: Tensor) -> Tensor:
        self.images += len(images)
        return self.f(images)


@pytest.fixture
def f(conv_network: Build) -> nn.Module:
    net: nn.Module = conv_network(N)
    return net


@pytest.fixture
def x() -> Tensor:
    return torch.rand(SHAPE, dtype=torch.float64)


@pytest.fixture
def cotangents() -> Tensor:
    return torch.randn(5, N, dtype=torch.float64)


def central_differences(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """df/dx (n, m). With h = 1e-5 the truncation is h^2 ~ 1e-10, the rounding eps / h ~ 1e-11."""
    h = 1e-5
    nudges = h * torch.eye(x.numel(), dtype=x.dtype).reshape(-1, *x.shape)
    return ((f(x + nudges) - f(x - nudges)) / (2 * h)).T


@pytest.mark.parametrize("memory", [1, 2**28], ids=["one row a chunk", "one chunk"])
def test_gradient_rows_agree_with_central_differences(f: nn.Module, x: Tensor, cotangents: Tensor, memory: int) -> None:
    z, rows = Network(f, memory=memory).differentiate(x)
    torch.testing.assert_close(z, f(x[None])[0], rtol=1e-14, atol=0)
    torch.testing.assert_close(rows(cotangents), cotangents @ central_differences(f, x), rtol=0, atol=1e-8)


def test_a_forward_derivative_agrees_with_central_differences(f: nn.Module, x: Tensor) -> None:
    delta = torch.randn(SHAPE, dtype=torch.float64)
    expected = central_differences(f, x) @ delta.flatten()
    torch.testing.assert_close(
        Network(f).push(x, delta), expected, rtol=0, atol=1e-7
    )  # m = 108 errors of 1e-10 at most


@pytest.mark.parametrize("rows_at_once", [1, 2, 3, 4, 5, 100])
def test_chunks_change_nothing_but_the_chunks(f: nn.Module, x: Tensor, cotangents: Tensor, rows_at_once: int) -> None:
    network = Network(f)
    network.chunk = rows_at_once
    _, rows = network.differentiate(x)
    expected = torch.stack([torch.autograd.functional.vjp(f, x[None], c[None])[1].flatten() for c in cotangents])
    torch.testing.assert_close(rows(cotangents), expected, rtol=0, atol=1e-12)
    assert network.backward == 5


def saves_eight_bytes_a_pixel(images: Tensor) -> Tensor:
    return images.flatten(1).exp()[:, :N]  # exp saves its result for the backward pass, the others nothing


@pytest.mark.parametrize(("memory", "chunk"), [(1, 1), (8 * PIXELS - 1, 1), (21 * 4 * PIXELS, 10), (2**28, 310_000)])
def test_a_chunk_is_as_many_rows_as_fit_into_memory(x: Tensor, memory: int, chunk: int) -> None:
    network = Network(saves_eight_bytes_a_pixel, memory=memory)
    network.differentiate(x)
    assert network.chunk is not None
    assert network.chunk == pytest.approx(chunk, rel=0.003)
    assert network.chunk == 1 or network.chunk * 8 * PIXELS <= memory


def test_rows_count_towards_memory_where_the_forward_pass_saves_nothing(x: Tensor) -> None:
    network = Network(lambda images: images.mean((2, 3)), memory=10 * 8 * PIXELS)
    network.differentiate(x)
    assert network.chunk is not None
    assert network.chunk <= 10


def test_measuring_keeps_no_tensor_alive(x: Tensor) -> None:
    kept: list[ReferenceType[Tensor]] = []

    def f(images: Tensor) -> Tensor:
        activations = images.flatten(1).tanh()  # whose derivative is that of its output, so that it saves itself
        kept.append(ref(activations))
        return activations[:, :3]

    Network(f).measure(x[None])
    gc.collect()
    assert [each() for each in kept] == [None]


@pytest.mark.parametrize("memory", [1, 2**28], ids=["one row a chunk", "one chunk"])
def test_every_row_is_one_backward_pass(f: nn.Module, x: Tensor, cotangents: Tensor, memory: int) -> None:
    network = Network(f, memory=memory)
    _, rows = network.differentiate(x)
    assert network.backward == 0
    rows(cotangents)
    assert network.backward == 5
    rows(cotangents[:1])
    assert network.backward == 6
    rows(cotangents[:0])
    assert network.backward == 6


def test_every_image_is_one_forward_pass(f: nn.Module, x: Tensor, cotangents: Tensor) -> None:
    """As many as the network itself has seen: also those that measure memory, and none for rows."""
    seen = Seen(f)
    network = Network(seen)
    for _ in range(3):
        network.logits(x)
        _, rows = network.differentiate(x)
        rows(cotangents)
        assert network.forward == seen.images > 0
    before = network.forward
    network.differentiate(x)
    assert network.forward == before + 1
    network.logits(x)
    assert network.forward == before + 2


def test_a_forward_derivative_counts_as_two_passes(f: nn.Module, x: Tensor) -> None:
    network = Network(f)
    network.push(x, torch.ones_like(x))
    assert (network.forward, network.backward) == (2, 0)


def test_counts_start_at_zero_and_stay_apart(f: nn.Module, x: Tensor) -> None:
    first, second = Network(f), Network(f)
    first.logits(x)
    assert (first.forward, second.forward, first.backward) == (1, 0, 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_everything_keeps_the_type_of_the_image(conv_network: Build, dtype: torch.dtype) -> None:
    network = Network(conv_network(N, dtype=dtype))
    x = torch.rand(SHAPE, dtype=dtype)
    z, rows = network.differentiate(x)
    assert {z.dtype, rows(torch.eye(N)).dtype, network.push(x, x).dtype, network.logits(x).dtype} == {dtype}


def test_a_network_whose_weights_can_be_trained_is_attacked_like_a_frozen_one(
    f: nn.Module, x: Tensor, cotangents: Tensor
) -> None:
    expected = Network(f).differentiate(x)[1](cotangents)
    network = Network(f.requires_grad_(True))
    z, rows = network.differentiate(x)
    torch.testing.assert_close(rows(cotangents), expected, rtol=0, atol=1e-12)
    results = [z, rows(cotangents), rows(cotangents[:1]), network.logits(x), network.push(x, x)]
    assert not any(result.requires_grad for result in results)
    assert all(weight.grad is None for weight in f.parameters())


def test_gradients_are_taken_although_the_caller_has_switched_them_off(
    f: nn.Module, x: Tensor, cotangents: Tensor
) -> None:
    expected = Network(f).differentiate(x)[1](cotangents)
    with torch.no_grad():
        torch.testing.assert_close(Network(f).differentiate(x)[1](cotangents), expected)


def test_the_image_is_left_as_it_was(f: nn.Module, x: Tensor) -> None:
    before = x.clone()
    network = Network(f)
    network.differentiate(x)
    network.push(x, x)
    assert torch.equal(x, before)
    assert not x.requires_grad


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("kind", ["fused", "multi-head"])
def test_attention_has_a_forward_derivative(x: Tensor, kind: str) -> None:
    """torch has none for its fused attention, which timm's and open_clip's transformers use."""
    heads = nn.MultiheadAttention(6, 2, batch_first=True).double().eval().requires_grad_(False)

    def attend(images: Tensor) -> Tensor:
        tokens = images.flatten(1, 2)  # 18 of 6 numbers
        if kind == "multi-head":
            return heads(tokens, tokens, tokens, need_weights=False)[0].mean(1)
        return nn.functional.scaled_dot_product_attention(tokens[:, None], tokens[:, None], tokens[:, None]).mean(
            (1, 2)
        )

    def attend_by_hand(images: Tensor) -> Tensor:
        tokens = images.flatten(1, 2)
        if kind == "multi-head":
            return heads(tokens, tokens, tokens, need_weights=True)[0].mean(1)  # without torch's fast path
        return ((tokens @ tokens.mT / 6**0.5).softmax(-1) @ tokens).mean(1)

    delta = torch.randn_like(x)
    torch.testing.assert_close(attend(x[None]), attend_by_hand(x[None]))
    expected = central_differences(attend_by_hand, x) @ delta.flatten()
    torch.testing.assert_close(Network(attend).push(x, delta), expected, rtol=1e-4, atol=1e-6)


# What goes wrong


def reason_of(halted: pytest.ExceptionInfo[Halt]) -> StopReason:
    return halted.value.reason


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_logits_that_are_no_numbers_halt(x: Tensor, bad: float) -> None:
    network = Network(lambda images: images.flatten(1)[:, :N] * 0 + torch.tensor([bad] + [0.0] * (N - 1)))
    calls: list[Callable[[], Any]] = [lambda: network.logits(x), lambda: network.differentiate(x)]
    for call in calls:
        with pytest.raises(Halt) as halted:
            call()
        assert reason_of(halted) == StopReason.NOT_FINITE


def test_infinite_derivatives_halt() -> None:
    """d sqrt(x) / dx at 0."""
    network = Network(lambda images: images.flatten(1)[:, :2].sqrt())
    x = torch.zeros(1, 2, 2)
    _, rows = network.differentiate(x)
    with pytest.raises(Halt) as halted:
        rows(torch.eye(2))
    assert reason_of(halted) == StopReason.NOT_FINITE
    with pytest.raises(Halt) as halted:
        network.push(x, torch.ones_like(x))
    assert reason_of(halted) == StopReason.NOT_FINITE


@pytest.mark.parametrize("room", [1, 2, 3])
def test_running_out_of_memory_halves_the_chunk_for_good(
    f: nn.Module, x: Tensor, cotangents: Tensor, rationed: Build, out_of_memory: RuntimeError, room: int
) -> None:
    network = Network(rationed(f, room, out_of_memory))
    network.chunk = 8
    _, rows = network.differentiate(x)
    expected = Network(f).differentiate(x)[1](cotangents)
    torch.testing.assert_close(rows(cotangents), expected, rtol=0, atol=1e-12)
    assert network.chunk == {1: 1, 2: 2, 3: 2}[room]
    torch.testing.assert_close(rows(cotangents), expected, rtol=0, atol=1e-12)
    assert network.chunk == {1: 1, 2: 2, 3: 2}[room]


def test_running_out_of_memory_with_one_row_halts(
    f: nn.Module, x: Tensor, cotangents: Tensor, rationed: Build, out_of_memory: RuntimeError
) -> None:
    _, rows = Network(rationed(f, 0, out_of_memory)).differentiate(x)
    with pytest.raises(Halt) as halted:
        rows(cotangents)
    assert reason_of(halted) == StopReason.OUT_OF_MEMORY


def test_running_out_of_memory_in_the_network_halts(x: Tensor, out_of_memory: RuntimeError) -> None:
    def too_big(images: Tensor) -> Tensor:
        raise out_of_memory

    network = Network(too_big)
    calls: list[Callable[[], Any]] = [
        lambda: network.logits(x),
        lambda: network.differentiate(x),
        lambda: network.push(x, x),
    ]
    for call in calls:
        with pytest.raises(Halt) as halted:
            call()
        assert reason_of(halted) == StopReason.OUT_OF_MEMORY


def test_a_jacobian_that_does_not_fit_into_memory_halts(f: nn.Module, x: Tensor) -> None:
    """2^40 rows of 108 doubles are more than an address space. Their cotangents are one number, expanded."""
    _, rows = Network(f).differentiate(x)
    with pytest.raises(Halt) as halted:
        rows(torch.zeros(1, 1, dtype=torch.float64).expand(2**40, N))
    assert reason_of(halted) == StopReason.OUT_OF_MEMORY


def test_other_errors_are_not_taken_for_a_lack_of_memory(
    f: nn.Module, x: Tensor, cotangents: Tensor, rationed: Build
) -> None:
    def broken(images: Tensor) -> Tensor:
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        Network(broken).logits(x)
    _, rows = Network(rationed(f, 0, RuntimeError("shapes cannot be multiplied"))).differentiate(x)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        rows(cotangents)


def test_rows_stop_between_chunks(f: nn.Module, x: Tensor) -> None:
    answers: Iterator[bool] = iter([False, False, True])
    network = Network(f, memory=1, should_stop=lambda: next(answers))
    _, rows = network.differentiate(x)
    with pytest.raises(Halt) as halted:
        rows(torch.eye(N))
    assert reason_of(halted) == StopReason.STOPPED
    assert network.backward == 2


@pytest.mark.parametrize("shape", [(), (N,), (2, N), (1, N, 1)])
def test_logits_of_a_wrong_shape_are_refused_with_what_was_expected_and_what_came(
    x: Tensor, shape: tuple[int, ...]
) -> None:
    network = Network(lambda images: torch.zeros(shape))
    with pytest.raises(ValueError, match=r"expected logits \(N, n\) for images \(1, 3, 6, 6\), got shape \("):
        network.logits(x)


def test_rows_land_on_the_cpu_and_in_double_they_are_exact(x: Tensor) -> None:
    w = torch.arange(2.0 * PIXELS, dtype=torch.float64).reshape(2, PIXELS)
    _, rows = Network(lambda images: images.flatten(1) @ w.T).differentiate(x)
    jacobian = rows(torch.eye(2))
    assert jacobian.device.type == "cpu"
    np.testing.assert_array_equal(jacobian.numpy(), w.numpy())


def test_a_lowered_network_is_the_same_to_three_digits_and_keeps_the_types(conv_network: Build) -> None:
    f, x = conv_network(N, dtype=torch.float32), torch.rand(SHAPE)
    low, cotangents = Network(lowered(f, torch.bfloat16)), torch.eye(N)
    z, rows = low.differentiate(x)
    exact, exact_rows = Network(f).differentiate(x)
    jacobian, expected = rows(cotangents), exact_rows(cotangents)
    assert {z.dtype, jacobian.dtype, low.push(x, x).dtype} == {torch.float32}
    assert not torch.equal(z, exact)
    torch.testing.assert_close(z, exact, rtol=0, atol=0.05)  # bfloat16 keeps 8 bits of logits of a few units
    assert (jacobian - expected).norm() <= 0.02 * expected.norm()


def test_without_a_cuda_device_a_chunk_of_rows_holds_256_mib(x: Tensor) -> None:
    network = Network(saves_eight_bytes_a_pixel)
    network.differentiate(x)
    assert network.chunk == 2**28 // (8 * PIXELS)
