"""All principal curvatures, from the shape operators as matrices."""

from __future__ import annotations

from torch import Tensor

from geoexplorer.classifier import FullPrecision
from geoexplorer.geometry.curvature_parts import Part, Parts, compared, part_of
from geoexplorer.geometry.measurement import Measurement, with_normal
from geoexplorer.geometry.operators import ShapeOperators
from geoexplorer.geometry.smoothing import smoothed_halves_steps
from geoexplorer.geometry.spectra import (
    TOLERANCE,
    Extremes,
    assemble_steps,
    eigenpairs,
    eigenvalues,
    symmetrised,
)
from geoexplorer.jobs import check_cancelled

__all__ = ["MATRICES", "smoothed_spectra_steps", "spectra_steps"]

MATRICES = 10
"""Of d x d, held for one point."""

_BEFORE_EIGENVALUES = 0.9  # share of the work that is done when a matrix is complete
_TINY = 1e-12


def spectra_steps(measurement: Measurement, rows: Tensor, directions: bool) -> Parts:
    """All values, from matrices of products."""
    rows, operators = measurement.shape_operators(rows)
    if len(rows) == 0:
        return
    matrices = operators.like
    for fraction, so_far in assemble_steps(operators):
        matrices = so_far
        yield fraction * _BEFORE_EIGENVALUES, None
    matrices, asymmetry = symmetrised(matrices)
    check_cancelled()
    lifted = None
    if directions:
        values, vectors = eigenpairs(matrices)
        lifted = operators.lift(vectors)
    else:
        values = eigenvalues(matrices)
    # The part of G that was symmetrised away, of which no more than its norm can act on u.
    share = asymmetry / 2  # of the antisymmetric part in G, whose square adds to the other's
    size = matrices.flatten(1).norm(dim=1) / (1 - share**2).clamp_min(_TINY).sqrt()
    # An antisymmetric matrix has each of its singular values twice.
    leftover = (share * size / 2**0.5)[:, None]
    residuals = leftover.expand_as(values)
    converged = residuals <= TOLERANCE * values.abs().amax(1, keepdim=True)
    yield 1.0, Part(rows, values, residuals, converged, asymmetry, lifted)


def smoothed_spectra_steps(measurement: Measurement, rows: Tensor, k: int | None) -> Parts:
    """Directions from one half of the probes, values from the other."""
    sets = measurement.level_sets(rows)
    halves = None
    for fraction, so_far in smoothed_halves_steps(sets, measurement.step, measurement.seed):
        halves = so_far
        yield fraction * _BEFORE_EIGENVALUES, None
    assert halves is not None  # there is at least one step
    regular = with_normal(halves.gradients)
    rows = rows[regular.cpu()]
    if len(rows) == 0:
        return
    check_cancelled()
    operators = ShapeOperators(measurement.hessians(sets[regular]), halves.gradients[regular])
    first, asymmetry = symmetrised(operators.restricted(halves.first[regular]))
    other_half = operators.restricted(halves.second[regular])
    second, _ = symmetrised(other_half)
    found, vectors = eigenpairs(first)
    with FullPrecision():
        values = ((vectors @ second) * vectors).sum(2)
        errors = _noise_along(other_half, vectors)
    extremes = Extremes(values=found, vectors=vectors, residuals=found, converged=found,
                        asymmetry=asymmetry, fraction=1.0)  # fmt: skip
    yield 1.0, part_of(rows, operators, *compared(values, errors, extremes, k))


def _noise_along(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Standard errors ``(n, k)`` of vᵀ A v for an estimate A of a symmetric matrix. Source: own.

    A is the sum of p (H p + ε)ᵀ over the orthonormal probes p, with noise ε in each. The error of
    vᵀ A v is the sum of (pᵀ v) (εᵀ v), and what A lacks in symmetry shows about how large it is:
    (A - Aᵀ) v holds each εᵀ v along p, which vᵀ p takes 1/d of, squared, and as much again of all
    ε, so that the error is rather too large than too small.
    """
    leftover = vectors @ (matrices - matrices.transpose(1, 2))
    errors: Tensor = leftover.norm(dim=2) / vectors.shape[2] ** 0.5
    return errors
