"""Normal curvature: how the boundary bends along given directions, and at which scale."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geoexplorer import jobs
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.blocks import slices
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.directions import Direction
from geoexplorer.geometry.measurement import (
    METHODS,
    Curvature,
    Measurement,
    require_points,
    require_step,
)
from geoexplorer.geometry.operators import ShapeOperators, default_step
from geoexplorer.geometry.secant import secant_curvatures
from geoexplorer.jobs import News, Progress

__all__ = [
    "CurvatureByStep",
    "NormalCurvature",
    "curvature_by_step",
    "curvature_by_step_steps",
    "normal_curvature",
    "normal_curvature_steps",
]

_ACCEPTED = (*METHODS, "secant")
_SCALED = ("central_difference", "smoothed", "secant")  # methods that have a step
# A direction whose tangent part is a smaller share of it than this has none.
_PARALLEL = 1e-4
# Steps at which curvature is measured by default, in the authors'.
_STEPS = tuple(2.0**exponent for exponent in range(-6, 3))
_DIRECTIONS_TOGETHER = 32


@dataclass(frozen=True, eq=False)
class NormalCurvature(Curvature):
    """Curvatures of the boundary along given directions, ``(n, m)``."""

    directions: Tensor  # (n, m, C, H, W): unit tangents, what was given without its normal part
    direction_names: tuple[str, ...]  # (m,)
    standard_errors: Tensor  # (n, m), from the probes of "smoothed"; 0 for the other methods


@dataclass(frozen=True, eq=False)
class CurvatureByStep(Curvature):
    """Curvatures along given directions, measured at several steps h: ``(n, m, s)``.

    ``step`` is the one that the method takes by default.
    """

    steps: tuple[float, ...]  # (s,), ascending
    # (n, m, C, H, W), unit tangents at the smallest step: as far as the normal changes with the
    # step, as that of "smoothed" does, so do they.
    directions: Tensor
    direction_names: tuple[str, ...]  # (m,)
    standard_errors: Tensor  # (n, m, s), from the probes of "smoothed"; 0 for the other methods


Directions = Tensor | Direction | Sequence[Direction]


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
    vectors, names = _read(clf, boundary, directions)
    measurement = Measurement.begin(
        "normal_curvature", clf, boundary, method=method, step=step, at=at, seed=seed,
        accepted=_ACCEPTED, directions=names,
    )  # fmt: skip
    along = _Along(measurement, vectors)

    def results() -> Iterator[NormalCurvature]:
        news = News()
        for fraction, values, errors in along.steps(measurement.step):
            if not news.due(fraction):
                continue
            yield NormalCurvature(
                values=values.clone(),
                directions=along.tangents,
                direction_names=names,
                standard_errors=errors.clone(),
                provenance=measurement.recorder.provenance(),
                progress=_progress(fraction),
                **measurement.facts(),
            )

    return measurement.recorder.watch(results())


def curvature_by_step(
    clf: Classifier,
    boundary: BoundaryPoints,
    directions: Directions,
    *,
    steps: Sequence[float] | None = None,
    method: str = "auto",
    at: float = 1.0,
    seed: int = 0,
) -> CurvatureByStep:
    """Measure the curvature along directions at several scales.

    Where there are kinks the number depends on the scale, whatever the method; this shows how.

    Parameters
    ----------
    clf, boundary, directions, at, seed
        As for :func:`normal_curvature`.
    steps
        Lengths h; by default nine from 1/64 to 4 times the authors'.
    method
        ``"central_difference"``, ``"smoothed"`` or ``"secant"``; ``"auto"`` is smoothed where there
        are kinks and central differences elsewhere.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> from torch import nn
    >>> from geoexplorer.geometry.boundary import nearest_boundary
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    >>> clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
    >>> b = nearest_boundary(clf, torch.rand(1, 2, 2))
    >>> curvature_by_step(clf, b, torch.rand(2, 1, 2, 2), steps=(0.1, 1.0)).values.shape
    torch.Size([1, 2, 2])
    """
    return jobs.last(
        curvature_by_step_steps(
            clf, boundary, directions, steps=steps, method=method, at=at, seed=seed
        )
    )


def curvature_by_step_steps(
    clf: Classifier,
    boundary: BoundaryPoints,
    directions: Directions,
    *,
    steps: Sequence[float] | None = None,
    method: str = "auto",
    at: float = 1.0,
    seed: int = 0,
) -> Iterator[CurvatureByStep]:
    """Like :func:`curvature_by_step`, from the largest step down; NaN is not known yet."""
    vectors, names = _read(clf, boundary, directions)
    lengths = _lengths(clf, steps)
    measurement = Measurement.begin(
        "curvature_by_step", clf, boundary, method=method, step=None, at=at, seed=seed,
        accepted=_SCALED, directions=names, steps=lengths,
    )  # fmt: skip
    along = _Along(measurement, vectors)
    known = measurement.unknown(len(names), len(lengths))
    errors = known.clone()

    def results() -> Iterator[CurvatureByStep]:
        news = News()
        for done, index in enumerate(reversed(range(len(lengths)))):
            for part, *found in along.steps(lengths[index]):
                known[:, :, index], errors[:, :, index] = found
                fraction = (done + part) / len(lengths)
                if not news.due(fraction):
                    continue
                yield CurvatureByStep(
                    values=known.clone(),
                    steps=lengths,
                    directions=along.tangents,
                    direction_names=names,
                    standard_errors=errors.clone(),
                    provenance=measurement.recorder.provenance(),
                    progress=_progress(fraction),
                    **measurement.facts(),
                )

    return measurement.recorder.watch(results())


class _Along:
    """Measures curvatures along given directions at all points."""

    def __init__(self, measurement: Measurement, directions: Tensor) -> None:
        self._measurement = measurement
        self._directions = directions  # (1 or n, m, d), on the CPU
        self._tangents = measurement.unknown(*directions.shape[1:])

    @property
    def tangents(self) -> Tensor:
        """The unit tangents measured along, as images ``(n, m, C, H, W)``."""
        shape = (*self._tangents.shape[:2], *self._measurement.clf.input_shape)
        return self._tangents.reshape(shape).clone()

    def steps(self, step: float) -> Iterator[tuple[float, Tensor, Tensor]]:
        """The share done, the curvatures ``(n, m)`` with a step h, filled in, and their errors."""
        measurement = replace(self._measurement, step=step)
        m = self._directions.shape[1]
        values, errors = measurement.unknown(m), measurement.unknown(m)
        done, count = 0, len(measurement.rows)
        for block in measurement.blocks_along(_DIRECTIONS_TOGETHER):
            rows, operators = measurement.shape_operators(block)
            given = self._directions.expand(len(measurement), -1, -1)[rows]
            for part in slices(m, _DIRECTIONS_TOGETHER):
                coordinates = operators.coordinates(given[:, part].to(operators.like))
                coordinates = coordinates / coordinates.norm(dim=2, keepdim=True)
                self._tangents[rows, part] = operators.lift(coordinates).cpu()
                found = _curvatures(measurement, rows, operators, coordinates)
                values[rows, part], errors[rows, part] = (each.cpu() for each in found)
                yield min((done + len(block) * part.stop / m) / count, 1.0), values, errors
            done += len(block)


def _curvatures(
    measurement: Measurement, rows: Tensor, operators: ShapeOperators, coordinates: Tensor
) -> tuple[Tensor, Tensor]:
    """κ ``(n, m)`` along unit tangents with the given coordinates, and their standard errors."""
    if measurement.method == "secant":
        values = secant_curvatures(
            measurement.level_sets(rows),
            operators.normals * operators.norms[:, None],
            operators.lift(coordinates),
            measurement.step,
        )
        return values, torch.where(values.isnan(), math.nan, torch.zeros_like(values))
    return operators.along(coordinates)


def _read(
    clf: Classifier, boundary: BoundaryPoints, directions: Any
) -> tuple[Tensor, tuple[str, ...]]:
    """Directions as ``(1 or n, m, d)`` in the classifier's dtype on the CPU, and their names."""
    require_points(clf, boundary)
    names: tuple[str, ...] | None = None
    if isinstance(directions, Direction):
        directions = [directions]
    if not isinstance(directions, Tensor):
        directions, names = _stacked(directions)
    if not directions.is_floating_point():
        raise TypeError(f"directions must hold floating-point numbers, got {directions.dtype}")
    n, shape = len(boundary), tuple(clf.input_shape)
    given = tuple(directions.shape)
    if 3 <= directions.ndim < 5:
        directions = directions[(None,) * (5 - directions.ndim)]
    if (
        directions.ndim != 5
        or directions.shape[2:] != shape
        or len(directions) not in (1, n)
        or directions.numel() == 0
    ):
        raise ValueError(
            f"directions must have shape (m, {', '.join(map(str, shape))}), one for all of the {n} "
            f"points, or ({n}, m, {', '.join(map(str, shape))}), got {given}"
        )
    flat = directions.detach().to("cpu", clf.dtype).flatten(2)
    _require_tangents(boundary, flat)
    return flat, names or tuple(f"direction {number + 1}" for number in range(flat.shape[1]))


