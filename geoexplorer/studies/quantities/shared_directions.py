"""Directions that are curved at many images, and how curved they are at all the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from geoexplorer.arguments import require_whole
from geoexplorer.classifier import Classifier, difference
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.linear_subspace import Subspace
from geoexplorer.geometry.matrices import LARGEST_MATRIX
from geoexplorer.geometry.relative_curvature import RelativeCurvature, relative_curvature_steps
from geoexplorer.geometry.shared_directions import SharedDirections as Found
from geoexplorer.geometry.subspaces import shared_directions_steps
from geoexplorer.jobs import Progress
from geoexplorer.results import Result
from geoexplorer.studies.quantities.base import Batch, Columns, Facts, Variable, flags
from geoexplorer.studies.quantities.curvature import AtPoints

__all__ = ["SharedDirections"]

_CURVATURE = "1 / l2 of pixel values"


@dataclass(frozen=True, eq=False, repr=False)
class _AtUnseen(Result):
    rows: Tensor | None = None  # (k,) int64: rows of the batch that had no part in the mean
    relative: RelativeCurvature | None = None  # k rows
    perturbations: Tensor | None = None  # (k,) shares
    gradients: Tensor | None = None  # (k,)


@dataclass(frozen=True)
class SharedDirections(AtPoints):
    """The m directions of largest mean curvature over the first images, tried on the others.

    Options as of :func:`geoexplorer.shared_directions` and
    :func:`geoexplorer.relative_curvature`.
    """

    name: ClassVar[str] = "shared_directions"
    needs_directions: ClassVar[bool] = True

    m: int = 20
    images: int = 100  # the first ones, whose boundary points make the mean
    probes: int = 100  # random directions to compare with

    def __post_init__(self) -> None:
        super().__post_init__()
        require_whole("shared_directions.m", self.m, 1)
        require_whole("shared_directions.images", self.images, 1)
        require_whole("shared_directions.probes", self.probes, 2)

    def check(self, networks: Sequence[Classifier]) -> None:
        """Refuse more directions than can be found."""
        super().check(networks)
        d = networks[0].dimension
        require_whole("shared_directions.m", self.m, 1, d if d <= LARGEST_MATRIX else d // 2)

    def variables(self, facts: Facts) -> Mapping[str, Variable]:
        """The directions of a network; ratios and shares of an image that had no part in them."""
        dims = ("direction",)
        return {
            "shared_direction": Variable(
                "orthonormal directions of largest mean curvature",
                (*dims, "channel", "row", "column"), by="network",
            ),
            "shared_value": Variable(
                "mean curvature along each", dims, units=_CURVATURE, by="network"
            ),
            "shared_residual": Variable(
                "how far it may be off", dims, units=_CURVATURE, by="network"
            ),
            "shared_converged": Variable(
                "whether that is little", dims, "flag", by="network"
            ),
            "shared_asymmetry": Variable(
                "relative asymmetry of the mean as measured", kind="double", by="network"
            ),
            "shared_points": Variable(
                "boundary points in the mean", kind="whole", by="network"
            ),
            "rho": Variable(
                "|uᵀ G u| along each, divided by the mean over random directions; NaN for the "
                "images that made the mean",
                dims, nan="anywhere",
            ),
            "curvature_along": Variable(
                "uᵀ G u along each", dims, units=_CURVATURE, nan="anywhere"
            ),
            "typical_curvature": Variable(
                "mean of |vᵀ G v| over random unit v",
                kind="double", units=_CURVATURE, nan="anywhere",
            ),
            "typical_curvature_error": Variable(
                "its standard error", kind="double", units=_CURVATURE, nan="anywhere"
            ),
            "share_of_perturbation": Variable(
                "share ‖P r‖ / ‖r‖ of the perturbation in the span of the directions",
                kind="double", nan="anywhere",
            ),
            "share_of_gradient": Variable(
                "share of the gradient of f_own - f_other at the image",
                kind="double", nan="anywhere",
            ),
            **self._made(),
        }  # fmt: skip

    def coordinates(self, facts: Facts) -> Mapping[str, Sequence[int]]:
        """Ranks, in descending order of the mean curvature."""
        return {"direction": range(1, self.m + 1)}

    def find_steps(self, clf: Classifier, points: BoundaryPoints, seed: int) -> Iterator[Found]:
        """The directions, once for a network."""
        return shared_directions_steps(clf, points, self.m, seed=seed, **self._how())

    def found(self, result: Found) -> Columns:
        """The network's variables."""
        return {
            "shared_direction": result.directions.numpy(),
            "shared_value": result.values.numpy(),
            "shared_residual": result.residuals.numpy(),
            "shared_converged": flags(result.converged),
            "shared_asymmetry": np.array(result.asymmetry),
            "shared_points": np.array(result.points),
        }

    def steps(self, clf: Classifier, batch: Batch, seed: int) -> Iterator[_AtUnseen]:
        """Try the directions on the images that had no part in them."""
        assert batch.points is not None
        assert batch.directions is not None
        assert batch.in_mean is not None
        (rows,) = (~batch.in_mean & batch.points.converged).nonzero(as_tuple=True)
        if len(rows) == 0:
            yield _AtUnseen()
            return
        points = batch.points[rows]
        for relative in relative_curvature_steps(
            clf, points, batch.directions, probes=self.probes, seed=seed, **self._how()
        ):
            if not relative.progress.complete:
                yield _AtUnseen(progress=Progress(relative.progress.fraction, "rho"))
        span = Subspace(batch.directions, "shared")
        _, _, gradients = clf.forward_gradient(
            clf.prepare(points.images), difference,
            points.own.to(clf.device), points.other.to(clf.device),
        )  # fmt: skip
        yield _AtUnseen(
            rows, relative, span.share_of(points.perturbations), span.share_of(gradients.cpu())
        )

    def columns(self, result: _AtUnseen, batch: Batch) -> Columns:
        """NaN for the images that made the mean, and without a boundary."""
        unknown = torch.full((len(batch), self.m), torch.nan, dtype=torch.float64)
        tables = {"rho": unknown.clone(), "curvature_along": unknown.clone()}
        single = (
            "typical_curvature", "typical_curvature_error", "share_of_perturbation",
            "share_of_gradient",
        )  # fmt: skip
        tables |= {name: unknown[:, 0].clone() for name in single}
        made: Columns = {}
        if result.relative is not None:
            found = {
                "rho": result.relative.values,
                "curvature_along": result.relative.along,
                "typical_curvature": result.relative.typical,
                "typical_curvature_error": result.relative.typical_errors,
                "share_of_perturbation": result.perturbations,
                "share_of_gradient": result.gradients,
            }
            for name, values in found.items():
                assert values is not None
                tables[name][result.rows] = values.double()
            made = self._how_made(result.relative)
        return {**{name: values.numpy() for name, values in tables.items()}, **made}
