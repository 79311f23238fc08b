"""The curvature of a network smoothed by a Gaussian, which it has whether there are kinks or not.

F convolved with a Gaussian of standard deviation σ a pixel has, by Stein's identity (1981), the
Hessian H_σ = E[(∇F(z + σu) - ∇F(z - σu)) uᵀ] / 2σ, u standard normal: linear and symmetric for any
network. σ = h/√d, so that h is about the l2 length of a displacement. Where the matrix fits into
memory, all probes u of a random rotation are taken together (:func:`smoothed_halves_steps`),
elsewhere only products with a few directions are estimated (:class:`SmoothedHessians`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import scipy.fft
import scipy.special
import torch
from torch import Tensor

from geoexplorer.geometry.blocks import combined, inner, orthonormal, random_block, slices
from geoexplorer.geometry.operators import Hessians, LevelSets

__all__ = ["Halves", "SmoothedHessians", "smoothed_halves_steps"]

# Pairs of probes w of a product at least; each takes four gradients.
_LEAST_PAIRS = 64
_FOR_FEW = 256  # pairs for one direction, which has no others to share its probes with
_TOGETHER = 64  # directions that share their probes
# Probes in a half at least: in few dimensions one rotation is not enough.
_LEAST_PROBES = 1024
_PROBES_TOGETHER = 512  # of several rotations, at all points: small batches are slow
_HAAR = 1024  # dimensions up to which a rotation is drawn from the Haar measure itself
_ROUNDS = 3  # of sign flips and cosine transforms, beyond


class SmoothedHessians(Hessians):
    """Hessians of F convolved with a Gaussian of standard deviation σ = h/√d a pixel.

    By Stein's identity H_σ = E[(∇F(z + σu) - ∇F(z - σu)) uᵀ] / 2σ. For a block V of orthonormal
    directions the probes are u = V g + w, with coefficients g whose sample covariance is exactly
    the identity and w random and orthogonal to V; each g meets w and -w, so that what is linear
    in w cancels. So H_σ V is exact where F is quadratic, whatever the number of probes. Every
    product draws new probes from ``generator``. Source: Stein (1981); the pairing is our own.
    """

    def __init__(self, sets: LevelSets, step: float, generator: torch.Generator) -> None:
        super().__init__(sets)
        self.sigma = step / math.sqrt(sets.points.shape[1])
        self._generator = generator

    def gradients(self) -> Tensor:
        """The gradient of the smoothed F, ``(n, d)``."""
        points = self.sets.points
        total = torch.zeros_like(points)
        for part in slices(_LEAST_PAIRS, self._pairs_at_once):
            w = self.sigma * self._drawn(part.stop - part.start)
            total += (self.sets.gradients(w) + self.sets.gradients(-w)).sum(1)
        return total / (2 * _LEAST_PAIRS)

    def products(self, vectors: Tensor) -> Tensor:
        """H_σ v, ``(n, m, d)``."""
        parts = slices(vectors.shape[1], min(_TOGETHER, vectors.shape[2]))
        return torch.cat([self._products(vectors[:, part]) for part in parts], dim=1)

    def along(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """vᵀ H_σ v, ``(n, m)``, and the standard error of each.

        A product is a least-squares fit of the changes of ∇F to the coefficients g, and what the
        fit leaves of them gives the error (White, Econometrica 1980, with m of the degrees of
        freedom spent): 0 where F is quadratic.
        """
        parts = slices(vectors.shape[1], min(_TOGETHER // 2, vectors.shape[2]))
        values, errors = zip(*(self._along(vectors[:, part]) for part in parts), strict=True)
        return torch.cat(values, dim=1), torch.cat(errors, dim=1)

    def _along(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        basis = orthonormal(vectors)
        weights = inner(vectors, basis)  # of each basis vector in a direction
        samples = [
            (g, inner(change, vectors) / (4 * self.sigma)) for g, change in self._samples(basis)
        ]
        g = torch.cat([each for each, _ in samples]).expand(len(vectors), -1, -1)
        changes = torch.cat([each for _, each in samples], dim=1)  # (n, pairs, m)
        pairs = changes.shape[1]
        fitted = combined(g, combined(g.transpose(1, 2), changes)) / pairs
        shares = inner(g, weights)
        values = (shares * changes).mean(1)
        freedom = max(1, pairs - basis.shape[1])
        left = (shares * (changes - fitted)).square().sum(1) / (pairs * freedom)
        return values, left.sqrt()

    def _products(self, vectors: Tensor) -> Tensor:
        basis = orthonormal(vectors)
        total = torch.zeros_like(basis)
        pairs = 0
        for g, change in self._samples(basis):
            total += combined(g.T.expand(len(basis), -1, -1), change)
            pairs += len(g)
        return combined(inner(vectors, basis), total / (4 * self.sigma * pairs))

    def _samples(self, basis: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Coefficients g ``(p, m)`` along a basis, and 4σ times how ∇F changes, ``(n, p, d)``."""
        n, m, _ = basis.shape
        pairs = max(_LEAST_PAIRS, m, _FOR_FEW // m)
        coefficients = self._coefficients(pairs, m).to(basis)
        for part in slices(pairs, self._pairs_at_once):
            g = coefficients[part]
            along = combined(g.expand(n, -1, -1), basis)
            w = self._drawn(len(g))
            w = w - combined(inner(w, basis), basis)
            change = torch.zeros_like(along)
            for sign in (1.0, -1.0):
                change += self.sets.changes(self.sigma * (along + sign * w))
            yield g, change

    @property
    def _pairs_at_once(self) -> int:
        return max(1, self.sets.directions_at_once // (2 * len(self.sets)))

    def _coefficients(self, pairs: int, m: int) -> Tensor:
        """g, ``(pairs, m)``, nearly Gaussian, with gᵀ g / pairs = I."""
        drawn = torch.randn(pairs, m, generator=self._generator, dtype=torch.float64)
        orthonormal_columns: Tensor = torch.linalg.qr(drawn).Q
        return math.sqrt(pairs) * orthonormal_columns

    def _drawn(self, count: int) -> Tensor:
        """Normal probes ``(n, count, d)``, the same ones at each point."""
        points = self.sets.points
        drawn = random_block(count, points.shape[1], self._generator, points)
        return drawn.expand(len(points), -1, -1)


@dataclass(frozen=True)
class Halves:
    """Two independent estimates of the same Hessians, and the gradient that both agree on."""

    first: Tensor  # (n, d, d)
    second: Tensor  # (n, d, d)
    gradients: Tensor  # (n, d), of the smoothed F


def smoothed_halves_steps(
    sets: LevelSets, step: float, seed: int, *, least: int = _LEAST_PROBES
) -> Iterator[tuple[float, Halves]]:
    """H_σ from two halves of the probes; the share done, and what there is by then.

    The probes of a half are the rows of random rotations times their lengths ρ, each with its
    opposite, so that the estimate is exact where F is quadratic. Directions found in one half can
    be judged by the other, whose noise knows nothing of them. In few dimensions there are several
    rotations in a half, with about ``least`` probes together, and their lengths are spread as
    those of normal vectors are: in many dimensions all of these are nearly √d.
    """
    n, d = sets.points.shape
    radii = _radii(max(1, least // d), d)
    rotations = len(radii)
    sums = [sets.points.new_zeros(n, d, d) for _ in range(2)]
    gradients = torch.zeros_like(sets.points)
    generator = torch.Generator().manual_seed(seed)
    lengths = [radius for radius in radii for _ in range(2)]  # one half, the other half
    rounds = len(lengths)
    at_once = max(1, sets.directions_at_once // n)
    together = max(1, min(_PROBES_TOGETHER // n, at_once) // d)  # whole rotations
    for first in range(0, rounds, together):
        drawn = [
            _rotation(d, generator, sets.points.dtype).to(sets.points).mul_(radius / math.sqrt(d))
            for radius in lengths[first : first + together]
        ]
        group = drawn[0] if len(drawn) == 1 else torch.cat(drawn)
        for part in slices(len(group), at_once):
            offsets = (step * group[part]).expand(n, -1, -1)
            ahead, behind = sets.gradients(offsets), sets.gradients(-offsets)
            gradients += (ahead + behind).sum(1) / (2 * d * rounds)
            changes = (ahead - behind) / (2 * step * rotations)
            pieces = zip(torch.split(changes, d, dim=1), torch.split(group[part], d), strict=True)
            for index, (change, probes) in enumerate(pieces, start=first):
                sums[index % 2] += combined(change.transpose(1, 2), probes.expand(n, -1, -1))
            yield (first + part.stop / d) / rounds, Halves(sums[0], sums[1], gradients)


def _radii(count: int, d: int) -> list[float]:
    """Lengths ρ that stand for those of normal vectors: the middles of equal shares of them.

    Scaled to a mean of ρ² that is exactly d, so that the Hessian of a quadratic F is exact.
    """
    shares = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    squares = torch.from_numpy(scipy.special.gammaincinv(d / 2, shares.numpy()))
    radii: list[float] = (d * squares / squares.mean()).sqrt().tolist()
    return radii


def _rotation(d: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """A random orthogonal matrix.

    In many dimensions rounds of sign flips and cosine transforms, which are as good as the Haar
    measure for our purpose and far cheaper (Yu et al., "Orthogonal random features", NeurIPS 2016).
    In few dimensions these would be few different matrices.
    """
    if d <= _HAAR:
        drawn = torch.randn(d, d, generator=generator, dtype=torch.float64)
        q, r = torch.linalg.qr(drawn)
        haar: Tensor = q * r.diagonal().sign()  # Mezzadri, Notices of the AMS 2007
        return haar.T.to(dtype)
    rows = torch.eye(d, dtype=dtype)
    for _ in range(_ROUNDS):
        signs = 2 * torch.randint(0, 2, (d,), generator=generator) - 1
        rows = torch.from_numpy(scipy.fft.dct((rows * signs).numpy(), norm="ortho", axis=1))
    return rows
