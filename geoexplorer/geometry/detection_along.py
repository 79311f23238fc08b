"""The detection score on the way from an image across its boundary."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geoexplorer import jobs
from geoexplorer.arguments import require_numbers
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.detection import Detection, detect_steps
from geoexplorer.geometry.measurement import require_points
from geoexplorer.results import Recorder

__all__ = ["STOPS", "DetectionAlong", "detect_along", "detect_along_steps"]

STOPS = torch.linspace(0.0, 3.0, 61)
"""t by default: 0 is the image, 1 its boundary point."""


@dataclass(frozen=True, eq=False, repr=False)
class DetectionAlong(Detection):
    """Detection at x + t r for ascending t; one row a place."""

    stops: Tensor  # (k,): t; 0 is the image, 1 its boundary point
    own: int  # the predicted class of x, which is to be recovered
    other: int  # the class across the boundary
    distance: float  # ‖r‖


def detect_along(
    clf: Classifier,
    point: BoundaryPoints,
    stops: Sequence[float] | Tensor | None = None,
    *,
    probes: int = 50,
    step: float | None = None,
    classes: int | None = None,
    threshold: float = 0.0,
    seed: int = 0,
) -> DetectionAlong:
    """Follow the detection score from an image x across its boundary, at x + t r.

    Parameters
    ----------
    clf
        The classifier.
    point
        One boundary point: ``b[i]``.
    stops
        t; by default 61 values from 0 to 3. 1 is the boundary point.
    probes, step, classes, threshold, seed
        As for :func:`geoexplorer.detect`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the boundary was not reached.

    Examples
    --------
    >>> from torch import nn
    >>> from geoexplorer.geometry.boundary import nearest_boundary
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    >>> clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
    >>> along = detect_along(clf, nearest_boundary(clf, torch.rand(1, 2, 2)), [0.5, 1.5])
    >>> (along.labels == along.own).tolist(), along.score.abs().max() < 1e-3
    ([True, False], tensor(True))
    """
    return jobs.last(
        detect_along_steps(
            clf, point, stops, probes=probes, step=step, classes=classes, threshold=threshold,
            seed=seed,
        )
    )  # fmt: skip


def detect_along_steps(
    clf: Classifier,
    point: BoundaryPoints,
    stops: Sequence[float] | Tensor | None = None,
    *,
    probes: int = 50,
    step: float | None = None,
    classes: int | None = None,
    threshold: float = 0.0,
    seed: int = 0,
) -> Iterator[DetectionAlong]:
    """Like :func:`detect_along`, yielding the places done so far; NaN is not known yet."""
    require_points(clf, point, "point")
    if len(point) != 1:
        raise ValueError(f"point must be one boundary point, got {len(point)}; index it: b[i]")
    places = STOPS
    if stops is not None:
        places = torch.tensor(require_numbers("stops", stops)).sort().values
    recorder = Recorder(
        clf, "detect_along", stops=places, probes=probes, step=step, classes=classes,
        threshold=threshold, seed=seed, points=point.provenance.options.get("effort"),
    )  # fmt: skip
    images = point.images + places.to(point.images)[:, None, None, None] * point.perturbations
    verdicts = detect_steps(
        clf, images, probes, step, classes=classes, threshold=threshold, seed=seed
    )

    def steps() -> Iterator[DetectionAlong]:
        for verdict in verdicts:
            fields = {
                item.name: getattr(verdict, item.name) for item in dataclasses.fields(Detection)
            }
            yield DetectionAlong(
                **{**fields, "provenance": recorder.provenance()},
                stops=places.clone(),
                own=int(point.own[0]),
                other=int(point.other[0]),
                distance=float(point.distances[0]),
            )

    return recorder.watch(steps())
