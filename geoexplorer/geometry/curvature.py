"""Principal curvatures: how the decision boundary bends, and in which directions.

At a boundary point z with unit normal n = ∇F/‖∇F‖ into the own region, F = f_own - f_other, the
curvature along a unit tangent v is κ(v) = vᵀ H v / ‖∇F‖, H the Hessian of F. Near z the boundary is
z + s v - ½ κ s² n: where the own region is a ball of radius R, κ is -1/R in every direction. The
principal curvatures are the eigenvalues of the shape operator G = P H P / ‖∇F‖, P = I - n nᵀ, the
normal's own zero left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from geoexplorer import jobs
from geoexplorer.arguments import require_flag, require_whole
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.curvature_parts import Part
from geoexplorer.geometry.directions import Direction, given
from geoexplorer.geometry.extreme_curvatures import (
    extreme_curvatures_steps,
    least_held,
    searched_together,
)
from geoexplorer.geometry.matrices import LARGEST_MATRIX, by_matrix
from geoexplorer.geometry.measurement import Curvature, Measurement, Steps, news, require_points
from geoexplorer.geometry.room import require_room
from geoexplorer.geometry.whole_spectra import MATRICES, smoothed_spectra_steps, spectra_steps
from geoexplorer.jobs import Progress

__all__ = ["PrincipalCurvatures", "principal_curvatures", "principal_curvatures_steps"]


@dataclass(frozen=True, eq=False, repr=False)
class PrincipalCurvatures(Curvature):
    """Principal curvatures of the boundary, the eigenvalues of the shape operator G, descending.

    All d - 1 of them, ``(n, d - 1)``, or the m most positive and the m most negative ones,
    ``(n, 2 m)``.
    """

    # (n, k): ‖G u - κ u‖ for the unit direction u of each value, or a bound of it; for "smoothed"
    # how far the value that u was found with, in the other half of the probes, lies from this one:
    # the true one tends to lie between the two.
    residuals: Tensor
    # (n, k) bool: whether the residual is small beside the largest value, for "smoothed" beside
    # the largest at the same end.
    converged: Tensor
    asymmetry: Tensor  # (n,): ‖G - Gᵀ‖ / ‖G‖ before G was symmetrised
    directions: Tensor | None  # (n, k, C, H, W), unit tangents, if they were asked for
    dimension: int  # d
    # (n, k): of each value along its direction, from the probes of "smoothed"; 0 for the others.
    standard_errors: Tensor | None = None

    def direction(self, rank: int) -> Direction:
        """The principal direction of one point that has a rank, as an axis of cross-sections.

        Parameters
        ----------
        rank
            1 is the direction of the most positive curvature, 2 that of the next; -1 that of the
            most negative one, -2 that of the one before.

        Raises
        ------
        TypeError, ValueError
            If the rank is no such number or was not measured, there are several points, or the
            directions were not kept.

        Examples
        --------
        >>> one, e = torch.ones(1), torch.eye(3).reshape(1, 3, 1, 1, 3)
        >>> curvatures = PrincipalCurvatures(
        ...     values=torch.tensor([[0.5, -0.58]]), residuals=torch.zeros(1, 2),
        ...     converged=torch.ones(1, 2) > 0, asymmetry=0 * one, directions=e[:, :2],
        ...     dimension=3, own=0 * one.long(), other=one.long(), distances=one, alignment=one,
        ...     method="autograd", step=0.0, at=1.0)
        >>> curvatures.direction(-1).name
        'principal direction −1 (κ = −0.58)'
        """
        if len(self) != 1:
            raise ValueError(f"one point has directions of a rank, got {len(self)}; index it: k[i]")
        if self.directions is None:
            raise ValueError("the directions were not kept; measure with directions=True")
        count = self.values.shape[1]
        highest = count if count == self.dimension - 1 else count // 2
        if require_whole("rank", rank, -highest, highest) == 0:
            raise ValueError(f"rank must be 1 to {highest} or -1 to -{highest}, got 0")
        column = rank - 1 if rank > 0 else rank
        name = f"principal direction {rank} (κ = {float(self.values[0, column]):.3g})"
        return given(self.directions[0, column], name.replace("-", "−"))


def principal_curvatures(
    clf: Classifier,
    boundary: BoundaryPoints,
    k: int | None = None,
    *,
    method: str = "auto",
    step: float | None = None,
    at: float = 1.0,
    directions: bool = False,
    seed: int = 0,
) -> PrincipalCurvatures:
    """Measure the principal curvatures of the decision boundary at boundary points.

    Parameters
    ----------
    clf
        The classifier.
    boundary
        What :func:`geoexplorer.nearest_boundary` gives. With ``effort="deepfool"`` these are the
        points that the paper measured at.
    k
        None for all d - 1 of them, where d is at most 4,096; m for the m most positive and the m
        most negative ones, with their directions.
    method
        ``"autograd"``: exact, for networks without kinks. ``"central_difference"``: of gradients
        at z ± h v, as the authors' own code does; with kinks the matrix is not symmetric, and
        ``asymmetry`` says how little. ``"smoothed"``: of F convolved with a Gaussian of standard
        deviation h/√d a pixel; directions come from one half of the probes and values from the
        other, so that noise does not inflate them. ``"auto"`` is autograd without kinks and
        smoothed with them.
    step
        h, an l2 length in pixel values, for the methods that have one; by default the authors',
        10 √d (hi - lo) / 512, and a tenth of it without kinks, where there is a limit to come
        near to. Where ``"auto"`` is autograd, a step is not needed and left aside.
    at
        Measured at x + at r, on the level set of F through that point; 1 is the boundary point.
    directions
        Whether to keep the directions of all d - 1 values.
    seed
        For the first vectors of the search and for the probes.

    Returns
    -------
    PrincipalCurvatures
        One row a boundary point, in 1 / l2 unit of pixel values; NaN where no boundary was reached.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, the points are not the classifier's, none of them was
        reached, ``"autograd"`` is asked of a network with kinks, or a search for k values does not
        fit into the classifier's ``memory``.

    Notes
    -----
    Source: Fawzi et al., CVPR 2018, section 4; the central differences as in the authors' code. The
    smoothed estimate is our own. An extreme value's ``converged`` is True where its residual is
    below 1e-3 of the largest in size; a smoothed one's where both halves agree to 10 % of the
    largest in size at the same end, the more positive or the more negative half of the spectrum.
    A smoothed value is that along its direction, known up to ``standard_errors``; as far as the
    direction itself is not quite found, the most extreme curvature is beyond it.

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
    >>> [round(float(value), 3) for value in principal_curvatures(clf, b).values[0]]
    [-0.5, -0.5, -0.5]
    """
    return jobs.last(
        principal_curvatures_steps(
            clf, boundary, k, method=method, step=step, at=at, directions=directions, seed=seed
        )
    )


def principal_curvatures_steps(
    clf: Classifier,
    boundary: BoundaryPoints,
    k: int | None = None,
    *,
    method: str = "auto",
    step: float | None = None,
    at: float = 1.0,
    directions: bool = False,
    seed: int = 0,
) -> Iterator[PrincipalCurvatures]:
    """Like :func:`principal_curvatures`, yielding what is known so far; NaN is not known yet.

    Extreme values come early and get better; a whole spectrum comes when its matrix is complete.
    """
    require_points(clf, boundary)
    require_flag("directions", directions)
    d = clf.dimension
    if k is not None:
        if d < 3:
            raise ValueError(f"k must be None where the input space has {d} dimensions, got {k!r}")
        k = require_whole("k", k, 1, (d - 1) // 2)
    elif d > LARGEST_MATRIX:
        raise ValueError(
            f"k must be a number of extreme curvatures where d is above {LARGEST_MATRIX}, here "
            f"{d}: a matrix of all would not fit. curvature_density estimates how all of them are "
            "distributed"
        )
    measurement = Measurement.begin(
        "principal_curvatures", clf, boundary, method=method, step=step, at=at, seed=seed,
        k=k, directions=directions,
    )  # fmt: skip
    if k is not None and not by_matrix(d, k, measurement.method):
        require_room(clf, "k", k, least_held(measurement, k))
    return measurement.recorder.watch(news(_measure(measurement, k, directions or k is not None)))


def _measure(
    measurement: Measurement, k: int | None, directions: bool
) -> Steps[PrincipalCurvatures]:
    d = measurement.clf.dimension
    found = _Found(measurement, d - 1 if k is None else 2 * k, directions)
    done = 0
    for rows in measurement.blocks(_block_size(measurement, k)):
        if k is not None and not by_matrix(d, k, measurement.method):
            steps = extreme_curvatures_steps(measurement, rows, k)
        elif measurement.method == "smoothed":
            steps = smoothed_spectra_steps(measurement, rows, k)
        else:
            steps = spectra_steps(measurement, rows, directions)
        for fraction, part in steps:
            if part is not None:
                found.take(part)
            share = (done + fraction * len(rows)) / len(measurement.rows)
            if share < 1.0:
                count = len(measurement.rows)
                message = f"curvatures, {share:.0%} of {count} point{'s' * (count > 1)}"
                yield Progress(share, message), found.result
        done += len(rows)
    yield Progress(), found.result


class _Found:
    """What is known so far, on the CPU."""

    def __init__(self, measurement: Measurement, count: int, directions: bool) -> None:
        self._measurement = measurement
        self._values = measurement.unknown(count)
        self._residuals = measurement.unknown(count)
        self._errors = measurement.unknown(count)
        self._converged = torch.zeros_like(self._values, dtype=torch.bool)
        self._asymmetry = measurement.unknown()
        d = measurement.clf.dimension
        self._directions = measurement.unknown(count, d) if directions else None

    def take(self, part: Part) -> None:
        rows = part.rows
        self._values[rows] = part.values.cpu()
        self._residuals[rows] = part.residuals.cpu()
        self._errors[rows] = 0.0 if part.errors is None else part.errors.cpu()
        self._converged[rows] = part.converged.cpu()
        self._asymmetry[rows] = part.asymmetry.cpu()
        if self._directions is not None and part.directions is not None:
            self._directions[rows] = part.directions.cpu()

    def result(self, progress: Progress) -> PrincipalCurvatures:
        shape = (*self._values.shape, *self._measurement.clf.input_shape)
        directions = self._directions
        return PrincipalCurvatures(
            values=self._values.clone(),
            residuals=self._residuals.clone(),
            converged=self._converged.clone(),
            asymmetry=self._asymmetry.clone(),
            directions=None if directions is None else directions.reshape(shape).clone(),
            dimension=self._measurement.clf.dimension,
            standard_errors=self._errors.clone(),
            provenance=self._measurement.recorder.provenance(),
            progress=progress,
            **self._measurement.facts(),
        )


def _block_size(measurement: Measurement, k: int | None) -> int:
    """Points that are worked on together."""
    if k is None or by_matrix(measurement.clf.dimension, k, measurement.method):
        return measurement.fitting_matrices(MATRICES)
    return searched_together(measurement, k)
