"""From a request to an attack, and from its end to a file that is read as wanted, on a small shipped network."""

from __future__ import annotations

import io
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import scipy.fft
import torch
from PIL import Image

from jma_core import run
from lab.photos.samples import samples
from lab.pictures import to_picture
from lab.request import OFFERED, Canvas, Request, Settings
from lab.runs.launch import as_file, attacked, gradient, launch, mask, pool
from lab.stencil import PRESETS, written
from models.loaders import LoadedModel, load, to_tensor
from models.photos import Preprocessing
from models.registry import ASSETS, MODELS

MIDDLE = (0.25, 0.25, 0.75, 0.75)
CANVASES = [Canvas(), Canvas(native=True), Canvas(region=MIDDLE), Canvas(native=True, region=MIDDLE)]
PAINTED = Canvas(native=True, painted=written(PRESETS["Centre"]))


@pytest.fixture(scope="module")
def signs() -> LoadedModel:
    return load(MODELS["gtsrb-onehot"])


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    sign = Image.open(ASSETS / "samples" / "gtsrb" / "keep_right.png").convert("RGB")
    return sign.resize((70, 60), Image.Resampling.LANCZOS)


def seen(model: LoadedModel, picture: np.ndarray) -> int:
    with torch.no_grad():
        return int(model.network(to_tensor(picture)[None]).argmax())


@pytest.mark.parametrize("canvas", [CANVASES[0], CANVASES[-1]], ids=["all", "a part at its own size"])
def test_the_gradient_of_a_target_leads_towards_it(signs: LoadedModel, photo: Image.Image, canvas: Canvas) -> None:
    """By differences of the target's log-likelihood -log(1 + exp(z_i - z_t)), summed over all others i."""
    picture = np.asarray(photo) if canvas.native else signs.spec.preprocessing(photo)
    request, size = Request(signs.spec.name, "", 14, Settings(), canvas), picture.shape[1::-1]
    uphill, x = torch.from_numpy(gradient(request, signs, picture)).double(), to_tensor(picture).double()
    network = deepcopy(attacked(request, signs, size)).double()
    free = mask(request, size)
    assert free is None or not uphill[:, ~free].any()

    def likelihood(image: torch.Tensor) -> float:
        with torch.no_grad():
            z = network(image[None])[0]
        return float(-torch.log1p(torch.exp(z - z[14])).sum() + np.log(2))

    length = 1e-5
    ahead, behind = (likelihood(x + sign * length * uphill / uphill.norm()) for sign in (1, -1))
    assert (ahead - behind) / (2 * length) == pytest.approx(float(uphill.norm()), rel=1e-3)


def in_full(attack: str) -> list[Any]:
    """It on every canvas: on the last, which is the hardest, always."""
    return [pytest.param(attack, canvas, marks=pytest.mark.slow) for canvas in CANVASES[:-1]] + [(attack, CANVASES[-1])]


@pytest.mark.parametrize(
    ("attack", "canvas"),
    [*(("lazy", canvas) for canvas in (*CANVASES, PAINTED)), *in_full("boxed"), *in_full("refined")],
    ids=str,
)
def test_an_attack_ends_as_a_file_that_is_read_as_wanted(
    signs: LoadedModel, photo: Image.Image, canvas: Canvas, attack: str
) -> None:
    preprocessing = signs.spec.preprocessing
    small = preprocessing(photo)
    target = (seen(signs, small) + 1) % 43
    request = Request(signs.spec.name, "", target, Settings.of(attack, **OFFERED[attack].within(100)), canvas)
    picture = np.asarray(photo) if canvas.native else small
    result = run(launch(request, signs, picture))
    assert result.success
    saved = as_file(request, signs, result)
    assert saved.success
    file = io.BytesIO()
    Image.fromarray(to_picture(saved.image)).save(file, "PNG")
    opened = Image.open(file)
    np.testing.assert_array_equal(np.asarray(opened, dtype=np.float32).transpose(2, 0, 1) / 255, saved.image)
    assert seen(signs, preprocessing(opened) if canvas.native else np.asarray(opened)) == target
    allowed = mask(request, picture.shape[1::-1])
    changed = (saved.image != result.original).any(0)
    assert changed.any()
    assert not changed[~allowed.numpy()].any()


@pytest.mark.parametrize(
    "canvas",
    [CANVASES[0], *(pytest.param(canvas, marks=pytest.mark.slow) for canvas in CANVASES[1:-1]), CANVASES[-1]],
    ids=str,
)
def test_the_pool_of_an_attack_that_needs_one_are_the_sample_photos(
    signs: LoadedModel, photo: Image.Image, canvas: Canvas
) -> None:
    """Their mean logits are what the first gradient leads to."""
    preprocessing = signs.spec.preprocessing
    picture = np.asarray(photo) if canvas.native else preprocessing(photo)
    target = seen(signs, preprocessing(Image.open(ASSETS / "samples" / "gtsrb" / "stop.png").convert("RGB")))
    request = Request(signs.spec.name, "", target, Settings.of("lots"), canvas)
    handed = pool(request, signs, picture.shape[1::-1])
    assert handed.shape == (len(samples("gtsrb")), 3, *picture.shape[:2])
    read = [seen(signs, preprocessing(Image.fromarray(to_picture(each.numpy())))) for each in handed]
    assert target in read
    result = run(launch(request, signs, picture))
    assert result.success
    assert result.forward == 1 + len(handed) + result.n_it


def test_a_mask_is_as_high_and_wide_as_the_picture() -> None:
    allowed = mask(Request("", "", 0, Settings(), Canvas(region=(0.0, 0.5, 0.25, 1.0))), (8, 4))
    expected = np.zeros((4, 8), bool)
    expected[2:, :2] = True
    np.testing.assert_array_equal(allowed, expected)
    assert mask(Request("", "", 0, Settings()), (8, 4)).all()


def test_an_attack_is_held_to_the_waves_that_are_asked_for(signs: LoadedModel, photo: Image.Image) -> None:
    picture = signs.spec.preprocessing(photo) // 2 + 64  # so grey that nothing is clipped
    target = (seen(signs, picture) + 1) % 43
    request = Request(signs.spec.name, "", target, Settings(), Canvas(region=MIDDLE, period=4.0))
    result = run(launch(request, signs, picture))
    assert result.success
    delta = (result.image - result.original)[:, 8:24, 8:24]
    spectrum = scipy.fft.dctn(delta, axes=(1, 2), norm="ortho")
    low = np.hypot(*np.indices((16, 16))) / 32 <= 1 / 4
    assert np.abs(spectrum[:, ~low]).max() < 1e-4 * np.abs(spectrum[:, low]).max()
    pull = gradient(request, signs, picture)
    assert np.abs(scipy.fft.dctn(pull[:, 8:24, 8:24], axes=(1, 2))[:, ~low]).max() < 1e-4 * np.abs(pull).max()


def test_steps_are_as_long_as_the_photo_is_large(signs: LoadedModel, photo: Image.Image) -> None:
    """A step of 0.1 in the picture of 32 x 32 is one of 0.1 * 60 / 32 in the photo, less where pixels are clipped."""
    assert isinstance(signs.spec.preprocessing, Preprocessing)
    target = (seen(signs, signs.spec.preprocessing(photo)) + 1) % 43
    request = Request(signs.spec.name, "", target, Settings.of(step=0.1, max_iter=1), Canvas(native=True))
    result = run(launch(request, signs, np.asarray(photo)))
    zoom = signs.spec.preprocessing.zoom(photo.size)
    assert 0.9 * 0.1 * zoom <= result.steps[0].moved <= 0.1 * zoom * (1 + 1e-6)
