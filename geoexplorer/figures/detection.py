"""Figures of detection: scores of images, along the way across a boundary, and over many images.

:func:`detection_layers` takes any of these results with the options of its figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from geoexplorer.figures.chart import Axis, Canvas, Curve, blank_chart, chart_layers, padded
from geoexplorer.figures.detection_along import detection_along_figure, detection_along_layers
from geoexplorer.figures.detection_roc import detection_roc_figure, detection_roc_layers
from geoexplorer.figures.detection_words import CAUTION, SCORE_TITLES, measured_words
from geoexplorer.figures.layers import Layers, apply
from geoexplorer.figures.result_words import counted, progress_words, title_of
from geoexplorer.figures.series import accent, series_colour
from geoexplorer.figures.shown import figure_of, layers_among
from geoexplorer.figures.stairs import stairs
from geoexplorer.figures.text import number
from geoexplorer.geometry.detection import Detection
from geoexplorer.geometry.detection_along import DetectionAlong
from geoexplorer.geometry.detection_roc import DetectionROC
from geoexplorer.results import Result

__all__ = [
    "apply",
    "blank_chart",
    "detection_along_figure",
    "detection_figure",
    "detection_layers",
    "detection_roc_figure",
    "verdict_layers",
]

_BINS = 41


def verdict_layers(
    found: Detection,
    *,
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> Layers:
    """Draw how often each score occurs, and the threshold.

    Parameters
    ----------
    found
        What :func:`geoexplorer.detect` gives.
    theme, width, height, font_size, title, caption
        As for shared directions.

    Raises
    ------
    ValueError
        For an unknown theme, or a size that leaves no room for the plot.
    """
    scores = found.score.double().numpy()
    known, level = scores[np.isfinite(scores)], found.threshold
    count = int((known > level).sum())
    keys = [f"called perturbed: {count:,}  ", f"called natural: {len(known) - count:,}  "]
    images = counted(len(scores), "image")
    if len(known) < len(scores):
        images = f"{len(known):,} of {images}"
    canvas = Canvas.around(
        theme=theme,
        width=width,
        height=height,
        font_size=font_size,
        heading=[title_of("Detection scores", found), images, *measured_words(found),
                 *progress_words(found)] if title else (),
        caption=[CAUTION, "dotted: the threshold"] if caption else (),
        key=keys,
        note=True,
    )  # fmt: skip
    low, high = padded(min([level, *known]), max([level, *known]), 0.04)
    wide = (high - low) / _BINS
    # An edge is at the threshold, so that every bin has one verdict.
    first, last = math.floor((low - level) / wide), math.ceil((high - level) / wide)
    edges = level + wide * np.arange(first, last + 1)
    heights = np.histogram(known, edges)[0].astype(float)
    if len(known):  # a score at the threshold itself is not above it
        at = int((known == level).sum())
        heights[-first] -= at
        heights[-first - 1] += at
    curves = []
    for part, colour, key, fill in (
        (slice(-first, None), accent(canvas.look), keys[0], 0.6),
        (slice(0, -first), series_colour(0, canvas.look), keys[1], 0.15),
    ):
        stop = None if part.stop is None else part.stop + 1
        x, y = stairs(edges[part.start : stop], heights[part])
        curves.append(Curve(x, y, colour, name=key, area=(x, y), fill=fill))
    top = 1.08 * max(1.0, float(heights.max()))
    none = np.empty(0)
    curves.append(Curve(none, none, canvas.look.ink, bound=((level, level), (0.0, top))))
    across = (float(edges[0]), float(edges[-1]))
    return chart_layers(
        canvas,
        Axis(across, SCORE_TITLES),
        Axis((0.0, top), ("number of images", "images")),
        curves=curves,
        labels=[canvas.upright(level, across, top, (f"threshold {number(level)}", "threshold"))],
    )


detection_figure = figure_of(verdict_layers)

_LAYERS: dict[type[Result], Callable[..., Layers]] = {
    Detection: verdict_layers,
    DetectionAlong: detection_along_layers,
    DetectionROC: detection_roc_layers,
}


def detection_layers(result: Result, **options: Any) -> Layers:
    """What the figure of a result shows, for :func:`apply` on a :func:`blank_chart`.

    Parameters
    ----------
    result
        A result of detection of any kind.
    options
        Those of ``result.figure``.

    Raises
    ------
    TypeError
        For any other result, or an option that its figure does not have.
    ValueError
        For a bad value of an option.

    Examples
    --------
    >>> detection_layers(Result())
    Traceback (most recent call last):
        ...
    TypeError: result must be one of detection, got Result
    """
    return layers_among(_LAYERS, "be one of detection", result, options)
