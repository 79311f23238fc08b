"""Histograms: how often each principal curvature occurs, at all points together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from geoexplorer.figures.chart import Axis, Canvas, Curve, chart_layers, decades
from geoexplorer.figures.curvature_summary import (
    bound_of,
    caption_words,
    common_and_own,
    heading_words,
)
from geoexplorer.figures.curvature_words import AXIS_TITLES, sign_words
from geoexplorer.figures.layers import Layers
from geoexplorer.figures.level_lines import level_label, level_room
from geoexplorer.figures.scales import scale_for
from geoexplorer.figures.series import series_colour, series_dash
from geoexplorer.figures.stairs import stairs
from geoexplorer.figures.text import text_width
from geoexplorer.geometry.curvature import PrincipalCurvatures

__all__ = ["histogram_layers"]

_BINS = 61


def histogram_layers(
    results: Mapping[str, PrincipalCurvatures],
    *,
    sizes: Mapping[str, Any],
    class_names: Sequence[str] | None,
    axis: str,
    title: bool,
    caption: bool,
) -> Layers:
    """The view ``"histogram"``; for the arguments see ``principal_figure``."""
    pooled = [result.values.double().numpy().ravel() for result in results.values()]
    pooled = [values[np.isfinite(values)] for values in pooled]
    measure = scale_for(axis, np.concatenate(pooled))
    facts, own = common_and_own(results)
    names = list(own)
    one = len(results) == 1
    heading = heading_words("Principal curvatures", results, facts, class_names)
    reading = sign_words(list(results.values()), class_names)
    reading += caption_words(results, own, asymmetries=True)
    canvas = Canvas.around(
        heading=heading if title else (),
        caption=[*reading, *measure.words] if caption else (),
        key=() if one else names,
        note=True,
        **sizes,
    )

    bounds = bound_of(list(results.values()))
    low, high = level_room(measure.place(np.concatenate([*pooled, [0.0]])), bounds, measure)
    edges = np.linspace(low, high, _BINS + 1)
    # Networks of different size are compared by shares.
    heights = [np.histogram(measure.place(values), edges)[0].astype(float) for values in pooled]
    what = "number of values"
    floor = 0.5
    if not one:
        heights = [h / max(len(values), 1) for h, values in zip(heights, pooled, strict=True)]
        what, floor = "share of the values", 0.5 / max(*(len(values) for values in pooled), 1)
    top = max([2.0 * floor, *(float(h.max()) for h in heights)])
    curves = []
    for number, (height, bound) in enumerate(zip(heights, bounds, strict=True)):
        x, line = stairs(edges, height, floor=floor)
        level = math.nan if bound is None else float(measure.place(bound.value))
        inside = low <= level <= high
        curves.append(
            Curve(
                x,
                line,
                series_colour(number, canvas.look),
                dash=series_dash(number),
                name="" if one else names[number],
                area=(x, line),
                bound=((level, level), (floor, 2 * top)) if inside else None,
            )
        )
    window = low, high
    label = level_label(bounds, window, measure, canvas, y=1.99 * top)
    least = text_width("−0.001", canvas.font) * (high - low) / canvas.wide
    return chart_layers(
        canvas,
        Axis(window, AXIS_TITLES, ticks=measure.ticks(window, least), zero=True),
        Axis(
            (math.log10(floor), math.log10(2 * top)),
            (what,),
            kind="log",
            ticks=decades(floor, 2 * top, percent=not one),
        ),
        curves=curves,
        labels=label,
    )
