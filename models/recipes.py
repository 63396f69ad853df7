"""How each model of the zoo is trained: its data, network, loss and schedule. ``python -m models.train`` follows these.

Photographs are drawn at random sizes and crops; small pictures are shifted by a few pixels. All of it is seeded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torch.nn import functional

import jma_core
from jma_core.codes import hadamard_codebook
from models.adversaries import Adversary, JmaStep, Loss, ProjectedGradients
from models.cards import ModelSpec
from models.data import ImageSet, Split, cifar10, corel5k, corel_words, gtsrb, mnist, voc2007
from models.encodings import ECOC, MultiLabel, OneHot
from models.photos import Preprocessing
from models.registry import ASSETS


class Sampler(Protocol):
    """Draws training images of a split."""

    def __call__(self, split: Split, index: np.ndarray, rng: np.random.Generator) -> Tensor:
        """The images (k, 3, side, side) in [0, 1] of these numbers, each altered at random."""
        ...


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a model is to learn, and how well."""

    spec: ModelSpec
    """All of the model but its weights."""
    data: Callable[[Path], ImageSet]
    judged: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For multi-label: whose average precisions are averaged into mAP, for each test set; all if it is empty."""
    goals: Mapping[str, float] = field(default_factory=dict)
    """What its scores must reach on the test pictures."""


@dataclass(frozen=True, kw_only=True)
class Recipe(Task):
    """How it learns that, with AdamW and a one-cycle schedule."""

    sampler: Sampler
    loss: Loss
    epochs: int
    schedule: int = 0
    """Epochs that the learning rate's schedule is laid out for, where it is cut short."""
    lr: float
    """Peak learning rate."""
    fresh: str = ""
    """How the names of the parameters begin that start at random on pretrained ones, and learn twenty times faster."""
    begins: str = ""
    """A model of the zoo of the same network, on whose weights it begins."""
    adversary: Adversary | None = None
    """What alters the sampler's images."""
    batch: int = 250
    weight_decay: float = 0.05


@dataclass(frozen=True, kw_only=True)
class HeadRecipe(Task):
    """A linear head on the features of a model of the zoo, which stay as they are."""

    body: str
    decay: float
    """What its squared weights cost (``linear_head``): chosen on the validation photographs, before it learns these."""


# --- losses --------------------------------------------------------------------------------------------------------


def hinge_and_logistic(codebook: np.ndarray) -> Loss:
    """mean over bits of max(0, 1 - c_b tanh z_b) + log(1 + exp(-2 c_b z_b)).

    The first term is the loss of section VI-A of the paper and of Verma and Swami 2019. Its gradient vanishes where
    tanh is saturated on the wrong side; the second, the log-likelihood of the same tanh, still pulls there.
    """
    codewords = torch.tensor(codebook, dtype=torch.float32)

    def loss(z: Tensor, targets: Tensor) -> Tensor:
        wanted = codewords.to(z.device)[targets] * z
        return (functional.relu(1 - wanted.tanh()) + functional.softplus(-2 * wanted)).mean()

    return loss


def logistic(z: Tensor, targets: Tensor) -> Tensor:
    """The logistic loss, summed over the known labels. Unknown labels (-1) have no term."""
    each = functional.binary_cross_entropy_with_logits(z, (targets == 1).float(), reduction="none")
    return (each * (targets >= 0)).sum() / len(z)


