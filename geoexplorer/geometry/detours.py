"""Ways round where the midpoint rule ends: a road map over random points of the region.

The region may lead far from the straight segment, as a C does between its tips. Points around the
segment, in directions in which the margin changes, are moved into the region; a shortest way leads
over those between which the straight segment stays inside. Source: probabilistic roadmaps (Kavraki
et al., IEEE Trans. Robotics and Automation 1996), with directions from the classifier's gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.entering import least_margins, toward_margin
from geoexplorer.geometry.polylines import Leg, Polyline, sampled_between

__all__ = ["detours", "distances", "shortest_way"]

_GRADIENTS = 8  # along the segment, that span the directions
_JITTER = 0.25  # of the segment's length: how far from it they are taken
_REACH = (0.5, 1.0, 2.0)  # of the segment's length: how far from it the points start
_PENALTY = 20.0  # a leg that leaves the region counts as so many times its length


def detours(
    clf: Classifier, lines: Sequence[Polyline], *, points: int, steps: int, seed: int
) -> list[Polyline]:
    """Other lines between the ends of the given ones; their legs may still leave the region.

    Parameters
    ----------
    clf
        The classifier.
    lines
        Which stay as they are.
    points
        Random points a line.
    steps
        Most gradients for one of them.
    seed
        For the points, which are the same whichever lines are given together.
    """
    if not lines:
        return []
    ends = torch.stack([torch.stack([line.anchors[0], line.anchors[-1]]) for line in lines])
    labels = torch.tensor([line.label for line in lines], device=ends.device)
    depths = torch.tensor([line.depth for line in lines]).to(ends)
    starts = _around(clf, ends, labels, points, seed)
    moved = toward_margin(
        clf,
        starts.flatten(0, 1),
        labels.repeat_interleave(points),
        depths.repeat_interleave(points),
        steps=steps,
        seed=seed,
    )
    nodes = [
        [a, *(point for point in found if bool(point.isfinite().all())), b]
        for (a, b), found in zip(ends, moved.reshape(starts.shape), strict=True)
    ]
    return _roadmaps(clf, nodes, lines)


def distances(points: Tensor) -> Tensor:
    """l2 distances ``(n, n)`` of points ``(n, d)``, small ones to their last digits as well."""
    return torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")


def shortest_way(weights: NDArray[np.float64]) -> list[int]:
    """The nodes of a shortest way from the first to the last (Dijkstra); infinite: no road."""
    count = len(weights)
    distance = np.full(count, np.inf)
    before = np.zeros(count, dtype=np.int64)
    distance[0], left = 0.0, set(range(count))
    while left:
        node = min(left, key=lambda index: distance[index])
        left.remove(node)
        nearer = distance[node] + weights[node] < distance
        distance[nearer] = distance[node] + weights[node][nearer]
        before[nearer] = node
    way = [count - 1]
    while way[-1] != 0:
        way.append(int(before[way[-1]]))
    return way[::-1]


def _around(clf: Classifier, ends: Tensor, labels: Tensor, points: int, seed: int) -> Tensor:
    """Points ``(n, points, d)`` around segments whose ends are ``(n, 2, d)``."""
    n, _, d = ends.shape
    generator = torch.Generator().manual_seed(seed)
    a, b = ends[:, :1], ends[:, 1:]
    along = b - a
    lengths = along.norm(dim=2, keepdim=True)
    jitter = torch.randn((_GRADIENTS, d), generator=generator, dtype=torch.float64).to(ends)
    jitter = jitter / jitter.norm(dim=1, keepdim=True)
    t = ((torch.arange(_GRADIENTS) + 0.5) / _GRADIENTS).to(ends)[:, None]
    near = a + t * along + _JITTER * lengths * jitter
    _, _, gradients = clf.forward_gradient(
        near.reshape(-1, *clf.input_shape), least_margins, labels.repeat_interleave(_GRADIENTS)
    )
    span = torch.cat([gradients.reshape(n, _GRADIENTS, d), along, lengths * jitter[:1]], dim=1)
    span = torch.nn.functional.normalize(span, dim=2)
    coefficients = torch.randn((points, span.shape[1]), generator=generator, dtype=torch.float64)
    # The jitter's direction only counts where no gradient shows another.
    coefficients[:, -1] *= 1e-3
    directions = torch.nn.functional.normalize(coefficients.to(ends) @ span, dim=2)
    t = torch.rand((points, 1), generator=generator, dtype=torch.float64).to(ends)
    reach = torch.tensor(_REACH).to(ends).repeat(points)[:points, None]
    starts: Tensor = a + t * along + reach * lengths * directions
    return starts


def _roadmaps(
    clf: Classifier, nodes: Sequence[Sequence[Tensor]], lines: Sequence[Polyline]
) -> list[Polyline]:
    roads = [(row, i, j) for row, points in enumerate(nodes) for i, j in _pairs(points)]
    sampled = sampled_between(
        clf,
        [nodes[row][i] for row, i, _ in roads],
        [nodes[row][j] for row, _, j in roads],
        [lines[row].label for row, _, _ in roads],
        locate=False,
    )
    known = dict(zip(roads, sampled, strict=True))
    found = []
    for row, (points, line) in enumerate(zip(nodes, lines, strict=True)):
        stacked = torch.stack(list(points)).double()
        weights = distances(stacked).cpu().numpy()
        for i, j in _pairs(points):
            if known[row, i, j].inside is not True:
                weights[i, j] *= _PENALTY
            weights[j, i] = weights[i, j]
        way = shortest_way(weights)
        # Where a leg leaves its region it is to be looked at again, for the place.
        legs = [
            Leg(segment if segment.inside is True else None)
            for i, j in pairwise(way)
            for segment in [known[row, min(i, j), max(i, j)]]
        ]
        anchors = [points[index] for index in way]
        found.append(Polyline(anchors, line.label, line.depth, legs, line.given))
    return found


def _pairs(points: Sequence[Tensor]) -> list[tuple[int, int]]:
    return list(combinations(range(len(points)), 2))
