"""Whether the curvature of the level sets tells a perturbed image, for every image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from geoexplorer.arguments import require_numbers, require_whole
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.detection import Detection as Verdict
from geoexplorer.geometry.detection import detect_steps
from geoexplorer.geometry.measurement import require_step
from geoexplorer.jobs import Progress
from geoexplorer.results import Result
from geoexplorer.studies.quantities.base import Batch, Columns, Facts, Quantity, Variable

__all__ = ["Detection"]

_CURVATURE = "1 / l2 of pixel values"


@dataclass(frozen=True, eq=False, repr=False)
class _Verdicts(Result):
    by_scale: tuple[Verdict, ...] = ()


@dataclass(frozen=True)
class Detection(Quantity):
    """Options as of :func:`geoexplorer.detect`, for the images x and for x + α r."""

    name: ClassVar[str] = "detection"

    probes: int = 50
    step: float | None = None
    classes: int | None = None
    scales: tuple[float, ...] = (1.02, 2.0, 5.0)  # α; none looks at the images alone

    def __post_init__(self) -> None:
        require_whole("detection.probes", self.probes, 1)
        if self.classes is not None:
            require_whole("detection.classes", self.classes, 1)
        scales = self.scales
        if not isinstance(scales, Sequence) or len(scales) > 0:
            scales = require_numbers("detection.scales", scales, positive=True)
        if len(set(scales)) < len(scales):
            raise ValueError(f"detection.scales must differ from each other, got {scales!r}")
        object.__setattr__(self, "scales", tuple(scales))

    @property
    def needs_points(self) -> bool:  # type: ignore[override]
        """Perturbed images need their perturbations."""
        return bool(self.scales)

    def check(self, networks: Sequence[Classifier]) -> None:
        """Refuse a step that is lost in rounding, and more classes than there are."""
        for clf in networks:
            if self.step is not None:
                require_step(self.step, "detection.step", clf=clf)
            if self.classes is not None:
                require_whole("detection.classes", self.classes, 1, clf.n_classes - 1)

    def variables(self, facts: Facts) -> Mapping[str, Variable]:
        """One value a scale: 0 is the image itself, α is x + α r."""
        dims = ("scale",)
        return {
            "score": Variable(
                "mean curvature of the level sets of f_i - f_own over the other classes i; high "
                "where an image is suspicious",
                dims, "double", _CURVATURE, nan="unreached",
            ),
            "score_error": Variable(
                "standard error of the score", dims, "double", _CURVATURE, nan="anywhere"
            ),
            "score_margin": Variable(
                "highest logit minus the second highest; low where an image is suspicious",
                dims, "double", nan="unreached",
            ),
            "called": Variable("predicted class at that scale", dims, "whole"),
            "recovered": Variable("class with the largest curvature", dims, "whole"),
            "runner_up": Variable("class with the second highest logit", dims, "whole"),
            "detection_step": Variable("h of the second differences", kind="double", by="network"),
        }  # fmt: skip

    def coordinates(self, facts: Facts) -> Mapping[str, Sequence[float]]:
        """α, 0 for the image itself."""
        return {"scale": [0.0, *self.scales]}

    def steps(self, clf: Classifier, batch: Batch, seed: int) -> Iterator[_Verdicts]:
        """Score the images, then the perturbed ones; no result for those without a boundary."""
        done: list[Verdict] = []
        sets = [batch.images]
        if batch.points is not None:
            reached = batch.points[batch.points.converged]
            sets += [reached.images + scale * reached.perturbations for scale in self.scales]
        for index, images in enumerate(sets):
            if len(images) == 0:
                break
            for verdict in detect_steps(
                clf, images, self.probes, self.step, classes=self.classes, seed=seed
            ):
                fraction = (index + verdict.progress.fraction) / len(sets)
                if fraction < 1.0:
                    yield _Verdicts(progress=Progress(fraction, "scores"))
            done.append(verdict)
        yield _Verdicts(tuple(done))

    def columns(self, result: _Verdicts, batch: Batch) -> Columns:
        """From the verdicts; unknown where no boundary was reached."""
        natural, *perturbed = result.by_scale
        shape = (len(batch), 1 + len(self.scales))
        rows = torch.arange(len(batch))
        reached = rows if batch.points is None else rows[batch.points.converged]

        def table(name: str, missing: float, dtype: torch.dtype) -> Tensor:
            values = torch.full(shape, missing, dtype=dtype)
            values[:, 0] = getattr(natural, name).to(dtype)
            for column, verdict in enumerate(perturbed, start=1):
                values[reached, column] = getattr(verdict, name).to(dtype)
            return values

        real, whole = (math.nan, torch.float64), (-1, torch.int64)
        return {
            "score": table("score", *real).numpy(),
            "score_error": table("standard_errors", *real).numpy(),
            "score_margin": table("margin", *real).numpy(),
            "called": table("labels", *whole).numpy(),
            "recovered": table("recovered", *whole).numpy(),
            "runner_up": table("runner_up", *whole).numpy(),
            "detection_step": np.array(natural.step),
        }
