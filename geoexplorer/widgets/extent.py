"""Windows of a plane: which one to show, on how many pixels."""

from __future__ import annotations

import numpy as np

from geoexplorer.figures.frame import Frame
from geoexplorer.figures.theme import pixels
from geoexplorer.geometry.planes import Plane

__all__ = ["Extent", "automatic_window", "map_aspect", "pixel_shape", "same_extent"]

Extent = tuple[float, float, float, float]  # left, right, bottom, top, in l2 units

_PIXELS = 513  # along the longer side
# Half the height of the window that is found, in distances of the boundary: room for neighbours.
_CONTEXT = 3.0
# Two windows whose ends differ by less than this share of their width are the same.
_SAME = 2e-3


def automatic_window(plane: Plane, distance: float, aspect: float) -> Extent:
    """A window of a shape in which all marks are seen, with room around them.

    Parameters
    ----------
    plane
        Its marks are seen.
    distance
        Of the nearest boundary, the least scale; infinite where there is none.
    aspect
        Width over height.
    """
    points = np.array(list(plane.marks.values()))
    low, high = points.min(axis=0), points.max(axis=0)
    middle, spread = (low + high) / 2, (high - low) / 2
    least = distance if np.isfinite(distance) and distance > 0 else 1.0
    half = max(1.5 * spread[1], 1.5 * spread[0] / aspect, _CONTEXT * least)
    return (
        float(middle[0] - half * aspect), float(middle[0] + half * aspect),
        float(middle[1] - half), float(middle[1] + half),
    )  # fmt: skip


def pixel_shape(extent: Extent) -> tuple[int, int]:
    """Rows and columns of square pixels, 513 along the longer side.

    Examples
    --------
    >>> pixel_shape((0.0, 2.0, 0.0, 1.0))
    (257, 513)
    """
    width, height = extent[1] - extent[0], extent[3] - extent[2]
    longer = max(width, height)
    return (
        max(round((_PIXELS - 1) * height / longer) + 1, 2),
        max(round((_PIXELS - 1) * width / longer) + 1, 2),
    )


def same_extent(first: Extent, second: Extent) -> bool:
    """Whether two windows differ by no more than rounding on the way to the browser and back."""
    scale = min(second[1] - second[0], second[3] - second[2])
    return all(abs(a - b) <= _SAME * scale for a, b in zip(first, second, strict=True))


def map_aspect(width: float, height: float, points: float) -> float:
    """Width over height of the map that fills a figure.

    Parameters
    ----------
    width, height
        Of the figure, in CSS pixels.
    points
        Its font size.
    """
    unit = ((0.0, 1.0), (0.0, 1.0))
    frame = Frame.around(
        unit, width=width, height=height, font=pixels(points), heading=["", ""], across="", up=""
    )
    # Two lines or three below the map, as they come.
    return frame.width / max(height - frame.top - frame.bottom - 3 * frame.font, 1.0)
