"""The differentiable preprocessing is Pillow's, with right derivatives, and photos attacked through it stay so."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from jma_core import Network, jma, refined, run
from models.loaders import LoadedModel, to_tensor
from models.photos import Preprocessing
from models.registry import ASSETS, MODELS
from models.resize import Resize, Saved
from tests.cases import named

INTERPOLATIONS = [name.lower() for name in Image.Resampling.__members__]
SIZES = [(451, 300), (300, 451), (97, 61), (640, 64), (31, 500), (80, 90), (96, 96), (40, 40)]
SMALL = Preprocessing(size=12, crop=0.8)


def noise(size: tuple[int, int]) -> Image.Image:
    """Half of it black and white, which overshoots most."""
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    pixels[:, : size[0] // 2] = 255 * (pixels[:, : size[0] // 2] > 127)
    return Image.fromarray(pixels)


def levels_off(preprocessing: Preprocessing, photo: Image.Image) -> Any:
    """How far the two pictures of a photo are apart, in levels of 8 bits."""
    seen = Resize(preprocessing, photo.size)(to_tensor(np.asarray(photo))[None])[0]
    return np.abs(255 * seen.permute(1, 2, 0).numpy() - preprocessing(photo))


@pytest.mark.parametrize("shape", [{}, {"squash": True}, {"pad": True}], ids=["crop", "squash", "pad"])
@pytest.mark.parametrize("name", INTERPOLATIONS)
def test_it_is_pillows_up_to_its_rounding(name: str, shape: dict[str, bool]) -> None:
    for size in SIZES:
        off = levels_off(Preprocessing(size=48, interpolation=name, **shape), noise(size))
        with named(size):
            assert off.max() <= (1e-4 if name == "nearest" else 1.5)
            assert off.mean() <= 0.5  # one rounding leaves 0.25, and two of ties nearly twice that


@pytest.mark.parametrize("file", ["espresso.png", "statue.jpg"])
@pytest.mark.parametrize("name", ["scenes", "imagenet-onehot"])
def test_a_photo_is_seen_as_the_zoos_models_see_it(file: str, name: str) -> None:
    off = levels_off(MODELS[name].preprocessing, Image.open(ASSETS / "samples" / "photos" / file).convert("RGB"))
    assert off.max() <= 1.5
    assert off.mean() <= 0.35


def test_a_picture_of_the_right_size_is_left_as_it_is() -> None:
    photo = noise((32, 32))
    assert levels_off(Preprocessing(size=32, crop=1.0), photo).max() <= 1e-4


def test_white_and_black_keep_their_gradient() -> None:
    """In float32 the resampled white is not exactly 1."""
    for colour in (0.0, 1.0):
        photo = torch.full((1, 3, 37, 53), colour, requires_grad=True)
        Resize(SMALL, (53, 37))(photo).sum().backward()
        assert photo.grad is not None
        np.testing.assert_allclose(photo.grad.sum(), 3 * 12 * 12, rtol=1e-5)


@pytest.fixture(scope="module")
def f() -> nn.Module:
    """A smooth network of pictures of 12 x 12 behind the resizing of photos of 53 x 37, in float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(400, 5)]
        return nn.Sequential(Resize(SMALL, (53, 37)), *layers).double().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def photo() -> Tensor:
    return to_tensor(np.asarray(noise((53, 37)))).double() * 0.8 + 0.1


def test_gradients_are_finite_differences(f: nn.Module, photo: Tensor) -> None:
    gradient = Network(f).descend(photo, lambda z: z.square().sum())[1]
    assert gradient.shape == photo.shape
    rng, h = torch.Generator().manual_seed(1), 1e-6
    for _ in range(5):
        u = torch.randn(photo.shape, generator=rng, dtype=torch.float64)
        above, below = (f((photo + s * h * u)[None])[0].square().sum() for s in (1, -1))
        assert float((above - below) / (2 * h)) == pytest.approx(float((gradient * u).sum()), rel=1e-5)


