"""Normal sections: the boundary seen along several tangents at one point, on one scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from geoexplorer import jobs
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.directions import Direction
from geoexplorer.geometry.measurement import require_points
from geoexplorer.geometry.normal_curvature import NormalCurvature, normal_curvature_steps
from geoexplorer.geometry.planes import Plane
from geoexplorer.geometry.sections import CrossSection, cross_section_steps
from geoexplorer.jobs import Progress
from geoexplorer.results import Recorder, Result

__all__ = ["NormalSections", "normal_sections", "normal_sections_steps"]

# The window around z, in distances from x to z.
_REACH = 1.5


@dataclass(frozen=True, eq=False, repr=False)
class NormalSections(Result):
    """Cross-sections through one boundary point, each spanned by the normal and a tangent.

    Each plane has z at its origin, u = -n, out of the own region, so that the own region lies on
    the left, and v the tangent. There the boundary is x = ½ κ y² as far as its curvature goes.
    """

    sections: tuple[CrossSection, ...]
    curvatures: tuple[float, ...]  # κ along each tangent
    standard_errors: tuple[float, ...]  # of these, from the probes of "smoothed"; 0 for the others
    names: tuple[str, ...]  # of the tangents
    own: int
    other: int
    method: str  # of the curvatures
    step: float


def normal_sections(
    clf: Classifier,
    boundary: BoundaryPoints,
    directions: Sequence[Direction],
    *,
    extent: float | None = None,
    resolution: int = 257,
    method: str = "auto",
    step: float | None = None,
    seed: int = 0,
) -> NormalSections:
    """Map the boundary at one point along several tangents, all in the same window.

    Along a principal direction beside a random one this is the paper's figure: curved along the
    one, flat along the other.

    Parameters
    ----------
    clf
        The classifier.
    boundary
        One point: ``b[i]``.
    directions
        Of :mod:`geoexplorer.geometry.directions`, or principal ones.
    extent
        Half the width of the window around z; by default 1.5 times the distance from x to z.
    resolution
        Pixels along each side.
    method, step, seed
        Of the curvatures, as for :func:`geoexplorer.normal_curvature`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from geoexplorer.geometry.boundary import nearest_boundary
    >>> from geoexplorer.geometry.directions import random_tangent
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    >>> clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
    >>> b = nearest_boundary(clf, torch.rand(1, 2, 2))
    >>> tangents = [random_tangent(b, seed=seed) for seed in (0, 1)]
    >>> normal_sections(clf, b, tangents, resolution=65).curvatures
    (0.0, 0.0)
    """
    return jobs.last(
        normal_sections_steps(
            clf, boundary, directions, extent=extent, resolution=resolution, method=method,
            step=step, seed=seed,
        )
    )  # fmt: skip


def normal_sections_steps(
    clf: Classifier,
    boundary: BoundaryPoints,
    directions: Sequence[Direction],
    *,
    extent: float | None = None,
    resolution: int = 257,
    method: str = "auto",
    step: float | None = None,
    seed: int = 0,
) -> Iterator[NormalSections]:
    """Like :func:`normal_sections`, first coarse maps of all, then better ones."""
    require_points(clf, boundary)
    if len(boundary) != 1:
        raise ValueError(
            f"boundary must hold one point, got {len(boundary)}; index it: boundary[i]"
        )
    if not isinstance(directions, Sequence):
        raise TypeError(
            "directions must be a list of directions of geoexplorer.geometry.directions, "
            f"got {type(directions).__name__}"
        )
    if not directions:
        raise ValueError("directions must hold at least one direction, got an empty list")
    curvatures = normal_curvature_steps(
        clf, boundary, directions, method=method, step=step, seed=seed
    )
    planes = [Plane.normal_section(boundary, direction) for direction in directions]
    reach = _REACH * float(boundary.distances[0]) if extent is None else extent
    maps = [
        cross_section_steps(clf, plane, extent=reach, resolution=resolution) for plane in planes
    ]
    recorder = Recorder(
        clf, "normal_sections", extent=reach, resolution=resolution, method=method, step=step,
        seed=seed, directions=[direction.name for direction in directions],
    )  # fmt: skip
    return recorder.watch(_mapped(maps, curvatures, recorder))


def _mapped(
    maps: list[Iterator[CrossSection]],
    curvatures: Iterator[NormalCurvature],
    recorder: Recorder,
) -> Iterator[NormalSections]:
    sections = [next(steps) for steps in maps]

    def result(measured: NormalCurvature) -> NormalSections:
        mapped = sum(section.progress.fraction for section in sections) / len(sections)
        share = (mapped + measured.progress.fraction) / 2
        return NormalSections(
            sections=tuple(sections),
            curvatures=tuple(measured.values[0].tolist()),
            standard_errors=tuple(measured.standard_errors[0].tolist()),
            names=measured.direction_names,
            own=int(measured.own[0]),
            other=int(measured.other[0]),
            method=measured.method,
            step=measured.step,
            provenance=recorder.provenance(),
            progress=Progress() if share >= 1.0 else Progress(share, "mapping normal sections"),
        )

    for measured in curvatures:
        yield result(measured)
    while not all(section.progress.complete for section in sections):
        sections = [next(steps, known) for steps, known in zip(maps, sections, strict=True)]
        yield result(measured)
