"""Points on the decision boundary: the nearest one, or the nearest toward a class."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from geoexplorer.results import BatchResult

__all__ = ["BoundaryPoints", "nearest_boundary", "nearest_boundary_steps"]


@dataclass(frozen=True, eq=False)
class BoundaryPoints(BatchResult):
    """Boundary points z = x + r of a batch of images, and how good they are."""

    images: Tensor  # (n, C, H, W): x
    points: Tensor  # (n, C, H, W): z, just across the boundary
    perturbations: Tensor  # (n, C, H, W): r = z - x
    distances: Tensor  # (n,): l2 norm of r
    own: Tensor  # (n,) int64: the predicted class of x
    other: Tensor  # (n,) int64: the class across the boundary
    normals: Tensor  # (n, C, H, W): unit gradient of f_own - f_other at z
    alignment: Tensor  # (n,): cosine between -r and the normal, 1 at a smooth nearest point
    residual: Tensor  # (n,): l2 width of the bracket along r that holds the boundary
    converged: Tensor  # (n,) bool: whether the boundary was reached


def nearest_boundary_steps(clf, x, other=None, *, effort="interactive", bounded=False, seed=0):
    raise NotImplementedError


def nearest_boundary(clf, x, other=None, *, effort="interactive", bounded=False, seed=0):
    raise NotImplementedError
