"""From any result to its figure."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go

from geoexplorer.figures.boundaries import boundary_figure
from geoexplorer.figures.connectivity import combinations_figure, connectivity_figure
from geoexplorer.figures.curvature import (
    by_step_figure,
    density_figure,
    mean_figure,
    normal_figure,
    principal_figure,
)
from geoexplorer.figures.detection import (
    detection_along_figure,
    detection_figure,
    detection_roc_figure,
)
from geoexplorer.figures.noise import noise_figure
from geoexplorer.figures.normal_sections import normal_sections_figure
from geoexplorer.figures.paths import path_figure, segment_figure
from geoexplorer.figures.relative_curvature import relative_curvature_figure
from geoexplorer.figures.sections import section_figure
from geoexplorer.figures.shared_directions import shared_directions_figure
from geoexplorer.figures.subspace_margins import subspace_margins_figure
from geoexplorer.figures.subspace_shares import subspace_shares_figure
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.certificates import SegmentProof
from geoexplorer.geometry.connectivity import Connectivity
from geoexplorer.geometry.convex_combinations import ConvexCombinations
from geoexplorer.geometry.curvature import PrincipalCurvatures
from geoexplorer.geometry.curvature_by_step import CurvatureByStep
from geoexplorer.geometry.detection import Detection
from geoexplorer.geometry.detection_along import DetectionAlong
from geoexplorer.geometry.detection_roc import DetectionROC
from geoexplorer.geometry.mean_curvature import CurvatureDensity, MeanCurvature
from geoexplorer.geometry.noise import NoiseSensitivity
from geoexplorer.geometry.normal_curvature import NormalCurvature
from geoexplorer.geometry.normal_sections import NormalSections
from geoexplorer.geometry.paths import RegionPath
from geoexplorer.geometry.relative_curvature import RelativeCurvature
from geoexplorer.geometry.sections import CrossSection
from geoexplorer.geometry.shared_directions import SharedDirections
from geoexplorer.geometry.subspace_margins import SubspaceMargins
from geoexplorer.geometry.subspace_shares import SubspaceShares
from geoexplorer.results import Result

__all__ = ["draw", "drawing_of"]

_DRAWN: dict[type[Result], Callable[..., go.Figure]] = {
    BoundaryPoints: boundary_figure,
    CrossSection: section_figure,
    PrincipalCurvatures: principal_figure,
    CurvatureDensity: density_figure,
    CurvatureByStep: by_step_figure,
    NormalCurvature: normal_figure,
    MeanCurvature: mean_figure,
    NormalSections: normal_sections_figure,
    RegionPath: path_figure,
    SegmentProof: segment_figure,
    Connectivity: connectivity_figure,
    ConvexCombinations: combinations_figure,
    SharedDirections: shared_directions_figure,
    RelativeCurvature: relative_curvature_figure,
    SubspaceShares: subspace_shares_figure,
    NoiseSensitivity: noise_figure,
    SubspaceMargins: subspace_margins_figure,
    DetectionAlong: detection_along_figure,  # a Detection too, so before it
    Detection: detection_figure,
    DetectionROC: detection_roc_figure,
}


def draw(result: Result, **options: Any) -> go.Figure:
    """Draw a result; ``result.figure(**options)`` does the same.

    Parameters
    ----------
    result
        Boundary points, cross-sections, curvatures of any kind, normal sections, paths,
        proofs of segments, pairs of images, convex combinations, shared directions, what is
        measured in subspaces, or detection.
    options
        Those of the drawing function; ``class_names`` are the network's if not given. They stand in
        :mod:`~geoexplorer.figures.boundaries`, :mod:`~geoexplorer.figures.sections`,
        :mod:`~geoexplorer.figures.curvature`, :mod:`~geoexplorer.figures.normal_sections`,
        :mod:`~geoexplorer.figures.paths`, :mod:`~geoexplorer.figures.connectivity`,
        :mod:`~geoexplorer.figures.shared_directions`,
        :mod:`~geoexplorer.figures.relative_curvature`,
        :mod:`~geoexplorer.figures.subspace_shares`, :mod:`~geoexplorer.figures.noise`,
        :mod:`~geoexplorer.figures.subspace_margins`, :mod:`~geoexplorer.figures.detection`,
        :mod:`~geoexplorer.figures.detection_along` and
        :mod:`~geoexplorer.figures.detection_roc`.

    Raises
    ------
    TypeError
        For something that cannot be drawn, or an option that its drawing does not have.

    Examples
    --------
    >>> draw("a string")
    Traceback (most recent call last):
        ...
    TypeError: result must be one of BoundaryPoints, CrossSection, ..., got str
    """
    drawing = drawing_of(result)
    accepted = list(inspect.signature(drawing).parameters)[1:]
    unknown = [name for name in options if name not in accepted]
    if unknown:
        raise TypeError(
            f"options of a figure of {type(result).__name__} are {', '.join(accepted)}, "
            f"got {', '.join(unknown)}"
        )
    if "class_names" in accepted and result.provenance.class_names:
        options.setdefault("class_names", result.provenance.class_names)
    return drawing(result, **options)


def drawing_of(result: Result) -> Callable[..., go.Figure]:
    """The function that draws a result; its help says which options there are.

    Raises
    ------
    TypeError
        For something that cannot be drawn.

    Examples
    --------
    >>> drawing_of("a string")
    Traceback (most recent call last):
        ...
    TypeError: result must be one of BoundaryPoints, CrossSection, ..., got str
    """
    drawing = next((f for kind, f in _DRAWN.items() if isinstance(result, kind)), None)
    if drawing is None:
        known = ", ".join(kind.__name__ for kind in _DRAWN)
        raise TypeError(f"result must be one of {known}, got {type(result).__name__}")
    return drawing
