"""Bars of a chart whose rows have names, and lines across them; row 0 stands at y = 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from geoexplorer.figures.chart import DEFAULT_WIDTH, Axis
from geoexplorer.figures.text import cut

__all__ = ["MOST_ROWS", "PER_CENT", "ROW", "bars", "row_names", "rows_axis", "whiskers"]

ROW = 1.9  # lines of text a bar
MOST_ROWS = 24
PER_CENT: dict[str, Any] = {
    "tickmode": "array",
    "tickvals": [0.0, 0.25, 0.5, 0.75, 1.0],
    "ticktext": ["0", "25", "50", "75", "100 %"],
}
"""Ticks from nothing to all, for bars of shares."""
_HALF = 0.32


def bars(start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rectangles as one polygon, one a row; those of no known length are left out.

    Examples
    --------
    >>> bars(np.zeros(2), np.array([np.nan, 2.0]))
    (array([0., 2., 2., 0.]), array([0.68, 0.68, 1.32, 1.32]))
    """
    x, y = [], []
    for row, (left, right) in enumerate(zip(start.tolist(), stop.tolist(), strict=True)):
        if math.isfinite(left) and math.isfinite(right):
            x += [left, right, right, left, math.nan]
            y += [row - _HALF, row - _HALF, row + _HALF, row + _HALF, math.nan]
    return np.array(x[:-1]), np.array(y[:-1])


def whiskers(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A line from ``low`` to ``high`` in each row, as one broken line.

    Examples
    --------
    >>> whiskers(np.zeros(1), np.ones(1))
    (array([ 0.,  1., nan]), array([ 0.,  0., nan]))
    """
    rows = np.arange(len(low), dtype=np.float64)
    nan = np.full(len(low), math.nan)
    return np.stack([low, high, nan], axis=1).ravel(), np.stack([rows, rows, nan], axis=1).ravel()


def row_names(names: Sequence[str], width: float | None, font: float, share: float) -> list[str]:
    """The first names, as many as there are rows, cut to a share of the figure's width."""
    room = share * (DEFAULT_WIDTH if width is None else width)
    return [cut(name, room, font) for name in names[:MOST_ROWS]]


def rows_axis(names: Sequence[str]) -> Axis:
    """The axis of rows with these names, the first on top."""
    ticks = {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": list(names)}
    return Axis((len(names) - 0.5, -0.5), ticks=ticks)
