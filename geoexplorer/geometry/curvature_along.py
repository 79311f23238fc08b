"""Measuring the curvature of the boundary along directions, at one step after the other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.blocks import slices
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.directions import Direction
from geoexplorer.geometry.measurement import Measurement, require_points
from geoexplorer.geometry.operators import ShapeOperators
from geoexplorer.geometry.secant import secant_curvatures
from geoexplorer.jobs import Progress

__all__ = ["CurvatureAlong", "Directions", "directions_at", "progress_along"]

# A direction whose tangent part is a smaller share of it than this has none.
_PARALLEL = 1e-4
_NUMBERS_AT_ONCE = 2**18  # in directions that are compared with the normal together
_DIRECTIONS_TOGETHER = 32
_LEAST_TOGETHER = 8  # a secant looks along as many others, for the rounding of the logits

Directions = Tensor | Direction | Sequence[Direction]
"""What callers give as directions."""


class CurvatureAlong:
    """Measures curvatures along given directions at all points."""

    def __init__(self, measurement: Measurement, directions: Tensor) -> None:
        self._measurement = measurement
        self._directions = directions  # (1 or n, m, d), on the CPU
        self._tangents = measurement.unknown(*directions.shape[1:])

    def tangents(self, *, final: bool) -> Tensor:
        """The unit tangents measured along, as images ``(n, m, C, H, W)``.

        A copy of them as long as there are some to come.
        """
        shape = (*self._tangents.shape[:2], *self._measurement.clf.input_shape)
        tangents = self._tangents.reshape(shape)
        return tangents if final else tangents.clone()

    def steps(self, step: float) -> Iterator[tuple[float, Tensor, Tensor]]:
        """The share done, the curvatures ``(n, m)`` with a step h, filled in, and their errors."""
        measurement = replace(self._measurement, step=step)
        m = self._directions.shape[1]
        values, errors = measurement.unknown(m), measurement.unknown(m)
        done, count = 0, len(measurement.rows)
        together = measurement.together(min(m, _DIRECTIONS_TOGETHER))
        for block in measurement.blocks_along(max(together, _LEAST_TOGETHER)):
            rows, operators = measurement.shape_operators(block)
            for part in slices(m, together):
                given = self._directions[:, part].expand(len(measurement), -1, -1)[rows]
                coordinates = operators.coordinates(given.to(operators.like))
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


def directions_at(
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
    at_once = max(1, _NUMBERS_AT_ONCE // flat.shape[2])
    for point, normal in enumerate(boundary.normals.flatten(1).to(flat)):
        row = point % len(flat)
        for part in slices(flat.shape[1], at_once):  # all at once would be copies of all
            vectors = flat[row, part]
            beside = vectors - (vectors * normal).sum(1, keepdim=True) * normal
            parallel = beside.norm(dim=1) <= _PARALLEL * lengths[row, part]
            if bool(parallel.any()):
                direction = part.start + int(parallel.nonzero()[0])
                raise ValueError(
                    f"directions must not be parallel to the normal: direction {direction} is at "
                    f"point {point}, and has no part along the boundary"
                )


def progress_along(fraction: float) -> Progress:
    """With such a share of the work done."""
    return Progress() if fraction >= 1.0 else Progress(fraction, "curvature along directions")
