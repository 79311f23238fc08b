"""The pixels of a window, from triangles that each belong to one class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["ExactPixels"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class ExactPixels:
    """The classes of a grid's pixels, painted one triangle after the other.

    Parameters
    ----------
    x, y
        Where the grid's columns ``(w,)`` and rows ``(h,)`` lie, ascending.
    """

    def __init__(self, x: Floats, y: Floats) -> None:
        self._x, self._y = x, y
        self._labels = np.full((len(y), len(x)), -1, dtype=np.int64)

    def paint(self, triangles: Floats, labels: Integers) -> None:
        """Give the pixels in triangles ``(n, 3, 2)`` their classes ``(n,)``."""
        heights = triangles[..., 1]
        low = np.searchsorted(self._y, heights.min(1), side="left")
        high = np.searchsorted(self._y, heights.max(1), side="right")
        which, rows = _ranges(low, high)
        places = _crossed(triangles[which], self._y[rows])
        left = np.searchsorted(self._x, places.min(1), side="left")
        right = np.searchsorted(
            self._x, places.max(1, where=places < np.inf, initial=-np.inf), side="right"
        )
        strip, columns = _ranges(left, right)
        self._labels[rows[strip], columns] = labels[which[strip]]

    def finished(self, labels_at: Callable[[Floats], Integers]) -> Integers:
        """The classes ``(h, w)``; a pixel between triangles, by rounding, is asked for."""
        rows, columns = np.nonzero(self._labels < 0)
        if len(rows):
            places = np.stack([self._x[columns], self._y[rows]], axis=1)
            self._labels[rows, columns] = labels_at(places)
        return self._labels


def _ranges(low: Integers, high: Integers) -> tuple[Integers, Integers]:
    """All numbers from ``low`` to below ``high``, and which range each is of."""
    counts = np.maximum(high - low, 0)
    which = np.repeat(np.arange(len(low)), counts)
    first = np.cumsum(counts) - counts
    return which, np.arange(counts.sum()) - first[which] + low[which]


def _crossed(triangles: Floats, heights: Floats) -> Floats:
    """x ``(m, 3)`` at which the sides of triangles have a height ``(m,)``, infinite for none."""
    start, stop = triangles, np.roll(triangles, -1, axis=1)
    rise = stop[..., 1] - start[..., 1]
    above = heights[:, None] - start[..., 1]
    share = np.divide(above, rise, out=np.full_like(rise, -1.0), where=rise != 0)
    places = start[..., 0] + share * (stop[..., 0] - start[..., 0])
    return np.where((share >= 0) & (share <= 1), places, np.inf)
