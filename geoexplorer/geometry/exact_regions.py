"""Exact boundaries of a window put together: as polylines, and as polygons of regions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from geoexplorer.geometry.contours import chains
from geoexplorer.geometry.exact_sides import OUTSIDE, Pieces
from geoexplorer.results import Stored

__all__ = ["ExactMap", "Region"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Places nearer to each other than this share of the window, or of its distance from the plane's
# origin, are one and the same: rounding puts them so far from where they are.
_SAME = 1e-13


@dataclass(frozen=True, eq=False, repr=False)
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
        The pieces, the window's rim among them.
    window
        ``(x0, x1, y0, y1)``.
    """

    def __init__(self, pieces: Pieces, window: tuple[float, float, float, float]) -> None:
        x0, x1, y0, y1 = window
        self._same = _SAME * max(x1 - x0, y1 - y0, *(abs(bound) for bound in window))
        self._nodes, which = _merged(pieces.nodes, self._same)
        self._ends, self._classes = _without_slits(which[pieces.ends], pieces.classes)

    def boundaries(self) -> list[tuple[tuple[int, int], Floats]]:
        """The lower and the higher class, and the polyline between them, of each boundary."""
        found = []
        inner = self._classes[:, 1] != OUTSIDE
        inner_ends, pairs = self._ends[inner], np.sort(self._classes[inner], axis=1)
        for pair in np.unique(pairs, axis=0):
            ends = inner_ends[(pairs == pair).all(axis=1)]
            ends, nodes = _at_most_two(ends, self._nodes)
            used, local = np.unique(ends, return_inverse=True)
            for chain in chains(local.reshape(-1, 2), len(used)):
                line = _straightened(nodes[used[chain]], self._same)
                found.append(((int(pair[0]), int(pair[1])), line))
        return found

    def regions(self) -> tuple[Region, ...]:
        """Each connected part of each class's region."""
        edges = np.concatenate([self._ends, self._ends[:, ::-1]])
        labels = np.concatenate([self._classes[:, 0], self._classes[:, 1]])
        regions: list[Region] = []
        for label in np.unique(labels[labels != OUTSIDE]).tolist():
            loops = self._loops(edges[labels == label])
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
        """Directed edges, put together to loops with their region on the left.

        As many of them lead to each node as away from it.
        """
        leaving: dict[int, list[int]] = {}
        for index, start in enumerate(edges[:, 0].tolist()):
            leaving.setdefault(start, []).append(index)
        starts, stops = edges.T.tolist()
        used = bytearray(len(edges))
        loops = []
        for first in range(len(edges)):
            if used[first]:
                continue
            nodes, edge = [starts[first]], first
            while True:
                used[edge] = True
                nodes.append(stops[edge])
                following = [k for k in leaving[stops[edge]] if k == first or not used[k]]
                edge = self._leftmost(edges, edge, following)
                if edge == first:
                    break
            loop = _straightened(self._nodes[nodes], self._same)
            lengths = np.hypot(*np.diff(loop, axis=0).T)
            if len(loop) > 3 and abs(_area(loop)) > self._same * lengths.sum():
                loops.append(loop)
        return loops

    def _leftmost(self, edges: Integers, edge: int, following: list[int]) -> int:
        if len(following) == 1:
            return following[0]
        came = self._nodes[edges[edge, 1]] - self._nodes[edges[edge, 0]]
        goes = self._nodes[edges[following, 1]] - self._nodes[edges[following, 0]]
        turns = np.arctan2(came[0] * goes[:, 1] - came[1] * goes[:, 0], goes @ came)
        return following[int(turns.argmax())]


def _merged(points: Floats, same: float) -> tuple[Floats, Integers]:
    """Points without repetition, and which one each was; a grid finds those that are the same."""
    numbers = np.arange(len(points))
    for shift in (0.0, 0.5):  # two that are the same may lie on either side of a line of the grid
        cells = np.floor(points[numbers] / (4 * same) + shift)
        _, first, inverse = np.unique(cells, axis=0, return_index=True, return_inverse=True)
        numbers = numbers[first[inverse.ravel()]]
    used, index = np.unique(numbers, return_inverse=True)
    return points[used], index.ravel().astype(np.int64)


def _without_slits(ends: Integers, classes: Integers) -> tuple[Integers, Integers]:
    """Pieces between the same two nodes as one, which has what is left of all of them."""
    kept = ends[:, 0] != ends[:, 1]
    ends, classes = ends[kept], classes[kept]
    back = ends[:, 0] > ends[:, 1]
    ends = np.where(back[:, None], ends[:, ::-1], ends)
    classes = np.where(back[:, None], classes[:, ::-1], classes)
    _, which, counts = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
    several = counts[which.ravel()] > 1
    groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (start, stop), (left, right) in zip(
        ends[several].tolist(), classes[several].tolist(), strict=True
    ):
        groups.setdefault((start, stop), []).append((left, right))
    more_ends, more_classes = [ends[~several]], [classes[~several]]
    for nodes, pairs in groups.items():
        lefts, rights = (Counter(column) for column in zip(*pairs, strict=True))
        remain = zip((lefts - rights).elements(), (rights - lefts).elements(), strict=True)
        for pair in remain:
            more_ends.append(np.array([nodes]))
            more_classes.append(np.array([pair]))
    ends, classes = np.concatenate(more_ends), np.concatenate(more_classes)
    outside = classes[:, 0] == OUTSIDE
    ends = np.where(outside[:, None], ends[:, ::-1], ends)
    return ends, np.where(outside[:, None], classes[:, ::-1], classes)


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