def _stacked(directions: Any) -> tuple[Tensor, tuple[str, ...]]:
    sequence = list(directions) if isinstance(directions, Sequence) else []
    if not sequence or not all(isinstance(direction, Direction) for direction in sequence):
        raise TypeError(
            "directions must be a float tensor (m, C, H, W) or directions of "
            f"geoexplorer.geometry.directions, got {type(directions).__name__}"
        )
    vectors = torch.stack([direction.vector for direction in sequence])
    return vectors, tuple(direction.name for direction in sequence)


def _require_tangents(boundary: BoundaryPoints, flat: Tensor) -> None:
    lengths = flat.norm(dim=2)
    if not bool((lengths.isfinite() & (lengths > 0)).all()):
        raise ValueError(
            "directions must be finite and not zero, got one of norm "
            f"{float(lengths[~(lengths.isfinite() & (lengths > 0))][0]):g}"
        )
    normals = boundary.normals.flatten(1).to(flat)[:, None]
    along = (flat * normals).sum(2, keepdim=True) * normals
    parallel = (flat - along).norm(dim=2) <= _PARALLEL * lengths
    if bool(parallel.any()):
        point, direction = (int(index) for index in parallel.nonzero()[0])
        raise ValueError(
            f"directions must not be parallel to the normal: direction {direction} is at point "
            f"{point}, and has no part along the boundary"
        )


def _lengths(clf: Classifier, steps: Any) -> tuple[float, ...]:
    if steps is None:
        return tuple(factor * default_step(clf) for factor in _STEPS)
    if isinstance(steps, (Tensor, np.ndarray)) and steps.ndim == 1:
        steps = steps.tolist()
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        raise TypeError(f"steps must be a sequence of lengths h or None, got {steps!r}")
    lengths = tuple(sorted({require_step(step, "steps", clf=clf) for step in steps}))
    if not lengths:
        raise ValueError("steps must hold at least one length h, got none")
    if len(lengths) < len(steps):
        raise ValueError(f"steps must differ from each other, got {list(steps)}")
    return lengths


def _progress(fraction: float) -> Progress:
    return Progress() if fraction >= 1.0 else Progress(fraction, "curvature along directions")