# --- samplers ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Jitter:
    """Small pictures, moved by whole pixels, and where asked flipped, turned, zoomed, and lit otherwise.

    Each amount is the most that is drawn, to either side. What comes in over the border is its mirror image.
    """

    shift: int
    """Pixels."""
    flip: bool = False
    turn: float = 0.0
    """Radians."""
    zoom: float = 0.0
    """Natural logarithm of the scale."""
    light: float = 0.0
    """Base-2 logarithm of the factor on pixel values."""

    def __call__(self, split: Split, index: np.ndarray, rng: np.random.Generator) -> Tensor:
        pictures = np.stack([np.asarray(split.photos[int(number)]) for number in index])
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        images = self._shifted(images, rng)
        if self.turn or self.zoom:
            images = self._turned(images, rng)
        return (images * 2 ** self._draw(rng, self.light, len(index))[:, None, None, None]).clamp(0, 1)

    @staticmethod
    def _draw(rng: np.random.Generator, most: float, count: int) -> Tensor:
        return torch.from_numpy(rng.uniform(-most, most, count)).float()

    def _shifted(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        count, side = len(images), images.shape[-1]
        padded = functional.pad(images, [self.shift] * 4, mode="reflect")
        rows, columns = (
            torch.from_numpy(rng.integers(0, 2 * self.shift + 1, (count, 1))) + torch.arange(side) for _ in range(2)
        )
        if self.flip:
            columns = torch.where(torch.from_numpy(rng.random((count, 1)) < 0.5), columns.flip(1), columns)
        # The slice between the indices puts the channels last.
        drawn = padded[torch.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        return drawn.permute(0, 3, 1, 2)

    def _turned(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        angle, zoom = self._draw(rng, self.turn, len(images)), self._draw(rng, self.zoom, len(images)).exp()
        cos, sin, zero = angle.cos() * zoom, angle.sin() * zoom, torch.zeros(len(images))
        maps = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
        grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
        return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


@dataclass(frozen=True)
class RandomCrops:
    """Photographs: 65 to 100 % of their width and of their height, squeezed into a square, half of them flipped.

    Every second one is blurred, so that a network which learns from small photographs reads sharp ones as well.
    """

    side: int

    def __call__(self, split: Split, index: np.ndarray, rng: np.random.Generator) -> Tensor:
        pictures = np.stack([self._draw(split.photos[int(number)], rng) for number in index])
        return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255

    def _draw(self, photo: Image.Image, rng: np.random.Generator) -> np.ndarray:
        width, height = rng.uniform(0.65, 1, 2) * photo.size
        left, top = rng.uniform(0, 1, 2) * (photo.size[0] - width, photo.size[1] - height)
        box = (left, top, left + width, top + height)
        crop = photo.resize((self.side, self.side), Image.Resampling.BICUBIC, box)
        if rng.random() < 0.5:
            crop = crop.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.5)))
        if rng.random() < 0.5:
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.clip(np.asarray(crop) * 2 ** rng.uniform(-0.3, 0.3), 0, 255).astype(np.uint8)


# --- the zoo -------------------------------------------------------------------------------------------------------

OBJECT_WORDS = (
    *("water", "people", "mountain", "flowers", "snow", "street", "plane", "jet", "bear", "birds", "beach"),
    *("boats", "cars", "bridge", "ruins", "statue", "horses", "cat", "tiger", "train", "coral", "sun"),
)
"""The 22 words of Corel-5k that name a picture's subject."""
SCENES = (*OBJECT_WORDS, "bus", "motorbike")
WORDS = tuple((ASSETS / "labels/corel-words.txt").read_text("utf-8").splitlines())
"""The 80 most frequent words of Corel-5k: each on 47 of its training photographs or more."""

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
GTSRB = (
    "limit 20",
    "limit 30",
    "limit 50",
    "limit 60",
    "limit 70",
    "limit 80",
    "end of limit 80",
    "limit 100",
    "limit 120",
    "no overtaking",
    "no overtaking by lorries",
    "right of way at next crossing",
    "priority road",
    "give way",
    "stop",
    "no vehicles",
    "no lorries",
    "no entry",
    "danger",
    "bend to the left",
    "bend to the right",
    "double bend",
    "uneven road",
    "slippery road",
    "road narrows on the right",
    "road works",
    "traffic lights",
    "pedestrians",
    "children crossing",
    "bicycles crossing",
    "ice or snow",
    "wild animals",
    "end of all limits",
    "turn right ahead",
    "turn left ahead",
    "ahead only",
    "ahead or right",
    "ahead or left",
    "keep right",
    "keep left",
    "roundabout",
    "end of no overtaking",
    "end of no overtaking by lorries",
)
"""The 43 classes, as numbered in the data."""
BIGGEST_32 = (*range(1, 19), 20, 22, 23, 25, 26, 28, 30, 31, 33, 34, 35, 36, 38, 40)
"""The 32 classes of GTSRB with the most training pictures."""


def codebook(classes: int, bits: int) -> np.ndarray:
    """Hadamard codewords, every fourth one negated: as far apart as before, and no bit is the same for all classes."""
    codewords = hadamard_codebook(classes, bits)
    codewords[3::4] *= -1
    return codewords


def words(folder: Path) -> ImageSet:
    """Corel-5k seen through the labels of WORDS."""
    return corel_words(folder).split(WORDS)


def scenes(folder: Path) -> ImageSet:
    """Corel-5k and VOC 2007 as one, seen through the labels of SCENES."""
    return corel5k(folder).split(SCENES) + voc2007(folder).split(SCENES)


GREY = (0.5, 0.5, 0.5)
QUARTER = (0.25, 0.25, 0.25)
vgg = partial(ModelSpec, network="vgg", preprocessing=Preprocessing(size=32, crop=1.0), mean=GREY, std=QUARTER)
SIGN_JITTER = Jitter(shift=3, turn=0.2, zoom=0.15, light=0.8)
CITE_GTSRB = "free; for the pictures cite Stallkamp et al. 2012"

