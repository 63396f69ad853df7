"""Training on toys: what is seeded is repeated, what is written is what is read, and what is judged is so."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.metrics import average_precision_score, f1_score
from torch import Tensor, nn
from torch.nn import functional

from jma_core.codes import hadamard_codebook
from models import evaluate
from models.adversaries import Passes, ProjectedGradients
from models.architectures import Classifier
from models.cards import ModelSpec, read_card
from models.data import ImageSet, Pictures, Split
from models.encodings import ECOC, MultiLabel, OneHot
from models.evaluate import read, report, rounded, scores
from models.heads import linear_head
from models.loaders import blank, load, to_tensor
from models.photos import Preprocessing
from models.recipes import HEADS, RECIPES, HeadRecipe, Jitter, Recipe, hinge_and_logistic, logistic
from models.registry import (
    IMAGENET,
    MODELS,
    PACKAGED,
    WEIGHTS,
    WeightsError,
    check_weights,
    packaged_weights,
    unavailable,
)
from models.train import FEW, finish, fit, fit_on_body, settle, start, thresholds

CPU = torch.device("cpu")
COLOURS = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200], [128, 128, 128]])
LABELS = ("red", "green", "blue")
SIDE = 16


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Toys are too small to share among cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def coloured(count: int, seed: int) -> Split:
    """Noisy pictures of four colours: a class each, which a network of any size can tell."""
    rng = np.random.default_rng(seed)
    classes = np.arange(count) % 4
    noise = rng.integers(-30, 31, (count, SIDE, SIDE, 3))
    return Split(Pictures((COLOURS[classes][:, None, None] + noise).astype(np.uint8)), classes.astype(np.int64))


def lit(count: int, seed: int) -> Split:
    """Noisy pictures whose three channels are bright or dark: three labels, some of them not known."""
    rng = np.random.default_rng(seed)
    present = rng.integers(0, 2, (count, 3))
    pictures = 80 + 60 * present[:, None, None] + rng.integers(-60, 61, (count, SIDE, SIDE, 3))
    return Split(Pictures(pictures.astype(np.uint8)), np.where(rng.random((count, 3)) < 0.1, -1, present))


def images_of(split: Split) -> Tensor:
    return torch.stack([to_tensor(np.asarray(photo)) for photo in split.photos])


TINY = {"bottom": [[4, 4]], "width": 2, "hidden": 4, "branches": 4, "side": SIDE}
BOOK = hadamard_codebook(4, 4)
CODED = Recipe(
    spec=ModelSpec(
        "toy-code",
        "Toy",
        ECOC(("red", "green", "blue", "grey"), BOOK),
        "vgg",
        options=TINY,
        preprocessing=Preprocessing(size=SIDE, crop=1.0),
    ),
    data=lambda folder: ImageSet(coloured(60, 0), coloured(20, 1), {"toy": coloured(40, 2)}),
    sampler=Jitter(shift=2, flip=True, light=0.2),
    loss=hinge_and_logistic(BOOK),
    epochs=2,
    lr=1e-2,
    batch=20,
    goals={"accuracy": 0.9},
)
LABELLED = replace(
    CODED,
    spec=replace(
        CODED.spec,
        name="toy-labels",
        encoding=MultiLabel(LABELS),
        options={**TINY, "branches": 1},
    ),
    data=lambda folder: ImageSet(lit(60, 0), lit(60, 1), {"lamps": lit(50, 2), "more lamps": lit(30, 3)}),
    loss=logistic,
    judged={"lamps": LABELS, "more lamps": ("red", "blue")},
    goals={"mAP, lamps": 0.5},
)
ATTACKED = replace(CODED, adversary=ProjectedGradients(loss=CODED.loss, eps=1.0, steps=2))


class Recorder:
    """A loss that keeps what it gave, and stops the training when it has been asked often enough."""

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor], stop_after: int | None = None) -> None:
        self.loss, self.stop_after, self.values = loss, stop_after, list[float]()

    def __call__(self, z: Tensor, targets: Tensor) -> Tensor:
        if len(self.values) == self.stop_after:
            raise KeyboardInterrupt
        value = self.loss(z, targets)
        self.values.append(value.item())
        return value


def trained(recipe: Recipe, checkpoint: Path, seed: int = 0) -> nn.Module:
    return fit(recipe, recipe.data(checkpoint).train, CPU, seed, checkpoint)[0]


def assert_equal_weights(one: nn.Module, other: nn.Module) -> None:
    expected = other.state_dict()
    assert one.state_dict().keys() == expected.keys()
    for name, value in one.state_dict().items():
        assert torch.equal(value, expected[name]), name


# --- fit -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "steps", "saved"),
    [(CODED, 2, False), (CODED, 3, True), (CODED, 4, True), (LABELLED, 4, True), (ATTACKED, 4, True)],
    ids=["within the first epoch", "after the first", "within the second", "of a multi-label model", "under attack"],
)
def test_a_training_that_was_stopped_goes_on_as_if_it_had_not_been(
    tmp_path: Path, recipe: Recipe, steps: int, saved: bool
) -> None:
    """Three batches make an epoch; what was begun of an epoch is done again."""
    whole = trained(recipe, tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        trained(replace(recipe, loss=Recorder(recipe.loss, stop_after=steps)), tmp_path / "parts.pt")
    assert (tmp_path / "parts.pt").is_file() == saved
    rest = Recorder(recipe.loss)
    torch.manual_seed(12345)
    assert_equal_weights(trained(replace(recipe, loss=rest), tmp_path / "parts.pt"), whole)
    assert len(rest.values) == (3 if saved else 6)


def test_a_network_learns_from_nothing_but_what_its_adversary_gives(tmp_path: Path) -> None:
    """Where that is one flat grey, it is all the same how the pictures were drawn."""

    class Grey:
        passes = Passes(0, 0)

        def __call__(self, network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
            assert not any(module.training for module in network.modules())
            assert len(images) == len(targets) == 20
            return torch.full_like(images, 0.5)

    jittered, plain = replace(CODED, adversary=Grey()), replace(CODED, adversary=Grey(), sampler=Jitter(shift=0))
    assert_equal_weights(trained(jittered, tmp_path / "a.pt"), trained(plain, tmp_path / "b.pt"))


def test_a_training_may_begin_on_the_weights_of_another_model() -> None:
    recipe = next(recipe for recipe in RECIPES.values() if recipe.begins)
    stored = safetensors.torch.load_file(WEIGHTS / f"{recipe.begins}.safetensors")
    begun = start(recipe)
    assert begun.backbone.state_dict().keys() == stored.keys()
    for name, value in begun.backbone.state_dict().items():
        assert torch.equal(value, stored[name].to(value.dtype)), name


def test_a_seed_says_what_is_learned(tmp_path: Path) -> None:
    first, second, other = (trained(CODED, tmp_path / f"{number}.pt", seed) for number, seed in enumerate([3, 3, 4]))
    assert_equal_weights(first, second)
    assert not torch.equal(first.backbone[0].weight, other.backbone[0].weight)


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    network, seconds = fit(CODED, coloured(60, 0), CPU, 0, tmp_path / "a.pt")
    again = Recorder(CODED.loss)
    repeated, same_seconds = fit(replace(CODED, loss=again), coloured(60, 0), CPU, 0, tmp_path / "a.pt")
    assert again.values == []
    assert same_seconds == seconds > 0
    assert_equal_weights(network, repeated)
    assert not repeated.training


def test_checkpoints_are_written_whole_into_a_folder_of_their_own(tmp_path: Path) -> None:
    trained(CODED, tmp_path / "deep" / "er" / "a.pt")
    assert [file.name for file in (tmp_path / "deep" / "er").iterdir()] == ["a.pt"]


LEARNING = replace(
    CODED,
    spec=replace(CODED.spec, options={**TINY, "bottom": [[8, 8]], "width": 4, "hidden": 8}),
    epochs=10,
    batch=10,
)


def assert_learns(recipe: Recipe, decode: Callable[[np.ndarray], np.ndarray], checkpoint: Path) -> None:
    loss = Recorder(recipe.loss)
    network = trained(replace(recipe, loss=loss), checkpoint)
    assert len(loss.values) == 10 * 6
    assert np.mean(loss.values[-6:]) < 0.5 * np.mean(loss.values[:6])
    test = coloured(40, 2)
    with torch.no_grad():
        z = network(images_of(test)).numpy()
    assert (decode(z) == test.targets).mean() > 0.9


def test_a_code_learns_what_is_easy(tmp_path: Path) -> None:
    assert_learns(LEARNING, lambda z: (np.tanh(z) @ BOOK.T).argmax(1), tmp_path / "a.pt")


def test_one_hot_learns_what_is_easy(tmp_path: Path) -> None:
    spec = replace(LEARNING.spec, encoding=OneHot(LEARNING.spec.encoding.labels))
    assert_learns(replace(LEARNING, spec=spec, loss=functional.cross_entropy), lambda z: z.argmax(1), tmp_path / "a.pt")


def test_every_photo_is_seen_at_most_once_an_epoch(tmp_path: Path) -> None:
    seen: list[np.ndarray] = []

    def sampler(split: Split, index: np.ndarray, rng: np.random.Generator) -> Tensor:
        seen.append(index)
        return CODED.sampler(split, index, rng)

    fit(replace(CODED, sampler=sampler), coloured(70, 0), CPU, 0, tmp_path / "a.pt")
    assert [len(index) for index in seen] == [20] * 6
    epochs = np.concatenate(seen).reshape(2, 60)
    assert all(len(set(epoch.tolist())) == 60 for epoch in epochs)
    assert epochs.max() < 70
    assert (epochs[0] != epochs[1]).any()


def test_the_step_follows_one_cycle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a 25th of the peak up and down to a 250,000th, torch's defaults for Smith and Topin's schedule."""
    rates: list[float] = []
    step = torch.optim.AdamW.step

    def recorded(self: torch.optim.AdamW, *given: object, **settings: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *given, **settings)

    monkeypatch.setattr(torch.optim.AdamW, "step", recorded)
    trained(replace(CODED, epochs=4, weight_decay=0.3), tmp_path / "a.pt")
    assert len(rates) == 12
    assert rates[0] == pytest.approx(CODED.lr / 25)
    assert max(rates) == rates[2] == pytest.approx(CODED.lr)
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] == pytest.approx(CODED.lr / 25 / 1e4)
    groups = torch.load(tmp_path / "a.pt", weights_only=True)["optimiser"]["param_groups"]
    assert {group["weight_decay"] for group in groups} == {0.3}


