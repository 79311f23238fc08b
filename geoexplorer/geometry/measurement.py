"""Where, at which scale and by which method curvature is measured; what every result says of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeVar

import torch
from torch import Tensor

from geoexplorer.arguments import require_seed
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.blocks import slices
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.kinks import has_kinks
from geoexplorer.geometry.matrices import LARGEST_MATRIX
from geoexplorer.geometry.operators import (
    CentralDifferences,
    ExactHessians,
    Hessians,
    LevelSets,
    ShapeOperators,
    default_step,
)
from geoexplorer.geometry.room import room_for
from geoexplorer.geometry.smoothing import SmoothedHessians
from geoexplorer.jobs import News, Progress
from geoexplorer.results import BatchResult, Recorder

__all__ = [
    "METHODS",
    "Curvature",
    "Measurement",
    "Steps",
    "news",
    "require_points",
    "require_step",
    "step_by_default",
    "with_normal",
]

METHODS = ("autograd", "central_difference", "smoothed")
"""Methods that measure a Hessian; ``secant`` measures single curvatures only."""

# Without kinks there is a limit that differences come near to at a smaller step; with them there is
# none, and the authors' step makes numbers that can be compared.
_WITHOUT_KINKS = 0.1
# A secant divides the rounding of the logits by h²; in single precision this keeps it harmless.
_LEAST_SECANT = 0.03
_LEAST_STEP = 100.0  # roundings of a pixel
_SAME_POINT = 0.01  # of F at the image, what F may be at a boundary point
_STREAMS_APART = 1_000_003
_STREAM_OF_VECTORS = 2**30
_POINTS_TOGETHER = 16
_VECTORS = 16  # of the input's size, held for each direction at a point
_FRAME_VECTORS = 6  # likewise, for each vector of a frame that is made orthonormal
_NEARLY = 0.999  # of the work, before the final result


@dataclass(frozen=True, eq=False, repr=False)
class Curvature(BatchResult):
    """What all measured curvatures say about themselves; one row a boundary point.

    Positive where the other region bulges into the own one, negative where the own region bulges
    out: -1/R in every direction where the own region is a ball of radius R.
    """

    values: Tensor  # (n, ...), 1 / l2 unit of pixel values; NaN where there is no boundary point
    own: Tensor  # (n,) int64
    other: Tensor  # (n,) int64
    # (n,): ‖r‖; no nearest point has a curvature below -1/‖r‖, unless r was confined
    distances: Tensor
    alignment: Tensor  # (n,): how nearly r is normal to the boundary at z, wherever it is measured
    method: str  # "autograd", "central_difference", "smoothed" or "secant"
    step: float  # h, the l2 length of a displacement; 0 for autograd
    at: float  # measured at x + at r: 1 is the boundary point

    @property
    def confined(self) -> str:
        """What r was confined to in the search for z: ``"the bounds"``, a subspace, or nothing."""
        options = self.provenance.options
        subspace = options.get("subspace")
        if subspace is not None:
            return f"the subspace {subspace}"
        return "the bounds" if options.get("bounded") else ""


@dataclass(frozen=True)
class Measurement:
    """A checked request to measure curvature, and what all of them share."""

    clf: Classifier
    boundary: BoundaryPoints
    method: str
    step: float
    at: float
    seed: int
    recorder: Recorder

    @classmethod
    def begin(
        cls,
        function: str,
        clf: Classifier,
        boundary: BoundaryPoints,
        *,
        method: str,
        step: float | None,
        at: float,
        seed: int,
        accepted: tuple[str, ...] = METHODS,
        **options: Any,
    ) -> Measurement:
        """Check what all measurements are given, and choose what was left to us.

        Parameters
        ----------
        function
            Name of the public function, for the record.
        clf, boundary, method, step, at, seed
            As given by the caller.
        accepted
            Methods besides ``"auto"``, which takes the first of them without kinks and
            ``"smoothed"`` with them.
        options
            Further options, for the record.
        """
        require_points(clf, boundary)
        seed = require_seed(seed)
        if method not in ("auto", *accepted):
            raise ValueError(f"method must be one of {('auto', *accepted)}, got {method!r}")
        if step is not None:
            require_step(step, clf=clf)
        if isinstance(at, bool) or not isinstance(at, Real) or not math.isfinite(at):
            raise ValueError(f"at must be a finite number (1 is the boundary point), got {at!r}")
        found = boundary.provenance.options
        recorder = Recorder(
            clf, function, method=method, step=step, at=at, seed=seed, points=found.get("effort"),
            bounded=found.get("bounded", False), subspace=found.get("subspace"), **options,
        )  # fmt: skip
        chosen = method
        if method == "auto":
            chosen = "smoothed" if has_kinks(clf) else accepted[0]
        if method == "autograd":
            _require_smooth(clf, step)
        taken = step_by_default(clf, chosen)
        if step is not None and chosen != "autograd":
            taken = float(step)
        return cls(clf, boundary, chosen, taken, float(at), seed, recorder)

    def __len__(self) -> int:
        return len(self.boundary)

    @property
    def rows(self) -> Tensor:
        """Indices of the points that there are."""
        return torch.nonzero(self.boundary.converged)[:, 0]

    def level_sets(self, rows: Tensor) -> LevelSets:
        """The points of some rows on the classifier's device."""
        b, clf = self.boundary, self.clf
        points = b.points[rows]
        if self.at != 1.0:
            points = b.images[rows] + self.at * b.perturbations[rows]
        flat = points.flatten(1).to(device=clf.device, dtype=clf.dtype)
        own, other = b.own[rows].to(clf.device), b.other[rows].to(clf.device)
        return LevelSets(clf, flat, own, other)

    def hessians(self, sets: LevelSets, stream: int = 0) -> Hessians:
        """Their Hessians, by the method; probes of another ``stream`` are independent."""
        if self.method == "autograd":
            return ExactHessians(sets)
        if self.method == "smoothed":
            return SmoothedHessians(sets, self.step, self.generator(stream))
        return CentralDifferences(sets, self.step)  # the secant needs their gradients only

    def shape_operators(self, rows: Tensor, stream: int = 0) -> tuple[Tensor, ShapeOperators]:
        """The shape operators of those rows that have a normal, and these rows."""
        sets = self.level_sets(rows)
        gradients = self.hessians(sets, stream).gradients()
        regular = with_normal(gradients)
        operators = ShapeOperators(self.hessians(sets[regular], stream), gradients[regular])
        return rows[regular.cpu()], operators

    def generator(self, stream: int = 0) -> torch.Generator:
        """Random numbers from the beginning; those of another ``stream`` are independent."""
        return torch.Generator().manual_seed(self.seed_of(stream))

    def vectors(self) -> torch.Generator:
        """Random numbers for vectors to start from, independent of the probes of all streams."""
        return self.generator(_STREAM_OF_VECTORS)

    def seed_of(self, stream: int) -> int:
        """The seed of a stream of random numbers."""
        return self.seed + _STREAMS_APART * stream

    def blocks(self, size: int) -> list[Tensor]:
        """The rows, cut into parts that fit into memory together."""
        return [self.rows[part] for part in slices(len(self.rows), max(1, size))]

    def blocks_along(self, directions: int) -> list[Tensor]:
        """The rows in parts for which so many directions at each point fit into memory."""
        return self.blocks(min(self.fitting(_VECTORS * directions), _POINTS_TOGETHER))

    def together(self, directions: int) -> int:
        """Directions that are measured together: so many, or what fits into memory at a point."""
        return max(1, min(directions, self.fitting(_VECTORS)))

    @property
    def largest_frame(self) -> int:
        """Vectors that can be made orthonormal together."""
        return max(1, min(self.fitting(_FRAME_VECTORS), self.clf.dimension - 1))

    def fitting(self, vectors: int) -> int:
        """Points for each of which so many vectors of the input's size fit into memory."""
        return room_for(self.clf) // vectors

    def fitting_matrices(self, count: int) -> int:
        """Points for each of which so many d x d matrices fit into memory."""
        d = self.clf.dimension
        return min(2 * room_for(self.clf) // (count * d), LARGEST_MATRIX // d)

    def progress(self, doing: str, done: float) -> Progress:
        """Of a result that is not final, with so many of the points done."""
        count = len(self.rows)
        message = f"{doing}, {math.floor(done)} of {count} point{'s' * (count > 1)}"
        return Progress(min(done / count, _NEARLY), message)

    def unknown(self, *shape: int) -> Tensor:
        """NaN for each point ``(n, *shape)``, on the CPU."""
        return torch.full((len(self), *shape), math.nan, dtype=self.clf.dtype)

    def facts(self) -> dict[str, Any]:
        """The fields of a :class:`Curvature` but for its values."""
        b = self.boundary
        return {
            "own": b.own.clone(),
            "other": b.other.clone(),
            "distances": b.distances.clone(),
            "alignment": b.alignment.clone(),
            "method": self.method,
            "step": self.step,
            "at": self.at,
        }


R = TypeVar("R")


Steps = Iterator[tuple[Progress, Callable[[Progress], R]]]
"""How far the work has come, and what makes a result of it."""


def news(steps: Steps[R]) -> Iterator[R]:
    """Results at those of the steps that are worth a look; no others are made."""
    shown = News()
    return (result(progress) for progress, result in steps if shown.due(progress.fraction))


def with_normal(gradients: Tensor) -> Tensor:
    """``(n,)`` bool: whether a gradient ``(n, d)`` gives a normal."""
    norms: Tensor = gradients.norm(dim=1)
    return norms.isfinite() & (norms > 0)


def step_by_default(clf: Classifier, method: str) -> float:
    """The step h that a method takes where none is given; 0 for ``"autograd"``, which has none.

    Examples
    --------
    >>> from torch import nn
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.GELU(), nn.Linear(8, 2)).eval()
    >>> clf = Classifier(module, input_shape=(1, 4, 4), device="cpu")
    >>> [round(step_by_default(clf, method), 4) for method in ("smoothed", "secant")]
    [0.0078, 0.03]
    """
    if method == "autograd":
        return 0.0
    if has_kinks(clf):
        return default_step(clf)
    low, high = clf.bounds
    least = _LEAST_SECANT * (high - low) if method == "secant" else 0.0
    return max(default_step(clf) * _WITHOUT_KINKS, least)


def require_step(step: Any, argument: str = "step", *, clf: Classifier) -> float:
    """A step h; ``ValueError`` unless it is finite and not lost in the rounding of pixels."""
    number = isinstance(step, Real) and not isinstance(step, bool)
    if not number or not math.isfinite(step) or step <= 0:
        raise ValueError(
            f"{argument} must be positive and finite, the l2 length h of a displacement, "
            f"got {step!r}"
        )
    largest = max(abs(bound) for bound in clf.bounds)
    least = _LEAST_STEP * torch.finfo(clf.dtype).eps * largest * math.sqrt(clf.dimension)
    if step < least:
        raise ValueError(
            f"{argument} must be at least {least:.2g}, below which a displacement is lost in the "
            f"rounding of {clf.dtype}, got {step!r}"
        )
    return float(step)


def require_points(clf: Classifier, boundary: Any, argument: str = "boundary") -> None:
    """Refuse what is no boundary points of the classifier, or none that was reached."""
    if not isinstance(clf, Classifier):
        raise TypeError(f"clf must be a Classifier, got {type(clf).__name__}")
    if clf.dimension < 2:
        raise ValueError(
            "clf takes images of one number: its boundary is made of points, and has no curvature"
        )
    if not isinstance(boundary, BoundaryPoints):
        raise TypeError(
            f"{argument} must be BoundaryPoints, as nearest_boundary gives them, "
            f"got {type(boundary).__name__}"
        )
    if len(boundary) == 0:
        raise ValueError(f"{argument} is empty; at least one point is needed")
    shape = tuple(boundary.images.shape[1:])
    if shape != clf.input_shape:
        raise ValueError(
            f"{argument} holds points of shape {shape}, but the classifier takes images of shape "
            f"{clf.input_shape}"
        )
    highest = int(torch.maximum(boundary.own, boundary.other).max())
    if highest >= clf.n_classes:
        raise ValueError(
            f"{argument} holds points between classes up to {highest}, but the classifier has "
            f"{clf.n_classes}: it belongs to another classifier"
        )
    if not bool(boundary.converged.any()):
        raise ValueError(
            f"{argument} holds no point: the boundary was not reached from any of its "
            f"{len(boundary)} images (converged is False)"
        )

    if boundary.provenance.fingerprint not in ("", clf.fingerprint):
        _require_zeros(clf, boundary, argument)


def _require_zeros(clf: Classifier, boundary: BoundaryPoints, argument: str) -> None:
    """Refuse points that another network's boundary goes through; its dtype may differ."""
    reached = boundary[boundary.converged]
    own, other = reached.own, reached.other
    levels = clf.margin(reached.points, own, other).abs()
    inside = clf.margin(reached.images, own, other).abs()
    if bool((levels > _SAME_POINT * inside).any()):
        raise ValueError(
            f"{argument} was found for another classifier: at its points the two logits are not "
            f"equal here, but differ by up to {float(levels.max()):.3g}"
        )


def _require_smooth(clf: Classifier, step: float | None) -> None:
    if step is not None:
        raise ValueError(
            "step must be None for method 'autograd', which differentiates exactly, "
            f"got {step!r}; 'central_difference' and 'smoothed' have a step"
        )
    if has_kinks(clf):
        raise ValueError(
            "method 'autograd' sees only the smooth pieces between the kinks of this network "
            "(ReLU, max-pooling or the like: its gradient jumps), where its curvature is not; "
            "'smoothed' and 'central_difference' measure it at a scale, the step h"
        )
