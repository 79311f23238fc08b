"""Principal curvatures of what is looked at: how they are measured, once for all panels."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.boundary import BoundaryPoints, nearest_boundary_steps
from geoexplorer.geometry.curvature import PrincipalCurvatures, principal_curvatures_steps
from geoexplorer.geometry.kinks import has_kinks
from geoexplorer.geometry.matrices import LARGEST_MATRIX, by_matrix, matrix_is_quick
from geoexplorer.geometry.measurement import METHODS as MEASURED
from geoexplorer.geometry.measurement import step_by_default
from geoexplorer.jobs import Progress, TimeLeft
from geoexplorer.widgets.following import DRAWING_SECONDS, announced, followed
from geoexplorer.widgets.session import Session, Subject, View
from geoexplorer.widgets.worker import Delivery

__all__ = [
    "EXTREMES",
    "METHODS",
    "POINTS",
    "SPECTRA",
    "Measure",
    "average_steps",
    "effort_code",
    "images_averaged",
    "point_steps",
    "points_of_many_steps",
    "seconds_needed",
    "spectrum_steps",
]

# What a boundary point is called, and the effort of the search that gives it.
POINTS = {"nearest": "interactive", "DeepFool's": "deepfool"}
METHODS = ("auto", *MEASURED)
SPECTRA = ("auto", "extreme", "all")
EXTREMES = 10  # at either end
# Gradients that a search for extreme curvatures takes about, by the method.
_SEARCHED = {"smoothed": 3500, "central_difference": 1500, "autograd": 500}
# Images that come in at once: on a CPU a few small ones, elsewhere enough to fill the device.
_PIXELS, _TOGETHER = 256, 10
_LEAST_PROBES = 4096  # gradients of a smoothed matrix at least
# What a gradient of many images takes, an image, in forward passes of one image.
_GRADIENT = 0.4
_EIGENVALUES = 1e-10  # seconds of an eigendecomposition, over d³


@dataclass(frozen=True)
class Measure:
    """How principal curvatures are measured.

    Examples
    --------
    >>> Measure("smoothed", step=0.5).options(64)
    {'method': 'smoothed', 'step': 0.5, 'directions': True}
    >>> Measure().options(3072)
    {'k': 10}
    """

    method: str = "auto"
    step: float | None = None
    spectrum: str = "auto"
    point: str = "nearest"

    def count(self, dimension: int) -> int | None:
        """The k of ``principal_curvatures``: of the extreme ones at either end, None for all."""
        whole = self.spectrum == "all"
        if self.spectrum == "auto":  # all of them, where they come as fast as some
            whole = matrix_is_quick(dimension)
        extremes = min(EXTREMES, (dimension - 1) // 2)
        return None if extremes == 0 or (whole and dimension <= LARGEST_MATRIX) else extremes

    def options(self, dimension: int, *, directions: bool = True) -> dict[str, Any]:
        """What ``principal_curvatures`` is called with, but for its defaults."""
        count = self.count(dimension)
        options: dict[str, Any] = {} if count is None else {"k": count}
        options |= self.scale()
        return {**options, "directions": True} if count is None and directions else options

    def scale(self) -> dict[str, Any]:
        """The method and its step, but for defaults."""
        options: dict[str, Any] = {} if self.method == "auto" else {"method": self.method}
        return options if self.step is None else {**options, "step": self.step}

    def taken(self, clf: Classifier) -> str:
        """The method that is taken."""
        if self.method != "auto":
            return self.method
        return "smoothed" if has_kinks(clf) else "autograd"

    def step_taken(self, clf: Classifier) -> float:
        """The step h that is taken; 0 where there is none."""
        return step_by_default(clf, self.taken(clf)) if self.step is None else self.step


def seconds_needed(subject: Subject, measure: Measure) -> float:
    """About how long the principal curvatures of one point will take."""
    clf = subject.clf
    d, count, method = clf.dimension, measure.count(clf.dimension), measure.taken(clf)
    matrix = by_matrix(d, count, method)
    if matrix:
        gradients = max(4 * d, _LEAST_PROBES) if method == "smoothed" else 2 * d
    else:
        gradients = min(_SEARCHED[method], 4 * d)
    eigenvalues = _EIGENVALUES * d**3 if matrix else 0.0
    return gradients * _GRADIENT * subject.seconds + eigenvalues


def effort_code(point: str) -> str:
    """What a script gives ``nearest_boundary`` further, to find points of a kind.

    Examples
    --------
    >>> effort_code("nearest"), effort_code("DeepFool's")
    ('', ", effort='deepfool'")
    """
    effort = POINTS[point]
    return "" if effort == "interactive" else f", effort={effort!r}"


def point_steps(
    session: Session, view: View, measure: Measure
) -> Generator[Delivery, None, BoundaryPoints]:
    """The boundary point that is measured at.

    Raises
    ------
    ValueError
        If none was reached.
    """
    points = view.boundary
    if POINTS[measure.point] != "interactive":
        points = yield from session.boundary_steps(
            view.subject, view.index, effort=POINTS[measure.point]
        )
    if not bool(points.converged[0]):
        raise ValueError(
            "No boundary was reached from this image, so there is no curvature to measure; "
            "choose another image."
        )
    return points


def spectrum_steps(
    session: Session,
    view: View,
    measure: Measure,
    show: Callable[[PrincipalCurvatures], None] = lambda partial_result: None,
) -> Generator[Delivery, None, PrincipalCurvatures]:
    """The principal curvatures at one point with their directions, remembered for all panels.

    ``show`` gets what there is on the way.
    """
    points = yield from point_steps(session, view, measure)
    clf, subject = view.clf, view.subject
    key = ("spectrum", subject.key, view.index, _settled(measure, clf))
    found = session.results.get(key)
    if found is None:
        yield from announced(session, "principal curvatures", seconds_needed(subject, measure))
        steps = principal_curvatures_steps(clf, points, **measure.options(clf.dimension))
        found = yield from followed(
            session, steps, "principal curvatures", show,
            worth=lambda found: bool(found.values.isfinite().any()),
        )  # fmt: skip
        session.results.put(key, found)
    return found


def average_steps(
    session: Session,
    view: View,
    measure: Measure,
    count: int,
    show: Callable[[PrincipalCurvatures], None],
) -> Generator[Delivery, None, PrincipalCurvatures]:
    """The principal curvatures of the first images of the set, remembered."""
    clf, subject = view.clf, view.subject
    count = images_averaged(session, view, count)
    key = ("average", subject.key, count, _settled(measure, clf))
    found = session.results.get(key)
    if found is None:
        seconds = count * seconds_needed(subject, measure)
        yield from announced(session, f"curvatures of {count} images", seconds)
        points = yield from points_of_many_steps(session, subject, measure, count)
        found = yield from _running_average(session, clf, points, measure, show)
        session.results.put(key, found)
    return found


def _running_average(
    session: Session,
    clf: Classifier,
    points: BoundaryPoints,
    measure: Measure,
    show: Callable[[PrincipalCurvatures], None],
) -> Generator[Delivery, None, PrincipalCurvatures]:
    """Some images at a time, so that there is something to see from the first on.

    One call with all of them gives the same numbers, but all at the end.
    """
    options = measure.options(clf.dimension, directions=False)
    rows = points.converged.nonzero()[:, 0]
    together = max(1, _PIXELS // clf.dimension) if clf.device.type == "cpu" else _TOGETHER
    clock, drawn = TimeLeft(), -math.inf
    found: PrincipalCurvatures | None = None
    for start in range(0, len(rows), together):
        part = rows[start : start + together]
        for result in principal_curvatures_steps(clf, points[part], **options):
            done = (start + len(part) * result.progress.fraction) / len(rows)
            message = f"curvatures, {start} of {len(rows)} images"
            if not result.progress.complete:
                progress = Progress(done, message)
                yield partial(session.report, progress, clock.describe(progress))
        found = _joined(found, result, part, points, done)
        if done < 1.0 and time.monotonic() - drawn > DRAWING_SECONDS:
            yield partial(show, found)
            drawn = time.monotonic()
    assert found is not None  # at least one point was reached
    return found


def _joined(
    known: PrincipalCurvatures | None,
    new: PrincipalCurvatures,
    rows: Tensor,
    points: BoundaryPoints,
    done: float,
) -> PrincipalCurvatures:
    """The curvatures at all points, NaN where they are not known yet."""
    count = len(points)
    joined: dict[str, Any] = {}
    for name in ("values", "residuals", "converged", "asymmetry", "standard_errors"):
        value = getattr(new, name)
        nothing = value.new_full(
            (count, *value.shape[1:]), False if name == "converged" else math.nan
        )
        joined[name] = nothing if known is None else getattr(known, name).clone()
        joined[name][rows] = value
    before, provenance = known, new.provenance
    if before is not None:
        provenance = replace(
            provenance,
            cost=before.provenance.cost + provenance.cost,
            seconds=before.provenance.seconds + provenance.seconds,
        )
    return replace(
        new, **joined, own=points.own, other=points.other, distances=points.distances,
        alignment=points.alignment, directions=None, provenance=provenance,
        progress=Progress() if done >= 1.0 else Progress(done, f"{done:.0%} of the images"),
    )  # fmt: skip


def images_averaged(session: Session, view: View, count: int) -> int:
    """How many images there are to average over: the first ones, and none added by hand."""
    added = len(session.added.get(view.subject.images_name, ()))
    return max(1, min(count, len(view.subject.images) - added))


def points_of_many_steps(
    session: Session, subject: Subject, measure: Measure, count: int
) -> Generator[Delivery, None, BoundaryPoints]:
    """The boundary points of the first images of the set, remembered.

    Raises
    ------
    ValueError
        If none was reached.
    """
    key = ("points", subject.key, count, measure.point)
    found = session.results.get(key)
    if found is None:
        clock = TimeLeft()
        for found in nearest_boundary_steps(
            subject.clf, subject.images.images[:count], effort=POINTS[measure.point]
        ):
            message = f"boundary points of {count} images: {clock.describe(found.progress)}"
            yield partial(session.report, found.progress, message)
        session.results.put(key, found)
    if not bool(found.converged.any()):
        raise ValueError(
            f"No boundary was reached from any of the first {count} images of the set; choose "
            "another network or other images."
        )
    return found


def _settled(measure: Measure, clf: Classifier) -> tuple[Any, ...]:
    """Equal for measures that mean the same on a network."""
    taken = measure.taken(clf)
    return taken, measure.step, measure.count(clf.dimension), measure.point
