"""Where in a map the names of the regions go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

__all__ = ["Box", "Place", "place_names"]

# Cells along the longer side of the grid on which places are looked for.
_CELLS = 200
_MOST_NAMES = 40


@dataclass(frozen=True)
class Box:
    """A rectangle in screen pixels, measured from the lower left corner of the map."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: Box) -> bool:
        """Whether the two share more than an edge."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )


@dataclass(frozen=True)
class Place:
    """A name: its class, its centre in screen pixels, and whether it has the chosen size."""

    label: int
    x: float
    y: float
    chosen: bool


def place_names(
    labels: np.ndarray,
    sizes: dict[int, tuple[float, float]],
    node: tuple[float, float],
    *,
    taken: Sequence[Box] = (),
    chosen: tuple[float, float] | None = None,
    chosen_size: tuple[float, float] = (0.0, 0.0),
) -> list[Place]:
    """Centres for the names of all connected regions that have room for theirs.

    A name stands where its box is furthest from the region's edge, the window's edge and the
    boxes ``taken``, measured in widths and heights of the name (a pole of inaccessibility for a
    rectangle). Regions without room are left out; the largest 40 get names.

    Parameters
    ----------
    labels
        ``(H, W)``, row 0 at the bottom.
    sizes
        Width and height of each class's name in screen pixels.
    node
        Screen pixels from one grid node to the next, across and up.
    chosen, chosen_size
        A point in screen pixels, and the size that the name in its region would rather have; its
        place is returned as ``chosen`` if there is room for that.

    Examples
    --------
    >>> labels = np.zeros((20, 40), dtype=int)
    >>> place_names(labels, {0: (30.0, 10.0)}, (10.0, 10.0))
    [Place(label=0, x=195.0, y=95.0, chosen=False)]
    """
    stride = -(-max(labels.shape) // _CELLS)
    across, up = node[0] * stride, node[1] * stride
    labels = labels[stride // 2 :: stride, stride // 2 :: stride]
    free = np.ones(labels.shape, dtype=bool)
    for box in taken:
        rows = slice(max(int(box.bottom / up), 0), max(int(np.ceil(box.top / up)), 0))
        columns = slice(max(int(box.left / across), 0), max(int(np.ceil(box.right / across)), 0))
        free[rows, columns] = False

    found: list[tuple[int, Place]] = []
    for label in np.flatnonzero(np.bincount(labels.ravel())).tolist():
        regions, _ = ndimage.label(labels == label)
        areas = np.bincount(regions.ravel())
        asked = _at(regions, chosen, (across, up))
        for region, window in enumerate(ndimage.find_objects(regions), start=1):
            usable = (regions[window] == region) & free[window]
            for size in (chosen_size, sizes[label]) if region == asked else (sizes[label],):
                spot = _roomiest(usable, size[0] / across, size[1] / up)
                if spot is None:
                    continue
                row, column = spot[0] + window[0].start, spot[1] + window[1].start
                preferred = region == asked and size is chosen_size
                place = Place(label, (column + 0.5) * across, (row + 0.5) * up, preferred)
                found.append((int(areas[region]), place))
                break
    found.sort(key=lambda item: -item[0])
    return [place for _, place in found[:_MOST_NAMES]]


def _roomiest(free: np.ndarray, width: float, height: float) -> tuple[float, float] | None:
    """Row and column where a box of that many cells has most room, or None where it has none."""
    box = (2 * int(np.ceil((height - 1) / 2)) + 1, 2 * int(np.ceil((width - 1) / 2)) + 1)
    if box[0] > free.shape[0] or box[1] > free.shape[1] or box[0] * box[1] > free.sum():
        return None
    fits = ndimage.minimum_filter(free.view(np.uint8), size=box, mode="constant", cval=0) > 0
    if not fits.any():
        return None
    framed = np.pad(free, 1)
    room = ndimage.distance_transform_edt(framed, sampling=(1 / height, 1 / width))[1:-1, 1:-1]
    room = np.where(fits, room, 0.0)
    best = room.max()
    # A plateau of equally good places (a half-plane, a band) is named in its middle.
    rows, columns = np.nonzero(room >= best * (1 - 1e-9))
    middle = np.hypot(rows - rows.mean(), columns - columns.mean()).argmin()
    return float(rows[middle]), float(columns[middle])


def _at(regions: np.ndarray, point: tuple[float, float] | None, cell: tuple[float, float]) -> int:
    """The region at a point in screen pixels; 0 where there is none."""
    if point is None:
        return 0
    row, column = int(point[1] // cell[1]), int(point[0] // cell[0])
    inside = 0 <= row < regions.shape[0] and 0 <= column < regions.shape[1]
    return int(regions[row, column]) if inside else 0
