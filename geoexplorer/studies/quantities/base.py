"""What a study can measure: a quantity, the variables it fills, and the images it is given."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.jobs import HasProgress

__all__ = ["Batch", "Columns", "Facts", "Quantity", "Variable", "flags"]

Columns = Mapping[str, NDArray[Any]]

# The type that each kind is stored in, and what stands where a value is not known.
_KINDS: Mapping[str, tuple[Any, Any]] = {
    "real": ("float32", np.nan),  # or that of the networks
    "double": ("float64", np.nan),
    "whole": ("int64", -1),
    "flag": ("int8", -1),  # 0 and 1 are no and yes
    "text": (object, ""),
}
_FLAGS = {"flag_values": [-1, 0, 1], "flag_meanings": "unknown no yes"}


@dataclass(frozen=True)
class Variable:
    """One variable of the store, with a value or an array for each image."""

    meaning: str
    dims: tuple[str, ...] = ()  # after (network, image)
    kind: str = "real"  # a key of _KINDS
    units: str = ""
    # Where NaN is a finding and no failure: "never", at images whose boundary was "unreached", or
    # "anywhere".
    nan: str = "never"
    by: str = "image"  # "network": one value or array for all images of a network

    def dtype(self, facts: Facts) -> np.dtype[Any]:
        """The type it is stored in."""
        return np.dtype(facts.real if self.kind == "real" else _KINDS[self.kind][0])

    @property
    def missing(self) -> Any:
        """What stands where a value is not known."""
        return _KINDS[self.kind][1]

    @property
    def attributes(self) -> dict[str, Any]:
        """What stands beside it in the store."""
        units = {"units": self.units} if self.units else {}
        return {"long_name": self.meaning, **units, **(_FLAGS if self.kind == "flag" else {})}


@dataclass(frozen=True)
class Facts:
    """What the variables depend on besides the options."""

    shape: tuple[int, int, int]  # (C, H, W)
    real: str  # "float32" or "float64"

    @property
    def dimension(self) -> int:
        """d = C·H·W."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Batch:
    """Images that can be read, and what else the quantities need of them; one row an image."""

    rows: Tensor  # (n,) int64: their places in the shard
    images: Tensor  # (n, C, H, W)
    points: BoundaryPoints | None = None
    partners: Mapping[str, Tensor] = field(default_factory=dict)  # by scenario, (n, C, H, W)
    partner_numbers: Mapping[str, Tensor] = field(default_factory=dict)  # by scenario, (n,) int64
    directions: Tensor | None = None  # (m, C, H, W), the same for all images
    in_mean: Tensor | None = None  # (n,) bool: whether an image had a part in the directions

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice | Tensor) -> Batch:
        return dataclasses.replace(
            self,
            rows=self.rows[rows],
            images=self.images[rows],
            points=None if self.points is None else self.points[rows],
            partners={name: images[rows] for name, images in self.partners.items()},
            partner_numbers={name: which[rows] for name, which in self.partner_numbers.items()},
            in_mean=None if self.in_mean is None else self.in_mean[rows],
        )


class Quantity(ABC):
    """Something that is measured for every image of a study; its fields are the options."""

    name: ClassVar[str]
    needs_points: ClassVar[bool] = False
    needs_directions: ClassVar[bool] = False

    @property
    def scenarios(self) -> Sequence[str]:
        """How each image gets a partner, if it needs one."""
        return ()

    @abstractmethod
    def check(self, networks: Sequence[Classifier]) -> None:
        """Refuse options that do not fit the networks."""

    @abstractmethod
    def variables(self, facts: Facts) -> Mapping[str, Variable]:
        """The variables it fills, by name."""

    def coordinates(self, facts: Facts) -> Mapping[str, Sequence[Any]]:
        """Coordinates of the dimensions of its own that its variables have."""
        return {}

    @abstractmethod
    def steps(self, clf: Classifier, batch: Batch, seed: int) -> Iterator[HasProgress]:
        """Measure a batch; the last result goes to :meth:`columns`."""

    @abstractmethod
    def columns(self, result: Any, batch: Batch) -> Columns:
        """The variables' values, one row an image."""

    def options(self) -> dict[str, Any]:
        """The options by name, as JSON knows them."""
        given = dataclasses.asdict(self)  # type: ignore[call-overload]
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in given.items()
        }


def flags(values: Tensor) -> NDArray[Any]:
    """Yes and no as 1 and 0."""
    return values.to(torch.int8).numpy()
