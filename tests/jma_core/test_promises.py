"""What holds for every attack whatever surrounds it, whatever network it is given, and however that is called."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from jma_core import (
    ECOC,
    Linearisation,
    MultiLabel,
    Network,
    OneHot,
    StopReason,
    TopK,
    alma,
    ddn,
    fab,
    hadamard_codebook,
    jma,
    run,
    run_batch,
)
from jma_core.network import lowered
from jma_core.records import AttackResult, Halt
from tests.attacks import brief, in_turn
from tests.cases import named

Build = Callable[..., Any]
SHAPE = (3, 6, 6)
ATTACKS = brief(
    6,
    cw={"searches": 2, "steps": 3, "c": 1.0},
    eight_bit={"turns": 1, "start": torch.full(SHAPE, 0.7)},
    fab={"steps": 3},
    lots={"pool": torch.rand((3, *SHAPE), generator=torch.Generator().manual_seed(4))},
)
X = torch.rand(SHAPE, generator=torch.Generator().manual_seed(3))
ENCODINGS: dict[str, Callable[[], Any]] = {
    "one-hot": lambda: OneHot(6),
    "top-K": lambda: TopK(6, 2),
    "ecoc": lambda: ECOC(hadamard_codebook(6, 8)),
    "multi-label": lambda: MultiLabel(6),
}
LOGITS = {"one-hot": 6, "top-K": 6, "ecoc": 8, "multi-label": 6}
TURNS = in_turn(ATTACKS, ENCODINGS)
each_attack = pytest.mark.parametrize(("name", "attack"), TURNS.values(), ids=TURNS)


def wanted(f: Any, encoding: Any, x: Tensor = X) -> Any:
    with torch.no_grad():
        z = f(x[None])[0].float()
    if isinstance(encoding, MultiLabel):
        return (z <= 0).tolist()
    return ((encoding.decode(z) + 1) % 6).tolist()


def bits(result: AttackResult) -> tuple[Any, ...]:
    steps = [(step.image.tobytes(), step.logits.tobytes(), step.backward) for step in result.steps]
    return result.image.tobytes(), result.logits.tobytes(), result.forward, result.backward, result.reason, steps


def advanced(attack: Any) -> Any:
    """The next step of an attack, or its result."""
    try:
        return next(attack)
    except StopIteration as end:
        return end.value


# What the caller has set for his own work


@contextmanager
def default_type(dtype: torch.dtype) -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


CONTEXTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no_grad": torch.no_grad,
    "enable_grad": torch.enable_grad,
    "inference_mode": torch.inference_mode,
    "float64 by default": lambda: default_type(torch.float64),
    "bfloat16 by default": lambda: default_type(torch.bfloat16),
    "numpy raises": lambda: np.errstate(all="raise"),
    "another device by default": lambda: torch.device("meta"),
    "hooks on saved tensors": lambda: torch.autograd.graph.save_on_cpu(),
}


@each_attack
def test_an_attack_within_a_context_of_the_caller_gives_the_bits_of_one_outside(
    mlp_network: Build, name: str, attack: Any
) -> None:
    """The encoding is made, and the image is copied, within the context as well."""
    f = mlp_network(LOGITS[name], dtype=torch.float32)
    target = wanted(f, ENCODINGS[name]())
    expected = bits(run(attack(f, X, ENCODINGS[name](), target)))
    for kind, context in CONTEXTS.items():
        with named(kind), context():
            assert bits(run(attack(f, X.clone(), ENCODINGS[name](), target))) == expected


@each_attack
def test_a_context_entered_between_two_steps_changes_nothing_and_is_left_as_it_was(
    mlp_network: Build, name: str, attack: Any
) -> None:
    f, encoding = mlp_network(LOGITS[name], dtype=torch.float32), ENCODINGS[name]()
    target = wanted(f, encoding)
    expected = run(attack(f, X, encoding, target))
    going, steps = attack(f, X, encoding, target), []
    while not isinstance(steps[-1] if steps else None, AttackResult):
        with torch.inference_mode():
            steps.append(advanced(going))
            assert torch.is_inference_mode_enabled()
        assert not torch.is_inference_mode_enabled()
    assert bits(steps.pop()) == bits(expected)
    assert [step.image.tobytes() for step in steps] == [step.image.tobytes() for step in expected.steps]


@each_attack
def test_autocast_of_the_caller_is_that_of_the_network_alone(mlp_network: Build, name: str, attack: Any) -> None:
    f = mlp_network(LOGITS[name], dtype=torch.float32)
    target = wanted(f, ENCODINGS[name]())
    expected = bits(run(attack(lowered(f, torch.bfloat16), X, ENCODINGS[name](), target)))
    assert expected != bits(run(attack(f, X, ENCODINGS[name](), target)))
    with torch.autocast("cpu", torch.bfloat16):
        assert bits(run(attack(f, X, ENCODINGS[name](), target))) == expected


@pytest.mark.parametrize("attack", [ATTACKS["lazy"], ATTACKS["ddn"], ATTACKS["fab"], ATTACKS["cw"]])
@pytest.mark.parametrize("context", [torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)])
def test_a_batch_within_a_context_is_one_outside(mlp_network: Build, context: Any, attack: Any) -> None:
    f, images = mlp_network(6, dtype=torch.float32), torch.stack([X, X.flip(1)])
    target = wanted(f, OneHot(6))
    autocast = context is not torch.inference_mode
    expected = run_batch(attack, lowered(f, torch.bfloat16) if autocast else f, images, OneHot(6), [target] * 2)
    with context():
        found = run_batch(attack, f, images, OneHot(6), [target] * 2)
        assert torch.is_autocast_enabled("cpu") == autocast
    assert [bits(result) for result in found] == [bits(result) for result in expected]


def test_a_linearised_problem_is_solved_alike_within_contexts(mlp_network: Build) -> None:
    f, goal = mlp_network(6, dtype=torch.float32), OneHot(6).constraints(2)
    expected = Linearisation(Network(f), X, goal).solve_full().delta
    with torch.inference_mode():
        assert torch.equal(Linearisation(Network(f), X.clone(), goal).solve_full().delta, expected)
    with torch.autocast("cpu", torch.bfloat16):
        lazy, full = (Linearisation(Network(f), X, goal) for _ in range(2))
        assert (lazy.solve_lazy().delta - full.solve_full().delta).norm() <= 0.05 * expected.norm()


# Networks of other types, and without gradients


@each_attack
def test_logits_of_another_type_are_taken_in_that_of_the_image(mlp_network: Build, name: str, attack: Any) -> None:
    encoding = ENCODINGS[name]()

    def f(images: Tensor) -> Tensor:
        return net(images.to(dtype))

    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        net = mlp_network(LOGITS[name], dtype=dtype)
        with named(dtype):
            result = run(attack(f, X, encoding, wanted(f, encoding)))
            assert result.logits.dtype == np.float32
            assert result.reason in (StopReason.SUCCESS, StopReason.ITERATIONS)


def without_gradients(net: nn.Module, n: int) -> dict[str, Callable[[Tensor], Tensor]]:
    with torch.inference_mode():
        frozen: Any = nn.Sequential(nn.Flatten(), nn.Linear(108, n)).eval()
    return {
        "detached": lambda images: net(images).detach(),
        "input detached": lambda images: net(images.detach()),
        "no_grad": torch.no_grad()(net.forward),
        "inference_mode": torch.inference_mode()(net.forward),
        "weights of inference_mode": frozen,
        "weights that want gradients": nn.Sequential(nn.Flatten(), _Constant(), nn.Linear(108, n)).eval(),
    }


class _Constant(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return torch.zeros_like(features.detach())


@each_attack
def test_a_network_without_gradients_ends_every_attack_alike(mlp_network: Build, name: str, attack: Any) -> None:
    n, encoding = LOGITS[name], ENCODINGS[name]()
    for kind, f in without_gradients(mlp_network(n, dtype=torch.float32), n).items():
        target = wanted(f, encoding)
        with named(kind):
            alone = run(attack(f, X, encoding, target))
            (together,) = run_batch(attack, f, X[None], encoding, [target])
            assert alone.reason == together.reason
            if attack is ATTACKS["eight_bit"]:  # which looks along a ray, and needs a gradient only to turn it
                assert alone.reason in (StopReason.ZERO_GRADIENT, StopReason.SUCCESS, StopReason.ITERATIONS)
            else:
                assert (alone.reason, alone.success) == (StopReason.ZERO_GRADIENT, False)


# What is no logits


NO_LOGITS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "tuple": (lambda z: (z, z), r"got tuple, no tensor: attack a function that returns the logits alone"),
    "dict": (lambda z: {"logits": z}, "got dict, no tensor"),
    "list": (lambda z: [z], "got list, no tensor"),
    "None": (lambda z: None, "got NoneType, no tensor"),
    "numpy": (lambda z: z.detach().numpy(), "got ndarray, no tensor"),
    "one axis": (lambda z: z[0], r"got shape \({n},\)"),
    "maps": (lambda z: z[..., None, None], r"got shape \(\d, {n}, 1, 1\)"),
    "too many": (lambda z: torch.cat([z, z]), r"got shape \(\d, {n}\)"),
    "integers": (lambda z: z.long(), r"got shape \(\d, {n}\) of torch.int64, which are no floats"),
    "bools": (lambda z: z > 0, r"got shape \(\d, {n}\) of torch.bool, which are no floats"),
    "complex": (lambda z: z + 0j, r"got shape \(\d, {n}\) of torch.complex64, which are no floats"),
}


def chained(net: nn.Module, made: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    return lambda images: made(net(images))


@each_attack
def test_what_is_no_logits_is_refused_with_what_was_expected_and_what_came(
    mlp_network: Build, name: str, attack: Any
) -> None:
    net, encoding = mlp_network(LOGITS[name], dtype=torch.float32), ENCODINGS[name]()
    target = wanted(net, encoding)
    for kind, (made, said) in NO_LOGITS.items():
        f = chained(net, made)
        said = r"expected logits \(N, n\) for images \(\d, 3, 6, 6\), " + said.format(n=LOGITS[name])
        with named(kind), pytest.raises(ValueError, match=said):
            run(attack(f, X, encoding, target))
        with named(f"{kind}, in a batch"), pytest.raises(ValueError, match=said):
            run_batch(attack, f, X[None], encoding, [target])


@pytest.mark.parametrize("kind", NO_LOGITS)
def test_every_method_of_a_network_refuses_it(mlp_network: Build, kind: str) -> None:
    net, (made, said) = mlp_network(6, dtype=torch.float32), NO_LOGITS[kind]
    network = Network(chained(net, made))
    calls: list[Callable[[], Any]] = [
        lambda: network.logits(X),
        lambda: network.descend(X, torch.sum),
        lambda: network.differentiate(X),
        lambda: network.push(X, X),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=said.format(n=6)):
            call()


# Networks that work in place, or keep a buffer


@each_attack
def test_a_network_that_works_in_place_changes_nothing_of_the_callers(
    mlp_network: Build, name: str, attack: Any
) -> None:
    net, encoding, x = mlp_network(LOGITS[name], dtype=torch.float32), ENCODINGS[name](), X.clone()

    def in_place(images: Tensor) -> Tensor:
        return net(images.sub_(0.5).mul_(2))

    def aside(images: Tensor) -> Tensor:
        return net((images - 0.5) * 2)

    target = wanted(aside, encoding)
    found = run(attack(in_place, x, encoding, target))
    assert bits(found) == bits(run(attack(aside, X, encoding, target)))
    np.testing.assert_array_equal(found.original, X)
    assert torch.equal(x, X)


@each_attack
def test_a_network_that_returns_one_buffer_again_and_again_is_any_other(
    mlp_network: Build, name: str, attack: Any
) -> None:
    net, encoding = mlp_network(LOGITS[name], dtype=torch.float32), ENCODINGS[name]()
    buffers: dict[int, Tensor] = {}

    def f(images: Tensor) -> Tensor:
        z = net(images)
        if z.requires_grad or len(z) > 1:
            return z
        return buffers.setdefault(len(z), torch.empty_like(z)).copy_(z)

    target = wanted(net, encoding)
    assert bits(run(attack(f, X, encoding, target))) == bits(run(attack(net, X, encoding, target)))


@each_attack
def test_a_network_that_returns_its_input_is_any_other(name: str, attack: Any) -> None:
    x, encoding = torch.linspace(0.2, 0.6, LOGITS[name])[:, None, None], ENCODINGS[name]()
    besides = {"start": x.flip(0), "pool": x.flip(0)[None]}
    attack = partial(attack, **{need: besides[need] for need in attack.func.entry.needs})

    def itself(images: Tensor) -> Tensor:
        return images[:, :, 0, 0]

    def copied(images: Tensor) -> Tensor:
        return images[:, :, 0, 0].clone()

    target = wanted(copied, encoding, x)
    found = run(attack(itself, x, encoding, target))
    assert bits(found) == bits(run(attack(copied, x, encoding, target)))
    assert found.reason != StopReason.NOTHING_TO_DO


@each_attack
def test_what_the_caller_does_to_his_tensors_between_steps_is_his_own_business(
    mlp_network: Build, name: str, attack: Any
) -> None:
    f, encoding = mlp_network(LOGITS[name], dtype=torch.float32), ENCODINGS[name]()
    x, mask, target = X.clone(), torch.ones(6, 6, dtype=torch.bool), wanted(f, encoding)
    expected = bits(run(attack(f, X, encoding, target)))
    going = attack(f, x, encoding, target, mask=mask)
    while not isinstance(found := advanced(going), AttackResult):
        x.zero_()
        mask.zero_()
    assert bits(found) == expected


# Train mode


class Holder:
    def __init__(self, net: nn.Module) -> None:
        self.net = net

    def __call__(self, images: Tensor) -> Any:
        return self.net(images)


def training(net: nn.Sequential) -> dict[str, Callable[[Tensor], Tensor]]:
    return {
        "the network": net,
        "its method": net.forward,
        "a partial": partial(net),
        "a function": lambda images: net(images),
        "an object": Holder(net),
    }


@each_attack
def test_a_network_in_train_mode_is_refused_at_the_door(name: str, attack: Any) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, LOGITS[name])).eval()
    encoding = ENCODINGS[name]()
    target = wanted(net, encoding)
    said = "expected a network in eval mode, got Sequential, and its '1' is in train mode.*eval"
    doors: list[Callable[[Any], Any]] = [
        lambda f: attack(f, X, encoding, target),
        lambda f: run_batch(attack, f, X[None], encoding, [target]),
        Network,
        lambda f: lowered(f, torch.bfloat16),
    ]
    net[1].train()
    for (kind, f), door in product(training(net).items(), doors):
        with named(kind), pytest.raises(ValueError, match=said):
            door(f)
    net.eval()
    assert run(attack(net, X, encoding, target)).forward > 0
    for kind, f in training(net).items():
        with named(kind):
            advanced(attack(f, X, encoding, target))
    assert net[1].num_batches_tracked == 0


# Messages with digits enough


OUTSIDE = (
    (1 + 2**-23, torch.float32, r"got 0\.25 to 1\.0000001: 1 of 108 values are outside"),
    (1 + 1e-12, torch.float64, r"got 0\.25 to 1\.000000000001: 1 of 108"),
    (-1e-9, torch.float32, r"got -1e-09 to 0\.25: 1 of 108"),
    (float("nan"), torch.float32, r"got nan to nan: 1 of 108"),
)


@each_attack
def test_a_pixel_just_outside_is_told_with_all_its_digits(mlp_network: Build, name: str, attack: Any) -> None:
    f, encoding = mlp_network(LOGITS[name], dtype=torch.float32), ENCODINGS[name]()
    for value, dtype, said in OUTSIDE:
        x = torch.full(SHAPE, 0.25, dtype=dtype)
        x[1, 2, 3] = value
        with named(value), pytest.raises(ValueError, match=rf"expected pixels in \[0, 1\], {said}"):
            attack(f, x, encoding, wanted(f, encoding))


@pytest.mark.parametrize(
    ("attack", "settings"),
    [
        (fab, {"alpha": 1.0000001}),
        (fab, {"beta": 1.0000001}),
        (alma, {"decay": 1.0000001}),
        (ddn, {"gamma": 1.0000001}),
    ],
)
def test_a_setting_just_outside_is_told_with_all_its_digits(attack: Any, settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"got.*1\.0000001"):
        attack(lambda images: images.flatten(1), X, OneHot(108), 0, **settings)


def test_an_image_that_is_no_tensor_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"expected one float32 or float64 image.*got ndarray"):
        jma(lambda images: images.flatten(1), X.numpy(), OneHot(108), 0)  # type: ignore[arg-type]


def test_weights_made_in_inference_mode_are_named_as_the_reason() -> None:
    with torch.inference_mode():
        f = nn.Sequential(nn.Flatten(), nn.Linear(108, 6)).eval()
    with pytest.raises(Halt, match="made in inference_mode"):
        Network(f).descend(X, torch.sum)
