"""Points on the decision boundary: the nearest one, or the nearest toward a class."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geoexplorer import jobs
from geoexplorer.arguments import require_seed
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.crossings import ANY, Rays, hidden, level
from geoexplorer.geometry.deepfool import deepfool_offsets
from geoexplorer.geometry.linear_subspace import Subspace
from geoexplorer.geometry.nearest import EFFORTS, minimise
from geoexplorer.geometry.room import require_room, room_for
from geoexplorer.jobs import Progress
from geoexplorer.results import BatchResult, Recorder

__all__ = ["ACCEPTED_EFFORTS", "BoundaryPoints", "nearest_boundary", "nearest_boundary_steps"]

ACCEPTED_EFFORTS = (*EFFORTS, "deepfool")
_DEEPFOOL_VECTORS = 40  # of the input's size, held for one image
_FINAL_TOLERANCE = 1e-6  # relative width of the bracket around z
_ROUNDING_STEPS = 4  # of the largest logit: the noise in a difference of two logits
_CLEARING_ROUNDS = 6
_FINAL_GROWTH, _FINAL_ROUNDS = 1.001, 24
_LEAST_NEWS = 0.05  # share of the work between two intermediate results
_COARSE = 0.01  # of the bounds' width: rounding of a pixel beyond which an image is lost
_BLOCK_BYTES = 256 * 2**20  # search state held at once, where memory allows


@dataclass(frozen=True, eq=False, repr=False)
class BoundaryPoints(BatchResult):
    """Boundary points z = x + r of a batch of images, and how good they are.

    Where ``converged`` is False no boundary was reached: the distance is infinite, z, r, the
    normal and the alignment are NaN, and ``other`` is the class asked for, or -1.
    """

    images: Tensor  # (n, C, H, W): x
    points: Tensor  # (n, C, H, W): z, just across the boundary
    perturbations: Tensor  # (n, C, H, W): r = z - x
    distances: Tensor  # (n,): l2 norm of r
    own: Tensor  # (n,) int64: the predicted class of x
    other: Tensor  # (n,) int64: the class across the boundary
    normals: Tensor  # (n, C, H, W): unit gradient of f_own - f_other at z, into the own region
    # (n,): cosine between -r and the normal, 1 at a smooth nearest point; in a subspace, between -r
    # and the part of the normal that lies in it
    alignment: Tensor
    residual: Tensor  # (n,): l2 width of the bracket along r that holds the boundary
    converged: Tensor  # (n,) bool: whether the boundary was reached


def nearest_boundary(
    clf: Classifier,
    x: Tensor,
    other: int | Tensor | None = None,
    *,
    effort: str = "interactive",
    bounded: bool = False,
    subspace: Subspace | None = None,
    seed: int = 0,
) -> BoundaryPoints:
    """Find the nearest point of the decision boundary to each image.

    Parameters
    ----------
    clf
        The classifier.
    x
        Images ``(n, C, H, W)`` in the classifier's units, or one image ``(C, H, W)``.
    other
        Class across the boundary: one, or one for each image ``(n,)``. The boundary is then
        f_own = f_other where no third class is higher. None takes the nearest over all classes.
    effort
        ``"interactive"`` (at most 30 gradients an image where there are ten classes),
        ``"accurate"`` (at most 100), or ``"deepfool"``: the direction DeepFool finds
        (Moosavi-Dezfooli et al., CVPR 2016), which the paper used, followed to the boundary.
    bounded
        Whether z must stay within the classifier's bounds. The paper's perturbations need not.
    subspace
        Confines the perturbation: the distance is then the margin in that subspace. None leaves it
        free.
    seed
        For the random directions tried where no ray toward a class crosses the boundary.

    Returns
    -------
    BoundaryPoints
        One row an image, distances in l2 units of pixel values. Predicted classes count, not
        true labels. A boundary that could not be reached is marked in ``converged``, never
        invented.

    Raises
    ------
    TypeError, ValueError
        For images that are not the classifier's (see :meth:`Classifier.prepare`), classes that
        do not exist or are an image's own, an unknown effort, images outside the bounds when
        ``bounded``, ``bounded`` together with ``effort="deepfool"`` or a subspace, or a
        classifier whose ``memory`` the search of one image does not fit into.

    Warns
    -----
    UserWarning
        If the images look normalised already and the classifier normalises.

    Notes
    -----
    The distance is that of the nearest local minimum found; it is an upper bound of the true
    one. The search is our own, see :mod:`geoexplorer.geometry.nearest`.

    Examples
    --------
    >>> from torch import nn
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False)).eval()
    >>> _ = module[1].weight.data.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0]]))
    >>> clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
    >>> b = nearest_boundary(clf, torch.full((1, 2, 2), 0.5))
    >>> round(float(b.distances), 4), int(b.own), int(b.other)
    (0.5, 0, 1)
    """
    return jobs.last(
        nearest_boundary_steps(
            clf, x, other, effort=effort, bounded=bounded, subspace=subspace, seed=seed
        )
    )


def nearest_boundary_steps(
    clf: Classifier,
    x: Tensor,
    other: int | Tensor | None = None,
    *,
    effort: str = "interactive",
    bounded: bool = False,
    subspace: Subspace | None = None,
    seed: int = 0,
) -> Iterator[BoundaryPoints]:
    """Like :func:`nearest_boundary`, yielding the points found so far after every stage.

    Images that were not searched yet are not ``converged`` in the partial results.
    """
    seed = require_seed(seed)
    if effort not in ACCEPTED_EFFORTS:
        raise ValueError(f"effort must be one of {ACCEPTED_EFFORTS}, got {effort!r}")
    if effort == "deepfool" and bounded:
        raise ValueError("effort='deepfool' knows no bounds; choose another with bounded=True")
    if subspace is not None and not isinstance(subspace, Subspace):
        raise TypeError(f"subspace must be a Subspace or None, got {type(subspace).__name__}")
    if subspace is not None and bounded:
        raise ValueError("bounded must be False where the perturbation is confined to a subspace")
    require_room(clf, "effort", effort, _vectors(effort))
    basis = None if subspace is None else subspace.rows_for(clf)
    recorder = Recorder(
        clf, "nearest_boundary", other=other, effort=effort, bounded=bounded,
        subspace=None if subspace is None else subspace.name, seed=seed,
    )  # fmt: skip
    images = clf.prepare(x)
    clf.warn_of_normalised(images)
    if bounded:
        _require_within_bounds(images, clf.bounds)
    across = None if other is None else clf.classes(other, images, "other")
    logits = clf.forward(images)
    own = logits.argmax(1)
    if across is not None and bool((across == own).any()):
        first = int((across == own).nonzero()[0, 0])
        raise ValueError(
            f"other must differ from the predicted class of every image, but image {first} is "
            f"predicted as {clf.class_names[int(own[first])]!r} itself"
        )
    flat = images.flatten(1)
    rays = Rays.around(
        clf,
        flat,
        logits,
        torch.full_like(own, ANY) if across is None else across,
        (clf.bounds[0] - flat, clf.bounds[1] - flat) if bounded else None,
        basis,
    )
    return recorder.watch(_search(rays, effort, seed, recorder))


def _search(rays: Rays, effort: str, seed: int, recorder: Recorder) -> Iterator[BoundaryPoints]:
    settled = _Settled.none(rays)
    indices = torch.arange(len(rays), device=rays.images.device)
    blocks = torch.split(indices, _block_size(rays, effort))
    shown = 0.0
    for index, rows in enumerate(blocks):
        if effort == "deepfool":
            stages = iter([(1.0, deepfool_offsets(rays[rows]))])
        else:
            stages = minimise(rays[rows], EFFORTS[effort], seed=seed)
        scouted: Tensor | None = None
        for share, offsets in stages:
            scouted = offsets if scouted is None else scouted
            fraction = (index + share) / len(blocks)
            news = shown + _LEAST_NEWS <= fraction < 1.0
            if news or share == 1.0:
                settled.settle(rows, offsets)
                # Whether or not there was news of them, which depends on the company.
                lost = settled.widths[rows].isinf()
                if scouted is not offsets and bool(lost.any()):
                    settled.settle(rows[lost], scouted[lost])
            if news:
                shown = fraction
                message = f"boundary points, block {index + 1} of {len(blocks)}"
                yield settled.result(recorder, Progress(fraction, message))
    yield settled.result(recorder, Progress())


@dataclass
class _Settled:
    """Boundary points as far as they are known, on the classifier's device."""

    rays: Rays
    points: Tensor  # (n, d), NaN where unknown
    normals: Tensor  # (n, d), NaN where unknown
    widths: Tensor  # (n,), infinite where unknown
    across: Tensor  # (n,)

    @classmethod
    def none(cls, rays: Rays) -> _Settled:
        unknown = torch.full_like(rays.images, math.nan)
        widths = torch.full_like(rays.start_levels, math.inf)
        return cls(rays, unknown, unknown.clone(), widths, rays.other.clone())

    def settle(self, rows: Tensor, offsets: Tensor) -> None:
        """Take in offsets near the boundary, after a last bisection along each of them."""
        self.points[rows], self.normals[rows] = math.nan, math.nan
        self.widths[rows], self.across[rows] = math.inf, self.rays.other[rows]
        rows, offsets = _finite(rows, offsets)
        part = self.rays[rows]
        crossing = part.cross(
            offsets,
            first=1.0,
            growth=_FINAL_GROWTH,
            tolerance=_FINAL_TOLERANCE,
            rounds=_FINAL_ROUNDS,
        )
        inside, logits = _clear_of_rounding(part, crossing.inside, offsets, inward=True)
        open_ = hidden(logits, part.own, part.other) <= 0
        outside, logits = _clear_of_rounding(part, crossing.outside, offsets)
        across = logits.argmax(1)
        wanted = (part.other == ANY) | (across == part.other)
        low, high = self.rays.clf.bounds
        # Farther out the steps between two numbers are as large as the image.
        perturbations = self.rays.perturbations(outside)
        rounding = torch.finfo(outside.dtype).eps * perturbations.abs().amax(1)
        seen = rounding < _COARSE * (high - low)
        reached = crossing.found & (across != part.own) & wanted & open_ & seen
        rows, across = rows[reached], across[reached]
        points = self.rays.images[rows] + perturbations[reached]
        self.points[rows] = points if self.rays.box is None else points.clamp(*self.rays.clf.bounds)
        self.widths[rows] = (outside - inside)[reached].norm(dim=1)
        self.across[rows] = across
        settled = replace(self.rays[rows], images=points, other=across, box=None, basis=None)
        _, distances, normals = settled.linearise(torch.zeros_like(points))
        self.normals[rows] = torch.where(distances.isfinite()[:, None], normals, math.nan)

    def result(self, recorder: Recorder, progress: Progress) -> BoundaryPoints:
        """The points as a result, on the CPU."""
        images, shape = self.rays.images, (-1, *self.rays.clf.input_shape)
        perturbations = self.points - images
        distances = perturbations.norm(dim=1)
        confined = self.rays.confined(self.normals).norm(dim=1)
        alignment = -(perturbations * self.normals).sum(1) / (distances * confined)
        return BoundaryPoints(
            images=_kept(images.reshape(shape)),
            points=_kept(self.points.reshape(shape)),
            perturbations=_kept(perturbations.reshape(shape)),
            distances=_kept(distances.nan_to_num(math.inf)),
            own=_kept(self.rays.own),
            other=_kept(self.across),
            normals=_kept(self.normals.reshape(shape)),
            alignment=_kept(alignment),
            residual=_kept(self.widths),
            converged=_kept(self.widths.isfinite()),
            provenance=recorder.provenance(),
            progress=progress,
        )