LITE0 = "timm:tf_efficientnet_lite0"

SCENES_MLP_RECIPE = Recipe(
    spec=ModelSpec(
        name="scenes-mlp",
        title="Scenes, 24 labels, MLP head",
        encoding=MultiLabel(SCENES),
        network="lite0-mlp",
        options={"hidden": 512, "heads": 3},
        preprocessing=Preprocessing(squash=True),
        summary="Says which of the 24 things of Scenes a photo shows, a little better, through a small network with a "
        "ReLU: to see what the head has to do with flipping many labels at once.",
        data="Corel-5k (22 object words) and PASCAL VOC 2007 (a selection of 1,425 photos), on ImageNet's weights",
        licence="for research and teaching: the photos carry no open licence; the weights it began with are Apache-2.0",
    ),
    data=scenes,
    sampler=RandomCrops(192),
    loss=logistic,
    epochs=4,
    schedule=7,
    lr=6e-5,
    fresh="classifier.",
    batch=32,
    weight_decay=0.1,
    judged={"Corel-5k": OBJECT_WORDS, "VOC 2007": ("bus", "cars", "cat", "people", "train")},
    goals={"mAP, Corel-5k": 0.85, "mAP, VOC 2007": 0.94},
)
CIFAR10_RECIPE = Recipe(
    spec=vgg(
        name="cifar10-ecoc16",
        title="CIFAR-10, 16-bit code",
        encoding=ECOC(CIFAR10, codebook(10, 16)),
        options={"bottom": [[24, 64], [64, 192]], "width": 32, "hidden": 32, "branches": 8},
        summary="Tells ten animals and vehicles apart in pictures of 32 × 32 pixels, by a Hadamard code of 16 bits.",
        samples="cifar10",
        data="CIFAR-10",
        licence="free; for the pictures cite Krizhevsky 2009",
    ),
    data=cifar10,
    sampler=Jitter(shift=2, flip=True),
    loss=hinge_and_logistic(codebook(10, 16)),
    epochs=20,
    lr=5e-3,
    goals={"accuracy": 0.9},
)
GTSRB_ONEHOT_RECIPE = Recipe(
    spec=vgg(
        name="gtsrb-onehot",
        title="Traffic signs, 43 classes",
        encoding=OneHot(GTSRB),
        options={"bottom": [[32, 32], [64, 64]], "width": 128, "hidden": 128},
        summary="Names one of 43 German traffic signs in a picture of 32 × 32 pixels.",
        samples="gtsrb",
        data="GTSRB (half of its frames)",
        licence=CITE_GTSRB,
    ),
    data=gtsrb,
    sampler=SIGN_JITTER,
    loss=functional.cross_entropy,
    epochs=12,
    lr=3e-3,
    batch=100,
    goals={"accuracy": 0.985},
)
GTSRB_ECOC_RECIPE = Recipe(
    spec=vgg(
        name="gtsrb-ecoc32",
        title="Traffic signs, 32-bit code",
        encoding=ECOC(tuple(GTSRB[number] for number in BIGGEST_32), codebook(32, 32)),
        options={"bottom": [[32, 32], [64, 64]], "width": 16, "hidden": 16, "branches": 16},
        summary="Tells the 32 most frequent German traffic signs apart by a Hadamard code of 32 bits.",
        samples="gtsrb",
        data="GTSRB (half of its frames), the 32 classes with the most pictures",
        licence=CITE_GTSRB,
    ),
    data=partial(gtsrb, classes=BIGGEST_32),
    sampler=SIGN_JITTER,
    loss=hinge_and_logistic(codebook(32, 32)),
    epochs=15,
    lr=3e-3,
    batch=100,
    goals={"accuracy": 0.97},
)
MNIST_RECIPE = Recipe(
    spec=vgg(
        name="mnist-ecoc16",
        title="Handwritten digits, 16-bit code",
        encoding=ECOC(tuple("0123456789"), codebook(10, 16)),
        options={"bottom": [[16, 16]], "width": 8, "hidden": 16, "branches": 8, "side": 28, "grey": True},
        preprocessing=Preprocessing(size=28, crop=1.0),
        mean=(0.13, 0.13, 0.13),
        std=(0.31, 0.31, 0.31),
        summary="Reads a digit, handwritten in white on black, in a picture of 28 × 28 pixels, by a 16-bit code.",
        samples="mnist",
        data="MNIST",
        licence="free; for the pictures cite LeCun, Cortes and Burges",
    ),
    data=mnist,
    sampler=Jitter(shift=2, turn=0.15, zoom=0.1),
    loss=hinge_and_logistic(codebook(10, 16)),
    epochs=6,
    lr=3e-3,
    goals={"accuracy": 0.99},
)
SCENES_RECIPE = HeadRecipe(
    spec=replace(
        SCENES_MLP_RECIPE.spec,
        name="scenes",
        title="Scenes, 24 labels",
        network=LITE0,
        options={},
        summary="Says which of 24 things a photo shows, several at once: people, cars, animals, water, snow and more.",
        data="The photos of Scenes with an MLP head, on its features; the head learned from the validation photos too",
    ),
    data=scenes,
    body="scenes-mlp",
    decay=0.05,
    judged=SCENES_MLP_RECIPE.judged,
    goals={"mAP, Corel-5k": 0.84, "mAP, VOC 2007": 0.94},
)
COREL_WORDS_RECIPE = HeadRecipe(
    spec=replace(
        SCENES_RECIPE.spec,
        name="corel-words",
        title="Corel-5k, 80 words",
        encoding=MultiLabel(WORDS),
        summary="Says which of the 80 most frequent words of Corel-5k a photo would be given: for attacks on many "
        "labels. Many words are missing from the photos that it learned from and is judged on.",
        data="Corel-5k, on the features of Scenes with an MLP head; the head learned from the validation photos too",
    ),
    data=words,
    body="scenes-mlp",
    decay=0.05,
)
GTSRB_ROBUST_RECIPE = replace(
    GTSRB_ONEHOT_RECIPE,
    spec=replace(
        GTSRB_ONEHOT_RECIPE.spec,
        name="gtsrb-onehot-robust",
        title="Traffic signs, 43 classes, robust",
        summary="Names the same 43 traffic signs, but has learned them from attacked pictures: how much further must "
        "an attack go?",
        data="GTSRB (half of its frames), each picture attacked before it was learned, begun on gtsrb-onehot",
    ),
    begins="gtsrb-onehot",
    adversary=JmaStep(encoding=jma_core.OneHot(43), eps=0.25, rows=3),
    epochs=3,
    lr=2e-3,
    goals={"accuracy": 0.97},
)
CIFAR10_ROBUST_RECIPE = replace(
    CIFAR10_RECIPE,
    spec=replace(
        CIFAR10_RECIPE.spec,
        name="cifar10-ecoc16-robust",
        title="CIFAR-10, 16-bit code, robust",
        summary="Tells the same ten things apart by the same code, but has learned them from attacked pictures: how "
        "much further must an attack go?",
        data="CIFAR-10, each picture attacked before it was learned, begun on cifar10-ecoc16",
    ),
    begins="cifar10-ecoc16",
    adversary=JmaStep(encoding=jma_core.ECOC(codebook(10, 16)), eps=0.5, rows=3),
    epochs=1,
    lr=2e-3,
    goals={"accuracy": 0.74},
)
RECIPES = {
    recipe.spec.name: recipe
    for recipe in (
        *(SCENES_MLP_RECIPE, CIFAR10_RECIPE, GTSRB_ONEHOT_RECIPE, GTSRB_ECOC_RECIPE, MNIST_RECIPE),
        *(GTSRB_ROBUST_RECIPE, CIFAR10_ROBUST_RECIPE),
    )
}
HEADS = {recipe.spec.name: recipe for recipe in (SCENES_RECIPE, COREL_WORDS_RECIPE)}
TASKS: dict[str, Task] = {**RECIPES, **HEADS}
"""Every model that is trained here."""