# --- a pretrained backbone -----------------------------------------------------------------------------------------

IMAGENET_WEIGHTS = packaged_weights(IMAGENET.network.removeprefix(PACKAGED), IMAGENET.sha256)
PRETRAINED = replace(
    LABELLED,
    spec=replace(LABELLED.spec, network="lite0-mlp", options={"hidden": 8, "heads": 2}),
    fresh="classifier.",
    epochs=1,
    batch=2,
)


def test_a_training_begins_on_the_pretrained_weights_but_for_what_is_fresh() -> None:
    torch.manual_seed(0)
    begun = start(PRETRAINED).backbone.state_dict()
    pretrained = torch.load(IMAGENET_WEIGHTS, weights_only=True)
    assert len(pretrained) == 296
    body = [name for name in begun if not name.startswith(PRETRAINED.fresh)]
    for name, theirs in zip(body, list(pretrained.values())[:-2], strict=True):
        assert torch.equal(begun[name], theirs), name
    assert begun["classifier.1.weight"].shape == (8, 1280)
    assert begun["classifier.4.weight"].shape == (3, 8)


def test_what_is_fresh_learns_twenty_times_as_fast(tmp_path: Path) -> None:
    fit(PRETRAINED, lit(2, 0), CPU, 0, tmp_path / "a.pt")
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    backbone, head = state["optimiser"]["param_groups"]
    assert (backbone["max_lr"], head["max_lr"]) == (PRETRAINED.lr, 20 * PRETRAINED.lr)
    shapes = [tuple(state["optimiser"]["state"][number]["exp_avg"].shape) for number in head["params"]]
    assert shapes == [(8, 1280), (8,), (3, 8), (3,)]
    pretrained = torch.load(IMAGENET_WEIGHTS, weights_only=True)
    statistics = {name: value for name, value in state["network"].items() if "running" in name}
    theirs = [value for name, value in pretrained.items() if "running" in name]
    assert all(torch.equal(ours, value) for ours, value in zip(statistics.values(), theirs, strict=True))


