"""The boundaries between triangles of different classes, from the sides of all triangles.

What lies to the left and to the right of a line of :mod:`geoexplorer.geometry.exact_mesh` is read
off the places where sides begin, in their order along the line: two sides that should end at one
place and do not, by rounding, have a piece of boundary between them that is as short.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoexplorer.geometry.exact_mesh import RIM, Cells, Mesh

__all__ = ["OUTSIDE", "Pieces", "Sides"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

OUTSIDE = -1  # the class beyond the window's rim
_MANY = 2**20  # sides after which those that go on with the same class are made one


@dataclass(frozen=True)
class Pieces:
    """Straight pieces of the boundaries between classes; together they are closed."""

    nodes: Floats  # (m, 2): places in the plane
    ends: Integers  # (p, 2): the nodes at which each piece starts and ends
    classes: Integers  # (p, 2): to the left and to the right; OUTSIDE only to the right


class Sides:
    """The sides of triangles that each belong to one class."""

    def __init__(self) -> None:
        self._rows: list[Integers] = []  # (n, 5): line, whether right of it, class, both nodes
        self._spans: list[Floats] = []  # (n, 2), ascending
        self._waiting, self._due = 0, _MANY

    def add(self, cells: Cells, labels: Integers) -> None:
        """The sides of triangles of classes ``(n,)``."""
        spans, nodes = cells.spans.numpy(), cells.nodes.numpy()
        nodes = np.stack([nodes, np.roll(nodes, -1, axis=1)], axis=2)
        right = spans[..., 0] > spans[..., 1]
        spans = np.where(right[..., None], spans[..., ::-1], spans)
        nodes = np.where(right[..., None], nodes[..., ::-1], nodes)
        classes = np.broadcast_to(labels[:, None], right.shape)
        kept = spans[..., 0] < spans[..., 1]
        columns = [cells.lines.numpy(), right, classes, nodes[..., 0], nodes[..., 1]]
        self._rows.append(np.stack([column[kept] for column in columns], axis=1))
        self._spans.append(spans[kept])
        self._waiting += int(kept.sum())
        if self._waiting > self._due:
            self._join()
            self._due = 2 * self._waiting + _MANY

    def _join(self) -> None:
        """Make one side of those that go on with the same class."""
        rows, spans = np.concatenate(self._rows), np.concatenate(self._spans)
        order = np.lexsort((spans[:, 0], rows[:, 1], rows[:, 0]))
        rows, spans = rows[order], spans[order]
        goes_on = (rows[1:, :3] == rows[:-1, :3]).all(axis=1) & (spans[1:, 0] == spans[:-1, 1])
        first = np.flatnonzero(np.concatenate([[True], ~goes_on])[: len(rows)])
        last = np.concatenate([first[1:] - 1, [len(rows) - 1]])[: len(first)]
        spans = np.stack([spans[first, 0], spans[last, 1]], axis=1)
        self._rows = [np.concatenate([rows[first, :4], rows[last, 4:]], axis=1)]
        self._spans, self._waiting = [spans], len(first)

    def pieces(self, mesh: Mesh) -> Pieces:
        """Where classes differ to the left and to the right of a line."""
        self._join()
        rows, spans = self._rows[0], self._spans[0]
        # The sides to the right of the rim's lines are the window's outside.
        rim = np.arange(RIM)
        outside = np.stack([rim, rim >= 0, rim * 0 + OUTSIDE, rim, (rim + 1) % RIM], axis=1)
        rows = np.concatenate([rows, outside])
        spans = np.concatenate([spans, np.tile([0.0, 1.0], (RIM, 1))])
        order = np.lexsort((spans[:, 0], rows[:, 0]))
        rows, spans = rows[order], spans[order]
        # At each place where a side begins, the sides to the left and to the right.
        left, right = (
            np.maximum.accumulate(np.where(rows[:, 1] == side, np.arange(len(rows)), 0))
            for side in (0, 1)
        )
        line, place = rows[:, 0], spans[:, 0]
        same_line = np.concatenate([line[1:] == line[:-1], [False]])
        last_there = ~same_line | np.concatenate([place[1:] != place[:-1], [True]])
        at = np.flatnonzero(last_there)
        differ = at[rows[left[at], 2] != rows[right[at], 2]]
        following = np.minimum(differ + 1, len(rows) - 1)
        stops = np.where(same_line[differ], rows[following, 3], rows[left[differ], 4])
        ends = np.stack([rows[differ, 3], stops], axis=1)
        classes = np.stack([rows[left[differ], 2], rows[right[differ], 2]], axis=1)
        return _of_few_nodes(ends, classes, mesh)


def _of_few_nodes(ends: Integers, classes: Integers, mesh: Mesh) -> Pieces:
    """Nodes made at the same place of a line are one; those that are not needed are left out."""
    used, ends = np.unique(ends, return_inverse=True)
    points, lines, places = (values.numpy()[used] for values in mesh.nodes)
    made = np.stack([lines.astype(np.float64), places], axis=1)
    _, first, which = np.unique(made, axis=0, return_index=True, return_inverse=True)
    ends = which.ravel()[ends.reshape(-1, 2)]
    kept = ends[:, 0] != ends[:, 1]
    return Pieces(points[first], ends[kept].astype(np.int64), classes[kept])
