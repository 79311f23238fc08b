"""What random probes tell of all principal curvatures: their mean, and how they are distributed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from geoexplorer import jobs
from geoexplorer.arguments import require_whole
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.blocks import orthonormal, random_block, slices
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.measurement import Curvature, Measurement, Steps, news
from geoexplorer.geometry.operators import ShapeOperators
from geoexplorer.geometry.room import require_room
from geoexplorer.geometry.spectra import chain_vectors, quadrature_steps
from geoexplorer.jobs import Progress

__all__ = [
    "CurvatureDensity",
    "MeanCurvature",
    "curvature_density",
    "curvature_density_steps",
    "mean_curvature",
    "mean_curvature_steps",
]

_PROBES_TOGETHER = 32  # at a point
_POINTS_TOGETHER = 16
_NOISE_VECTORS = 2


@dataclass(frozen=True, eq=False, repr=False)
class MeanCurvature(Curvature):
    """Means of the principal curvatures, trace(G) / (d - 1), ``(n,)``, from random probes."""

    standard_errors: Tensor  # (n,)
    probes: int


@dataclass(frozen=True, eq=False, repr=False)
class CurvatureDensity(Curvature):
    """How the d - 1 principal curvatures are distributed, as Gauss quadratures of random probes.

    ``values`` are the nodes ``(n, k)`` in no order; with the weights they stand for the whole
    spectrum: the share of curvatures below c is about the sum of the weights of nodes below c.
    Where a probe meets fewer different curvatures than ``order``, the nodes left over are 0 and
    have no weight.
    """

    weights: Tensor  # (n, k), positive; each row sums to 1
    # (n,): by how much, of its size, G v changes with the probes of "smoothed", which widens the
    # distribution; 0 for the other methods.
    noise: Tensor
    dimension: int  # d

    def on_grid(self, curvatures: Tensor, width: float) -> Tensor:
        """The density ``(n, g)`` at curvatures ``(g,)``, with each node a Gaussian of ``width``.

        Raises
        ------
        ValueError
            If the width is not positive.
        """
        if not width > 0:
            raise ValueError(f"width must be positive, got {width!r}")
        offsets = (curvatures[:, None] - self.values[:, None, :]) / width
        bells = torch.exp(-0.5 * offsets**2) / (width * math.sqrt(2 * math.pi))
        density: Tensor = (bells * self.weights[:, None, :]).sum(2)
        return density


def mean_curvature(
    clf: Classifier,
    boundary: BoundaryPoints,
    *,
    probes: int = 100,
    method: str = "auto",
    step: float | None = None,
    at: float = 1.0,
    seed: int = 0,
) -> MeanCurvature:
    """Estimate the mean of the principal curvatures, trace(G) / (d - 1), from random tangents.

    Parameters
    ----------
    clf, boundary, method, step, at
        As for :func:`geoexplorer.principal_curvatures`.
    probes
        Random unit tangents at each point, at least 2. They are orthonormal, as many of them as
        can be made so in the classifier's ``memory``, which makes the estimate better than
        independent ones do; d - 1 of them, which are never exceeded, give the exact mean of G.
    seed
        For the tangents.

    Returns
    -------
    MeanCurvature
        ``(n,)``, with the standard error of each that comes from the choice of tangents. What the
        probes of ``"smoothed"`` add shows between seeds.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Notes
    -----
    Source: the mean over random directions is Fawzi et al., CVPR 2018, section 5; the frames are
    our own.

    Examples
    --------
    >>> from torch import nn
    >>> from geoexplorer.geometry.boundary import nearest_boundary
    >>> class Disc(nn.Module):  # the own region is the ball of radius 2
    ...     def forward(self, x):
    ...         margin = 4 - x.flatten(1).square().sum(1)
    ...         return torch.stack([margin, -margin], dim=1)
    >>> clf = Classifier(Disc().eval(), input_shape=(1, 2, 2), device="cpu")
    >>> b = nearest_boundary(clf, torch.full((1, 2, 2), 0.4))
    >>> round(float(mean_curvature(clf, b).values), 3)
    -0.5
    """
    return jobs.last(
        mean_curvature_steps(
            clf, boundary, probes=probes, method=method, step=step, at=at, seed=seed
        )
    )


def mean_curvature_steps(
    clf: Classifier,
    boundary: BoundaryPoints,
    *,
    probes: int = 100,
    method: str = "auto",
    step: float | None = None,
    at: float = 1.0,
    seed: int = 0,
) -> Iterator[MeanCurvature]:
    """Like :func:`mean_curvature`, yielding the means known so far; NaN is not known yet."""
    probes = require_whole("probes", probes, 2)
    measurement = Measurement.begin(
        "mean_curvature", clf, boundary, method=method, step=step, at=at, seed=seed, probes=probes
    )
    return measurement.recorder.watch(news(_means(measurement, probes)))


def curvature_density(
    clf: Classifier,
    boundary: BoundaryPoints,
    *,
    probes: int = 8,
    order: int = 64,
    method: str = "auto",
    step: float | None = None,
    at: float = 1.0,
    seed: int = 0,
) -> CurvatureDensity:
    """Estimate how the principal curvatures are distributed, in any number of dimensions.

    Parameters
    ----------
    clf, boundary, method, step, at
        As for :func:`geoexplorer.principal_curvatures`.
    probes
        Random tangents at each point, from each of which a Lanczos iteration starts.
    order
        Products in each, no more than d - 1 and each as long as any other; as many moments of the
        distribution, twice over, are exact for the probe.
    seed
        For the tangents.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or chains of that order do not fit into the
        classifier's ``memory``.

    Notes
    -----
    Stochastic Lanczos quadrature (Ubaru, Chen & Saad, SIAM J. Matrix Anal. Appl. 2017), applied to
    the shape operator.

    Examples
    --------
    >>> from torch import nn
    >>> from geoexplorer.geometry.boundary import nearest_boundary
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2)).eval()
    >>> clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
    >>> b = nearest_boundary(clf, torch.rand(1, 2, 2))
    >>> density = curvature_density(clf, b, probes=2)
    >>> density.values.shape, round(float(density.weights.sum()), 5)
    (torch.Size([1, 6]), 1.0)
    """
    return jobs.last(
        curvature_density_steps(
            clf, boundary, probes=probes, order=order, method=method, step=step, at=at, seed=seed
        )
    )


def curvature_density_steps(
    clf: Classifier,
    boundary: BoundaryPoints,
    *,
    probes: int = 8,
    order: int = 64,
    method: str = "auto",
    step: float | None = None,
    at: float = 1.0,
    seed: int = 0,
) -> Iterator[CurvatureDensity]:
    """Like :func:`curvature_density`, yielding what is known so far; NaN is not known yet."""
    probes = require_whole("probes", probes, 1)
    order = require_whole("order", order, 1)
    measurement = Measurement.begin(
        "curvature_density", clf, boundary, method=method, step=step, at=at, seed=seed,
        probes=probes, order=order,
    )  # fmt: skip
    require_room(clf, "order", order, chain_vectors(min(order, clf.dimension - 1)))
    return measurement.recorder.watch(news(_densities(measurement, probes, order)))


def _means(measurement: Measurement, probes: int) -> Steps[MeanCurvature]:
    values, errors = measurement.unknown(), measurement.unknown()
    probes = min(probes, measurement.clf.dimension - 1)
    done = 0

    def result(progress: Progress) -> MeanCurvature:
        return MeanCurvature(
            values=values.clone(),
            standard_errors=errors.clone(),
            probes=probes,
            provenance=measurement.recorder.provenance(),
            progress=progress,
            **measurement.facts(),
        )

    together = measurement.together(_PROBES_TOGETHER)
    frame = measurement.largest_frame
    for block in measurement.blocks_along(together):
        rows, operators = measurement.shape_operators(block)
        for sampled in _sampled_steps(operators, probes, together, frame, measurement.vectors()):
            drawn = sampled.shape[1]
            values[rows] = sampled.mean(1).cpu()
            # Within an orthonormal frame the deviations cancel, as in a sample drawn from a
            # finite population without putting back: a whole frame gives the mean itself.
            errors[rows] = 0.0
            if drawn < operators.dimension:
                left = 1 - min(drawn, frame) / operators.dimension
                errors[rows] = (sampled.var(1) * left / drawn).sqrt().cpu()
            share = done + len(block) * drawn / probes
            yield measurement.progress("mean curvature", share), result
        done += len(block)
    yield Progress(), result


def _sampled_steps(
    operators: ShapeOperators, probes: int, together: int, largest: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Curvatures ``(n, m)`` along random orthonormal frames of tangents, more at each step.

    One frame, or where that would be larger than ``largest`` several independent ones.
    """
    sampled = operators.like.new_zeros(operators.count, 0)
    for part in slices(probes, largest):
        count = part.stop - part.start
        frame = orthonormal(random_block(count, operators.dimension, generator, operators.like))
        for some in slices(count, together):
            tangents = frame[:, some].expand(operators.count, -1, -1)
            sampled = torch.cat([sampled, (tangents * operators.apply(tangents)).sum(2)], dim=1)
            yield sampled