def test_settling_takes_the_mean_weights_and_a_new_head_for_them() -> None:
    torch.manual_seed(0)
    tuned = start(PRETRAINED)
    with torch.no_grad():
        for weight in tuned.backbone.parameters():
            weight += 0.01
    pretrained = start(PRETRAINED).backbone.state_dict()
    settled = settle(PRETRAINED, tuned, lit(8, 0), CPU, 0)
    for name, ours in settled.backbone.named_parameters():
        if not name.startswith("classifier."):
            torch.testing.assert_close(ours, pretrained[name] + 0.005, rtol=0, atol=1e-6)
    assert settled.backbone.classifier[1].weight.shape == (16, 1280)
    blank(PRETRAINED.spec).load_state_dict(settled.backbone.state_dict())


def test_a_head_learns_from_all_that_its_body_sees_and_is_calibrated_without_the_validation_photos() -> None:
    encoding, look = MultiLabel(LABELS), Preprocessing(size=SIDE, crop=1.0)
    linear = replace(HEADS["scenes"].spec, encoding=encoding, preprocessing=look)
    recipe = HeadRecipe(spec=linear, data=LABELLED.data, body="scenes-mlp", decay=0.1)
    data = ImageSet(lit(12, 0), lit(6, 1), {})
    network, held_out = fit_on_body(recipe, data, CPU)
    stored = safetensors.torch.load_file(WEIGHTS / "scenes-mlp.safetensors")
    for name, value in network.state_dict().items():
        assert name.startswith("classifier.") or torch.equal(value, stored[name].to(value.dtype)), name

    body = load(MODELS["scenes-mlp"]).network
    body.backbone.classifier = nn.Identity()
    train, validation = (body(images_of(split)) for split in (data.train, data.validation))
    known = torch.from_numpy(data.train.targets)
    expected = linear_head(train, known, 0.1)(validation)
    torch.testing.assert_close(torch.from_numpy(held_out), expected, rtol=0, atol=1e-2)
    both = torch.cat([train, validation]), torch.cat([known, torch.from_numpy(data.validation.targets)])
    expected = linear_head(*both, 0.1)(both[0])
    torch.testing.assert_close(network.classifier(both[0]), expected, rtol=0, atol=1e-2)
    blank(linear).load_state_dict(network.state_dict())


