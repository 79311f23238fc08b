"""The nearest boundary point of every image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from geoexplorer.arguments import require_flag
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.boundary import (
    ACCEPTED_EFFORTS,
    BoundaryPoints,
    nearest_boundary_steps,
)
from geoexplorer.studies.quantities.base import Batch, Columns, Facts, Quantity, Variable, flags

__all__ = ["Boundary"]

_LENGTH = "l2 of pixel values"


@dataclass(frozen=True)
class Boundary(Quantity):
    """Options as of :func:`geoexplorer.nearest_boundary`.

    What it finds is where other quantities are measured.
    """

    name: ClassVar[str] = "boundary"

    effort: str = "interactive"
    bounded: bool = False
    keep_perturbations: bool = False  # whether r itself is stored, d numbers an image

    def __post_init__(self) -> None:
        if self.effort not in ACCEPTED_EFFORTS:
            raise ValueError(
                f"boundary.effort must be one of {ACCEPTED_EFFORTS}, got {self.effort!r}"
            )
        for option in ("bounded", "keep_perturbations"):
            require_flag(f"boundary.{option}", getattr(self, option))
        if self.bounded and self.effort == "deepfool":
            raise ValueError("boundary.effort 'deepfool' knows no bounds; choose another one")

    def check(self, networks: Sequence[Classifier]) -> None:
        """Every network has a boundary."""

    def variables(self, facts: Facts) -> Mapping[str, Variable]:
        """One value an image each, and the perturbations if they are kept."""
        variables = {
            "distance": Variable(
                "l2 length of the perturbation r; infinite where no boundary was reached",
                kind="double", units=_LENGTH,
            ),
            "other": Variable("class across the boundary", kind="whole"),
            "alignment": Variable(
                "cosine between -r and the normal, 1 at a smooth nearest point",
                kind="double", nan="unreached",
            ),
            "bracket": Variable(
                "l2 width of the bracket along r that holds the boundary",
                kind="double", units=_LENGTH, nan="unreached",
            ),
            "reached": Variable("whether a boundary was reached", kind="flag"),
        }  # fmt: skip
        if self.keep_perturbations:
            variables["perturbation"] = Variable(
                "r, from the image to the boundary",
                dims=("channel", "row", "column"), units="pixel values", nan="unreached",
            )  # fmt: skip
        return variables

    def steps(self, clf: Classifier, batch: Batch, seed: int) -> Iterator[BoundaryPoints]:
        """Search."""
        return nearest_boundary_steps(
            clf, batch.images, effort=self.effort, bounded=self.bounded, seed=seed
        )

    def columns(self, result: BoundaryPoints, batch: Batch) -> Columns:
        """From the points."""
        found = {
            "distance": result.distances.double().numpy(),
            "other": result.other.numpy(),
            "alignment": result.alignment.double().numpy(),
            "bracket": result.residual.double().numpy(),
            "reached": flags(result.converged),
        }
        if self.keep_perturbations:
            found["perturbation"] = result.perturbations.numpy()
        return found
