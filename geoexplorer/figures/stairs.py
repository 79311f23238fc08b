"""The outline of a histogram."""

from __future__ import annotations

import numpy as np

__all__ = ["stairs"]


def stairs(
    edges: np.ndarray, heights: np.ndarray, *, floor: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the outline; bins with nothing in them, and both ends, are at ``floor``.

    Examples
    --------
    >>> stairs(np.array([0.0, 1.0]), np.array([3.0]))
    (array([0., 0., 1., 1.]), array([0., 3., 3., 0.]))
    """
    x, y = np.repeat(edges, 2), np.concatenate([[0.0], np.repeat(heights, 2), [0.0]])
    return x, np.where(y > 0, y, floor)