def test_a_schedule_may_be_laid_out_for_more_epochs_than_are_run(tmp_path: Path) -> None:
    trained(replace(CODED, epochs=2), tmp_path / "whole.pt")
    trained(replace(CODED, epochs=2, schedule=8), tmp_path / "cut.pt")
    whole, cut = (torch.load(tmp_path / f"{name}.pt", weights_only=True)["schedule"] for name in ("whole", "cut"))
    assert cut["total_steps"] == 4 * whole["total_steps"]
    assert cut["_last_lr"][0] > 5 * whole["_last_lr"][0]


def test_without_fresh_parameters_a_training_begins_at_random() -> None:
    torch.manual_seed(7)
    begun = start(CODED)
    torch.manual_seed(7)
    assert_equal_weights(begun, Classifier(blank(CODED.spec), CODED.spec.mean, CODED.spec.std))


# --- thresholds ----------------------------------------------------------------------------------------------------


def best_f1(logits: np.ndarray, present: np.ndarray) -> float:
    """The best F1 of any threshold between or outside of the logits, by trying them all."""
    z = np.sort(np.unique(logits))
    candidates = [z[0] - 1, *((z[1:] + z[:-1]) / 2), z[-1] + 1]
    return max(f1_score(present, logits > tau, zero_division=0.0) for tau in candidates)