def _clear_of_rounding(
    rays: Rays, reached: Tensor, offsets: Tensor, *, inward: bool = False
) -> tuple[Tensor, Tensor]:
    """Offsets just beyond the crossings, or short of them, and the logits there.

    As little beyond as makes the class there not depend on rounding, which changes with the
    batch a point is evaluated in; near the boundary of a network that is far from zero that is
    more than the rounding of the offset itself.
    """
    start = torch.where(reached.isfinite(), reached, 1.0)
    beyond = torch.zeros_like(start)
    side = -1.0 if inward else 1.0
    for _ in range(_CLEARING_ROUNDS):
        found = rays.clip(((1 + side * beyond) * start)[:, None] * offsets)
        logits = rays.logits(found)
        noise = _ROUNDING_STEPS * torch.finfo(logits.dtype).eps * logits.abs().amax(1)
        doubtful = side * level(logits, rays.own, rays.other) > -noise
        if not bool(doubtful.any()):
            break
        further = torch.maximum(4 * beyond, (noise / rays.start_levels).clamp_max(1.0))
        beyond = torch.where(doubtful, further, beyond)
    return found, logits


def _kept(tensor: Tensor) -> Tensor:
    """A copy on the CPU: what is found later must not change a result that was given."""
    return tensor.to("cpu", copy=True)


def _finite(rows: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    kept = offsets.isfinite().all(1)
    return rows[kept], offsets[kept]


def _block_size(rays: Rays, effort: str) -> int:
    image_bytes = rays.images.shape[1] * rays.images.element_size()
    fitting = min(_BLOCK_BYTES // image_bytes, room_for(rays.clf))
    return max(1, fitting // _vectors(effort))


def _vectors(effort: str) -> int:
    return EFFORTS[effort].vectors if effort in EFFORTS else _DEEPFOOL_VECTORS


def _require_within_bounds(images: Tensor, bounds: tuple[float, float]) -> None:
    lowest, highest = (float(value) for value in torch.aminmax(images))
    low, high = torch.tensor(bounds, dtype=images.dtype).tolist()  # as images can hold them
    if lowest < low or highest > high:
        raise ValueError(
            f"x must lie within the bounds [{low:g}, {high:g}] when bounded=True, but holds "
            f"values from {lowest:g} to {highest:g}"
        )
