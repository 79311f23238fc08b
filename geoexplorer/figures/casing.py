"""Curves in class colours, with an edge that tells them from any background."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from geoexplorer.figures.chart import TRACES, Canvas, Curve
from geoexplorer.figures.colours import blend
from geoexplorer.figures.layers import Layers

__all__ = ["cased"]

_WIDTH, _CASING = 0.19, 0.30  # of a curve and of its dark edge, in lines of text
_EDGE = 0.45  # share of ink in it


def cased(layers: Layers, curves: Sequence[Curve], canvas: Canvas) -> Layers:
    """Wide lines with a dark edge: pale class colours are seen on white, and dark ones on black."""
    traces = list(layers.traces)
    for number_, curve in enumerate(curves):
        place = TRACES.index(f"curve {number_}")
        line = {**traces[place]["line"], "width": _WIDTH * canvas.font}
        traces[place] = {**traces[place], "line": line}
        edge = blend(canvas.look.ink, curve.colour, _EDGE)
        below = TRACES.index(f"band {number_}")
        traces[below] = {
            **traces[below], "x": traces[place]["x"], "y": traces[place]["y"],
            "line": {"color": edge, "width": _CASING * canvas.font, "dash": "solid"},
        }  # fmt: skip
    return dataclasses.replace(layers, traces=tuple(traces))
