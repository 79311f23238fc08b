"""Directions in which the decision boundary is curved for many images at once.

They are the eigenvectors u_i of the mean of the shape operators G over many boundary points. That
they are shared shows at points that had no part in the mean: there ρ_i = |u_iᵀ G u_i| / E|vᵀ G v|,
v uniform on the sphere, is far above 1. Source: Fawzi, Moosavi-Dezfooli, Frossard & Soatto,
"Empirical Study of the Topology and Geometry of Deep Networks", CVPR 2018, section 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from weakref import ref

import torch
from torch import Tensor

from geoexplorer import jobs
from geoexplorer.arguments import require_whole
from geoexplorer.classifier import Classifier, FullPrecision
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.matrices import LARGEST_MATRIX, matrix_is_quick
from geoexplorer.geometry.mean_shape import MeanMatrix, MeanShapeOperator, mean_matrix_steps
from geoexplorer.geometry.measurement import Measurement, Steps, news, require_points
from geoexplorer.geometry.room import require_room
from geoexplorer.geometry.shared_directions import SharedDirections
from geoexplorer.geometry.spectra import (
    TOLERANCE,
    eigenpairs,
    extreme_steps,
    least_vectors,
    symmetrised,
)
from geoexplorer.jobs import Progress

__all__ = ["shared_directions", "shared_directions_steps"]

# From this share of the dimensions on a matrix takes fewer products than a search.
_MANY = 1 / 32
_SEARCH_SHARE = 0.8  # of the work, where values are held out
_FRESH_PRODUCTS = 4  # whose mean gives a held-out value
_AGREEMENT = 0.1  # of the largest value, to which both halves of the probes must agree


def shared_directions(
    clf: Classifier,
    points: BoundaryPoints,
    m: int | None = None,
    *,
    method: str = "auto",
    step: float | None = None,
    at: float = 1.0,
    seed: int = 0,
) -> SharedDirections:
    """Find the directions in which the boundary is curved for many images at once.

    Parameters
    ----------
    clf
        The classifier.
    points
        What :func:`geoexplorer.nearest_boundary` gives, of many images.
    m
        How many directions: the m whose mean curvature is largest in size, of either sign. None
        for all d of them, where d is at most 4,096.
    method, step, at
        As for :func:`geoexplorer.principal_curvatures`.
    seed
        For the first vectors of the search and for the probes.

    Returns
    -------
    SharedDirections
        The directions, orthonormal, and the mean curvature along each, descending.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, the points are not the classifier's, none of them was
        reached, ``"autograd"`` is asked of a network with kinks, or a search for m directions does
        not fit into the classifier's ``memory``.

    Notes
    -----
    Source: Fawzi et al., CVPR 2018, section 5. The cost grows with the number of points: a matrix
    takes 2 d gradients for each (4 d by ``"smoothed"``), a few directions some hundred.

    Examples
    --------
    >>> from torch import nn
    >>> from geoexplorer.geometry.boundary import nearest_boundary
    >>> class Cylinder(nn.Module):  # curved in the upper row of the image only
    ...     def forward(self, x):
    ...         margin = 4 - x[:, 0, 0].square().sum(1)
    ...         return torch.stack([margin, -margin], dim=1)
    >>> clf = Classifier(Cylinder().eval(), input_shape=(1, 2, 2), device="cpu")
    >>> b = nearest_boundary(clf, torch.rand(20, 1, 2, 2) - 0.5)
    >>> shared = shared_directions(clf, b, m=2)
    >>> shared.directions[:, 0, 1].abs().max() < 1e-4
    tensor(True)
    >>> shared.share_of(torch.ones(1, 2, 2))
    tensor([0.7071])
    """
    return jobs.last(
        shared_directions_steps(clf, points, m, method=method, step=step, at=at, seed=seed)
    )


def shared_directions_steps(
    clf: Classifier,
    points: BoundaryPoints,
    m: int | None = None,
    *,
    method: str = "auto",
    step: float | None = None,
    at: float = 1.0,
    seed: int = 0,
) -> Iterator[SharedDirections]:
    """Like :func:`shared_directions`, yielding what is known so far; NaN is not known yet."""
    require_points(clf, points, "points")
    d = clf.dimension
    if m is not None:
        m = require_whole("m", m, 1, d)
    elif d > LARGEST_MATRIX:
        raise ValueError(
            f"m must be a number of directions where d is above {LARGEST_MATRIX}, here {d}: a "
            "matrix of all would not fit"
        )
    by_matrix = d <= LARGEST_MATRIX and (m is None or matrix_is_quick(d) or m >= _MANY * d)
    if not by_matrix and m is not None:
        m = require_whole("m", m, 1, d // 2)
    measurement = Measurement.begin(
        "shared_directions", clf, points, method=method, step=step, at=at, seed=seed, m=m
    )
    if not by_matrix and m is not None:
        noisy = measurement.method == "smoothed"
        require_room(clf, "m", m, least_vectors(d, m, noisy=noisy))
    steps = _by_matrix if by_matrix else _by_products
    return measurement.recorder.watch(news(steps(measurement, d if m is None else m)))


def _by_matrix(measurement: Measurement, m: int) -> Steps[SharedDirections]:
    """From all of Ḡ; while d is small also from the mean over the points done so far."""
    live = matrix_is_quick(measurement.clf.dimension)
    found = _Found(measurement, m)
    mean: MeanMatrix | None = None
    shown = 0
    for fraction, known in mean_matrix_steps(measurement):
        mean = known or mean
        if live and mean is not None and mean.points >= 2 * shown:
            found.take_matrices(mean)
            shown = mean.points
        if fraction < 1.0:
            yield found.unfinished(fraction), found.result
    if mean is not None and mean.points > shown:
        found.take_matrices(mean)
    yield Progress(), found.result


def _by_products(measurement: Measurement, m: int) -> Steps[SharedDirections]:
    """From products alone, by a search for the extremes at both ends."""
    found = _Found(measurement, m)
    noisy = measurement.method == "smoothed"
    operator = MeanShapeOperator(measurement)
    if operator.count:
        share = _SEARCH_SHARE if noisy else 1.0
        vectors = values = torch.empty(0)
        for extremes in extreme_steps(operator, m, measurement.vectors(), noisy=noisy):
            vectors, values = extremes.vectors[0], extremes.values[0]
            found.take(
                vectors, values, extremes.residuals[0], extremes.converged[0],
                float(extremes.asymmetry[0]), operator.points,
            )  # fmt: skip
            if share * extremes.fraction < 1.0:
                yield found.unfinished(share * extremes.fraction), found.result
        if noisy:
            fresh = MeanShapeOperator(measurement, fresh=True)
            products = torch.stack([fresh.apply(vectors[None])[0] for _ in range(_FRESH_PRODUCTS)])
            found.take_held_out(vectors, values, (vectors * products.mean(0)).sum(1))
    yield Progress(), found.result


class _Found:
    """What is known so far, on the CPU."""

    def __init__(self, measurement: Measurement, m: int) -> None:
        clf = measurement.clf
        self._measurement, self._m = measurement, m
        self._directions = torch.full((m, clf.dimension), torch.nan, dtype=clf.dtype)
        self._values = torch.full((m,), torch.nan, dtype=clf.dtype)
        self._residuals = self._values.clone()
        self._converged = torch.zeros(m, dtype=torch.bool)
        self._asymmetry, self._points = torch.nan, 0

    def take(
        self,
        vectors: Tensor,
        values: Tensor,
        residuals: Tensor,
        converged: Tensor,
        asymmetry: float,
        points: int,
    ) -> None:
        """Keep the m values that are largest in size, of a descending row of them."""
        kept = values.abs().argsort(descending=True, stable=True)[: self._m]
        kept = kept[values[kept].argsort(descending=True, stable=True)]
        self._directions, self._values = vectors[kept].cpu(), values[kept].cpu()
        self._residuals, self._converged = residuals[kept].cpu(), converged[kept].cpu()
        self._asymmetry, self._points = asymmetry, points

    def take_held_out(self, vectors: Tensor, found: Tensor, values: Tensor) -> None:
        """Take values from other probes than those that the vectors were found with."""
        residuals = (found - values).abs()
        converged = residuals <= _AGREEMENT * values.abs().max()
        self.take(vectors, values, residuals, converged, self._asymmetry, self._points)

    def take_matrices(self, mean: MeanMatrix) -> None:
        """Take the eigenvectors of the first matrix; a second one gives held-out values."""
        jobs.check_cancelled()
        matrix, *other_half = mean.matrices
        first, asymmetry = symmetrised(matrix[None])
        values, vectors = (part[0] for part in eigenpairs(first))
        self._asymmetry, self._points = float(asymmetry[0]), mean.points
        if other_half:
            with FullPrecision():
                held_out = ((vectors @ other_half[0]) * vectors).sum(1)
            self.take_held_out(vectors, values, held_out)
            return
        # What was symmetrised away, of which no more than its norm can act on u; an
        # antisymmetric matrix has each of its singular values twice.
        leftover = (matrix - first[0]).norm() / 2**0.5
        residuals = leftover.expand_as(values)
        converged = residuals <= TOLERANCE * values.abs().max()
        self.take(vectors, values, residuals, converged, self._asymmetry, self._points)

    def unfinished(self, fraction: float) -> Progress:
        """With a share of the work done."""
        return self._measurement.progress(
            "shared directions", fraction * len(self._measurement.rows)
        )

    def result(self, progress: Progress) -> SharedDirections:
        measurement = self._measurement
        clf = measurement.clf
        return SharedDirections(
            directions=self._directions.reshape(self._m, *clf.input_shape).clone(),
            values=self._values.clone(),
            residuals=self._residuals.clone(),
            converged=self._converged.clone(),
            asymmetry=self._asymmetry,
            points=self._points,
            dimension=clf.dimension,
            method=measurement.method,
            step=measurement.step,
            at=measurement.at,
            classifier=ref(clf),
            provenance=measurement.recorder.provenance(),
            progress=progress,
        )
