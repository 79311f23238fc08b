"""The line -1/‖r‖ across an axis of curvatures that runs from left to right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geoexplorer.figures.chart import Canvas, Label
from geoexplorer.figures.curvature_summary import Bound
from geoexplorer.figures.scales import Scale

__all__ = ["level_label", "level_room"]

_FAR = 1.0  # as in a profile


def level_room(
    places: np.ndarray, bounds: Sequence[Bound | None], measure: Scale
) -> tuple[float, float]:
    """Ends of the axis: all that is drawn, and the lines unless they are far away."""
    known = places[np.isfinite(places)]
    if len(known) == 0:
        return -1.0, 1.0
    low, high = float(known.min()), float(known.max())
    span = (high - low) or 1.0
    levels = [float(measure.place(bound.value)) for bound in bounds if bound is not None]
    low = min([low, *(level for level in levels if level >= low - _FAR * span)])
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin


def level_label(
    bounds: Sequence[Bound | None],
    window: tuple[float, float],
    measure: Scale,
    canvas: Canvas,
    *,
    y: float,
) -> list[Label]:
    """One text for the lines at ``y``, just below the upper end of the plot, written above it."""
    known = [bound for bound in bounds if bound is not None]
    if not known:
        return []
    low, high = window
    places = [float(measure.place(bound.value)) for bound in known]
    inside = [place for place in places if low <= place <= high]
    share, texts = 0.0, [f"← {text}" for text in known[0].texts]
    if inside:
        share, texts = (inside[0] - low) / (high - low), list(known[0].texts)
    text, side, place = canvas.beside(share, texts)
    return [Label(low + place * (high - low), y, text, f"top {side}", canvas.look.muted)]
