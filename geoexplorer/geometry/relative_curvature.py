"""How much more curved the boundary is along given directions than along random ones.

ρ(u) = |uᵀ G u| / E|vᵀ G v| at a boundary point, G its shape operator and v uniform on the unit
sphere of the input space. For directions that are curved at other points, a ρ far above 1 shows
that curved directions are shared. Source: Fawzi et al., "Empirical Study of the Topology and
Geometry of Deep Networks", CVPR 2018, section 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from geoexplorer import jobs
from geoexplorer.arguments import require_whole
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.blocks import random_block, slices
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.mean_shape import tangent_products
from geoexplorer.geometry.measurement import Curvature, Measurement, Steps, news, require_points
from geoexplorer.geometry.operators import ShapeOperators
from geoexplorer.jobs import Progress

__all__ = ["RelativeCurvature", "relative_curvature", "relative_curvature_steps"]

_TOGETHER = 32  # directions at a point
_DOING = "relative curvature"


@dataclass(frozen=True, eq=False, repr=False)
class RelativeCurvature(Curvature):
    """ρ along given directions, ``(n, m)``: 1 is as curved as the boundary is on average."""

    along: Tensor  # (n, m): uᵀ G u, in 1 / l2 unit of pixel values
    typical: Tensor  # (n,): E|vᵀ G v| over random unit v
    typical_errors: Tensor  # (n,): its standard error
    probes: int


def relative_curvature(
    clf: Classifier,
    points: BoundaryPoints,
    directions: Tensor,
    *,
    probes: int = 100,
    method: str = "auto",
    step: float | None = None,
    at: float = 1.0,
    seed: int = 0,
) -> RelativeCurvature:
    """Measure ``ρ = |uᵀ G u| / E|vᵀ G v|`` of directions u at boundary points.

    Parameters
    ----------
    clf, points, method, step, at
        As for :func:`geoexplorer.shared_directions`.
    directions
        u ``(m, C, H, W)``, the same at all points; scaled to unit length. They need not be tangent
        to the boundary: G takes no notice of their parts along the normal.
    probes
        Random unit vectors v at each point, at least 2.
    seed
        For them, and for the probes of ``"smoothed"``.

    Returns
    -------
    RelativeCurvature
        One row a point; NaN where no boundary was reached.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or a direction is zero or not finite.

    Examples
    --------
    >>> from torch import nn
    >>> from geoexplorer.geometry.boundary import nearest_boundary
    >>> class Cylinder(nn.Module):  # curved in the upper row of the image only
    ...     def forward(self, x):
    ...         margin = 4 - x[:, 0, 0].square().sum(1)
    ...         return torch.stack([margin, -margin], dim=1)
    >>> clf = Classifier(Cylinder().eval(), input_shape=(1, 2, 2), device="cpu")
    >>> b = nearest_boundary(clf, torch.tensor([[[0.5, 0.0], [0.0, 0.0]]]))
    >>> u = torch.eye(4).reshape(4, 1, 2, 2)[1:3]  # along the bend, and along the axis
    >>> [round(value) for value in relative_curvature(clf, b, u, probes=4000).values[0].tolist()]
    [4, 0]
    """
    return jobs.last(
        relative_curvature_steps(
            clf, points, directions, probes=probes, method=method, step=step, at=at, seed=seed
        )
    )


def relative_curvature_steps(
    clf: Classifier,
    points: BoundaryPoints,
    directions: Tensor,
    *,
    probes: int = 100,
    method: str = "auto",
    step: float | None = None,
    at: float = 1.0,
    seed: int = 0,
) -> Iterator[RelativeCurvature]:
    """Like :func:`relative_curvature`, yielding the points done so far; NaN is not known yet."""
    require_points(clf, points, "points")
    vectors = _unit_vectors(clf, directions)
    probes = require_whole("probes", probes, 2)
    measurement = Measurement.begin(
        "relative_curvature", clf, points, method=method, step=step, at=at, seed=seed,
        probes=probes, directions=len(vectors),
    )  # fmt: skip
    return measurement.recorder.watch(news(_steps(measurement, vectors, probes)))


def _steps(measurement: Measurement, vectors: Tensor, probes: int) -> Steps[RelativeCurvature]:
    along = measurement.unknown(len(vectors))
    typical, errors = measurement.unknown(), measurement.unknown()
    done = 0

    def result(progress: Progress) -> RelativeCurvature:
        return RelativeCurvature(
            values=along.abs() / typical[:, None],
            along=along.clone(),
            typical=typical.clone(),
            typical_errors=errors.clone(),
            probes=probes,
            provenance=measurement.recorder.provenance(),
            progress=progress,
            **measurement.facts(),
        )

    together = measurement.together(_TOGETHER)
    for block in measurement.blocks_along(together):
        rows, operators = measurement.shape_operators(block)
        if operators.count:
            products, sizes = 0, []
            share = len(block) / (probes + len(vectors))
            for drawn in _random_units(probes, together, measurement.generator(1), operators.like):
                sizes.append(_forms(operators, drawn).abs())
                products += len(drawn)
                yield measurement.progress(_DOING, done + share * products), result
            size = torch.cat(sizes, dim=1)
            typical[rows] = size.mean(1).cpu()
            errors[rows] = (size.var(1) / probes).sqrt().cpu()
            for part in slices(len(vectors), together):
                asked = vectors[part]
                along[rows, part] = _forms(operators, asked).cpu()
                products += len(asked)
                yield measurement.progress(_DOING, done + share * products), result
        done += len(block)
        yield measurement.progress(_DOING, done), result
    yield Progress(), result


def _forms(operators: ShapeOperators, vectors: Tensor) -> Tensor:
    """vᵀ G v ``(n, m)`` for vectors ``(m, d)``, the same at all points."""
    block = vectors.expand(operators.count, -1, -1)
    forms: Tensor = (block * tangent_products(operators, block)).sum(2)
    return forms


def _random_units(
    count: int, together: int, generator: torch.Generator, like: Tensor
) -> Iterator[Tensor]:
    """Random unit vectors in parts of ``(m, d)``, one part at a time in memory."""
    for part in slices(count, together):
        drawn = random_block(part.stop - part.start, like.shape[1], generator, like)[0]
        yield drawn / drawn.norm(dim=1, keepdim=True)


def _unit_vectors(clf: Classifier, directions: Tensor) -> Tensor:
    """``(m, d)`` on the classifier's device."""
    if not isinstance(directions, Tensor) or not directions.is_floating_point():
        kind = directions.dtype if isinstance(directions, Tensor) else type(directions).__name__
        raise TypeError(f"directions must be a float tensor (m, C, H, W), got {kind}")
    batch = directions[None] if directions.ndim == 3 else directions
    shape = tuple(clf.input_shape)
    if batch.ndim != 4 or tuple(batch.shape[1:]) != shape or len(batch) == 0:
        raise ValueError(
            f"directions must have shape (m, {', '.join(map(str, shape))}), "
            f"got {tuple(directions.shape)}"
        )
    rows = batch.detach().flatten(1).to(device=clf.device, dtype=clf.dtype)
    lengths: Tensor = rows.norm(dim=1, keepdim=True)
    if not bool((lengths.isfinite() & (lengths > 0)).all()):
        raise ValueError("directions must be finite and not zero")
    return rows / lengths
