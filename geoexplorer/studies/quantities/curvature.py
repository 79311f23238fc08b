"""Principal and mean curvatures of the boundary at the nearest point of every image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from geoexplorer.arguments import require_whole
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.curvature import PrincipalCurvatures, principal_curvatures_steps
from geoexplorer.geometry.kinks import has_kinks
from geoexplorer.geometry.matrices import LARGEST_MATRIX
from geoexplorer.geometry.mean_curvature import MeanCurvature, mean_curvature_steps
from geoexplorer.geometry.measurement import METHODS, require_step
from geoexplorer.geometry.measurement import Curvature as Measured
from geoexplorer.studies.quantities.base import (
    Batch,
    Columns,
    Facts,
    Quantity,
    Variable,
    flags,
)

__all__ = ["AtPoints", "Curvature", "MeanOfCurvatures"]

_CURVATURE = "1 / l2 of pixel values"
_ACCEPTED_METHODS = ("auto", *METHODS)


@dataclass(frozen=True)
class AtPoints(Quantity):
    """Where and how a curvature is measured, as of :func:`geoexplorer.principal_curvatures`."""

    needs_points: ClassVar[bool] = True

    method: str = "auto"
    step: float | None = None  # h, l2; None takes the default of method and network
    at: float = 1.0  # measured at x + at r

    def __post_init__(self) -> None:
        if self.method not in _ACCEPTED_METHODS:
            raise ValueError(
                f"{self.name}.method must be one of {_ACCEPTED_METHODS}, got {self.method!r}"
            )
        number = isinstance(self.at, (int, float)) and not isinstance(self.at, bool)
        if not number or not np.isfinite(self.at) or self.at < 0:
            raise ValueError(
                f"{self.name}.at must be a finite number from 0 (the image), got {self.at!r}"
            )

    def check(self, networks: Sequence[Classifier]) -> None:
        """Refuse a step that is lost in rounding, and derivatives where there are none."""
        if self.method == "autograd" and self.step is not None:
            raise ValueError(
                f"{self.name}.step must be None for method 'autograd', which has none, got "
                f"{self.step!r}"
            )
        for clf in networks if self.method == "autograd" else ():
            if has_kinks(clf):
                raise ValueError(
                    f"{self.name}.method 'autograd' sees only the smooth pieces of a network with "
                    f"kinks, as {clf.name!r} is; take 'auto', 'smoothed' or 'central_difference'"
                )
        if self.step is not None:
            for clf in networks:
                require_step(self.step, f"{self.name}.step", clf=clf)

    def _how(self) -> dict[str, Any]:
        return {"method": self.method, "step": self.step, "at": self.at}

    def _made(self) -> dict[str, Variable]:
        return {
            f"{self.name}_method": Variable("how it was measured", kind="text", by="network"),
            f"{self.name}_step": Variable(
                "h, l2 length of a displacement; 0 for autograd", kind="double", by="network"
            ),
        }

    def _how_made(self, result: Measured) -> dict[str, Any]:
        return {
            f"{self.name}_method": np.array(result.method, dtype=object),
            f"{self.name}_step": np.array(result.step),
        }


@dataclass(frozen=True)
class Curvature(AtPoints):
    """The k most positive and the k most negative principal curvatures, or ``"all"`` d - 1."""

    name: ClassVar[str] = "curvature"

    k: int | str = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k != "all":
            if isinstance(self.k, str):
                raise ValueError(f"curvature.k must be a whole number or 'all', got {self.k!r}")
            require_whole("curvature.k", self.k, 1)

    def check(self, networks: Sequence[Classifier]) -> None:
        """Refuse more curvatures than there are, or than fit."""
        super().check(networks)
        d = networks[0].dimension
        if self.k == "all" and d > LARGEST_MATRIX:
            raise ValueError(
                f"curvature.k must be a number of extreme curvatures where d is above "
                f"{LARGEST_MATRIX}, here {d}: a matrix of all would not fit"
            )
        if self.k != "all":
            require_whole("curvature.k", self.k, 1, (d - 1) // 2)

    def variables(self, facts: Facts) -> Mapping[str, Variable]:
        """A profile an image."""
        return {
            "curvature": Variable(
                "principal curvatures, descending; own region a ball of radius R: -1/R",
                dims=("index",), units=_CURVATURE, nan="unreached",
            ),
            "curvature_residual": Variable(
                "how far a principal curvature may be off",
                dims=("index",), units=_CURVATURE, nan="unreached",
            ),
            "curvature_error": Variable(
                "standard error of a principal curvature, from the probes of smoothed",
                dims=("index",), units=_CURVATURE, nan="anywhere",
            ),
            "curvature_converged": Variable(
                "whether its residual is small", dims=("index",), kind="flag"
            ),
            "curvature_asymmetry": Variable(
                "relative asymmetry of the shape operator as measured", kind="double",
                nan="unreached",
            ),
            **self._made(),
        }  # fmt: skip

    def coordinates(self, facts: Facts) -> Mapping[str, Sequence[int]]:
        """Ranks: 1 is the most positive; of the k most negative ones -1 is the last."""
        if self.k == "all":
            return {"index": range(1, facts.dimension)}
        k = int(self.k)
        return {"index": [*range(1, k + 1), *range(-k, 0)]}

    def steps(self, clf: Classifier, batch: Batch, seed: int) -> Iterator[PrincipalCurvatures]:
        """Measure."""
        assert batch.points is not None
        k = None if self.k == "all" else int(self.k)
        return principal_curvatures_steps(clf, batch.points, k, seed=seed, **self._how())

    def columns(self, result: PrincipalCurvatures, batch: Batch) -> Columns:
        """From the curvatures."""
        return {
            "curvature": result.values.numpy(),
            "curvature_residual": result.residuals.numpy(),
            "curvature_error": _errors(result).numpy(),
            "curvature_converged": flags(result.converged),
            "curvature_asymmetry": result.asymmetry.double().numpy(),
            **self._how_made(result),
        }


@dataclass(frozen=True)
class MeanOfCurvatures(AtPoints):
    """trace(G) / (d - 1) from random tangents, in any number of dimensions."""

    name: ClassVar[str] = "mean_curvature"

    probes: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        require_whole("mean_curvature.probes", self.probes, 2)

    def variables(self, facts: Facts) -> Mapping[str, Variable]:
        """One value an image."""
        return {
            "mean_curvature": Variable(
                "mean of the principal curvatures", kind="double", units=_CURVATURE,
                nan="unreached",
            ),
            "mean_curvature_error": Variable(
                "its standard error, from the choice of tangents", kind="double",
                units=_CURVATURE, nan="unreached",
            ),
            **self._made(),
        }  # fmt: skip

    def steps(self, clf: Classifier, batch: Batch, seed: int) -> Iterator[MeanCurvature]:
        """Measure."""
        assert batch.points is not None
        return mean_curvature_steps(clf, batch.points, probes=self.probes, seed=seed, **self._how())

    def columns(self, result: MeanCurvature, batch: Batch) -> Columns:
        """From the means."""
        return {
            "mean_curvature": result.values.double().numpy(),
            "mean_curvature_error": result.standard_errors.double().numpy(),
            **self._how_made(result),
        }


def _errors(result: PrincipalCurvatures) -> Tensor:
    errors = result.standard_errors
    return torch.zeros_like(result.values) if errors is None else errors