def test_forward_mode_is_the_gradient_rows_times_the_perturbation(f: nn.Module, photo: Tensor) -> None:
    network, delta = Network(f), torch.randn(photo.shape, dtype=torch.float64, generator=torch.Generator())
    rows = network.differentiate(photo)[1]
    jacobian = rows(torch.eye(5))
    assert network.chunk is not None
    assert network.chunk >= 5  # so that they were vmapped
    np.testing.assert_allclose(jacobian @ delta.flatten(), network.push(photo, delta), rtol=1e-9)
    np.testing.assert_allclose(jacobian[2:3], rows(torch.eye(5)[2:3]), rtol=1e-9, atol=1e-12)


def test_pixels_that_the_crop_drops_have_no_gradient() -> None:
    photo = torch.full((1, 3, 40, 400), 0.5, requires_grad=True)
    Resize(SMALL, (400, 40))(photo).square().sum().backward()
    assert photo.grad is not None
    used = photo.grad[0].abs().sum((0, 1)).nonzero().flatten()
    assert 180 - 7 <= used.min() <= used.max() < 220 + 7  # bicubic reaches two of 15 rows of 40 / 15 pixels further


def test_photos_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="expected photos of 53 x 37 pixels, got 37 x 53"):
        Resize(SMALL, (53, 37))(torch.zeros(1, 3, 53, 37))


@pytest.mark.parametrize("squash", [False, True])
def test_a_saved_photo_is_seen_as_its_file_is(squash: bool) -> None:
    preprocessing, photo = Preprocessing(size=24, squash=squash), noise((97, 61))
    x = to_tensor(np.asarray(photo))[None]
    for moved in (x, (x + 0.3 / 255).clamp(0, 1)):  # less than half a level
        seen = Saved(preprocessing, photo.size, nn.Identity())(moved)
        np.testing.assert_array_equal(seen[0].permute(1, 2, 0) * 255, preprocessing(photo))


def test_the_gradient_of_a_saved_photo_is_that_of_the_resize() -> None:
    photo = to_tensor(np.asarray(noise((53, 37))))[None]
    weights = torch.randn(3, 12, 12, generator=torch.Generator().manual_seed(0))

    def gradient(f: nn.Module) -> Tensor:
        x = photo.clone().requires_grad_()
        return torch.autograd.grad((f(x) * weights).sum(), x)[0]

    torch.testing.assert_close(gradient(Saved(SMALL, (53, 37), nn.Identity())), gradient(Resize(SMALL, (53, 37))))


@pytest.mark.parametrize("attack", [jma, partial(refined, steps=60)])
def test_a_photo_attacked_at_its_own_size_is_misread_from_its_file(
    model: Callable[[str], LoadedModel], attack: Callable[..., Any]
) -> None:
    """Read by a network of 32 x 32 through Pillow, from the PNG of a photo of 90 x 70."""
    loaded = model("gtsrb-onehot")
    preprocessing = loaded.spec.preprocessing
    sign = Image.open(ASSETS / "samples" / "gtsrb" / "keep_right.png").convert("RGB")
    photo = sign.resize((90, 70), Image.Resampling.LANCZOS)
    f = nn.Sequential(Resize(preprocessing, photo.size), loaded.network).eval()
    before = int(loaded.network(to_tensor(preprocessing(photo))[None]).argmax())
    target = (before + 1) % loaded.encoding.n
    length = {"step" if attack is jma else "rate": 0.2 * preprocessing.zoom(photo.size)}
    result = run(attack(f, to_tensor(np.asarray(photo)), loaded.encoding, target, kappa=1.0, **length))
    assert result.success
    assert result.image.shape == (3, 70, 90)
    file = io.BytesIO()
    Image.fromarray(np.round(255 * result.image.transpose(1, 2, 0)).astype(np.uint8)).save(file, "PNG")
    seen = preprocessing(Image.open(file))
    assert int(loaded.network(to_tensor(seen)[None]).argmax()) == target
