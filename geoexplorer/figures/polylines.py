"""Many polylines as one plotly trace, with no more points than the eye can tell."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

__all__ = ["joined", "simplified"]

# Far above what a map of a trained network needs; maps of noise are thinned down to it.
_MOST_POINTS = 9_000
_PASSES = 4


def joined(polylines: Iterable[np.ndarray], *, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates x and y of all ``polylines`` ``(m, 2)``, NaN between one and the next.

    No vertex that is left out lies further than ``tolerance`` from the line drawn. Where that
    leaves too many points to send, the tolerance is doubled, at most three times.

    Examples
    --------
    >>> x, y = joined([np.array([[0, 0], [1, 0], [2, 0]]), np.ones((2, 2))], tolerance=0.1)
    >>> x.tolist()
    [0.0, 2.0, nan, 1.0, 1.0]
    """
    pieces = [np.asarray(piece, dtype=np.float64) for piece in polylines if len(piece)]
    if not pieces:
        return np.empty(0), np.empty(0)
    points = np.concatenate(pieces)
    piece = np.repeat(np.arange(len(pieces)), [len(item) for item in pieces])
    for doubled in range(4):
        kept = _thinned(points, piece, tolerance * 2**doubled)
        if len(kept) <= _MOST_POINTS:
            break
    starts = np.flatnonzero(np.diff(piece[kept])) + 1
    points = np.insert(points[kept], starts, np.nan, axis=0)
    return _short(points[:, 0]), _short(points[:, 1])


def simplified(
    points: np.ndarray, *, tolerance: float, kept: np.ndarray | None = None
) -> np.ndarray:
    """Rows of one polyline ``(m, 2)`` that are enough to draw it; NaN breaks the line.

    No vertex that is left out lies further than ``tolerance`` from the line drawn. The rows
    ``kept`` stay, and so do both ends of every unbroken piece.

    Examples
    --------
    >>> line = np.array([[0, 0], [1, 0], [2, 0], [3, 0], [4, 0]])
    >>> simplified(line, tolerance=0.1).tolist()
    [0, 4]
    >>> simplified(line, tolerance=0.1, kept=np.array([3])).tolist()
    [0, 2, 3, 4]
    """
    if len(points) == 0:
        return np.empty(0, dtype=np.int64)
    known = np.isfinite(points).all(axis=1)
    alone = np.zeros(len(points), dtype=bool)
    if kept is not None:
        alone[kept] = True
    begins = (known[1:] != known[:-1]) | alone[1:] | alone[:-1]
    piece = np.concatenate([[0], np.cumsum(begins)])
    return _thinned(np.where(known[:, None], points, 0.0), piece, tolerance)


def _thinned(points: np.ndarray, piece: np.ndarray, tolerance: float) -> np.ndarray:
    """Rows of ``points`` that stay; ``piece`` says which polyline each belongs to.

    Every second vertex is left out where it lies on the line of its neighbours, four times over
    with a quarter of the ``tolerance`` each, so that the errors cannot add up to more than it.
    The ends of every piece stay.
    """
    kept = np.arange(len(points))
    for _ in range(_PASSES):
        which = piece[kept]
        first = np.searchsorted(which, which)  # the row where each vertex's piece begins
        odd = (np.arange(len(kept)) - first) % 2 == 1
        odd[:-1] &= which[:-1] == which[1:]
        odd[-1] = False
        at = np.flatnonzero(odd)
        before, middle, after = (points[kept[at + step]] for step in (-1, 0, 1))
        chord, offset = after - before, middle - before
        squared = (chord**2).sum(axis=1)
        along = (offset * chord).sum(axis=1) / np.where(squared > 0, squared, 1.0)
        away = offset - np.clip(along, 0.0, 1.0)[:, None] * chord
        flat = np.hypot(away[:, 0], away[:, 1]) <= tolerance / _PASSES
        kept = np.delete(kept, at[flat])
    return kept


def _short(values: np.ndarray) -> np.ndarray:
    """Single precision where that is a thousand times finer than the window."""
    known = values[np.isfinite(values)]
    span, largest = np.ptp(known), np.abs(known).max()
    return values.astype(np.float32) if span > 1e-3 * largest else values
