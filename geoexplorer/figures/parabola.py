"""The osculating parabola x = ½ κ y² of a normal section."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from geoexplorer.figures.frame import Frame
from geoexplorer.figures.region_names import Box
from geoexplorer.figures.series import accent
from geoexplorer.figures.text import number
from geoexplorer.figures.theme import Theme

__all__ = ["parabola_boxes", "parabola_key", "parabola_lines"]

_POINTS = 129


def parabola_lines(
    curvature: float | None, frame: Frame, look: Theme
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The halo below the boundaries and the dashed line above them, empty without a curvature.

    With the boundary in between both can be seen where they are the same.

    Raises
    ------
    ValueError
        If the curvature is not a finite number.
    """
    if curvature is None:
        empty: dict[str, Any] = {"x": [], "y": []}
        return empty, empty
    if isinstance(curvature, (bool, str)) or not math.isfinite(curvature):
        raise ValueError(f"curvature must be a finite number or None, got {curvature!r}")
    (x0, x1), (low, high) = frame.window
    # Nothing is drawn outside the window: how far up it leaves to the left or to the right.
    side = x1 if curvature > 0 else x0
    if curvature:
        reach = math.sqrt(max(2 * side / curvature, 0.0))
        low, high = max(low, -reach), min(high, reach)
    y = np.linspace(low, high, _POINTS) if low < high else np.empty(0)
    points = {"x": 0.5 * curvature * y**2, "y": y}
    # Where a steep piece of it comes before the window's edge, it is left out as well.
    inside = (points["x"] >= x0) & (points["x"] <= x1)
    points = {name: values[inside] for name, values in points.items()}
    width = frame.font / 6
    line = {"width": width, "simplify": False}
    return (
        {**points, "line": {**line, "color": look.paper, "width": 2.6 * width}, "opacity": 0.85},
        {**points, "line": {**line, "color": accent(look), "dash": "dash"}},
    )


def parabola_boxes(line: dict[str, Any], frame: Frame) -> list[Box]:
    """The room that the line takes on the screen."""
    half = frame.font / 4
    spots = [frame.screen(x, y) for x, y in zip(line["x"], line["y"], strict=True)]
    return [Box(x - half, y - half, x + half, y + half) for x, y in spots]


def parabola_key(curvature: float, look: Theme) -> str:
    """What the dashed line is, in its colour."""
    text = f"– – <i>x</i> = ½ κ <i>y</i>², κ = {number(curvature)}"
    return f'<span style="color:{accent(look)}">{text}</span>'
