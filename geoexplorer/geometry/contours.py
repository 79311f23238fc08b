"""Boundaries between the classes of a pixel map, as polylines of sub-pixel accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["chains", "class_contours"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def class_contours(
    labels: NDArray[Any], margins: NDArray[Any]
) -> list[tuple[tuple[int, int], Floats]]:
    """Polylines between each two classes that meet.

    Marching squares for any number of classes. Between two neighbouring pixels of different
    classes the boundary crosses where the difference of their two logits, taken as linear,
    is zero. Where three or four classes meet within a cell of four pixels, their polylines
    end in one common point. Where two classes meet like on a chessboard, the one that is
    higher at the saddle stays connected.

    Parameters
    ----------
    labels
        Classes ``(H, W)``.
    margins
        Highest minus second highest logit ``(H, W)``, not negative.

    Returns
    -------
    list of ((int, int), (m, 2) float64)
        The lower and the higher class, and points (column, row) in pixels; in a closed
        polyline the last point equals the first. Every other one ends at the rim of the map
        or where more than two classes meet.

    Examples
    --------
    >>> labels = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
    >>> ((classes, points),) = class_contours(labels, np.ones((3, 3)))
    >>> classes, points.shape, points[0].tolist() == points[-1].tolist()
    ((0, 1), (5, 2), True)
    """
    labels, margins = np.asarray(labels), np.asarray(margins, dtype=np.float64)
    crossings = _Crossings.of(labels, margins)
    segments, points = _segments(labels, margins, crossings)
    if len(segments) == 0:
        return []
    contours = []
    for chain in chains(segments, len(points)):
        lower, higher = crossings.pairs[min(chain[:2])].tolist()  # one of two is a crossing
        contours.append(((lower, higher), points[chain]))
    return contours


@dataclass(frozen=True)
class _Crossings:
    """Where the boundary crosses between two neighbouring pixels."""

    across: Integers  # (H, W-1): number of the crossing to the right of a pixel, or -1
    up: Integers  # (H-1, W): number of the crossing above a pixel, or -1
    points: Floats  # (n, 2): column, row
    pairs: Integers  # (n, 2): the two classes, the lower first

    @staticmethod
    def of(labels: Integers, margins: Floats) -> _Crossings:
        ends = [
            ((slice(None), slice(None, -1)), (slice(None), slice(1, None)), (1.0, 0.0)),
            ((slice(None, -1), slice(None)), (slice(1, None), slice(None)), (0.0, 1.0)),
        ]
        numbers, points, pairs, count = [], [], [], 0
        for here, there, step in ends:
            crossed = labels[here] != labels[there]
            y, x = np.nonzero(crossed)
            number = np.full(crossed.shape, -1, dtype=np.int64)
            number[y, x] = np.arange(count, count + len(y))
            count += len(y)
            near, far = margins[here][y, x], margins[there][y, x]
            sum_of_both = near + far
            share = np.divide(near, sum_of_both, out=np.full(len(y), 0.5), where=sum_of_both > 0)
            numbers.append(number)
            points.append(np.stack([x + share * step[0], y + share * step[1]], axis=1))
            pairs.append(np.sort(np.stack([labels[here][y, x], labels[there][y, x]], 1), axis=1))
        across, up = numbers
        return _Crossings(across, up, np.concatenate(points), np.concatenate(pairs))


def _segments(labels: Integers, margins: Floats, crossings: _Crossings) -> tuple[Integers, Floats]:
    """Pairs of point numbers ``(s, 2)``, and the points: crossings, then ends in junctions."""
    # The sides of a cell in turn, and its corners: side k lies between corners k and k + 1.
    across, up = crossings.across, crossings.up
    crossed = (across[:-1] >= 0) | (across[1:] >= 0) | (up[:, :-1] >= 0) | (up[:, 1:] >= 0)
    y, x = np.nonzero(crossed)
    sides = np.stack([across[y, x], up[y, x + 1], across[y + 1, x], up[y, x]], axis=1)  # (n, 4)
    corners = _corners(labels, y, x)
    count = (sides >= 0).sum(axis=1)

    two = sides[count == 2]
    segments = [two[two >= 0].reshape(-1, 2)]

    equal = corners[:, :2] == corners[:, 2:]  # the corners 0 and 2, and 1 and 3
    saddle = (count == 4) & equal.any(axis=1)
    heights = _corners(margins, y[saddle], x[saddle])
    joins_first = heights[:, 0] * heights[:, 2] > heights[:, 1] * heights[:, 3]
    both = equal[saddle].all(axis=1)
    cut_odd = np.where(both, joins_first, equal[saddle, 0])
    for odd in (False, True):
        four = sides[saddle][cut_odd == odd]
        # Cutting off corner k joins the sides k - 1 and k.
        for corner in (1, 3) if odd else (0, 2):
            segments.append(four[:, [corner - 1, corner]])

    junction = (count >= 3) & ~saddle
    spokes = sides[junction]
    hub, side = np.nonzero(spokes >= 0)
    outer = spokes[hub, side]
    sums = np.zeros((len(spokes), 2))
    np.add.at(sums, hub, crossings.points[outer])
    centres = sums / count[junction][:, None]
    # Each spoke gets an end of its own, so that no point has more than two neighbours.
    ends = len(crossings.points) + np.arange(len(outer))
    segments.append(np.stack([outer, ends], axis=1))
    return np.concatenate(segments), np.concatenate([crossings.points, centres[hub]])


def _corners(values: NDArray[Any], y: Integers, x: Integers) -> NDArray[Any]:
    return np.stack(
        [values[y, x], values[y, x + 1], values[y + 1, x + 1], values[y + 1, x]], axis=1
    )


def chains(segments: Integers, count: int) -> list[list[int]]:
    """The points of each chain of segments ``(m, 2)`` in order; a closed one ends where it begins.

    At most two segments meet in each of the ``count`` points.
    """
    ends, others = segments.ravel(), segments[:, ::-1].ravel()
    order = np.argsort(ends, kind="stable")
    ends, others = ends[order], others[order]
    second = np.zeros(len(ends), dtype=np.int64)
    second[1:] = ends[1:] == ends[:-1]
    neighbours = np.full((count, 2), -1, dtype=np.int64)
    neighbours[ends, second] = others
    loose = np.flatnonzero(neighbours[:, 1] < 0)
    starts = np.concatenate([loose, np.arange(count)]).tolist()

    one, two = neighbours.T.tolist()  # lists, which are faster than arrays item by item
    passed = bytearray(count)
    chains = []
    for start in starts:
        if passed[start]:
            continue
        chain, before, point = [], -1, start
        while point >= 0 and not passed[point]:
            chain.append(point)
            passed[point] = 1
            before, point = point, two[point] if one[point] == before else one[point]
        if point >= 0:
            chain.append(point)
        chains.append(chain)
    return chains