@pytest.mark.parametrize("seed", range(3))
def test_each_threshold_has_the_best_f1_on_the_known_labels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.integers(-1, 2, (120, 4))
    logits = (rng.normal(size=(120, 4)) + 2 * (targets == 1) - rng.normal(size=4)).astype(np.float32)
    for tau, z, t in zip(thresholds(logits, targets), logits.T, targets.T, strict=True):
        sure = t >= 0
        assert (t == 1).sum() >= FEW
        assert f1_score(t[sure] == 1, z[sure] > tau) == pytest.approx(best_f1(z[sure], t[sure] == 1))


def test_a_threshold_lies_half_way_between_two_logits() -> None:
    z = np.arange(60, dtype=np.float32)[:, None]
    assert thresholds(z, (z >= 35).astype(int)) == (34.5,)


@pytest.mark.parametrize("few", [0, 1, FEW - 1, FEW])
def test_a_rare_label_takes_the_threshold_that_is_best_for_all_at_once(few: int) -> None:
    rng = np.random.default_rng(5)
    targets = rng.integers(-1, 2, (100, 3))
    targets[:, 1] = rng.permutation(np.where(np.arange(100) < few, 1, 0))
    logits = rng.normal(size=(100, 3)) + 2 * (targets == 1)
    found = thresholds(logits, targets)
    known = targets >= 0
    overall = best_f1(logits[known], targets[known] == 1)
    achieved = f1_score(targets[known] == 1, logits[known] > found[1])
    if few < FEW:
        assert achieved == pytest.approx(overall)
    else:
        assert achieved < overall - 1e-3
        assert f1_score(targets[:, 1], logits[:, 1] > found[1]) == pytest.approx(best_f1(logits[:, 1], targets[:, 1]))


def test_a_label_that_is_never_known_takes_the_common_threshold() -> None:
    z = np.repeat(np.arange(60.0)[:, None], 2, axis=1)
    targets = np.stack([np.arange(60) >= 35, np.full(60, -1)], axis=1)
    assert thresholds(z, targets) == (34.5, 34.5)


@pytest.mark.parametrize(
    ("logits", "present"),
    [
        ([2.0] * 40 + [1.0] * 40, [1, 0] * 20 + [1] * 25 + [0] * 15),
        (list(range(40)), [1] * 40),
    ],
    ids=["equal logits", "always present"],
)
def test_a_threshold_is_best_even_at_the_edges(logits: list[float], present: list[int]) -> None:
    z, t = np.array(logits, dtype=np.float32), np.array(present)
    (tau,) = thresholds(z[:, None], t[:, None])
    assert f1_score(t, z > tau) == pytest.approx(best_f1(z, t))


# --- finish --------------------------------------------------------------------------------------------------------

TRAINING = {"epochs": 2, "seed": 0, "minutes": 0.1, "machine": "a machine", "torch": "2"}


@pytest.fixture(scope="module", params=[CODED, LABELLED], ids=["code", "labels"])
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    recipe, folder = request.param, tmp_path_factory.mktemp("zoo")
    data = recipe.data(folder)
    network, _ = fit(recipe, data.train, CPU, 0, folder / "a.pt")
    spec = finish(recipe, network, data, TRAINING, folder / "weights")
    return recipe, network, data, spec, folder / "weights"


def from_disk(spec: ModelSpec, folder: Path) -> ModelSpec:
    file = folder / f"{spec.name}.safetensors"
    return read_card(file.with_suffix(".toml").read_text("utf-8"), spec.name, file)


def test_the_files_that_are_written_are_weights_and_a_card(finished: tuple[Any, ...]) -> None:
    *_, spec, folder = finished
    assert sorted(file.name for file in folder.iterdir()) == [f"{spec.name}.safetensors", f"{spec.name}.toml"]


def test_the_card_names_the_weights_by_their_digest(finished: tuple[Any, ...]) -> None:
    _, network, _, spec, folder = finished
    read_back = from_disk(spec, folder)
    assert read_back.sha256 == sha256((folder / f"{spec.name}.safetensors").read_bytes()).hexdigest()
    assert read_back.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert unavailable(read_back) == ""


def test_weights_are_halves_of_what_was_learned(finished: tuple[Any, ...]) -> None:
    _, network, _, spec, folder = finished
    stored = safetensors.torch.load_file(folder / f"{spec.name}.safetensors")
    learned = network.backbone.state_dict()
    assert stored.keys() == learned.keys()
    for name, value in stored.items():
        assert value.dtype in (torch.float16, torch.int64)
        torch.testing.assert_close(value.double(), learned[name].double(), rtol=2**-11, atol=2**-25)