def against_pgd(recipe: Recipe) -> Recipe:
    """A recipe with a step of JMA, but against PGD of two steps: as many passes as that step with three rows."""
    assert isinstance(recipe.adversary, JmaStep)
    pgd = ProjectedGradients(loss=recipe.loss, eps=recipe.adversary.eps, steps=2)
    return replace(recipe, spec=replace(recipe.spec, name=f"{recipe.spec.name}-pgd"), adversary=pgd)


def at_radius(recipe: Recipe, eps: float) -> Recipe:
    """A recipe whose adversary goes so far."""
    assert isinstance(recipe.adversary, JmaStep | ProjectedGradients)
    spec = replace(recipe.spec, name=f"{recipe.spec.name}-{eps:g}")
    return replace(recipe, spec=spec, adversary=replace(recipe.adversary, eps=eps))


UNSHIPPED = {
    recipe.spec.name: recipe
    for recipe in (
        *map(against_pgd, (GTSRB_ROBUST_RECIPE, CIFAR10_ROBUST_RECIPE)),
        *(at_radius(recipe, 0.25) for recipe in (CIFAR10_ROBUST_RECIPE, against_pgd(CIFAR10_ROBUST_RECIPE))),
    )
}
"""Recipes whose weights do not ship: for comparison, by ``bench.robust``, which also chose CIFAR-10's radius of two."""
