"""Normal curvature against the scale at which it is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from geoexplorer import jobs
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.curvature_along import (
    CurvatureAlong,
    Directions,
    directions_at,
    progress_along,
)
from geoexplorer.geometry.measurement import Curvature, Measurement, require_step
from geoexplorer.geometry.operators import default_step
from geoexplorer.jobs import News

__all__ = ["CurvatureByStep", "curvature_by_step", "curvature_by_step_steps"]

_SCALED = ("central_difference", "smoothed", "secant")  # methods that have a step
# Steps at which curvature is measured by default, in the authors'.
_STEPS = tuple(2.0**exponent for exponent in range(-6, 3))


@dataclass(frozen=True, eq=False, repr=False)
class CurvatureByStep(Curvature):
    """Curvatures along given directions, measured at several steps h: ``(n, m, s)``.

    ``step`` is the one that the method takes by default.
    """

    steps: tuple[float, ...]  # (s,), ascending
    # (n, m, C, H, W), unit tangents at the smallest step: as far as the normal changes with the
    # step, as that of "smoothed" does, so do they.
    directions: Tensor
    direction_names: tuple[str, ...]  # (m,)
    standard_errors: Tensor  # (n, m, s), from the probes of "smoothed"; 0 for the other methods


def curvature_by_step(
    clf: Classifier,
    boundary: BoundaryPoints,
    directions: Directions,
    *,
    steps: Sequence[float] | None = None,
    method: str = "auto",
    at: float = 1.0,
    seed: int = 0,
) -> CurvatureByStep:
    """Measure the curvature along directions at several scales.

    Where there are kinks the number depends on the scale, whatever the method; this shows how.

    Parameters
    ----------
    clf, boundary, directions, at, seed
        As for :func:`geoexplorer.normal_curvature`.
    steps
        Lengths h; by default nine from 1/64 to 4 times the authors'.
    method
        ``"central_difference"``, ``"smoothed"`` or ``"secant"``; ``"auto"`` is smoothed where there
        are kinks and central differences elsewhere.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from geoexplorer.geometry.boundary import nearest_boundary
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    >>> clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
    >>> b = nearest_boundary(clf, torch.rand(1, 2, 2))
    >>> curvature_by_step(clf, b, torch.rand(2, 1, 2, 2), steps=(0.1, 1.0)).values.shape
    torch.Size([1, 2, 2])
    """
    return jobs.last(
        curvature_by_step_steps(
            clf, boundary, directions, steps=steps, method=method, at=at, seed=seed
        )
    )


def curvature_by_step_steps(
    clf: Classifier,
    boundary: BoundaryPoints,
    directions: Directions,
    *,
    steps: Sequence[float] | None = None,
    method: str = "auto",
    at: float = 1.0,
    seed: int = 0,
) -> Iterator[CurvatureByStep]:
    """Like :func:`curvature_by_step`, from the largest step down; NaN is not known yet."""
    vectors, names = directions_at(clf, boundary, directions)
    lengths = _lengths(clf, steps)
    measurement = Measurement.begin(
        "curvature_by_step", clf, boundary, method=method, step=None, at=at, seed=seed,
        accepted=_SCALED, directions=names, steps=lengths,
    )  # fmt: skip
    along = CurvatureAlong(measurement, vectors)
    known = measurement.unknown(len(names), len(lengths))
    errors = known.clone()

    def results() -> Iterator[CurvatureByStep]:
        news = News()
        for done, index in enumerate(reversed(range(len(lengths)))):
            for part, *found in along.steps(lengths[index]):
                known[:, :, index], errors[:, :, index] = found
                fraction = (done + part) / len(lengths)
                if not news.due(fraction):
                    continue
                yield CurvatureByStep(
                    values=known.clone(),
                    steps=lengths,
                    directions=along.tangents(final=fraction >= 1.0),
                    direction_names=names,
                    standard_errors=errors.clone(),
                    provenance=measurement.recorder.provenance(),
                    progress=progress_along(fraction),
                    **measurement.facts(),
                )

    return measurement.recorder.watch(results())


def _lengths(clf: Classifier, steps: Any) -> tuple[float, ...]:
    if steps is None:
        return tuple(factor * default_step(clf) for factor in _STEPS)
    if isinstance(steps, (Tensor, np.ndarray)) and steps.ndim == 1:
        steps = steps.tolist()
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        raise TypeError(f"steps must be a sequence of lengths h or None, got {steps!r}")
    lengths = tuple(sorted({require_step(step, "steps", clf=clf) for step in steps}))
    if not lengths:
        raise ValueError("steps must hold at least one length h, got none")
    if len(lengths) < len(steps):
        raise ValueError(f"steps must differ from each other, got {list(steps)}")
    return lengths
