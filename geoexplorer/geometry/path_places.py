"""Places along a path: the image at a distance from its beginning, and what is known there."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from geoexplorer.geometry.certificates import SegmentProof
from geoexplorer.geometry.paths import RegionPath

__all__ = ["anchor_distances", "images_at", "known_logits", "least_place", "margins_of"]


def anchor_distances(path: RegionPath) -> Tensor:
    """L2 distances ``(m,)``, float64, of the anchors from a along the path; the first is 0."""
    steps = path.anchors.double().diff(dim=0).flatten(1).norm(dim=1)
    return torch.cat([steps.new_zeros(1), steps.cumsum(0)])


def images_at(path: RegionPath, distances: Tensor | Sequence[float]) -> Tensor:
    """Images at distances along a path.

    Parameters
    ----------
    path
        A path with m anchors.
    distances
        ``(n,)``, l2 distances from a along the path; what lies beyond an end means the end.

    Returns
    -------
    Tensor
        ``(n, C, H, W)``, of the anchors' dtype.
    """
    ends = anchor_distances(path)
    places = torch.as_tensor(distances, dtype=torch.float64).clamp(0.0, float(ends[-1]))
    if len(ends) == 1:
        return path.anchors.expand(len(places), *path.anchors.shape[1:])
    after = torch.searchsorted(ends, places).clamp(1, len(ends) - 1)
    start, stop = ends[after - 1], ends[after]
    shares = torch.where(stop > start, (places - start) / (stop - start), 0.0)
    shares = shares.reshape(-1, 1, 1, 1)
    anchors = path.anchors.double()
    images = anchors[after - 1] + shares * (anchors[after] - anchors[after - 1])
    return images.to(path.anchors.dtype)


def known_logits(path: RegionPath | SegmentProof) -> tuple[Tensor, Tensor]:
    """Where along a path the logits are known, and what they are.

    Returns
    -------
    tuple
        Distances ``(p,)`` from a, ascending, and logits ``(p, L)``, both float64. Between two
        neighbours the logits are affine where the path is proven; a row of NaN says that from
        there to the next row nothing is known.
    """
    if isinstance(path, SegmentProof):
        return _known_on(path, 0.0)
    starts = anchor_distances(path)[:-1].tolist()
    parts = [
        _known_on(proof, start) for proof, start in zip(path.segments, starts, strict=False)
    ]  # fmt: skip
    if not parts:
        classes = len(path.class_names)
        return torch.zeros(0, dtype=torch.float64), torch.zeros(0, classes, dtype=torch.float64)
    return torch.cat([places for places, _ in parts]), torch.cat([logits for _, logits in parts])


def margins_of(logits: Tensor, label: int) -> Tensor:
    """How far class ``label`` is ahead of the next one, ``(p,)`` for logits ``(p, L)``.

    Examples
    --------
    >>> margins_of(torch.tensor([[3.0, 1.0, 2.0]]), 0)
    tensor([1.])
    """
    others = logits.clone()
    others[:, label] = -math.inf
    margins: Tensor = logits[:, label] - others.amax(dim=1)
    return margins


def least_place(path: RegionPath | SegmentProof) -> float:
    """The distance from a at which the margin is least; 0 where nothing is known.

    Examples
    --------
    >>> t = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    >>> logits = torch.tensor([[3.0, 0.0], [1.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
    >>> proof = SegmentProof(
    ...     inside=True, exact=True, label=0, place=None, other=None, t=t, logits=logits, pieces=2,
    ...     least_margin=1.0, rounding=1e-12, spacing=None, length=4.0, class_names=("a", "b"))
    >>> least_place(proof)
    2.0
    """
    distances, logits = known_logits(path)
    margins = margins_of(logits, path.label)
    known = margins.isfinite()
    return float(distances[known][margins[known].argmin()]) if bool(known.any()) else 0.0


def _known_on(proof: SegmentProof, start: float) -> tuple[Tensor, Tensor]:
    """The same for one segment; up to its first exit, where the search ended there."""
    places = start + proof.t.double() * proof.length
    logits = proof.logits.double()
    if len(places) and float(proof.t[-1]) < 1.0:
        places = torch.cat([places, places[-1:]])
        logits = torch.cat([logits, torch.full_like(logits[-1:], math.nan)])
    return places, logits
