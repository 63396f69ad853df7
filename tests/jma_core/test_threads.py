"""Attacks in several threads give, bit for bit, what they give one after another."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from jma_core import ECOC, MultiLabel, Network, OneHot, hadamard_codebook, run, run_batch
from jma_core.records import AttackResult
from tests.attacks import brief, takes

Build = Callable[..., Any]
THREADS = 8
SHAPE = (3, 6, 6)
STARTED: Any = {"turns": 1, "start": None}
POOLED: Any = {"pool": torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(2))}
ATTACKS = brief(8, cw={"searches": 2, "steps": 4, "c": 1.0}, eight_bit=STARTED, fab={"steps": 3}, lots=POOLED)
Cases = dict[tuple[str, str], Callable[[], AttackResult]]


class Attention(nn.Module):
    """18 tokens of 6 numbers attend to each other twice: by torch's fused kernel, and by its module."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.heads = nn.MultiheadAttention(6, 2, batch_first=True)
        self.head = nn.Linear(6, n)

    def forward(self, images: Tensor) -> Tensor:
        tokens = 3 * images.flatten(1, 2)
        tokens = tokens + functional.scaled_dot_product_attention(*[tokens[:, None]] * 3)[:, 0]
        logits: Tensor = self.head(self.heads(tokens, tokens, tokens, need_weights=False)[0].mean(1))
        return logits


def attention(n: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Attention(n).eval().requires_grad_(False)


@pytest.fixture(autouse=True)
def _threads_that_take_turns_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(scope="module")
def cases(mlp_network: Build, conv_network: Build) -> Cases:
    """Every attack on every encoding that it takes, by both names; each encoding has a network of another kind."""
    x = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))
    start = (x + 0.1 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    networks: dict[str, tuple[Any, Any]] = {
        "one-hot": (OneHot(6), conv_network(6, dtype=torch.float32)),
        "ecoc": (ECOC(hadamard_codebook(6, 8)), mlp_network(8, dtype=torch.float32)),
        "multi-label": (MultiLabel(6), attention(6)),
    }
    made: Cases = {}
    for kind, (encoding, f) in networks.items():
        z = f(x[None])[0]
        target: Any = (z <= 0).tolist() if kind == "multi-label" else (int(encoding.decode(z)) + 1) % 6
        for name, attack in ATTACKS.items():
            if takes(attack, kind):
                begun = partial(attack, start=start) if "start" in attack.keywords else attack
                made[name, kind] = partial(lambda begun, *of: run(begun(*of)), begun, f, x, encoding, target)
    return made


def bits(result: AttackResult) -> tuple[Any, ...]:
    """All that an attack did, but for how long it took."""
    steps = [(step.image.tobytes(), step.logits.tobytes(), step.forward, step.backward) for step in result.steps]
    arrays = result.image.tobytes(), result.last.tobytes(), result.logits.tobytes()
    return (*arrays, result.forward, result.backward, result.n_it, result.reason, result.success, steps)


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """What the jobs return, each in a thread of its own, all begun at the same moment."""
    gate = threading.Barrier(len(jobs))

    def begin(job: Callable[[], Any]) -> Any:
        gate.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [done.result() for done in [pool.submit(begin, job) for job in jobs]]


@pytest.mark.slow
def test_every_attack_on_every_encoding_gives_the_same_bits_in_eight_threads(
    cases: Cases,
) -> None:
    """Each thread runs half of them, from another one on."""
    every = [*cases.values()]
    alone = [bits(case()) for case in every]

    def half(first: int) -> bool:
        order = [(first + i) % len(every) for i in range(len(every) // 2)]
        return all(bits(every[i]()) == alone[i] for i in order)

    firsts = [thread * len(cases) // THREADS for thread in range(THREADS)]
    assert at_once(*(partial(half, first) for first in firsts)) == [True] * THREADS


def test_the_same_lazy_attack_gives_the_same_bits_in_eight_threads_again_and_again(
    cases: Cases,
) -> None:
    """The level that takes forward-mode derivatives, of which torch has one at a time for the whole process."""
    for case in (cases["lazy", kind] for kind in ("one-hot", "ecoc", "multi-label")):
        alone = bits(case())
        for _ in range(3):
            assert at_once(*[lambda case=case: bits(case())] * THREADS) == [alone] * THREADS


def test_derivatives_in_one_thread_leave_the_logits_of_another_alone() -> None:
    """Attention without torch's fused kernel and fast path, which forward-mode derivatives need, has other bits."""
    f, x = attention(6), torch.rand(SHAPE)
    expected, slope = Network(f).logits(x), Network(f).push(x, x)

    def logits() -> bool:
        return all(torch.equal(Network(f).logits(x), expected) for _ in range(100))

    def slopes() -> bool:
        return all(torch.equal(Network(f).push(x, x), slope) for _ in range(100))

    assert at_once(logits, slopes, logits, slopes) == [True] * 4


def test_batches_in_several_threads_give_what_they_give_alone(conv_network: Build) -> None:
    f, images = conv_network(6, dtype=torch.float32), torch.rand(3, *SHAPE)
    targets = [(int(z.argmax()) + 1) % 6 for z in f(images)]

    def batch() -> list[Any]:
        return [bits(result) for result in run_batch(ATTACKS["lazy"], f, images, OneHot(6), targets)]

    alone = batch()
    assert at_once(*[batch] * THREADS) == [alone] * THREADS


def test_a_network_that_fails_in_the_middle_of_a_derivative_lets_the_others_go_on(conv_network: Build) -> None:
    f, x = conv_network(6, dtype=torch.float32), torch.rand(SHAPE)

    def broken(images: Tensor) -> Tensor:
        raise KeyError("no such layer")

    with pytest.raises(KeyError):
        Network(broken).push(x, x)
    assert torch.equal(*at_once(*[lambda: Network(f).push(x, x)] * 2))
