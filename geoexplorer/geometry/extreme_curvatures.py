"""The extreme principal curvatures, from products of the shape operators alone."""

from __future__ import annotations

import torch
from torch import Tensor

from geoexplorer.geometry.curvature_parts import Parts, compared, part_of
from geoexplorer.geometry.measurement import Measurement
from geoexplorer.geometry.operators import ShapeOperators
from geoexplorer.geometry.spectra import Extremes, extreme_steps, least_vectors, vectors_held

__all__ = ["extreme_curvatures_steps", "least_held", "searched_together"]

_SEARCH_SHARE = 0.7  # of the work, where values are held out
_FRESH_PRODUCTS = 4  # whose mean gives a held-out value
# So many more than asked are looked for at either end, but at least so many: which of them are the
# extreme ones is told by values that are held out.
_SPARE, _LEAST_SPARE = 0.5, 5
_TOGETHER = 64  # points, where they fit into memory


def extreme_curvatures_steps(measurement: Measurement, rows: Tensor, m: int) -> Parts:
    """The extreme values from products alone."""
    rows, operators = measurement.shape_operators(rows)
    if len(rows) == 0:
        return
    noisy = measurement.method == "smoothed"
    search_share = _SEARCH_SHARE if noisy else 1.0
    sought = _sought(m, operators.dimension, noisy)
    extremes = None
    for so_far in extreme_steps(operators, sought, measurement.vectors(), noisy=noisy):
        extremes = so_far
        yield search_share * extremes.fraction, part_of(rows, operators, extremes.ends(m))
    if noisy and extremes is not None:
        # Fresh probes, the same ones however long the search was.
        fresh = operators.measured_by(measurement.hessians(measurement.level_sets(rows), stream=1))
        held_out, errors = _held_out(fresh, extremes, m)
        yield 1.0, part_of(rows, operators, held_out, errors)


def searched_together(measurement: Measurement, m: int) -> int:
    """Points that are searched together for m values at either end."""
    dimension, noisy = measurement.clf.dimension - 1, measurement.method == "smoothed"
    held = vectors_held(dimension, _sought(m, dimension, noisy), noisy=noisy)
    return min(measurement.fitting(held), _TOGETHER)


def least_held(measurement: Measurement, m: int) -> int:
    """Vectors that a search for m values at either end holds at one point at least."""
    dimension, noisy = measurement.clf.dimension - 1, measurement.method == "smoothed"
    return least_vectors(dimension, _sought(m, dimension, noisy), noisy=noisy)


def _sought(m: int, dimension: int, noisy: bool) -> int:
    """How many values are looked for at either end."""
    spare = max(_LEAST_SPARE, round(_SPARE * m)) if noisy else 0
    return min(m + spare, dimension // 2)


def _held_out(operators: ShapeOperators, found: Extremes, m: int) -> tuple[Extremes, Tensor]:
    """Values of the same directions by probes that had no part in finding them, and their errors.

    The search favours directions in which its noise happens to be large, so that the extreme ones
    are chosen anew: the m largest and the m smallest of the new values.
    """
    drawn = [operators.along(found.vectors) for _ in range(_FRESH_PRODUCTS)]
    values = torch.stack([each for each, _ in drawn]).mean(0)
    errors = torch.stack([each for _, each in drawn]).square().sum(0).sqrt() / len(drawn)
    return compared(values, errors, found, m)
