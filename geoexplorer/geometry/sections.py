"""Two-dimensional cross-sections of the classification regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from geoexplorer.geometry.planes import Plane
from geoexplorer.results import Result, Stored

__all__ = ["Boundary", "CrossSection", "cross_section", "cross_section_steps"]


@dataclass(frozen=True, eq=False)
class Boundary(Stored):
    """One connected piece of the boundary between two regions of a cross-section."""

    classes: tuple[int, int]  # i < j
    points: np.ndarray  # (m, 2) float64, plane coordinates; closed if the last equals the first


@dataclass(frozen=True, eq=False)
class CrossSection(Result):
    """The classification regions in a window of a plane, on a regular grid."""

    plane: Plane
    x: Tensor  # (W,) float64, l2 units along u, ascending
    y: Tensor  # (H,) float64, l2 units along v, ascending
    labels: Tensor  # (H, W) int64, row = y
    margins: Tensor  # (H, W) float32: highest logit minus the second highest
    boundaries: tuple[Boundary, ...]
    evaluations: int  # network evaluations spent on the map
    class_names: tuple[str, ...]
    own: int | None = None  # class at the plane's mark "x", or at its origin
