"""The line -1/‖r‖ on an axis of curvatures: how far the axis goes for it, and what it says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geoexplorer.figures.chart import Canvas, Label
from geoexplorer.figures.curvature_summary import Bound
from geoexplorer.figures.scales import Scale

__all__ = ["level_label", "level_room", "lower_end"]

# A line this many times the span of all that is drawn below it is not worth squeezing that.
_FAR = 1.0


def level_room(
    places: np.ndarray, bounds: Sequence[Bound | None], measure: Scale
) -> tuple[float, float]:
    """Ends of the axis: all that is drawn, and the lines unless they are far away."""
    known = places[np.isfinite(places)]
    if len(known) == 0:
        return -1.0, 1.0
    high = float(known.max())
    low = lower_end(float(known.min()), high, bounds, measure)
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin


def lower_end(low: float, high: float, bounds: Sequence[Bound | None], measure: Scale) -> float:
    """The least of what is drawn from ``low`` to ``high`` and the lines that are not far below."""
    reach = low - _FAR * ((high - low) or 1.0)
    levels = [float(measure.place(bound.value)) for bound in bounds if bound is not None]
    return min([low, *(level for level in levels if level >= reach)])


def level_label(
    bounds: Sequence[Bound | None],
    window: tuple[float, float],
    measure: Scale,
    canvas: Canvas,
    *,
    y: float,
) -> list[Label]:
    """One text for the lines at ``y``, just below the upper end of the plot, written above it.

    The axis of curvatures runs from left to right.
    """
    known = [bound for bound in bounds if bound is not None]
    if not known:
        return []
    low, high = window
    places = [float(measure.place(bound.value)) for bound in known]
    inside = [place for place in places if low <= place <= high]
    if inside:
        return [canvas.upright(inside[0], window, y, known[0].texts)]
    return [canvas.upright(low, window, y, [f"← {text}" for text in known[0].texts])]
