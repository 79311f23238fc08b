"""The predicted class of every image, and how clearly it is predicted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.results import Result
from geoexplorer.studies.quantities.base import Batch, Columns, Facts, Quantity, Variable

__all__ = ["Prediction"]


@dataclass(frozen=True, eq=False, repr=False)
class _Logits(Result):
    values: Tensor  # (n, L)


@dataclass(frozen=True)
class Prediction(Quantity):
    """Predicted classes; part of every study."""

    name: ClassVar[str] = "prediction"

    def check(self, networks: Sequence[Classifier]) -> None:
        """Anything can be predicted."""

    def variables(self, facts: Facts) -> Mapping[str, Variable]:
        """One value an image each."""
        return {
            "predicted": Variable("predicted class", kind="whole"),
            "margin": Variable("highest logit minus the second highest", kind="double"),
            "norm": Variable("l2 norm of the image", kind="double", units="l2 of pixel values"),
        }

    def steps(self, clf: Classifier, batch: Batch, seed: int) -> Iterator[_Logits]:
        """One pass."""
        yield _Logits(clf.logits(batch.images))

    def columns(self, result: _Logits, batch: Batch) -> Columns:
        """From the logits; unknown where they are not finite."""
        finite = result.values.isfinite().all(1)
        highest = result.values.double().topk(2, dim=1)
        margin = highest.values[:, 0] - highest.values[:, 1]
        return {
            "predicted": highest.indices[:, 0].where(finite, -1).numpy(),
            "margin": margin.where(finite, math.nan).numpy(),
            "norm": batch.images.double().flatten(1).norm(dim=1).numpy(),
        }