def test_what_is_loaded_computes_what_was_trained(finished: tuple[Any, ...]) -> None:
    recipe, network, data, spec, folder = finished
    loaded = load(from_disk(spec, folder))
    test = next(iter(data.tests.values()))
    with torch.no_grad():
        expected = network(images_of(test))
    torch.testing.assert_close(torch.from_numpy(read(loaded, test)), expected, rtol=0.02, atol=0.02)
    assert type(loaded.spec.encoding) is type(recipe.spec.encoding)
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())


def test_the_card_states_what_is_computed_from_the_files(finished: tuple[Any, ...]) -> None:
    recipe, _, data, spec, folder = finished
    read_back = from_disk(spec, folder)
    assert read_back.scores == rounded(scores(recipe, load(read_back), data.tests))
    assert read_back.scores == spec.scores


def test_the_card_states_how_it_was_trained_and_on_how_much(finished: tuple[Any, ...]) -> None:
    _, _, data, spec, folder = finished
    tests = {f"test, {name}": len(split) for name, split in data.tests.items()}
    expected = {"pictures": {"train": 60, "validation": len(data.validation), **tests}, **TRAINING}
    assert tomllib.loads((folder / f"{spec.name}.toml").read_text("utf-8"))["training"] == expected


def test_the_scores_are_what_sklearn_and_counting_give(finished: tuple[Any, ...]) -> None:
    recipe, _, data, spec, folder = finished
    model = load(from_disk(spec, folder))
    found: dict[str, Any] = {}
    for name, split in data.tests.items():
        z = model.network(images_of(split)).numpy()
        if recipe is CODED:
            right = (np.tanh(z) @ BOOK.T).argmax(1) == split.targets
            found["accuracy"] = right.mean()
            assert spec.scores[f"per label, {name}"] == {
                label: {"accuracy": round(right[split.targets == k].mean(), 4), "pictures": 10}
                for k, label in enumerate(spec.encoding.labels)
            }
            continue
        precisions, known = {}, split.targets >= 0
        for j, label in enumerate(LABELS):
            t, sure = split.targets[:, j] == 1, known[:, j]
            precisions[label] = average_precision_score(t[sure], z[sure, j])
            assert spec.scores[f"per label, {name}"][label] == {
                "AP": round(precisions[label], 4),
                "F1": round(f1_score(t[sure], z[sure, j] > spec.encoding.thresholds[j]), 4),
                "photos": t.sum(),
            }
        found[f"mAP, {name}"] = np.mean([precisions[label] for label in recipe.judged[name]])
        found[f"F1, {name}"] = f1_score(split.targets[known] == 1, (z > np.array(spec.encoding.thresholds))[known])
    stated = {name: score for name, score in spec.scores.items() if not name.startswith("per label")}
    assert stated == pytest.approx(found, abs=5.1e-5)


def test_the_thresholds_are_the_best_on_the_validation_photos(finished: tuple[Any, ...]) -> None:
    recipe, _, data, spec, folder = finished
    read_back = from_disk(spec, folder)
    if recipe is CODED:
        assert "thresholds" not in read_back.encoding.constants
        return
    assert read_back.encoding.thresholds == spec.encoding.thresholds
    z, targets = read(load(read_back), data.validation), data.validation.targets
    for j, tau in enumerate(read_back.encoding.thresholds):
        sure = targets[:, j] >= 0
        t = targets[sure, j] == 1
        assert f1_score(t, z[sure, j] > tau) == pytest.approx(best_f1(z[sure, j], t))


def test_scores_of_labels_that_no_test_photo_shows_are_left_out() -> None:
    torch.manual_seed(0)
    spec = replace(LABELLED.spec, weights=safetensors.torch.save(blank(LABELLED.spec).state_dict()))
    photos = lit(10, 0)
    photos.targets[:, 1] = 0
    found = scores(replace(LABELLED, judged={"lamps": ("red",)}), load(spec), {"lamps": photos})
    assert found["per label, lamps"].keys() == {"red", "blue"}
    assert found["mAP, lamps"] == found["per label, lamps"]["red"]["AP"]