def _densities(measurement: Measurement, probes: int, order: int) -> Steps[CurvatureDensity]:
    dimension = measurement.clf.dimension - 1
    nodes = measurement.unknown(probes * min(order, dimension))
    weights, noise = torch.full_like(nodes, math.nan), measurement.unknown()
    done = 0

    def result(progress: Progress) -> CurvatureDensity:
        return CurvatureDensity(
            values=nodes.clone(),
            weights=weights.clone(),
            noise=noise.clone(),
            dimension=measurement.clf.dimension,
            provenance=measurement.recorder.provenance(),
            progress=progress,
            **measurement.facts(),
        )

    each = chain_vectors(min(order, dimension))
    chains = max(1, min(probes, measurement.fitting(each)))
    for block in measurement.blocks(min(measurement.fitting(each * chains), _POINTS_TOGETHER)):
        rows, operators = measurement.shape_operators(block)
        noise[rows] = 0.0
        if measurement.method == "smoothed":
            noise[rows] = _noise(operators, measurement.generator(stream=1)).cpu()
        for fraction, found, shares in quadrature_steps(
            operators, probes, order, measurement.vectors()
        ):
            known = found.shape[1]
            nodes[rows, :known], weights[rows, :known] = found.cpu(), shares.cpu()
            share = done + len(block) * fraction
            yield measurement.progress("curvature density", share), result
        done += len(block)
    yield Progress(), result


def _noise(operators: ShapeOperators, generator: torch.Generator) -> Tensor:
    """How far two products of the same vectors differ, over their size, ``(n,)``."""
    frame = orthonormal(
        random_block(_NOISE_VECTORS, operators.dimension, generator, operators.like)
    )
    frame = frame.expand(operators.count, -1, -1)
    once, again = operators.apply(frame), operators.apply(frame)
    size: Tensor = (once + again).flatten(1).norm(dim=1) / 2
    difference: Tensor = (once - again).flatten(1).norm(dim=1) / 2**0.5
    return (difference / size).nan_to_num(0.0)
