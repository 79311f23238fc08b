"""A drawing as plain values, for a figure that is made once and then changed.

Every new figure in a widget ships its JavaScript again. So a drawing has two halves: layers,
one dictionary for each of a fixed number of traces and one for the layout, and :func:`apply`,
which puts them into a figure, be it new or on the screen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

__all__ = ["Layers", "apply"]


@dataclass(frozen=True, eq=False)
class Layers:
    """What a figure looks like, in plain values."""

    traces: tuple[dict[str, Any], ...]  # one for each of the blank figure's
    layout: dict[str, Any]
    template: go.layout.Template
    # Ends of the x and of the y axis; powers of ten where the axis is logarithmic.
    window: tuple[tuple[float, float], tuple[float, float]]
    # Width and height in pixels that the places of the texts are made for.
    size: tuple[float, float]


def apply(figure: go.Figure, layers: Layers, *, move: bool = True) -> None:
    """Show ``layers`` in the blank figure that belongs to them, as one update.

    Parameters
    ----------
    figure
        A ``Figure`` or ``FigureWidget``; its traces stay the same ones.
    move
        Whether the axes go to the layers' window. Not after a pan or zoom: there the drawing
        follows the axes, and moving them again would be taken for another zoom.
    """
    with figure.batch_update():
        for trace, values in zip(figure.data, layers.traces, strict=True):
            if _shows(values["x"]) or _shows(trace.x):  # plotly takes milliseconds for each
                trace.update(values)
        figure.layout.update(layers.layout)
        if figure.layout.template != layers.template:
            figure.layout.template = layers.template
        if move:
            across, up = layers.window
            figure.layout.update(xaxis={"range": across}, yaxis={"range": up})


def _shows(x: Any) -> bool:
    return x is not None and len(x) > 0