@pytest.mark.parametrize("how", ["a bit", "the end", "all of it"])
def test_damaged_weights_are_refused(finished: tuple[Any, ...], tmp_path: Path, how: str) -> None:
    *_, spec, folder = finished
    content = bytearray((folder / f"{spec.name}.safetensors").read_bytes())
    content[-1] ^= 1
    damaged = {"a bit": bytes(content), "the end": bytes(content[:-100]), "all of it": b""}[how]
    file = tmp_path / f"{spec.name}.safetensors"
    file.write_bytes(damaged)
    broken = replace(from_disk(spec, folder), weights=file)
    with pytest.raises(WeightsError, match=rf"damaged: {file.name}"):
        load(broken)
    assert "damaged" in unavailable(broken)


def test_missing_weights_are_refused(finished: tuple[Any, ...], tmp_path: Path) -> None:
    *_, spec, folder = finished
    with pytest.raises(WeightsError, match=rf"missing: expected {spec.name}.safetensors"):
        load(replace(from_disk(spec, folder), weights=tmp_path / f"{spec.name}.safetensors"))


def test_weights_that_are_damaged_after_a_first_look_are_refused_once_looked_at_again(tmp_path: Path) -> None:
    """A digest is taken once in a process: the app does not read its weights anew for every page."""
    file = tmp_path / "a.safetensors"
    file.write_bytes(b"a")
    digest = sha256(b"a").hexdigest()
    check_weights(file, digest)
    file.write_bytes(b"b")
    check_weights.cache_clear()
    with pytest.raises(WeightsError, match="damaged"):
        check_weights(file, digest)


def test_weights_of_another_network_do_not_fit() -> None:
    weights = safetensors.torch.save(blank(LABELLED.spec).state_dict())
    with pytest.raises(WeightsError, match="do not fit vgg"):
        load(replace(CODED.spec, weights=weights))


def test_a_report_says_whether_every_goal_is_reached(capsys: pytest.CaptureFixture[str]) -> None:
    found = {"accuracy": 0.91, "per label, toy": {"red": {"accuracy": 0.5, "pictures": 4}}}
    assert report(CODED, found)
    assert not report(CODED, {**found, "accuracy": 0.89})
    printed = capsys.readouterr().out
    for words in ("toy-code: Toy", "0.9100", "at least 0.9", "red", "0.500", "pictures 4"):
        assert words in printed


def test_the_command_sets_each_figure_beside_that_of_the_card_and_names_those_that_differ(
    finished: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, _, _, spec, _ = finished
    monkeypatch.setattr(sys, "argv", ["evaluate", "--all", "--data", ".", "--device", "cpu"])
    monkeypatch.setattr(evaluate, "TASKS", {spec.name: replace(recipe, goals={})})

    def printed(card: ModelSpec) -> list[str]:
        monkeypatch.setattr(evaluate, "MODELS", {each.name: each for each in (IMAGENET, card)})
        assert evaluate.main() == 0
        return capsys.readouterr().out.strip().splitlines()

    name, score = next((name, score) for name, score in spec.scores.items() if isinstance(score, float))
    tables = [table for table in spec.scores.values() if isinstance(table, dict)]
    count = len(spec.scores) - len(tables) + sum(len(figures) for table in tables for figures in table.values())
    lines = printed(spec)
    assert lines[1] == "  No test pictures are here, and its card states no figures."
    assert f"  {name:36} {score:.4f} ({score:.4f})" in lines
    assert lines[-1] == f"  All {count} figures are those of its card."
    lines = printed(replace(spec, scores={**spec.scores, name: score - 0.0001}))
    assert f"  {name:36} {score:.4f} ({score - 0.0001:.4f})" in lines
    assert lines[-1] == f"  Not as on its card: {name}."


def test_scores_are_rounded_to_four_places_at_any_depth() -> None:
    found = {"a": 0.123456, "b": {"c": {"d": 0.99999, "e": 7}}}
    assert rounded(found) == {"a": 0.1235, "b": {"c": {"d": 1.0, "e": 7}}}
