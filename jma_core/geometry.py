"""The logit space at one image: the nearest point of the target region, and the cheapest (Fig. 1 of the paper).

The network is linearised, f(x + delta) ~ z + J delta, eq. (12). In the target region {A z >= h} two points matter:

    nearest    r' = z + A' lambda',         lambda' by the dual with J = I:  the Euclidean projection of z
    cheapest   r* = z + J J' A' lambda*,    lambda* by the dual, eq. (23):   the Mahalanobis target

A displacement d costs sqrt(d' (J J')^+ d) in pixels, eq. (19), the length of the shortest delta with J delta = d. For
some logits S with the others free that is sqrt(d_S' (J_S J_S')^-1 d_S), so that a few gradient rows are enough.

The records hold numpy arrays and need no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jma_core.dual import EPS, Array
from jma_core.records import Floats, Halt, StopReason

if TYPE_CHECKING:
    import torch

    from jma_core.encodings import Constraints, Encoding, Target
    from jma_core.network import Network

EVERY = 50
"""Networks with at most this many logits are shown whole."""
ROWS = 1024
"""Constraints whose rows are made together, at most."""
FEW = 12
"""Of more logits, those that bind and the largest: this many at least."""
ROUNDING = float(np.finfo(np.float32).eps)
"""Of gradient rows, relative: what is smaller than this among singular values of J is not known."""


@dataclass(frozen=True)
class TargetPoint:
    """A point of the target region, and the way there in the linearised network."""

    logits: Array
    """(k,) r."""
    delta: Floats
    """(C, H, W) J^+ (r - z), the shortest perturbation that leads there."""
    length: float
    """sqrt(d' (J J')^+ d) of d = r - z, in [0, 1] pixel units: inf when no perturbation leads there."""
    binding: NDArray[np.bool_]
    """(q,) constraints with a positive multiplier."""


@dataclass(frozen=True)
class Geometry:
    """What the linearised network says of k of its n logits, and of the q constraints on them alone."""

    n: int
    index: NDArray[np.int64]
    """(k,) the logits."""
    z: Array
    """(k,) their values at the image."""
    gram: Array
    """(k, k) J J': scalar products of their gradients."""
    constraints: NDArray[np.int64]
    """(q,) which of the target's p constraints."""
    a: Array
    """(q, k) A."""
    h: Array
    """(q,) h, for A z >= h."""
    pull: Array
    """(k,) A' lambda*: the cotangent whose gradient J' A' lambda* is the cheapest delta."""
    nearest: TargetPoint
    """r', the Euclidean target."""
    cheapest: TargetPoint
    """r*, the Mahalanobis target."""

    @property
    def price(self) -> float:
        """How many times more pixels the nearest point costs than the cheapest; inf if it cannot be reached."""
        return self.nearest.length / self.cheapest.length

    @cached_property
    def spectrum(self) -> tuple[Array, Array]:
        """Eigenvalues (k,) of J J' in falling order, and eigenvectors as columns (k, k): cheap directions first."""
        values, vectors = np.linalg.eigh(self.gram)
        return np.maximum(values[::-1], 0.0), vectors[:, ::-1]

    @property
    def rank(self) -> int:
        """Singular values of J above the rounding of its rows."""
        values = self.spectrum[0]
        return int((values > _cut(values)).sum())

    @property
    def effective_rank(self) -> float:
        """exp of the entropy of J's normalised singular values, 1 to k (Roy and Vetterli 2007)."""
        share = np.sqrt(self.spectrum[0])
        share = share[share > 0] / share.sum()
        return float(np.exp(-(share * np.log(share)).sum()))

    @property
    def cosines(self) -> Array:
        """(k, k) cosines between the logits' gradients; nan where a gradient is zero."""
        norm = np.sqrt(self.gram.diagonal())
        norm = np.where(norm > 0, norm, np.nan)
        return np.asarray(np.clip(self.gram / np.outer(norm, norm), -1, 1))

    @property
    def mean_cosine(self) -> float:
        """Of all pairs of gradients that are not zero, signs aside: 0 where they are orthogonal, 1 in one line."""
        return float(np.nanmean(np.abs(self.cosines[np.triu_indices(len(self.z), 1)])))

    @property
    def unit_costs(self) -> tuple[Array, Array]:
        """Pixels it takes to move each logit alone by one (k,): with all others free, and with the k - 1 held."""
        with np.errstate(divide="ignore"):
            free = 1 / np.sqrt(self.gram.diagonal())
        return free, np.array([effort(self.gram, row) for row in np.eye(len(self.z))])


