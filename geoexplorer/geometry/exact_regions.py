"""Exact boundaries of a window put together: as polylines, as polygons of regions, as pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from geoexplorer.geometry.contours import chains
from geoexplorer.geometry.exact_slices import Pieces
from geoexplorer.results import Stored

__all__ = ["ExactMap", "Region"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Places nearer to each other than this share of the window are one and the same: a strip that is
# thinner has no polygon of its own.
_SAME = 1e-9


@dataclass(frozen=True, eq=False)
class Region(Stored):
    """One connected part of a class's region in a window: a polygon, which may have holes."""

    label: int
    outline: Floats  # (m, 2), plane coordinates, counter-clockwise; the last equals the first
    holes: tuple[Floats, ...] = ()  # clockwise

    @property
    def area(self) -> float:
        """Squared l2 units."""
        return _area(self.outline) + sum(_area(hole) for hole in self.holes)


class ExactMap:
    """The regions of a window, from all pieces of boundary in it.

    Parameters
    ----------
    pieces
        The pieces, each with the classes on both sides.
    window
        ``(x0, x1, y0, y1)``.
    labels_at
        The classes ``(n,)`` at places ``(n, 2)`` of the plane.
    """

    def __init__(
        self,
        pieces: Pieces,
        window: tuple[float, float, float, float],
        labels_at: Callable[[Floats], Integers],
    ) -> None:
        x0, x1, y0, y1 = window
        self._window = window
        self._same = _SAME * max(x1 - x0, y1 - y0)
        points, classes = pieces.points.numpy(), pieces.classes.numpy()
        self._nodes, ends = _merged(points.reshape(-1, 2), self._same)
        ends = ends.reshape(-1, 2)
        kept = ends[:, 0] != ends[:, 1]
        self._ends, self._classes = ends[kept], classes[kept]
        self._frame(labels_at)

    def _frame(self, labels_at: Callable[[Floats], Integers]) -> None:
        """Cut the window's rim, counter-clockwise, where boundaries meet it."""
        x0, x1, y0, y1 = self._window
        corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        count = len(self._nodes)
        self._nodes = np.concatenate([self._nodes, corners])
        rim: list[int] = []
        for side in range(4):
            start, stop = corners[side], corners[(side + 1) % 4]
            along = (stop - start) / np.abs(stop - start).sum()
            offsets = self._nodes[:count] - start
            beside = np.abs(offsets @ np.array([-along[1], along[0]]))
            places, length = offsets @ along, np.abs(stop - start).sum()
            on = (beside <= self._same) & (places > self._same) & (places < length - self._same)
            on_side = np.flatnonzero(on)
            rim += [count + side, *on_side[np.argsort(places[on_side])].tolist()]
        starts = np.array(rim)
        self._rim = np.stack([starts, np.roll(starts, -1)], axis=1)
        self._rim_labels = labels_at(self._nodes[self._rim].mean(axis=1))

    def boundaries(self) -> list[tuple[tuple[int, int], Floats]]:
        """The lower and the higher class, and the polyline between them, of each boundary."""
        found = []
        pairs = np.sort(self._classes, axis=1)
        for pair in np.unique(pairs, axis=0):
            ends = self._ends[(pairs == pair).all(axis=1)]
            ends, nodes = _at_most_two(ends, self._nodes)
            used, local = np.unique(ends, return_inverse=True)
            for chain in chains(local.reshape(-1, 2), len(used)):
                line = _straightened(nodes[used[chain]], self._same)
                found.append(((int(pair[0]), int(pair[1])), line))
        return found

    def regions(self) -> tuple[Region, ...]:
        """Each connected part of each class's region."""
        starts = np.concatenate([self._ends, self._ends[:, ::-1], self._rim])
        labels = np.concatenate([self._classes[:, 0], self._classes[:, 1], self._rim_labels])
        regions: list[Region] = []
        for label in np.unique(labels).tolist():
            loops = self._loops(starts[labels == label])
            outer = [loop for loop in loops if _area(loop) > 0]
            holes: list[list[Floats]] = [[] for _ in outer]
            for hole in (loop for loop in loops if _area(loop) < 0):
                around = [k for k, loop in enumerate(outer) if _surrounds(loop, hole)]
                if around:
                    holes[min(around, key=lambda k: _area(outer[k]))].append(hole)
            regions += [
                Region(int(label), loop, tuple(inside))
                for loop, inside in zip(outer, holes, strict=True)
            ]
        return tuple(regions)

    def _loops(self, edges: Integers) -> list[Floats]:
        """Directed edges, put together to loops with their region on the left."""
        leaving: dict[int, list[int]] = {}
        for index, start in enumerate(edges[:, 0].tolist()):
            leaving.setdefault(start, []).append(index)
        used = np.zeros(len(edges), dtype=bool)
        loops = []
        for first in range(len(edges)):
            if used[first]:
                continue
            nodes, edge = [int(edges[first, 0])], first
            while not used[edge]:
                used[edge] = True
                node = int(edges[edge, 1])
                nodes.append(node)
                following = [k for k in leaving.get(node, []) if not used[k]]
                if not following:
                    break
                edge = self._leftmost(edges, edge, following)
            loop = _straightened(self._nodes[nodes], self._same)
            if len(loop) > 3:
                loops.append(loop)
        return loops

    def _leftmost(self, edges: Integers, edge: int, following: list[int]) -> int:
        if len(following) == 1:
            return following[0]
        came = self._nodes[edges[edge, 1]] - self._nodes[edges[edge, 0]]
        goes = self._nodes[edges[following, 1]] - self._nodes[edges[following, 0]]
        turns = np.arctan2(came[0] * goes[:, 1] - came[1] * goes[:, 0], goes @ came)
        return following[int(turns.argmax())]

    def labels(self, x: Floats, y: Floats) -> Integers:
        """The class ``(h, w)`` at each point of a grid."""
        x0, _, y0, y1 = self._window
        y = np.minimum(y, y1 - 2 * self._same)  # boundaries end on the upper rim
        left = np.abs(self._nodes[self._rim][:, :, 0] - x0).max(axis=1) <= self._same
        starts = self._nodes[self._rim[left][:, 1], 1]  # the rim comes down on the left
        order = np.argsort(starts)
        side = np.searchsorted(starts[order], np.maximum(y, y0), side="right") - 1
        first = self._rim_labels[left][order][side.clip(0)]
        labels = np.full((len(y), len(x)), -1, dtype=np.int64)
        labels[:, 0] = first
        rows, places, before, after = self._passages(y)
        order = np.lexsort((places, rows))
        order = self._in_turn(order, rows, places, before, after, first)
        columns = np.searchsorted(x, places)
        order = order[columns[order] < len(x)]
        labels[rows[order], columns[order]] = after[order]
        known = np.maximum.accumulate(np.where(labels >= 0, np.arange(len(x)), 0), axis=1)
        return np.take_along_axis(labels, known, axis=1)

    def _in_turn(
        self,
        order: Integers,
        rows: Integers,
        places: Floats,
        before: Integers,
        after: Integers,
        first: Integers,
    ) -> Integers:
        """Swap two passages at one place where the second belongs to the class that was left."""
        if len(order) < 2:
            return order
        row, left, place = rows[order], before[order], places[order]
        known = np.concatenate([[-1], after[order][:-1]])
        starts = np.concatenate([[True], row[1:] != row[:-1]])
        known[starts] = first[row[starts]]
        same = (row[1:] == row[:-1]) & (place[1:] - place[:-1] <= 4 * self._same)
        wrong = np.flatnonzero((left != known)[:-1] & (left[1:] == known[:-1]) & same)
        order = order.copy()
        order[wrong], order[wrong + 1] = order[wrong + 1], order[wrong]
        return order

    def _passages(self, y: Floats) -> tuple[Integers, Floats, Integers, Integers]:
        """Where boundaries cross the rows of a grid, and the classes to the left and right."""
        start, stop = self._nodes[self._ends[:, 0]], self._nodes[self._ends[:, 1]]
        rising = stop[:, 1] > start[:, 1]
        low = np.searchsorted(y, np.minimum(start[:, 1], stop[:, 1]))
        high = np.searchsorted(y, np.maximum(start[:, 1], stop[:, 1]))
        counts = high - low
        piece = np.repeat(np.arange(len(start)), counts)
        rows = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + low[piece]
        share = (y[rows] - start[piece, 1]) / (stop[piece, 1] - start[piece, 1])
        places = start[piece, 0] + share * (stop[piece, 0] - start[piece, 0])
        left, right = np.where(rising, self._classes.T, self._classes.T[::-1])
        return rows, places, left[piece], right[piece]


