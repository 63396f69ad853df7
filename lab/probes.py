"""What the Learn page asks of the real networks. Imports torch, as nothing may that is shown before torch is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jma_core import Network, find, run
from jma_core.encodings import Constraints, asked
from jma_core.geometry import Geometry, geometry, land
from jma_core.linearise import Linearisation, Solution
from jma_core.network import Classifier, Rows
from lab.photos.uploads import Photo
from lab.request import Measured
from models.encodings import Prediction, Target
from models.loaders import LoadedModel, to_tensor

Floats = NDArray[np.floating]
FACTORS = np.logspace(-3, 0, 31)
"""Lengths t at which the network is compared with its linear model, as parts of the full step."""


def measure(loaded: LoadedModel, x: Tensor, target: Target) -> Measured:
    """The geometry of a target at an image (3, H, W). Raises Halt when there is none."""
    network, encoding = Network(loaded.network), asked(loaded.encoding, target)
    space = geometry(network, x, encoding.constraints(target))
    nearest, cheapest = (land(network, x, encoding, target, point.delta) for point in (space.nearest, space.cheapest))
    return Measured(space, nearest, cheapest)


def space_at(loaded: LoadedModel, picture: NDArray[np.uint8], target: Target) -> Geometry:
    """The geometry of a target at a picture (H, W, 3) alone, as the linearised network says. Raises Halt."""
    goal = asked(loaded.encoding, target).constraints(target)
    return geometry(Network(loaded.network), to_tensor(picture, loaded.device), goal)


@dataclass(frozen=True)
class Ray:
    """A network along x + t delta, beside its linear model."""

    factors: Floats
    """(s,) t, rising."""
    actual: Floats
    """(s, n) f(x + t delta) - f(x)."""
    predicted: Floats
    """(s, n) t J delta."""


def look_along(loaded: LoadedModel, picture: NDArray[np.uint8], delta: Floats) -> Ray:
    """Follow a perturbation (3, H, W) from a picture (H, W, 3), without clipping. Raises Halt as ``Network`` does."""
    network, x = Network(loaded.network), to_tensor(picture, loaded.device)
    direction = torch.from_numpy(delta).to(x)
    z, slope = network.logits(x), network.push(x, direction)
    actual = torch.stack([network.logits(x + t * direction) - z for t in FACTORS.tolist()])
    return Ray(FACTORS, actual.cpu().numpy(), FACTORS[:, None] * slope.cpu().numpy())


@dataclass(frozen=True)
class Round:
    """The linearised problem with the gradient rows of some of its p constraints."""

    asked: NDArray[np.bool_]
    """(p,) constraints whose rows are known."""
    predicted: Floats
    """(p,) A (z + J delta) - h along this round's delta, in logits: >= 0 where a constraint is satisfied."""
    violated: NDArray[np.bool_]
    """(p,) constraints that this round's delta violates."""


@dataclass(frozen=True)
class Generation:
    """``Linearisation.solve_lazy`` on one problem, round by round."""

    before: Floats
    """(p,) A z - h."""
    rounds: list[Round]
    solution: Solution
    backward: int
    """Backward passes, one a gradient row."""
    outputs: int
    """n, the backward passes that the whole Jacobian takes."""


def generate(loaded: LoadedModel, picture: NDArray[np.uint8], target: Target) -> Generation:
    """Solve the linearised problem of a target at a picture (H, W, 3) by constraint generation. Raises Halt."""
    goal = loaded.encoding.constraints(target)
    network = _Watched(loaded.network)
    local = Linearisation(network, to_tensor(picture, loaded.device), goal)
    solution = local.solve_lazy()
    rounds = [_round(local, goal, *each) for each in network.rounds]
    return Generation(-local.required, rounds, solution, network.backward, len(local.z))


class _Watched(Network):
    """Notes at each forward-mode derivative, one a round, which rows were known and what it predicted."""

    def __init__(self, f: Classifier) -> None:
        super().__init__(f)
        self.rounds: list[tuple[Tensor, Tensor]] = []
        self._known = torch.empty(0)

    def differentiate(self, x: Tensor) -> tuple[Tensor, Rows]:
        z, rows = super().differentiate(x)
        self._known = torch.empty(0, len(z))

        def noted(cotangents: Tensor) -> Tensor:
            self._known = torch.cat([self._known, cotangents])
            return rows(cotangents)

        return z, noted

    def push(self, x: Tensor, delta: Tensor) -> Tensor:
        displacement = super().push(x, delta)
        self.rounds.append((self._known, displacement))
        return displacement


def _round(local: Linearisation, goal: Constraints, known: Tensor, displacement: Tensor) -> Round:
    every = goal.rows(torch.arange(len(local.required)))
    asked = (every[:, None] == known).all(-1).any(-1).numpy()
    predicted = goal.values(local.z + displacement).cpu().double().numpy()
    return Round(asked, predicted, (predicted < -local.noise) & ~asked)


@dataclass(frozen=True)
class Siege:
    """The same attacks on several networks."""

    names: list[str]
    """Of the n photos."""
    targets: list[Target]
    """Of each the first network's proposal."""
    distances: Floats
    """(networks, n) L2, pixels in [0, 1]; inf where the attack failed, 0 where the target is read unattacked."""


def besiege(networks: Sequence[LoadedModel], photos: Iterable[Photo]) -> Siege:
    """Attack networks of the same classes, each photo towards one target, by ``lazy`` with its default settings."""
    names, targets, distances = [], [], []
    for photo in photos:
        x = to_tensor(networks[0].spec.preprocessing(photo.image), networks[0].device)
        with torch.no_grad():
            z = networks[0].network(x[None])[0]
        seen = Prediction(z.cpu().numpy(), networks[0].encoding.decode(z).cpu().numpy())
        target = networks[0].spec.encoding.proposed(seen)
        names.append(photo.name)
        targets.append(target)
        distances.append([_distance(each, x, target) for each in networks])
    return Siege(names, targets, np.array(distances).T)


def _distance(loaded: LoadedModel, x: Tensor, target: Target) -> float:
    """How far ``lazy`` goes; inf when it does not arrive."""
    result = run(find("lazy")(loaded.network, x, loaded.encoding, target, kept=2))
    return result.distortion.l2 if result.success else float("inf")