def geometry(network: Network, x: torch.Tensor, goal: Constraints) -> Geometry:
    """The geometry at image x (C, H, W). Raises Halt when the constraints hold already, or cannot be met.

    Up to EVERY logits it takes all n gradient rows. Of more it takes those of the logits that the binding constraints
    of r' or r* are about, filled up to FEW with the largest; the others are free then, in both costs.
    """
    import torch

    from jma_core.linearise import Linearisation, gram

    local = Linearisation(network, x, goal)
    n, z = len(local.z), local.z.cpu().double().numpy()
    if local.required.max() <= 0:
        raise Halt(StopReason.NOTHING_TO_DO, "The logits satisfy every linear constraint of the target already.")
    cheapest = local.solve_lazy()
    nearest, _ = local.solve_in_logits(np.eye(n))
    multipliers = np.zeros_like(nearest)
    multipliers[cheapest.index] = cheapest.multipliers
    binding = torch.from_numpy(np.flatnonzero((multipliers > 0) | (nearest > 0)))
    index = _logits_that_matter(z, goal.rows(binding).numpy())
    jacobian = local.jacobian(index)
    every = torch.split(torch.arange(len(nearest), device="cpu"), ROWS)
    inside = np.concatenate([~np.delete(goal.rows(part).numpy(), index, axis=1).any(1) for part in every])
    rows = goal.rows(torch.from_numpy(np.flatnonzero(inside))).double().numpy()[:, index]
    products, pull, d = gram(jacobian), multipliers[inside] @ rows, nearest[inside] @ rows

    def perturbation(cotangent: Array) -> Floats:
        rows = jacobian.numpy()  # where no autocast rounds the product
        delta: Floats = (rows.T @ cotangent.astype(rows.dtype)).reshape(x.shape)
        return delta

    return Geometry(
        n=n,
        index=index,
        z=z[index],
        gram=products,
        constraints=np.flatnonzero(inside),
        a=rows,
        h=rows @ z[index] + local.required[inside],
        pull=pull,
        nearest=TargetPoint(z[index] + d, perturbation(_pinv(products) @ d), effort(products, d), nearest[inside] > 0),
        cheapest=TargetPoint(z[index] + products @ pull, perturbation(pull), cheapest.length, multipliers[inside] > 0),
    )


def _logits_that_matter(z: Array, binding: Array) -> NDArray[np.int64]:
    """Indices (k,) in rising order, for logits z (n,) and the rows (b, n) of A that bind."""
    if len(z) <= EVERY:
        return np.arange(len(z))
    bound = np.flatnonzero(binding.any(0))
    others = [i for i in np.argsort(-z, kind="stable") if i not in bound]
    return np.sort(np.concatenate([bound, others[: max(0, FEW - len(bound))]]).astype(np.int64))


def _cut(values: Array) -> float:
    """Eigenvalues of J J' up to this come from rounding: of J's rows in float32, or of J J' in float64."""
    k = len(values)
    return float(values.max(initial=0.0)) * max((k * ROUNDING) ** 2, k * EPS)


def _pinv(gram: Array) -> Array:
    values, vectors = np.linalg.eigh(gram)
    keep = values > _cut(values)
    inverse: Array = (vectors[:, keep] / values[keep]) @ vectors[:, keep].T
    return inverse