def _merged(points: Floats, same: float) -> tuple[Floats, Integers]:
    """Points without repetition, and which one each was; a grid finds those that are the same."""
    if len(points) == 0:
        return points.reshape(0, 2), np.zeros(0, dtype=np.int64)
    numbers = np.arange(len(points))
    for shift in (0.0, 0.5):  # two that are the same may lie on either side of a line of the grid
        cells = np.floor(points[numbers] / (4 * same) + shift)
        _, first, inverse = np.unique(cells, axis=0, return_index=True, return_inverse=True)
        numbers = numbers[first[inverse.ravel()]]
    used, index = np.unique(numbers, return_inverse=True)
    return points[used], index.astype(np.int64)


def _at_most_two(ends: Integers, nodes: Floats) -> tuple[Integers, Floats]:
    """Where more than two pieces meet, each gets an end of its own."""
    counts = np.bincount(ends.ravel(), minlength=len(nodes))
    crowded = counts[ends] > 2
    own = len(nodes) + np.arange(int(crowded.sum()))
    nodes = np.concatenate([nodes, nodes[ends[crowded]]])
    ends = ends.copy()
    ends[crowded] = own
    return ends, nodes


def _straightened(line: Floats, same: float) -> Floats:
    """Without points on the straight line between their neighbours."""
    closed = len(line) > 2 and bool((line[0] == line[-1]).all())
    if len(line) < 3:
        return line
    kept = [line[0]]
    for point, following in pairwise(line[1:]):
        if _off(kept[-1], point, following) > same:
            kept.append(point)
    kept.append(line[-1])
    if closed and len(kept) > 3 and _off(kept[-2], kept[0], kept[1]) <= same:
        kept = [*kept[1:-1], kept[1]]
    return np.array(kept)


def _off(before: Floats, point: Floats, after: Floats) -> float:
    """How far a point lies off the line between two others."""
    along, offset = after - before, point - before
    length = float(np.hypot(*along))
    if length == 0.0:
        return float(np.hypot(*offset))
    return abs(float(along[0] * offset[1] - along[1] * offset[0])) / length


def _area(loop: Floats) -> float:
    x, y = loop[:-1].T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _surrounds(loop: Floats, hole: Floats) -> bool:
    """Whether a point of the hole that is no corner of the loop lies inside it."""
    middle = (hole[0] + hole[1]) / 2
    start, stop = loop[:-1], loop[1:]
    spans = (start[:, 1] > middle[1]) != (stop[:, 1] > middle[1])
    start, stop = start[spans], stop[spans]
    share = (middle[1] - start[:, 1]) / (stop[:, 1] - start[:, 1])
    places = start[:, 0] + share * (stop[:, 0] - start[:, 0])
    return bool((places > middle[0]).sum() % 2)
