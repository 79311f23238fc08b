"""The mean of the shape operators at many boundary points, on the whole input space.

The operators G = P H P / ‖∇F‖ of different points have different normals, so that their mean acts
on all d dimensions. :class:`MeanShapeOperator` gives its products with vectors, which is all that
the search for extreme eigenvalues asks for; :func:`mean_matrix_steps` makes it a matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from geoexplorer.classifier import FullPrecision
from geoexplorer.geometry.blocks import slices
from geoexplorer.geometry.measurement import Measurement, with_normal
from geoexplorer.geometry.operators import ShapeOperators
from geoexplorer.geometry.smoothing import smoothed_halves_steps

__all__ = ["MeanMatrix", "MeanShapeOperator", "mean_matrix_steps", "tangent_products"]

_TOGETHER = 64  # directions for which the points worked on at once must fit into memory
_TINY = 1e-12
_MATRICES = 6  # of d x d, held for one point
# Of "smoothed": parts of the points with probes of their own, whose noise the mean averages out,
# so that each point needs fewer probes than alone.
_PARTS = 16
_PROBES = 1024  # in a half, over all the parts


def tangent_products(operators: ShapeOperators, vectors: Tensor) -> Tensor:
    """G v ``(n, m, d)`` for any vectors ``(n, m, d)``, which need not be tangents."""
    coordinates = operators.coordinates(vectors)
    lengths: Tensor = coordinates.norm(dim=2, keepdim=True)
    products = operators.apply(coordinates / lengths.clamp_min(_TINY))
    return operators.lift(products) * lengths


class MeanShapeOperator:
    """The mean of G over the points of a measurement: one symmetric operator of dimension d.

    Parameters
    ----------
    measurement
        Where and how curvature is measured.
    fresh
        Whether the random probes are others than those of the operator made without.
    """

    def __init__(self, measurement: Measurement, *, fresh: bool = False) -> None:
        self._clf = measurement.clf
        # Half as many as elsewhere: the search holds vectors beside these.
        self._together = max(1, measurement.together(2 * _TOGETHER) // 2)
        self._blocks = [
            measurement.shape_operators(rows, stream=2 * index + fresh)[1]
            for index, rows in enumerate(measurement.blocks_along(2 * self._together))
        ]
        self.points: int = sum(operators.count for operators in self._blocks)

    @property
    def count(self) -> int:
        """One operator, if there is a point at all."""
        return min(1, self.points)

    @property
    def dimension(self) -> int:
        """d."""
        return self._clf.dimension

    @property
    def memory(self) -> int:
        """Bytes that the vectors of a search may take."""
        return self._clf.memory // 2

    @property
    def vectors_at_once(self) -> int:
        """Vectors that are best applied together."""
        return self._together

    @property
    def like(self) -> Tensor:
        """A tensor of the dtype and on the device of the vectors."""
        return torch.empty(0, device=self._clf.device, dtype=self._clf.dtype)

    def apply(self, vectors: Tensor) -> Tensor:
        """The mean of G v over the points, ``(1, m, d)`` to the same."""
        total = torch.zeros_like(vectors)
        for operators in filter(lambda block: block.count, self._blocks):
            for part in slices(vectors.shape[1], self._together):
                given = vectors[:, part].expand(operators.count, -1, -1)
                total[:, part] += tangent_products(operators, given).sum(0, keepdim=True)
        return total / self.points


@dataclass(frozen=True)
class MeanMatrix:
    """The mean of G over so many points; of ``"smoothed"``, by each half of the probes."""

    sums: Tensor  # (1 or 2, d, d): of G over the points, not symmetrised
    points: int

    @property
    def matrices(self) -> tuple[Tensor, ...]:
        """One or two means ``(d, d)``."""
        return tuple(self.sums / self.points)


def mean_matrix_steps(measurement: Measurement) -> Iterator[tuple[float, MeanMatrix | None]]:
    """The share of the work done, and the mean over the points done when a block of them is.

    The sums are overwritten by the next step.
    """
    clf, count = measurement.clf, len(measurement.rows)
    together = measurement.fitting_matrices(_MATRICES)
    halves = 1
    if measurement.method == "smoothed":
        halves, together = 2, min(together, max(1, count // _PARTS))
    blocks = measurement.blocks(together)
    sums = torch.zeros(halves, clf.dimension, clf.dimension, device=clf.device, dtype=clf.dtype)
    done = points = 0
    for index, rows in enumerate(blocks):
        known = _Known((), torch.empty(0))
        probes = _PROBES // len(blocks)
        for fraction, so_far in _hessian_steps(measurement, rows, index, probes):
            known = so_far
            yield (done + fraction * len(rows)) / count, None
        regular = with_normal(known.gradients)
        for total, matrices in zip(sums, known.hessians, strict=True):
            total += _sandwiched(matrices[regular], known.gradients[regular]).sum(0)
        done += len(rows)
        points += int(regular.sum())
        if points:
            yield done / count, MeanMatrix(sums, points)


@dataclass(frozen=True)
class _Known:
    """Hessians at some points as far as they are known."""

    hessians: tuple[Tensor, ...]  # of (n, d, d)
    gradients: Tensor  # (n, d)


def _hessian_steps(
    measurement: Measurement, rows: Tensor, stream: int, probes: int
) -> Iterator[tuple[float, _Known]]:
    sets = measurement.level_sets(rows)
    n, d = sets.points.shape
    if measurement.method == "smoothed":
        seed = measurement.seed_of(stream)
        for fraction, halves in smoothed_halves_steps(sets, measurement.step, seed, least=probes):
            yield fraction, _Known((halves.first, halves.second), halves.gradients)
        return
    hessians = measurement.hessians(sets)
    gradients = hessians.gradients()
    matrices = sets.points.new_zeros(n, d, d)
    at_once = max(1, sets.vectors_at_once // n)
    for part in slices(d, at_once):
        columns = torch.eye(d, device=matrices.device, dtype=matrices.dtype)[part]
        matrices[:, part] = hessians.products(columns.expand(n, -1, -1))
        yield part.stop / d, _Known((matrices,), gradients)


def _sandwiched(hessians: Tensor, gradients: Tensor) -> Tensor:
    """P H P / ‖∇F‖ ``(n, d, d)``; overwrites the Hessians."""
    norms = gradients.norm(dim=1)[:, None, None]
    n = gradients[:, :, None] / norms
    with FullPrecision():
        hessians -= n @ (n.transpose(1, 2) @ hessians)
        hessians -= (hessians @ n) @ n.transpose(1, 2)
    return hessians.div_(norms)
