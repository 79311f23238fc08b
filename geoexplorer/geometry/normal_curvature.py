"""Normal curvature: how the boundary bends along given directions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from geoexplorer import jobs
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.curvature_along import (
    CurvatureAlong,
    Directions,
    directions_at,
    progress_along,
)
from geoexplorer.geometry.measurement import METHODS, Curvature, Measurement
from geoexplorer.jobs import News

__all__ = ["NormalCurvature", "normal_curvature", "normal_curvature_steps"]

_ACCEPTED = (*METHODS, "secant")


@dataclass(frozen=True, eq=False, repr=False)
class NormalCurvature(Curvature):
    """Curvatures of the boundary along given directions, ``(n, m)``."""

    directions: Tensor  # (n, m, C, H, W): unit tangents, what was given without its normal part
    direction_names: tuple[str, ...]  # (m,)
    standard_errors: Tensor  # (n, m), from the probes of "smoothed"; 0 for the other methods


def normal_curvature(
    clf: Classifier,
    boundary: BoundaryPoints,
    directions: Directions,
    *,
    method: str = "auto",
    step: float | None = None,
    at: float = 1.0,
    seed: int = 0,
) -> Tensor:
    """Measure the curvature κ(v) = vᵀ H v / ‖∇F‖ of the boundary along directions.

    Parameters
    ----------
    clf, boundary, step, at
        As for :func:`geoexplorer.principal_curvatures`.
    directions
        ``(m, C, H, W)``, the same for all points; ``(n, m, C, H, W)``, one's own for each; one
        ``(C, H, W)``; or directions of :mod:`geoexplorer.geometry.directions`. Their parts along
        the normal are taken away, and they are scaled to unit length.
    method
        One of those of :func:`geoexplorer.principal_curvatures`, or ``"secant"``: the boundary's
        measured offset from its tangent plane at z ± h v, which needs no second derivative and
        works for any classifier.
    seed
        For the probes of ``"smoothed"``.

    Returns
    -------
    Tensor
        ``(n, m)``, in 1 / l2 unit of pixel values. NaN where no boundary was reached, and for
        ``"secant"`` where the boundary beside z is farther than h from the tangent plane, or the
        step is too short for the rounding of the logits, which are computed in float64 where the
        network can be. A secant is the curvature of the parabola through z and the boundary at
        ±h: that at z in the limit of a short step. ``"smoothed"`` is an
        estimate that changes with the seed and with the directions asked together, which share
        their probes. The last result of :func:`normal_curvature_steps` has the
        ``standard_errors`` of that, and says how all were made.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or a direction is zero or parallel to a normal.

    Notes
    -----
    Source: Fawzi et al., CVPR 2018, section 4; the secant is our own.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from geoexplorer.geometry.boundary import nearest_boundary
    >>> class Disc(nn.Module):  # the own region is the ball of radius 2
    ...     def forward(self, x):
    ...         margin = 4 - x.flatten(1).square().sum(1)
    ...         return torch.stack([margin, -margin], dim=1)
    >>> clf = Classifier(Disc().eval(), input_shape=(1, 2, 2), device="cpu")
    >>> b = nearest_boundary(clf, torch.full((1, 2, 2), 0.4))
    >>> v = torch.tensor([[[1.0, -1.0], [0.0, 0.0]]])
    >>> [round(float(normal_curvature(clf, b, v, method=m)), 2) for m in ("autograd", "secant")]
    [-0.5, -0.5]
    """
    steps = normal_curvature_steps(
        clf, boundary, directions, method=method, step=step, at=at, seed=seed
    )
    return jobs.last(steps).values


def normal_curvature_steps(
    clf: Classifier,
    boundary: BoundaryPoints,
    directions: Directions,
    *,
    method: str = "auto",
    step: float | None = None,
    at: float = 1.0,
    seed: int = 0,
) -> Iterator[NormalCurvature]:
    """Like :func:`normal_curvature`, yielding full results, point by point."""
    vectors, names = directions_at(clf, boundary, directions)
    measurement = Measurement.begin(
        "normal_curvature", clf, boundary, method=method, step=step, at=at, seed=seed,
        accepted=_ACCEPTED, directions=names,
    )  # fmt: skip
    along = CurvatureAlong(measurement, vectors)

    def results() -> Iterator[NormalCurvature]:
        news = News()
        for fraction, values, errors in along.steps(measurement.step):
            if not news.due(fraction):
                continue
            yield NormalCurvature(
                values=values.clone(),
                directions=along.tangents(final=fraction >= 1.0),
                direction_names=names,
                standard_errors=errors.clone(),
                provenance=measurement.recorder.provenance(),
                progress=progress_along(fraction),
                **measurement.facts(),
            )

    return measurement.recorder.watch(results())