def effort(gram: Array, d: Array) -> float:
    """sqrt(d' gram^+ d) (eq. 19), the pixels that a displacement d (k,) costs, for gram = J J' (k, k) of any rank.

    inf when d leaves the range of J: no perturbation makes such a displacement.
    """
    values, vectors = np.linalg.eigh(gram)
    keep = values > _cut(values)
    parts = vectors.T @ d
    if np.linalg.norm(parts[~keep]) > 1e-5 * np.linalg.norm(d):
        return float("inf")
    return float(np.sqrt((parts[keep] ** 2 / values[keep]).sum()))


@dataclass(frozen=True)
class Section:
    """What of the geometry is seen with s coordinates y: two or three logits, or two directions across them.

    Two things can be meant by "the region, seen in two logits": its shadow, or its slice. Here it is the slice through
    r*: all other coordinates keep the values that they have in r*, so that what is drawn at r* is true. An effort
    ellipsoid that is cut or cast differently does not touch that slice at r*; this one always does, see below.
    """

    basis: Array
    """(s, k) orthonormal."""
    origin: Array
    """(k,) the logits at y = 0, with the values of r* across the section."""
    a: Array
    """(q, s) the constraints, as a y >= h."""
    h: Array
    """(q,) with the other coordinates at r*."""
    h_nearest: Array
    """(q,) with the other coordinates at r'."""
    gram: Array
    """(s, s) the ellipsoids of equal effort are y' gram^-1 y = const. Their axes are its eigenvectors."""
    centre: Array
    """(s,) of the ellipsoid through r*."""
    level: float
    """The effort on the ellipsoid through r*, from its centre, in pixel units."""
    z: Array
    """(s,)"""
    nearest: Array
    """(s,) r'"""
    cheapest: Array
    """(s,) r*"""

    def coordinates(self, logits: Floats) -> Array:
        """(..., s) of logits (..., k), seen from straight above."""
        seen: Array = (logits - self.origin) @ self.basis.T
        return seen

    def effort(self, y: Array) -> float:
        """Pixels that it takes from z to the point y (s,): in a section of logits, with the others free."""
        return effort(self.gram, y - self.z)

    @property
    def axes(self) -> Array:
        """(s, s) semi-axes of the ellipsoid through r*, as rows, longest first."""
        values, vectors = np.linalg.eigh(self.gram)
        lengths = self.level * np.sqrt(np.maximum(values, 0.0))
        return np.asarray((vectors * lengths).T[::-1])

    def ellipse(self, points: int = 181) -> Array:
        """(points, 2) around the ellipse through r*, closed. For s = 2."""
        angle = np.linspace(0, 2 * np.pi, points)
        return np.asarray(self.centre + np.column_stack([np.cos(angle), np.sin(angle)]) @ self.axes)


def section_of_logits(space: Geometry, chosen: tuple[int, ...]) -> Section:
    """The section of two or three logits, given by their places in ``space.index``.

    An ellipsoid of equal effort "with the others free" has the shape J_S J_S'. The other binding constraints, by their
    own share J_O' (A' lambda*)_O of the cheapest delta, carry the chosen logits from z_S to the centre
    z_S + J_S J_O' (A' lambda*)_O. From there the effort for the chosen ones goes on to r*_S, and
    (J_S J_S')^-1 (r*_S - centre) = (A' lambda*)_S is normal to the slice of the region: the two touch at r*. The centre
    is z_S where the binding constraints are about the chosen logits alone.
    """
    s = list(chosen)
    basis = np.eye(len(space.z))[s]
    others = space.pull.copy()
    others[s] = 0.0
    gram, pull = space.gram[np.ix_(s, s)], space.pull[s]
    held = space.cheapest.logits.copy()
    held[s] = 0.0
    level = float(np.sqrt(np.maximum(pull @ gram @ pull, 0.0)))
    return _section(space, basis, held, gram, space.z[s] + space.gram[s] @ others, level)


def section_through_points(space: Geometry) -> Section:
    """The plane through z (its origin), r' (straight above it) and r* (to the right). For k >= 2 logits.

    Circle and ellipse are slices here, as the region is, all three by one plane: the circle of radius |r' - z| touches
    the region at r', the ellipse of effort |delta*| at r*. When r' and r* lie in one direction, the cheapest direction
    across it spans the plane.
    """
    way = space.nearest.logits - space.z
    up = way / np.linalg.norm(way)
    candidates = [space.cheapest.logits - space.z, *space.spectrum[1].T]
    across = (each - (each @ up) * up for each in candidates)
    right = next(each for each in across if np.linalg.norm(each) > 1e-6 * np.linalg.norm(way))
    basis = np.array([right / np.linalg.norm(right), up])
    others = np.linalg.svd(basis)[2][2:]  # the directions across the plane, which stay where they are
    coupling = basis @ space.gram @ others.T
    gram = basis @ space.gram @ basis.T - coupling @ _pinv(others @ space.gram @ others.T) @ coupling.T
    return _section(space, basis, space.z, gram, np.zeros(2), space.cheapest.length)


def _section(space: Geometry, basis: Array, origin: Array, gram: Array, centre: Array, level: float) -> Section:
    def seen(logits: Array) -> Array:
        return np.asarray(basis @ (logits - origin))

    nearest, cheapest = space.nearest.logits, space.cheapest.logits
    a = space.a @ basis.T
    return Section(
        basis=basis,
        origin=origin,
        a=a,
        h=space.h - space.a @ cheapest + a @ seen(cheapest),
        h_nearest=space.h - space.a @ nearest + a @ seen(nearest),
        gram=gram,
        centre=centre,
        level=level,
        z=seen(space.z),
        nearest=seen(nearest),
        cheapest=seen(cheapest),
    )


def telling_logits(space: Geometry, count: int = 2) -> tuple[int, ...]:
    """Places in ``space.index`` of the logits that show most.

    First the one that r' moves most, of those that a binding constraint of r* is about, so that its border is seen;
    then those in which r' and r* differ most.
    """
    moved = np.where(space.pull != 0, np.abs(space.nearest.logits - space.z), -1.0)
    bound = int(moved.argmax())
    order = np.argsort(-np.abs(space.cheapest.logits - space.nearest.logits), kind="stable")
    return tuple([bound, *(int(i) for i in order if i != bound)][:count])


@dataclass(frozen=True)
class Landing:
    """What the network itself says of a perturbation that was made for its linear model."""

    logits: Floats
    """(n,) f(clip(x + delta)), after the full step."""
    decoded: NDArray[Any]
    factor: float
    """The smallest t found with f(clip(x + t delta)) in the target, by the decoder; inf when there is none."""
    needed: float
    """|clip(x + t delta) - x|, the pixels that were really needed; inf when no t was found."""
    cap: float
    """The largest t that was tried."""


def land(
    network: Network, x: torch.Tensor, encoding: Encoding, target: Target, delta: Floats, *, cap: float = 8.0
) -> Landing:
    """Take the full step, then look along its direction for the first hit.

    t goes up from 1/4 to ``cap`` by a factor of 2^(1/4); the interval before the first hit is then halved eight
    times. A target that is entered and left within one such interval is missed.
    """
    import torch

    direction = torch.from_numpy(delta).to(x)

    def at(t: float) -> torch.Tensor:
        return (x + t * direction).clamp(0, 1)

    def hit(t: float) -> bool:
        return encoding.meets(network.logits(at(t)), target)

    z = network.logits(at(1.0))
    low, high = 0.0, 0.25
    while high <= cap and not hit(high):
        low, high = high, high * 2**0.25
    if high > cap:
        high = float("inf")
    else:
        for _ in range(8):
            middle = (low + high) / 2
            low, high = (low, middle) if hit(middle) else (middle, high)
    moved = (at(high) - x).double() if np.isfinite(high) else torch.tensor([torch.inf])
    return Landing(z.cpu().numpy(), encoding.decode(z).cpu().numpy(), high, float(torch.linalg.vector_norm(moved)), cap)
